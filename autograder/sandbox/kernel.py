"""The kernel interfaces that lock a process down, by ctypes: Landlock, prctl, namespaces, mounts,
capabilities, rlimits.

Linux on x86_64 and aarch64. Each function either does what its name says or raises OSError; none fails
silently.
Sources: landlock(7), user_namespaces(7), pid_namespaces(7), pivot_root(2), capabilities(7), prctl(2),
setrlimit(2).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import resource
import select
import struct
import tempfile
from collections.abc import Iterable, Sequence

_libc = ctypes.CDLL(None, use_errno=True)
MACHINE = platform.machine()
ARCHITECTURES = ("x86_64", "aarch64")

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_SET_CHILD_SUBREAPER = 36
SIGKILL = 9

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    1, 2, 4, 8, 32, 4096, 16384, 1 << 18,
)  # fmt: skip
_MNT_DETACH = 2
_ST_NOATIME, _ST_NODIRATIME = 1024, 2048  # the same bits in statvfs(3) and mount(2)

# Landlock's numbers are the same on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_MAKE_CHAR, _FS_MAKE_SOCK, _FS_MAKE_FIFO, _FS_MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
_FS_TRUNCATE, _FS_IOCTL_DEV = 1 << 14, 1 << 15


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """A raw system call; negative results leave errno for `_check`."""
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_libc.syscall(ctypes.c_long(number), *converted))


def _prctl(option: int, *arguments: int) -> int:
    padded = [*arguments, 0, 0, 0, 0][:4]
    return int(_libc.prctl(ctypes.c_int(option), *[ctypes.c_ulong(value) for value in padded]))


def no_new_privileges() -> None:
    """No setuid program and no file capability ever counts again for this process and its children."""
    _check(_prctl(PR_SET_NO_NEW_PRIVS, 1), "prctl(PR_SET_NO_NEW_PRIVS)")


def set_dumpable(dumpable: bool) -> None:
    """An undumpable process cannot be traced or read through /proc by others of the same user."""
    _check(_prctl(PR_SET_DUMPABLE, int(dumpable)), "prctl(PR_SET_DUMPABLE)")


def die_with_parent() -> None:
    """SIGKILL when the parent thread ends. Changing user or capabilities clears it: set it again
    afterwards.
    """
    _check(_prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans() -> None:
    """Descendants whose parent has ended become this process's children, not init's."""
    _check(_prctl(PR_SET_CHILD_SUBREAPER, 1), "prctl(PR_SET_CHILD_SUBREAPER)")


def landlock_abi() -> int:
    """Landlock's version here; 0 where the kernel has none or does not enable it."""
    return max(0, syscall(_LANDLOCK_CREATE, 0, 0, 1))


def landlock_ruleset(
    readable: Iterable[str], listable: Iterable[str], writable: Iterable[str], devices: Iterable[str]
) -> int:
    """A ruleset's descriptor; `landlock_restrict` puts it in force.

    It denies every file outside: `readable` trees and files, folders in `listable` trees (names only),
    `writable` trees, and read-write `devices`. TCP bind and connect are denied (ABI 4), abstract sockets and
    signals to processes outside too (ABI 6). Paths that do not exist are passed over.
    """
    abi = landlock_abi()
    if not abi:
        raise OSError(errno.ENOSYS, "Landlock is not available")
    handled = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    attribute = struct.pack("QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _check(
        syscall(_LANDLOCK_CREATE, ctypes.c_char_p(attribute), size, 0), "landlock_create_ruleset"
    )
    special = _FS_MAKE_CHAR | _FS_MAKE_SOCK | _FS_MAKE_FIFO | _FS_MAKE_BLOCK
    rules: Sequence[tuple[Iterable[str], int]] = (
        (readable, _FS_READ_FILE | _FS_READ_DIR | _FS_EXECUTE),
        (listable, _FS_READ_DIR),
        (writable, handled & ~_FS_EXECUTE & ~special),
        (devices, _FS_READ_FILE | _FS_WRITE_FILE),
    )
    on_files = _FS_EXECUTE | _FS_WRITE_FILE | _FS_READ_FILE | _FS_TRUNCATE | _FS_IOCTL_DEV
    try:
        for paths, access in rules:
            for path in paths:
                try:
                    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    allowed = access & handled & (-1 if os.path.isdir(path) else on_files)  # noqa: PTH112
                    rule = struct.pack("=Qi", allowed, descriptor)
                    added = syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.c_char_p(rule), 0)
                    _check(added, f"landlock_add_rule {path}")
                finally:
                    os.close(descriptor)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def confine_writes(folder: str) -> None:
    """From here on this process writes, makes and removes files only below `folder`."""
    abi = landlock_abi()
    special = _FS_MAKE_CHAR | _FS_MAKE_SOCK | _FS_MAKE_FIFO | _FS_MAKE_BLOCK
    handled = ((1 << (13 + (abi >= 2) + (abi >= 3))) - 1) & ~(
        _FS_READ_FILE | _FS_READ_DIR | _FS_EXECUTE | special
    )
    ruleset = _check(
        syscall(_LANDLOCK_CREATE, ctypes.c_char_p(struct.pack("Q", handled)), 8, 0), "landlock_create_ruleset"
    )
    try:
        for path, access in ((folder, handled), ("/dev/null", _FS_WRITE_FILE), ("/dev/zero", _FS_WRITE_FILE)):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("=Qi", access, descriptor)
                _check(
                    syscall(_LANDLOCK_ADD, ruleset, 1, ctypes.c_char_p(rule), 0), f"landlock_add_rule {path}"
                )
            finally:
                os.close(descriptor)
        landlock_restrict(ruleset)
    finally:
        os.close(ruleset)


