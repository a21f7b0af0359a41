"""Getting out: the network, other processes, the kernel, processes that outlive, files outside."""

from __future__ import annotations

from attacks.model import Attack


def _act(name: str, says: str, act: str, **more: object) -> Attack:
    return Attack(name, "escape", says, act=act, **more)  # type: ignore[arg-type]


NETWORK = [
    _act("tcp", "connect to a port", """
import socket
with socket.create_connection(("127.0.0.1", PORT), 2) as sock:
    sock.sendall(b"hello-" + NAME.encode())"""),
    _act("udp", "send a datagram", """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello-" + NAME.encode(), ("127.0.0.1", PORT))"""),
    _act("http", "fetch a page", """
import urllib.request
urllib.request.urlopen(f"http://127.0.0.1:{PORT}/hello-{NAME}", timeout=2).read(3)"""),
    _act("local-socket", "connect to a local socket", """
import socket
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(OUTSIDE + "/socket")
    sock.sendall(b"hello-" + NAME.encode())"""),
    _act("name-lookup", "ask for a name's address, as a way to send data out", """
import socket
return socket.getaddrinfo("localhost", PORT)""", control=False),
    _act("ipv6", "open an IPv6 socket", """
import socket
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"""),
    _act("socket-pair", "open a pair of sockets", "import socket; socket.socketpair()"),
    _act("netlink", "ask the kernel for its network devices", """
import socket
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
sock.bind((0, 0))"""),
    _act("packet-socket", "read packets off the wire", """
import socket
socket.socket(socket.AF_PACKET, socket.SOCK_RAW)""", control=False),
    _act("vsock", "reach the machine that hosts this one", """
import socket
socket.socket(40, socket.SOCK_STREAM)""", control=False),
    _act("crypto-socket", "use the kernel's cryptography", """
import socket
socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)""", control=False),
    _act("abstract-socket", "listen under a name that is no file", """
import socket
socket.socket(socket.AF_UNIX).bind("\\0hello-" + NAME)"""),
    _act("io-uring-socket", "open a socket through io_uring, past a filter", """
parameters = ctypes.create_string_buffer(120)
return raw(425, 8, parameters)""", control=False),
]  # fmt: skip

