"""Runs on a host, in the place of a sandboxed process: tries what it must not be able to do, and reports the results.

Prints a JSON object: for each attempt "" if it worked, otherwise the name of the error. Standard library only.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, CLONE_NEWUSER, CLONE_NEWNS, MS_REMOUNT = 16, 0x10000000, 0x20000, 32


def call(name, *arguments):
    """Call a function of libc; raise OSError if it fails."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def write(path):
    """Create a file in a folder, or append to a file."""
    if os.path.isdir(path):
        path = os.path.join(path, "attempt")
    with open(path, "a"):
        pass
    if path.endswith("/attempt"):
        os.unlink(path)


def read(path):
    """Read a file, or list a folder."""
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            file.read(1)


def open_socket(family, kind, protocol=0):
    """Open a socket."""
    socket.socket(family, kind, protocol).close()


def writable_code():
    """Get memory that is writable and executable."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def execute_setuid():
    """Become root through a setuid program."""
    shown = subprocess.run(
        ["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120
    )
    if shown.stdout.strip() != "0":
        raise PermissionError(errno.EPERM, "su")


def set_bit():
    """Create a program that runs as its owner for everybody."""
    path = os.path.join(os.environ.get("ATTEMPT_HOME", "/tmp"), "setuid")
    with open(path, "w"):
        pass
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


def others():
    """See somebody else's process; PID 1 is root's."""
    if not any(os.stat(f"/proc/{pid}").st_uid != os.getuid() for pid in os.listdir("/proc") if pid.isdigit()):
        raise FileNotFoundError(errno.ENOENT, "/proc")


def attempts(app):
    """The attempts, by name."""
    home = f"/srv/{app}"
    other = int(os.environ.get("ATTEMPT_PID", "1"))
    found = {
        f"write {path}": (write, path)
        for path in (
            "/etc", "/usr/bin", "/var/lib", "/var/log", "/run", home, f"{home}/releases", f"{home}/venvs",
            f"{home}/generations", "/dev", "/sys", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger",
            f"{home}/shared", f"/run/{app}", "/tmp", "/var/tmp", "/srv/attempt-open",
        )
    }  # fmt: skip
    for path in (
        "/root",
        "/home/attempt",
        "/etc/shadow",
        "/etc/redis/redis.conf",
        "/tmp/attempt-of-another",
        "/dev/kmsg",
    ):
        found[f"read {path}"] = (read, path)
    return {
        **found,
        "mount": (call, "mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "remount": (call, "mount", b"none", b"/", None, MS_REMOUNT, None),
        "user namespace": (call, "unshare", CLONE_NEWUSER),
        "mount namespace": (call, "unshare", CLONE_NEWNS),
        "ptrace": (call, "ptrace", PTRACE_ATTACH, other, None, None),
        "kill": (os.kill, other, 0),
        "raw socket": (open_socket, socket.AF_INET, socket.SOCK_RAW, 1),
        "packet socket": (open_socket, socket.AF_PACKET, socket.SOCK_RAW),
        "netlink socket": (open_socket, socket.AF_NETLINK, socket.SOCK_RAW),
        "set the clock": (call, "clock_settime", 0, (ctypes.c_long * 2)(1, 0)),
        "set the hostname": (call, "sethostname", b"attempt", 7),
        "load a module": (call, "syscall", 313, -1, b"", 0),
        "become root": (os.setuid, 0),
        "run su": (execute_setuid,),
        "set the setuid bit": (set_bit,),
        "writable code": (writable_code,),
        "be more important": (os.nice, -5),
        "swap off": (call, "swapoff", b"/none"),
        "reboot": (call, "reboot", 0),
        "see others": (others,),
        "open an internet socket": (open_socket, socket.AF_INET, socket.SOCK_STREAM),
        "open a unix socket": (open_socket, socket.AF_UNIX, socket.SOCK_STREAM),
        "give itself a file": (os.chown, os.environ.get("ATTEMPT_HOME", "/tmp"), os.getuid(), os.getgid()),
    }


def main():
    """Try everything, each in its own process, because some attempts would end it."""
    told = {}
    for name, (function, *arguments) in attempts(sys.argv[1]).items():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = ""
            try:
                function(*arguments)
            except OSError as error:
                said = errno.errorcode.get(error.errno, str(error.errno))
            with contextlib.suppress(OSError):
                os.write(writer, said.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            said = answer.read()
        _, status = os.waitpid(child, 0)
        told[name] = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said
    print(json.dumps(told))


if __name__ == "__main__":
    main()
