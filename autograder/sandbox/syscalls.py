"""The system calls a worker may not make, as a seccomp filter (classic BPF, seccomp(2)).

The list is of refusals: NumPy and torch use many calls, and new ones come with new libc versions; what stays
must be harmless inside the other layers. Calls newer than the filter knows are refused as unknown, so that
libc falls back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

from autograder.sandbox.kernel import MACHINE, no_new_privileges, syscall

# name: (x86_64, aarch64); None where the architecture has no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes' memory, descriptors and state
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "perf_event_open": (298, 241),
    "move_pages": (279, 239), "migrate_pages": (256, 238),
    # kernel surfaces with a history
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "modify_ldt": (154, None), "personality": (135, 92), "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    # mounts, namespaces, roots
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58),
    # identity and sessions
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91), "setsid": (112, 157), "setpgid": (109, 154),
    # the priority, processors and scheduler of whatever else the user runs; to flush everybody's disks
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    "sync": (162, 81), "syncfs": (306, 267),
    # memory that no limit counts; System V objects, which outlive their maker and may be another program's
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "shmdt": (67, 197), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "mq_open": (240, 180), "mq_unlink": (241, 181),
    # special files and modes
    "mknod": (133, None), "mknodat": (259, 33), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    # by path, which Landlock before version 3 (Linux 6.2) lets through; ftruncate stays
    "truncate": (76, 45),
    # the network, local sockets included
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    # other programs
    "execve": (59, 221), "execveat": (322, 281),
}  # fmt: skip
# Said to have worked, and not done: Landlock lets a process change mode and times of any file that its user
# owns, and honest code (shutil.copy, zipfile) asks for it without needing it.
PRETENDED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
# Arguments behind a pointer, where no filter sees them; libc and Python do without.
_UNSEEN: tuple[tuple[int | None, int | None], ...] = ((435, 435), (437, 437))  # clone3, openat2
_NEWEST_KNOWN = 462
_FORKS: tuple[tuple[int | None, int | None], ...] = ((57, None), (58, None))  # fork, vfork
_CLONE = (56, 220)
_SIGNALS = {"kill": (62, 129), "tgkill": (234, 131), "tkill": (200, 130),
            "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)}  # fmt: skip
_PRCTL, _IOCTL, _SECCOMP, _PRLIMIT = (157, 167), (16, 29), (317, 277), (302, 261)
_PDEATHSIG, _SIGKILL = 1, 9
_PRCTL_REFUSED = (4, 0x59616D61, 35)  # DUMPABLE, PTRACER, PR_SET_MM
_NEW_NAMESPACES = 0x7E020000
_CLONE_THREAD = 0x10000
_IOCTL_REFUSED = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
_FCNTL, _FCNTL_REFUSED = (
    (72, 25),
    (8, 10, 15),
)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: have the kernel send signals
_OPENS: tuple[tuple[tuple[int | None, int | None], int], ...] = (((2, None), 1), ((257, 56), 2))
_ACCESS_MODE, _TRUNCATE = 3, 0o1000
_MMAP, _SHARED, _ANONYMOUS, _WRITABLE = (9, 222), 1, 0x20, 2

_LOAD, _JUMP_EQUAL, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
Instruction = tuple[int, int, int, int]
_COLUMN = ("x86_64", "aarch64").index(MACHINE)
_ALLOWED: Instruction = (_RETURN, 0, 0, _ALLOW)
_NUMBER_OF_CALL: tuple[Instruction, ...] = (
    (_LOAD, 0, 0, 4),
    (_JUMP_EQUAL, 1, 0, (0xC000003E, 0xC00000B7)[_COLUMN]),
    (_RETURN, 0, 0, _KILL_PROCESS),  # int 0x80 and other calling conventions
    (_LOAD, 0, 0, 0),
)


def _argument(position: int) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * position)  # the low word; both architectures are little endian


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _when(number: int | None, body: list[Instruction]) -> list[Instruction]:
    return [] if number is None else [(_JUMP_EQUAL, 0, len(body), number), *body]


def program(own_pid: int | None) -> list[Instruction]:
    """The filter of a worker, which may fork: each test gets a fork of the loaded submission.

    Args:
        own_pid: when given, signals may go to this process only.
    """
    column, allow = _COLUMN, _ALLOWED
    filter_: list[Instruction] = [
        *_NUMBER_OF_CALL,
        (_JUMP_GE, 0, 1, _NEWEST_KNOWN + 1),  # x32 calls have a high bit set and fall here too
        _refuse(errno.ENOSYS),
    ]
    for numbers in REFUSED.values():
        filter_ += _when(numbers[column], [_refuse(errno.EPERM)])
    for numbers in PRETENDED.values():
        filter_ += _when(numbers[column], [_refuse(0)])
    for numbers in _UNSEEN:
        filter_ += _when(numbers[column], [_refuse(errno.ENOSYS)])
    clone = [_argument(0), (_JUMP_SET, 0, 1, _NEW_NAMESPACES), _refuse(errno.EPERM), allow]
    filter_ += _when(_CLONE[column], clone)
    # To die with the parent may be asked for, as each test's process does, but not be revoked.
    mortal = [_argument(1), (_JUMP_EQUAL, 1, 0, _SIGKILL), _refuse(errno.EPERM), allow]
    prctl = [_argument(0), *_when(_PDEATHSIG, mortal)]
    for option in _PRCTL_REFUSED:
        prctl += [(_JUMP_EQUAL, 0, 1, option), _refuse(errno.EPERM)]
    filter_ += _when(_PRCTL[column], [*prctl, allow])
    for call, refused in ((_IOCTL, _IOCTL_REFUSED), (_FCNTL, _FCNTL_REFUSED)):
        commands = [_argument(1)]
        for command in refused:
            commands += [(_JUMP_EQUAL, 0, 1, command), _refuse(errno.EPERM)]
        filter_ += _when(call[column], [*commands, allow])
    for opening, position in _OPENS:
        # To open for reading and empty at once needs no right to write before Landlock's version 3.
        emptying = [(_JUMP_SET, 0, 2, _TRUNCATE), (_JUMP_SET, 1, 0, _ACCESS_MODE), _refuse(errno.EPERM)]
        filter_ += _when(opening[column], [_argument(position), *emptying, allow])
    # Memory that forks share would be a way from one test to the next.
    shared = [
        _argument(3),
        (_JUMP_SET, 1, 0, _SHARED),
        allow,
        (_JUMP_SET, 2, 0, _ANONYMOUS),
        _argument(2),
        (_JUMP_SET, 0, 1, _WRITABLE),
        _refuse(errno.EPERM),
    ]
    filter_ += _when(_MMAP[column], [*shared, allow])
    return [*filter_, *_only_itself(own_pid), allow]


def narrowing(own_pid: int | None) -> list[Instruction]:
    """The filter of a test's process, beside `program`, which it inherits: no fork, and signals to itself.

    Only what is more: the kernel works out for each system call what a new filter says of it, which takes as
    long as all else that a process locks down where the filter is a list of all refusals.
    """
    filter_: list[Instruction] = [*_NUMBER_OF_CALL]
    for numbers in _FORKS:
        filter_ += _when(numbers[_COLUMN], [_refuse(errno.EPERM)])
    thread = [_argument(0), (_JUMP_SET, 1, 0, _CLONE_THREAD), _refuse(errno.EPERM), _ALLOWED]
    filter_ += _when(_CLONE[_COLUMN], thread)
    return [*filter_, *_only_itself(own_pid), _ALLOWED]


def _only_itself(own_pid: int | None) -> list[Instruction]:
    """Signals, and other limits than those of this process, refused."""
    if own_pid is None:
        return []
    filter_: list[Instruction] = []
    only_self = [_argument(0), (_JUMP_EQUAL, 0, 1, own_pid), _ALLOWED, _refuse(errno.EPERM)]
    for numbers in _SIGNALS.values():
        filter_ += _when(numbers[_COLUMN], only_self)
    # prlimit64 on itself (pid 0 or its own) reads limits; on others it is refused.
    prlimit = [
        _argument(0),
        (_JUMP_EQUAL, 1, 0, 0),
        (_JUMP_EQUAL, 0, 1, own_pid),
        _ALLOWED,
        _refuse(errno.EPERM),
    ]
    return [*filter_, *_when(_PRLIMIT[_COLUMN], prlimit)]


_ANY_PID = 0x7FFFFFF1
"""Stands in a prepared filter for the process id, known only after the fork; above every real one."""


@cache
def _prepared(narrow: bool, with_pid: bool) -> tuple[bytes, tuple[int, ...]]:
    """A filter as the kernel takes it, and where in it the process id goes."""
    instructions = (narrowing if narrow else program)(_ANY_PID if with_pid else None)
    places = tuple(8 * i + 4 for i, (*_, value) in enumerate(instructions) if value == _ANY_PID)
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions), places


def prepare() -> None:
    """Build the filters once, for all processes that will be forked from this one."""
    for narrow in (True, False):
        for with_pid in (True, False):
            _prepared(narrow, with_pid)


def install(own_pid: int | None) -> None:
    """Put `program` in force for every thread of this process and all of its children. Raises OSError."""
    _put_in_force(own_pid, narrow=False)


def narrow(own_pid: int | None) -> None:
    """Put `narrowing` in force beside the filters that are. Raises OSError."""
    _put_in_force(own_pid, narrow=True)


def _put_in_force(own_pid: int | None, *, narrow: bool) -> None:
    raw, places = _prepared(narrow, own_pid is not None)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    for place in places:
        struct.pack_into("I", buffer, place, own_pid)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(raw) // 8, ctypes.addressof(buffer)), 16)
    number = _SECCOMP[_COLUMN]
    no_new_privileges()
    result = syscall(number, 1, 1, ctypes.cast(header, ctypes.c_void_p))  # SECCOMP_SET_MODE_FILTER, TSYNC
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")