PROCESSES = [
    _act("shell", "run a shell command", """
if os.system("touch " + OUTSIDE + "/marker-shell"):
    raise OSError"""),
    _act("subprocess", "run a program", """
import subprocess
subprocess.run(["/bin/touch", OUTSIDE + "/marker-subprocess"], check=True)"""),
    _act("spawn", "spawn a program", """
pid = os.posix_spawn("/bin/touch", ["touch", OUTSIDE + "/marker-spawn"], {})
if os.waitpid(pid, 0)[1]:
    raise OSError"""),
    _act("c-system", "run a shell by the C library", """
if libc.system(b"touch " + OUTSIDE.encode() + b"/marker-c-system"):
    raise OSError"""),
    # No control: the zygote's watch, which stays on without the sandbox, ends it too. With the watch taken
    # out as well it does leave its mark.
    _act("daemon", "a process that outlives its parent and acts later", """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1.5)
        marker()
    os._exit(0)
time.sleep(0.1)
raise LookupError("seen by its marker")""", control=False),
    _act("deathless", "a child that no longer dies with its parent", """
if os.fork() == 0:
    libc.prctl(1, 0, 0, 0, 0)
    time.sleep(1.5)
    marker()
    os._exit(0)
raise LookupError("seen by its marker")""", control=False),
    _act("signal", "signal another process", "os.kill(VICTIM, 0)"),
    _act("signal-thread", "signal another process's thread", """
import signal
number = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
raw(number, VICTIM, VICTIM, signal.SIGURG)""", unsafe=False),
    _act("signal-queue", "queue a signal with data", """
import signal
number = {"x86_64": 129, "aarch64": 138}[os.uname().machine]
information = (ctypes.c_int * 32)(signal.SIGURG, 0, -1)
raw(number, VICTIM, signal.SIGURG, information)""", unsafe=False),
    _act("signal-by-descriptor", "signal by a process descriptor", "os.pidfd_open(VICTIM)"),
    _act("signal-by-owner", "have the kernel send a signal, as the owner of a descriptor", """
import fcntl, signal
reading, writing = os.pipe()
fcntl.fcntl(reading, fcntl.F_SETOWN, VICTIM)
fcntl.fcntl(reading, 10, signal.SIGUSR1)  # F_SETSIG
fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
os.write(writing, b"x")""", unsafe=False),
    _act("signal-everybody", "signal whatever may be signalled", "os.kill(-1, 0)"),
    _act("signal-group", "signal the group", "os.killpg(os.getpgid(VICTIM), 0)"),
    _act("priority-of-others", "change another process's priority", """
os.setpriority(os.PRIO_PROCESS, VICTIM, os.getpriority(os.PRIO_PROCESS, VICTIM))"""),
    _act("priority-of-a-user", "change the priority of everything that a user runs", """
number = {"x86_64": 141, "aarch64": 140}[os.uname().machine]
raw(number, 2, 0, libc.getpriority(2, 0))""", unsafe=False),
    _act("affinity-of-others", "choose another process's processors", """
os.sched_setaffinity(VICTIM, os.sched_getaffinity(VICTIM))"""),
    _act("scheduler-of-others", "choose another process's scheduler", """
os.sched_setscheduler(VICTIM, os.SCHED_BATCH, os.sched_param(0))"""),
    _act("limits-of-others", "read and set another process's limits", """
import resource
resource.prlimit(VICTIM, resource.RLIMIT_CORE, resource.prlimit(VICTIM, resource.RLIMIT_CORE))"""),
    _act("io-priority-of-others", "change another process's disk priority", """
number = {"x86_64": 251, "aarch64": 30}[os.uname().machine]
raw(number, 1, VICTIM, 2 << 13 | 4)"""),
    _act("trace", "trace another process", """
number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
raw(number, 0x4206, VICTIM, 0, 0)  # PTRACE_SEIZE
raw(number, 17, VICTIM, 0, 0)""", control=False),
    _act("read-memory", "read another process's memory", """
number = {"x86_64": 310, "aarch64": 270}[os.uname().machine]
raw(number, VICTIM, 0, 0, 0, 0, 0)"""),
    _act("write-memory", "write another process's memory", """
number = {"x86_64": 311, "aarch64": 271}[os.uname().machine]
raw(number, VICTIM, 0, 0, 0, 0, 0)"""),
    _act("adjust-memory-killer", "see to it that others are killed first", """
with open(f"/proc/{VICTIM}/oom_score_adj", "w") as file:
    file.write("500")"""),
    _act("remove-segments", "remove shared memory and queues of other programs", """
libc.shmget.restype = ctypes.c_int
for index in range(64):
    number = libc.shmctl(index, 13, ctypes.create_string_buffer(256))
    if number >= 0:
        return number + 1
raise LookupError"""),
    _act("own-segments", "make shared memory that outlives its maker", """
segment = libc_call("shmget", 0, 4096, 0o1600)
libc.shmctl(segment, 0, None)
return segment + 1"""),
    _act("message-queue", "make a message queue that outlives its maker", """
number = {"x86_64": (240, 241), "aarch64": (180, 181)}[os.uname().machine]
raw(number[0], ctypes.c_char_p(NAME.encode()), 0o102, 0o600, 0)
raw(number[1], ctypes.c_char_p(NAME.encode()))""", control=False),
]  # fmt: skip

