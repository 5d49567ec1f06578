"""Interferes with a program's system calls: kills it at one of them, lets some fail, or pretends that they worked.

What `strace -e inject` does, with two differences that matter here: strace counts the calls of each thread and of
each name for itself, so that "the 20th call" cannot be said of a program with two threads; and it cannot tell a
write to a mailbox from one to the log or to a client. Here a seccomp filter hands each call to this process before
it happens (seccomp_unotify(2), Linux 5.5), which counts all of them in one row and knows the file that each is
about. The filter is the program's own, so neither root nor ptrace is needed.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
RET_NOTIFY, RET_ALLOW = 0x7FC00000, 0x7FFF0000
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
NOTIF, RESP = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
IOCTL_RECV, IOCTL_SEND = 0xC0502100, 0xC0182101  # of 80 and 24 bytes
LOW_WORD = 0 if sys.byteorder == "little" else 4

# What changes a file system, or waits for one.
CHANGES = """write writev pwrite64 pwritev fsync fdatasync ftruncate fallocate open openat creat link linkat rename
    renameat renameat2 unlink unlinkat mkdir mkdirat rmdir fchmod fchmodat chmod fchown chown""".split()
READS = "read readv pread64 getdents64".split()
BY_PATH = {"open": 0, "creat": 0, "link": 1, "rename": 1, "unlink": 0, "mkdir": 0, "rmdir": 0, "chmod": 0, "chown": 0}
BY_DIR = {"openat": 0, "linkat": 2, "renameat": 2, "renameat2": 2, "unlinkat": 0, "mkdirat": 0, "fchmodat": 0}
BEFORE_EXEC, EXEC, RUNNING = range(3)


def numbers_of_calls():
    """{name: number} for this machine, as its headers have it."""
    done = subprocess.run(["gcc", "-E", "-dM", "-x", "c", "-"], input=b"#include <sys/syscall.h>", stdout=subprocess.PIPE, check=True)
    found = {}
    for line in done.stdout.decode().splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
            found[words[1][5:]] = int(words[2])
    return found


NUMBERS = numbers_of_calls()
NAMES = {number: name for name, number in NUMBERS.items()}


def filter_program(names, sender_fd):
    """BPF that hands over the calls named (None: all), but for sendmsg on that descriptor."""
    code = []

    def add(op, k, jt=0, jf=0):
        code.append(struct.pack("=HBBI", op, jt, jf, k))

    load, equal, ret = 0x20, 0x15, 0x06
    add(load, 0)
    add(equal, NUMBERS["sendmsg"], 0, 3)
    add(load, 16 + LOW_WORD)
    add(equal, sender_fd, 0, 1)
    add(ret, RET_ALLOW)
    add(load, 0)
    chosen = names if names is not None else ("exit", "exit_group", "rt_sigreturn")
    for name in chosen:
        if name in NUMBERS:
            add(equal, NUMBERS[name], 0, 1)
            add(ret, RET_NOTIFY if names is not None else RET_ALLOW)
    add(ret, RET_ALLOW if names is not None else RET_NOTIFY)
    return b"".join(code), len(code)


def listen_to_self(names, sender):
    """In the child: from here on its calls are handed over; the listener goes to the parent."""
    program, length = filter_program(names, sender.fileno())
    text = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", length, ctypes.addressof(text))
    if LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        os._exit(126)
    fd = LIBC.syscall(NUMBERS["seccomp"], SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, fprog)
    if fd < 0:
        os._exit(126)
    socket.send_fds(sender, [b"x"], [fd])
    os.close(fd)


def cannot_run():
    """The reason why nothing can be interfered with here, or None."""
    try:
        run = Injector(Plan(names=("getppid",)))
        done = subprocess.run(["true"], preexec_fn=run.preexec, check=False)
        run.end()
        return None if done.returncode == 0 else "there is no seccomp_unotify(2) here"
    except (OSError, subprocess.SubprocessError) as e:
        return f"there is no seccomp_unotify(2) here: {e}"


class Plan:
    """Which calls are looked at, and what becomes of them.

    names: the calls; None: every one. under: only those about files below this directory (reads only where it is
    given). at: the first that is interfered with, counted from 1; 0: none, they are only counted. number: how
    many. action: "kill", ("error", errno) or "fake", which tells the program that it worked. want: a predicate on
    Call that decides which ones count.
    """

    def __init__(self, names=None, under=None, at=0, number=1, action="kill", want=None):
        self.names, self.under, self.at, self.number, self.action, self.want = names, under, at, number, action, want


class Call:
    """One system call: its name, its arguments and, if it is about a file, that file's path."""

    def __init__(self, pid, number, args):
        self.pid, self.args = pid, args
        self.name = NAMES.get(number, str(number))
        self.path = self._path()

    def _path(self):
        name = self.name
        if name in BY_PATH:
            return self._absolute(None, self._text(self.args[BY_PATH[name]]))
        if name in BY_DIR:
            at = BY_DIR[name]
            return self._absolute(ctypes.c_int32(self.args[at] & 0xFFFFFFFF).value, self._text(self.args[at + 1]))
        if name in CHANGES or name in READS:
            return self._of_fd(self.args[0] & 0xFFFFFFFF)
        return None

    def _of_fd(self, fd):
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{fd}")
        except OSError:
            return None

    def _text(self, address):
        try:
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as f:
                f.seek(address)
                return f.read(512).split(b"\0", 1)[0].decode("utf-8", "replace")
        except OSError:
            return ""

    def _absolute(self, dir_fd, text):
        if text.startswith("/"):
            return text
        where = self._of_fd(dir_fd) if dir_fd is not None and dir_fd >= 0 else None
        return os.path.join(where, text) if where else text  # nothing of ours is named from where it stands

    def creates(self):
        at = {"open": 1, "openat": 2}.get(self.name)
        return at is None or bool(self.args[at] & os.O_CREAT)

    def label(self, top):
        path = self.path or ""
        where = f" at {self.args[3]}" if self.name in ("pwrite64", "pread64") else ""
        return self.name + (" " + os.path.relpath(path, top) + where if path.startswith("/") else "")