def forget_descriptors(kept: int, most: int) -> None:
    """Every open file but the standard ones and `kept` becomes /dev/null: its number stays taken."""
    asked = ctypes.create_string_buffer(descriptor_table(most), 8 * (most - 3))
    _check(_libc.poll(asked, ctypes.c_ulong(most - 3), 0), "poll")  # one call for all of them
    answers = asked.raw[6::8]  # the low bytes of `revents`
    found = [number for number, event in enumerate(answers, 3) if not event & select.POLLNVAL]
    if found == [kept]:
        return
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in found:
        if descriptor != kept:
            os.dup2(null, descriptor)
    os.close(null)


@functools.cache
def descriptor_table(most: int) -> bytes:
    """An array of `struct pollfd` that asks of each descriptor from 3 on whether it is open; for all
    forks."""
    return b"".join(struct.pack("ihh", descriptor, 0, 0) for descriptor in range(3, most))


def landlock_restrict(ruleset: int) -> None:
    """Put a ruleset in force for this thread and its children, for good."""
    no_new_privileges()
    _check(syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")


def unshare(flags: int) -> None:
    """Enter new namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def enter_user_namespace(also: int = 0) -> None:
    """A user namespace in which only this user and group exist, and with it the namespaces of `also`."""
    user, group = os.getuid(), os.getgid()
    set_dumpable(True)  # an undumpable process does not own its own /proc/self/uid_map
    unshare(NEWUSER | also)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())  # unbuffered: the kernel's refusal must be seen here
        finally:
            os.close(descriptor)
    set_dumpable(False)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    encode = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(encode[0], encode[1], encode[2], ctypes.c_ulong(flags), encode[3])
    _check(result, f"mount {source or kind} on {target}")


def private_mounts() -> None:
    """Mounts made from here on are not seen outside this mount namespace."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def new_root(readable: Iterable[str], box: str) -> None:
    """Make a root that holds read-only binds of `readable` and an empty `box`, and nothing else; no /proc,
    no /sys.
    """
    private_mounts()
    root = tempfile.mkdtemp(prefix="autograder-root-")
    try:
        mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
        for path in readable:
            _bind_read_only(path, root + path)
        os.makedirs(root + box, exist_ok=True)  # noqa: PTH103
        old = root + "/.old"
        os.mkdir(old)  # noqa: PTH102
        number = {"x86_64": 155, "aarch64": 41}[MACHINE]
        _check(
            syscall(number, ctypes.c_char_p(os.fsencode(root)), ctypes.c_char_p(os.fsencode(old))),
            "pivot_root",
        )
        os.chdir("/")
        os.rmdir("/.old" + root)  # noqa: PTH106 - the mount is gone from there: only the empty folder is left
        _check(_libc.umount2(b"/.old", _MNT_DETACH), "umount /.old")
        os.rmdir("/.old")  # noqa: PTH106
        mount(None, "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    except BaseException:
        if os.path.isdir(root):  # noqa: PTH112
            _libc.umount2(os.fsencode(root), _MNT_DETACH)
            os.rmdir(root)  # noqa: PTH106
        raise


def _bind_read_only(path: str, target: str) -> None:
    if os.path.islink(path):  # noqa: PTH114
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        if not os.path.lexists(target):
            os.symlink(os.readlink(path), target)  # noqa: PTH115, PTH211
        return
    if not os.path.exists(path):  # noqa: PTH110
        return
    if os.path.isdir(path):  # noqa: PTH112
        os.makedirs(target, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(path, target, None, MS_BIND | MS_REC)
    flags = MS_RDONLY | MS_NOSUID | (0 if path.startswith("/dev/") else MS_NODEV)
    # In a user namespace the flags that the source mount has already are locked: a remount must repeat them.
    present = os.statvfs(path).f_flag
    flags |= present & (MS_NOSUID | MS_NODEV | MS_NOEXEC | _ST_NOATIME | _ST_NODIRATIME)
    mount(None, target, None, MS_BIND | MS_REMOUNT | flags)


def drop_capabilities() -> None:
    """Empty every capability set, for good."""
    for capability in range(64):
        if _prctl(PR_CAPBSET_DROP, capability) < 0:
            break  # EINVAL past the last one; EPERM where we hold none to drop
    _prctl(PR_CAP_AMBIENT, 4)
    header = struct.pack("Ii", 0x20080522, 0)
    number = {"x86_64": 126, "aarch64": 91}[MACHINE]
    _check(syscall(number, ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))), "capset")


def become(user: int) -> None:
    """Change to an unprivileged user and group for good."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def address_space() -> int:
    """Bytes of address space this process maps now."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * resource.getpagesize()


def tasks_of(user: int) -> int:
    """How many processes and threads a user runs now."""
    tasks = 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            try:
                if entry.stat().st_uid in (user, 0):  # root owns what an undumpable process shows of itself
                    with open(f"/proc/{entry.name}/status", "rb") as file:  # noqa: PTH123
                        fields = dict(line.split(b":", 1) for line in file if b":" in line)
                    if int(fields[b"Uid"].split()[0]) == user:
                        tasks += int(fields[b"Threads"])
            except OSError:
                continue  # it has ended meanwhile, or is not ours to look at
    return tasks


def limit_resources(
    *, cpu_seconds: int, memory: int, base_memory: int, processes: int, open_files: int, file_bytes: int
) -> None:
    """rlimits; `memory` bytes come on top of `base_memory`, which the imported libraries map already."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 2))
    for which, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, base_memory + memory),
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(which, (value, value))