KERNEL = [
    _act("user-namespace", "become root in a user namespace", "libc_call('unshare', 0x10000000)",
         control=False),
    _act("mount-namespace", "enter a mount namespace", "libc_call('unshare', 0x20000)", control=False),
    _act("clone-namespaces", "start a process in namespaces of its own", """
number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
if raw(number, 0x10000000 | 17, 0, 0, 0, 0) == 0:
    os._exit(0)""", control=False),
    _act("clone3", "start a process by the newer call, whose flags a filter cannot see", """
arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
if raw(435, arguments, 88) == 0:
    os._exit(0)"""),
    _act("others-namespace", "enter another process's namespaces", """
libc_call("setns", os.open(f"/proc/{VICTIM}/ns/net", os.O_RDONLY), 0)""", control=False),
    _act("mount", "mount a file system", "libc_call('mount', b'tmpfs', b'/', b'tmpfs', 0, None)",
         control=False),
    _act("new-mount-calls", "mount by the newer calls", """
return [raw(430, ctypes.c_char_p(b"tmpfs"), 0)]""", control=False),
    _act("change-root", "change the root", "os.chroot('.')", control=False),
    _act("become-root", "become root", "os.setuid(0); open('/etc/shadow').read()", control=False),
    _act("become-another", "become another user", "os.setresuid(12345, 12345, 12345)", control=False),
    _act("capabilities", "take capabilities", """
number = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[2**32 - 1] * 6)
raw(number, header, sets)""", control=False),
    _act("keys", "store a key in the kernel", """
number = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
raw(number, ctypes.c_char_p(b"user"), ctypes.c_char_p(NAME.encode()), ctypes.c_char_p(b"x"), 1, -2)""",
         control=False),
    _act("bpf", "load a program into the kernel", """
number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
return raw(number, 0, ctypes.create_string_buffer(128), 128)""", control=False),
    _act("userfaultfd", "handle page faults", """
number = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
return raw(number, 1)""", control=False),
    _act("performance-events", "watch other processes by performance counters", """
number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
event = (ctypes.c_uint32 * 32)(1, 128)
return raw(number, event, VICTIM, -1, -1, 0)""", control=False),
    _act("personality", "switch off address randomisation", """
number = {"x86_64": 135, "aarch64": 92}[os.uname().machine]
return raw(number, 0x0040000) + 1"""),
    _act("x32-calls", "call the kernel by the x32 numbers", """
if os.uname().machine != "x86_64":
    raise LookupError
return raw(0x40000000 + 41, 2, 1, 0)""", control=False),
    _act("int-0x80", "call the kernel as a 32-bit program", """
import mmap
if os.uname().machine != "x86_64":
    raise LookupError
# socket() has number 359 there
code = b"\\xb8\\x67\\x01\\x00\\x00\\xbb\\x02\\x00\\x00\\x00\\xb9\\x01\\x00\\x00\\x00\\x31\\xd2\\xcd\\x80\\xc3"
page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
page.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
if result < 0:
    raise OSError(-result, "int 0x80")
return result""", control=False),
    _act("core-pattern", "have the kernel run a program when one crashes", """
open("/proc/sys/kernel/core_pattern", "w").close()""", control=False),
    _act("kernel-settings", "change a setting of the kernel", """
open("/proc/sys/kernel/hostname", "r+").close()""", control=False),
    _act("devices-of-ones-own", "make a device", "os.mknod('disk', 0o060666, os.makedev(254, 0))",
         control=False),
    _act("terminal-input", "type into the grader's terminal", """
import fcntl
fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), 0x5412, b"x")""", control=False),
    _act("raise-limits", "raise its own limits", """
import resource
resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6))
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))""", control=False),
    _act("readable-to-others", "make itself readable to others", "libc_call('prctl', 4, 1, 0, 0, 0)"),
    _act("watch-files", "be told of every file that is opened", """
number = {"x86_64": 300, "aarch64": 262}[os.uname().machine]
return raw(number, 0, 0)""", control=False),
    _act("secret-memory", "keep memory that no limit counts", """
return raw(447, 0) + 1""", control=False),
    _act("reboot", "restart the machine", """
number = {"x86_64": 169, "aarch64": 142}[os.uname().machine]
raw(number, 0xfee1dead, 672274793, 0)""", unsafe=False, control=False),
    _act("set-the-clock", "set the clock", "time.clock_settime(time.CLOCK_REALTIME, time.time())",
         unsafe=False, control=False),
]  # fmt: skip

