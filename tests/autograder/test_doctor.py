"""`autograder doctor` says what holds here, and is right where layers are really taken away: by a filter on
system calls, as containers do it. What it says of grading is what `autograder grade` then does.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from gradebook_course import prepare
from tiny_course import COURSE, write_tiny_course

from autograder.course import load_course
from autograder.sandbox import abilities, kernel, remedies
from autograder.sandbox.abilities import Ability, conclusion, examine
from autograder.sandbox.remedies import Machine

COLUMN = kernel.ARCHITECTURES.index(kernel.MACHINE)
CALLS = {
    "landlock": [(444, 444)],
    "seccomp": [(317, 277)],
    "namespaces": [(272, 97)],  # unshare
}
REFUSING = """
import sys
from autograder.sandbox import syscalls
numbers, error = {numbers!r}, {error}
real = syscalls.program
syscalls.program = lambda _: [
    (0x20, 0, 0, 0),
    *[step for number in numbers for step in ((0x15, 0, 1, number), (6, 0, 0, 0x50000 | error))],
    (6, 0, 0, 0x7FFF0000),
]
syscalls.install(None)
syscalls.program = real
syscalls._prepared.cache_clear()
from autograder.cli import main
main()
"""


def run(
    arguments: Sequence[str], absent: Sequence[str] = (), error: int = errno.EPERM, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command where the system calls behind some layers are refused."""
    numbers = [pair[COLUMN] for layer in absent for pair in CALLS[layer]]
    program = REFUSING.format(numbers=numbers, error=error)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def layers(output: str) -> dict[str, bool]:
    found = re.findall(r"^(yes|NO )  (\w+): ", output, re.MULTILINE)
    return {name: word == "yes" for word, name in found}


ALL = {"system": True, "landlock": True, "seccomp": True, "rlimits": True, "namespaces": True}


@pytest.fixture(scope="module")
def whole() -> None:
    """The tests below take layers away; they must be there first."""
    if layers(run(["doctor"]).stdout) != ALL:
        pytest.skip("not every layer is there on this machine")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tiny_course(tmp_path_factory.mktemp("doctor"), course=COURSE)
    prepare(root)
    place = root / "submitted/ada/tiny"
    place.mkdir(parents=True)
    (place / "tiny.ipynb").write_bytes(load_course(root).assignment("tiny").release_notebook.read_bytes())
    return root


CASES: list[tuple[tuple[str, ...], int, str]] = [
    ((), 0, r"Submissions may be graded here: all layers hold, \d+ forbidden acts were tried and stopped\."),
    (("namespaces",), 0, r"Submissions may be graded here: \d+ .* one wall fewer"),
    (("landlock",), 1, r"No submission may be graded here: landlock is missing\."),
    (("seccomp",), 1, r"No submission may be graded here: seccomp is missing\."),
    (("landlock", "seccomp", "namespaces"), 1, r"No .*: landlock and seccomp are missing\."),
]


@pytest.mark.parametrize(
    ("absent", "status", "last"), CASES, ids=["-".join(row[0]) or "none" for row in CASES]
)
def test_what_is_said_is_what_happens(
    absent: tuple[str, ...], status: int, last: str, course: Path, whole: None
) -> None:
    told = run(["doctor"], absent)
    only_for_others = "only its owner may enter" in told.stdout
    lines = told.stdout.splitlines()
    assert layers(told.stdout) == {name: name not in absent for name in ALL}
    assert [
        lines[n + 1].startswith("     To mend it: ") for n, line in enumerate(lines) if line[:2] == "NO"
    ] == [True] * len(absent)
    if not only_for_others:
        assert re.fullmatch(last, lines[-1]), lines[-1]
        assert told.returncode == status

    report = course / f"report-{'-'.join(absent)}.json"
    graded = run(
        ["grade", "tiny", str(course / "submitted"), "--course", str(course), "--json", str(report), "-q",
         "--no-gradebook", "--no-feedback", "--force"],
        absent,
    )  # fmt: skip
    if told.returncode == 0:
        assert graded.returncode == 0, graded.stderr
        assert json.loads(report.read_bytes())["sandbox"] == [
            layer for layer in ("landlock", "seccomp", "rlimits", "namespaces") if layer not in absent
        ]
    else:
        assert graded.returncode == 2 and not report.exists()
        assert graded.stderr.strip()


@pytest.mark.parametrize("absent", ["namespaces", "landlock", "seccomp", "rlimits"])
def test_a_layer_that_is_only_thought_away_is_judged_the_same(absent: str, whole: None) -> None:
    told = run(["doctor"], AUTOGRADER_DOCTOR_WITHOUT=absent)
    assert layers(told.stdout) == {**ALL, absent: False}
    assert f"NO   {absent}: switched off\n     To mend it: " in told.stdout
    good = absent == "namespaces" and "only its owner may enter" not in told.stdout
    assert told.returncode == (0 if good else 1)
    assert told.stdout.splitlines()[-1].startswith("Submissions may" if good else "No submission may")