class Injector:
    """Carries a plan out on one program, started with preexec_fn=injector.preexec; end() when it is gone."""

    def __init__(self, plan):
        self.plan = plan
        self.calls = []  # labels of those that counted, in their order
        self.hit_at = 0  # when the first one was
        self.hits = []  # labels of those that were interfered with
        self.over = False  # the disk has recovered: nothing more happens
        self.fails = plan.action != "kill"
        self.broken = None
        self.mine, self.theirs = socket.socketpair()
        self.wake_read, self.wake_write = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def preexec(self):
        listen_to_self(None if self.plan.names is None else ("execve",) + tuple(self.plan.names), self.theirs)

    def end(self):
        self.over = True
        os.write(self.wake_write, b"x")
        self.thread.join(10)
        for fd in (self.wake_read, self.wake_write):
            os.close(fd)
        self.mine.close()
        self.theirs.close()

    def _serve(self):
        try:
            poller = select.poll()
            poller.register(self.mine, select.POLLIN)
            poller.register(self.wake_read, select.POLLIN)
            if self.mine.fileno() in [fd for fd, _ in poller.poll()]:
                _, fds, _, _ = socket.recv_fds(self.mine, 16, 1)
                self._listen(fds[0])
                os.close(fds[0])
        except Exception as e:  # the one who waits for us looks at it
            self.broken = e

    def _listen(self, listener):
        poller = select.poll()
        poller.register(listener, select.POLLIN)
        poller.register(self.wake_read, select.POLLIN)
        state = BEFORE_EXEC
        while True:
            ready = dict(poller.poll())
            if ready.get(listener, 0) & select.POLLIN:
                state = self._one(listener, state)
            elif listener in ready or self.wake_read in ready:
                return  # the program has gone, or is let go

    def _one(self, listener, state):
        notif = bytearray(NOTIF.size)
        try:
            fcntl.ioctl(listener, IOCTL_RECV, notif)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.EINTR):
                return state
            raise
        name, pid, _, number, _, _, *args = NOTIF.unpack(notif)
        if number == NUMBERS["execve"]:  # tried along PATH, perhaps
            state = EXEC if state == BEFORE_EXEC else state
        elif state == EXEC:
            state = RUNNING
        verdict = 0, 0, GO_ON
        if state == RUNNING and not self.over:
            verdict = self._decide(Call(pid, number, args))
        if verdict is not None:
            try:
                fcntl.ioctl(listener, IOCTL_SEND, RESP.pack(name, *verdict))
            except OSError as e:
                if e.errno not in (errno.ENOENT, errno.EINPROGRESS):
                    raise
        return state

    def _counts(self, call):
        plan = self.plan
        if plan.under is not None and not (call.path or "").startswith(plan.under):
            return False
        return plan.want is None or plan.want(call)

    def _decide(self, call):
        """(value, error, flags) of the answer; None: there is none."""
        if not self._counts(call):
            return 0, 0, GO_ON
        plan = self.plan
        label = call.label(plan.under or "/")
        self.calls.append(label)
        at = len(self.calls)
        if plan.at == 0 or not plan.at <= at < plan.at + plan.number:
            return 0, 0, GO_ON
        self.hit_at = self.hit_at or time.monotonic()
        self.hits.append(label)
        if plan.action == "kill":
            os.kill(call.pid, signal.SIGKILL)
            return None  # the call has not happened, and it dies waiting for it
        if plan.action == "fake":
            wrote = call.name in ("write", "pwrite64")
            return (call.args[2] if wrote else 0), 0, 0
        return 0, -plan.action[1], 0
