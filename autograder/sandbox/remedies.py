"""What mends a layer that is missing: one command, by the kind of machine. Nothing is tried here."""

from __future__ import annotations

import errno
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path

_SETTINGS = (
    "kernel/apparmor_restrict_unprivileged_userns", "kernel/unprivileged_userns_clone",
    "user/max_user_namespaces",
)  # fmt: skip
_UNCONFINED = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"


@dataclass(frozen=True)
class Machine:
    """What is known of the machine without trying anything."""

    system: str = "Linux"
    kernel: str = ""
    """Its release: `6.8.0-45-generic`."""
    user: int = 0
    container: str = ""
    """"docker", "kubernetes", "podman", or empty."""
    settings: dict[str, str] = field(default_factory=dict)
    """Kernel settings that matter, by their path below /proc/sys; those that are there."""

    @property
    def kernel_version(self) -> tuple[int, int]:
        """(major, minor) of the kernel; (0, 0) where it cannot be told."""
        match = re.match(r"(\d+)\.(\d+)", self.kernel)
        return (int(match[1]), int(match[2])) if match else (0, 0)


def this_machine() -> Machine:
    """The machine that this runs on."""
    settings = {}
    for name in _SETTINGS:
        try:
            settings[name] = Path("/proc/sys", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
    container = ""
    if os.environ.get("KUBERNETES_SERVICE_HOST") or Path("/var/run/secrets/kubernetes.io").exists():
        container = "kubernetes"
    elif Path("/run/.containerenv").exists():
        container = "podman"
    elif Path("/.dockerenv").exists():
        container = "docker"
    return Machine(platform.system(), platform.release(), os.getuid(), container, settings)


def for_system(machine: Machine) -> str:
    """For a machine that is no Linux on x86_64 or aarch64."""
    where = {"Darwin": "On macOS grade", "Windows": "On Windows grade"}.get(machine.system, "Grade")
    return (
        f'{where} in a Linux container: docker run --rm -it {_UNCONFINED} -v "$PWD":/course -w /course '
        "python:3.12 sh -c \"pip install -e '.[instructor,torch]' && autograder doctor && exec bash\""
    )


def for_landlock(machine: Machine, reason: int) -> str:
    """For a missing Landlock; `reason` is the errno of landlock_create_ruleset(2)."""
    if machine.kernel_version < (5, 13):
        return (
            f"Landlock needs Linux 5.13, here is {machine.kernel or 'an unknown one'}: "
            "sudo apt install --install-recommends linux-generic-hwe-$(lsb_release -rs), then restart."
        )
    if reason == errno.EOPNOTSUPP:  # built in, but not among the security modules that were chosen at boot
        return (
            "Landlock is switched off at boot: echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX "
            "lsm=landlock,lockdown,yama,integrity,apparmor,bpf\"' | "
            "sudo tee /etc/default/grub.d/landlock.cfg "
            "&& sudo update-grub, then restart."
        )
    if machine.container:
        return f"The container's filter refuses Landlock. {_container(machine)}"
    return _other_kernel("Landlock", "CONFIG_SECURITY_LANDLOCK")


def for_seccomp(machine: Machine) -> str:
    """For missing seccomp filters."""
    if machine.container:
        return f"The container's filter refuses further filters. {_container(machine)}"
    return _other_kernel("seccomp filters", "CONFIG_SECCOMP_FILTER")


def for_rlimits(machine: Machine) -> str:
    """For resource limits that are not enforced, as in gVisor."""
    return (
        "The kernel takes limits and does not enforce them, as gVisor does: run the container with "
        "--runtime=runc, or grade in a virtual machine."
    )


def for_namespaces(machine: Machine) -> str:
    """For namespaces that cannot be entered."""
    if machine.container:
        return _container(machine)
    if machine.settings.get("user/max_user_namespaces") == "0":
        return _setting("user.max_user_namespaces=15000")
    if machine.settings.get("kernel/unprivileged_userns_clone") == "0":
        return _setting("kernel.unprivileged_userns_clone=1")
    if machine.settings.get("kernel/apparmor_restrict_unprivileged_userns") == "1":  # Ubuntu 23.10 and later
        return _setting("kernel.apparmor_restrict_unprivileged_userns=0")
    if machine.user == 0:
        return (
            "Root lacks CAP_SYS_ADMIN here: run as an ordinary user, or ask whoever runs this machine for it."
        )
    return _other_kernel("user namespaces", "CONFIG_USER_NS")


def _other_kernel(what: str, option: str) -> str:
    return (
        f"The kernel is built without {what} ({option}): sudo apt install --reinstall linux-generic, or your "
        "distribution's own kernel, then restart."
    )


def _setting(value: str) -> str:
    return f"echo {value} | sudo tee /etc/sysctl.d/60-autograder.conf && sudo sysctl --system"


def _container(machine: Machine) -> str:
    """Root needs the capability for new namespaces; an ordinary user gets it in a user namespace."""
    capability = " --cap-add SYS_ADMIN" if machine.user == 0 else ""
    if machine.container == "kubernetes":
        add = ',"capabilities":{"add":["SYS_ADMIN"]}' if machine.user == 0 else ""
        return (
            "kubectl patch deployment NAME --patch '"
            '{"spec":{"template":{"spec":{"hostUsers":false,"containers":[{"name":"NAME","securityContext":'
            '{"seccompProfile":{"type":"Unconfined"},"appArmorProfile":{"type":"Unconfined"}'
            + add
            + "}}]}}}}'"
        )
    tool = machine.container or "docker"
    return f"Start the container with: {tool} run {_UNCONFINED}{capability} ..."