def test_a_kernel_that_knows_nothing_of_landlock(whole: None) -> None:
    told = run(["doctor"], ["landlock"], error=errno.ENOSYS)
    assert "NO   landlock: absent (ENOSYS)" in told.stdout and told.returncode == 1


def test_a_filter_or_limit_that_stops_nothing_is_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(abilities.syscalls, "narrow", lambda _: None)
        patched.setattr(abilities.resource, "setrlimit", lambda *_: None)
        found = {ability.name: ability for ability in examine()}
    for name in ("seccomp", "rlimits"):
        assert not found[name].works and "accepted but stops nothing" in found[name].detail


def test_another_system_gets_the_container() -> None:
    for system, words in (("Darwin", "On macOS grade in a Linux container"), ("Windows", "On Windows")):
        (only,) = examine(machine=Machine(system, "24.1.0", 501))
        assert not only.works and only.remedy.startswith(words) and "docker run" in only.remedy
        good, line = conclusion([only])
        assert not good and line.startswith("No submission may be graded here: the sandbox needs Linux")


UBUNTU = {"kernel/apparmor_restrict_unprivileged_userns": "1", "user/max_user_namespaces": "63000"}
REMEDIES: list[tuple[str, str, Machine, str]] = [
    ("ubuntu", "namespaces", Machine(user=1000, kernel="6.8.0-45-generic", settings=UBUNTU),
     "echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-autograder.conf"),
    ("debian", "namespaces", Machine(user=1000, settings={"kernel/unprivileged_userns_clone": "0"}),
     "kernel.unprivileged_userns_clone=1"),
    ("hardened", "namespaces", Machine(user=1000, settings={"user/max_user_namespaces": "0"}),
     "user.max_user_namespaces=15000"),
    ("docker-root", "namespaces", Machine(container="docker", settings=UBUNTU),
     "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN"),
    ("docker-user", "namespaces", Machine(container="docker", user=1000),
     "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined ..."),
    ("podman", "namespaces", Machine(container="podman", user=1000), "podman run"),
    ("kubernetes", "namespaces", Machine(container="kubernetes"), '"capabilities":{"add":["SYS_ADMIN"]}'),
    ("kubernetes-user", "landlock", Machine(container="kubernetes", user=1000, kernel="6.1.0"),
     '"seccompProfile":{"type":"Unconfined"}'),
    ("old", "landlock", Machine(kernel="5.4.0-190-generic", user=1000), "linux-generic-hwe"),
    ("bare-root", "namespaces", Machine(kernel="6.1.0"), "as an ordinary user"),
    ("gvisor", "rlimits", Machine(container="docker", kernel="4.4.0"), "--runtime=runc"),
    ("seccomp", "seccomp", Machine(container="docker", user=1000), "seccomp=unconfined"),
    ("no-seccomp", "seccomp", Machine(kernel="6.1.0"), "CONFIG_SECCOMP_FILTER"),
    ("no-namespaces", "namespaces", Machine(kernel="6.1.0", user=1000), "CONFIG_USER_NS"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "machine", "command"), REMEDIES, ids=[row[0] for row in REMEDIES])
def test_each_kind_of_machine_gets_its_own_command(
    name: str, layer: str, machine: Machine, command: str
) -> None:
    absent = {ability.name: ability for ability in examine({layer}, machine)}[layer]
    assert not absent.works
    assert command in absent.remedy
    assert absent.remedy.count("\n") == 0


def test_landlock_that_was_not_chosen_at_boot() -> None:
    machine = Machine(kernel="5.15.0", user=1000)
    assert "lsm=landlock" in remedies.for_landlock(machine, errno.EOPNOTSUPP)
    assert "CONFIG_SECURITY_LANDLOCK" in remedies.for_landlock(machine, errno.ENOSYS)


def test_kubernetes_patch_is_valid_json() -> None:
    for user in (0, 1000):
        remedy = remedies.for_namespaces(Machine(container="kubernetes", user=user))
        patch = json.loads(remedy.partition("--patch '")[2].rstrip("'"))
        assert patch["spec"]["template"]["spec"]["hostUsers"] is False


def test_nothing_is_concluded_from_a_sandbox_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[str]:
        raise abilities.SandboxError("The sandbox does not hold on this machine.")

    monkeypatch.setattr(abilities, "prove", fails)
    good, line = conclusion([Ability(name, True, "") for name in ALL])
    assert not good and line.startswith("No submission may be graded here. The sandbox does not hold")