_SITE = "next(path for path in sys.path if path.endswith('site-packages'))"

FILES = [
    _act("write-outside", "write to an open folder", "marker()"),
    _act("write-to-course", "write into the course", "marker(COURSE)"),
    _act("write-to-tmp", "write to /tmp", "marker('/tmp')"),
    _act("write-to-shared-memory", "write to /dev/shm", "marker('/dev/shm')"),
    _act("write-to-packages", "plant a module that others will import", f"marker({_SITE})", control=False),
    _act("append-to-suite", "append to the hidden suite", """
with open(os.path.join(COURSE, "tests/bank/test_hidden.py"), "a") as file:
    pass"""),
    _act("truncate-gradebook", "empty the gradebook", """
os.truncate(os.path.join(COURSE, "gradebook.db"), os.path.getsize(os.path.join(COURSE, "gradebook.db")))"""),
    _act("truncate-by-reading", "empty a file by opening it to read", """
path = os.path.join(OUTSIDE, "emptied")
os.close(os.open(path, os.O_RDONLY | os.O_TRUNC | os.O_CREAT, 0o666))"""),
    _act("write-gradebook", "give itself points in the gradebook", """
import sqlite3
connection = sqlite3.connect(os.path.join(COURSE, "gradebook.db"))
connection.execute("BEGIN IMMEDIATE")
connection.rollback()"""),
    _act("delete-others-work", "delete what another student handed in", """
folder = os.path.join(COURSE, "submitted", "honest-3", "bank")
os.rename(os.path.join(folder, "bank.ipynb"), os.path.join(folder, "gone"))
os.rename(os.path.join(folder, "gone"), os.path.join(folder, "bank.ipynb"))"""),
    _act("rename-suite", "rename the hidden suite and back", """
path = os.path.join(COURSE, "tests/bank/test_hidden.py")
os.rename(path, path + "x")
os.rename(path + "x", path)"""),
    _act("new-folder", "make a folder outside", "os.mkdir(os.path.join(OUTSIDE, 'marker-' + NAME))"),
    _act("change-rights", "open up what is closed", """
path = os.path.join(COURSE, ".autograder/key")
before = os.stat(path).st_mode & 0o7777
os.chmod(path, 0o604)
after = os.stat(path).st_mode & 0o7777
os.chmod(path, before)
if after != 0o604:
    raise PermissionError("it did nothing")"""),
    _act("change-times", "change the time of a file", """
path = os.path.join(COURSE, "course.yml")
status = os.stat(path)
os.utime(path, ns=(status.st_atime_ns, 0))
after = os.stat(path).st_mtime_ns
os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
if after:
    raise PermissionError("it did nothing")"""),
    _act("change-owner", "give a file away", """
path = os.path.join(COURSE, "course.yml")
os.chown(path, -1, os.stat(path).st_gid)"""),
    _act("change-attributes", "set an extended attribute", """
os.setxattr(os.path.join(COURSE, "course.yml"), "user.x", b"1")
os.removexattr(os.path.join(COURSE, "course.yml"), "user.x")"""),
    _act("fifo", "make a named pipe outside", "os.mkfifo(os.path.join(OUTSIDE, 'marker-' + NAME))"),
    _act("leave-a-link", "leave a link to the suite where it will be published", """
os.symlink(os.path.join(COURSE, "tests/bank/test_hidden.py"), os.path.join(COURSE, "feedback", "marker"))
os.unlink(os.path.join(COURSE, "feedback", "marker"))"""),
    _act("startup-file", "leave a file that Python runs at its next start", """
home = os.path.dirname(COURSE)
folder = os.path.join(home, ".ipython")
os.makedirs(folder)
os.rmdir(folder)"""),
]  # fmt: skip

ATTACKS = [*NETWORK, *PROCESSES, *KERNEL, *FILES]
