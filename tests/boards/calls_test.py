"""The system calls that boards' programs make, held against the list that their filter lets through.

BOARDS names them (armv7 and mips24kc unless given); their programs must have been built. An emulator of the
processor, which has no seccomp, tells each call; from the place on where the filter begins they must be on the list,
with the arguments that it lets through. The list is the compiler's (make calls), so it is the one in the program.
"""

import os
import re
import shlex
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "crash"))

import boards_table  # noqa: E402
import harness as h  # noqa: E402
from world import Responder  # noqa: E402

BOARDS = os.environ.get("BOARDS", "armv7 mips24kc").split()
IMAGES = os.path.abspath(os.environ.get("IMAGES", h.BUILD))
BY_ARGUMENT = ("mmap", "mmap2", "mprotect", "socket", "connect")
# What the emulator calls them where the C library has another name.
RENAMED = {"clock_gettime": "clock_gettime32", "gettimeofday": "gettimeofday_time32", "clock_nanosleep": "clock_nanosleep_time32"}
# Each of these the scenario must have come to, by one of its names.
SEEN = "accept4 recvfrom|recv sendto|send fdatasync openat|open renameat|rename connect unlinkat|unlink epoll_pwait|epoll_wait mkdirat|mkdir"


class Filter:
    """What the filter of a board's program lets through, by the names that its C library has for calls."""

    def __init__(self, board):
        command = ["make", "-s", f"BOARD={board}", f"BUILD={IMAGES}", "calls"]
        done = subprocess.run(command, cwd=h.TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        text = done.stdout.decode()
        h.check(done.returncode == 0, done.stderr.decode())
        numbers = {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}
        self.names = {number: name for name, number in numbers.items()}
        listed = re.search(r"\ballowed\[\] *= *\{([^}]*)\}", text)
        h.check(listed, f"{board} has no filter")
        self.allowed = {self.names[int(number)] for number in re.findall(r"\d+", listed[1])}
        self.lib_has = numbers.__contains__

    def lets(self, name, arguments):
        name = name if self.lib_has(name) else RENAMED.get(name, name)
        if name in BY_ARGUMENT:
            return "PROT_EXEC" not in arguments
        return name in self.allowed


class Traced(h.Server):
    """A board's program in its emulator, which writes down each call."""

    def __init__(self, board, *args, **options):
        runner = shlex.split(boards_table.made_with(board, "RUNNER") or "qemu-x86_64")
        self.trace_path = os.path.join(h.case_dir(), "calls")
        self.prefix = (*runner, "-strace", "-D", self.trace_path)
        self.program = os.path.join(IMAGES, board, "image/postern")
        super().__init__(*args, **options)

    def calls(self):
        """(name, arguments), from the filter on; a call without a name by its number."""
        text = h.content_of(self.trace_path).decode("utf-8", "replace")
        found = re.search(r"\d+ seccomp\(.*Function not implemented", text)
        h.check(found, f"no call of seccomp: {text[-300:]}")
        return re.findall(r"(?m)(?:^|(?<=[\s)]))\d+ (?:Unknown syscall )?([a-z_]\w*|\d+)\(?([^()\n]*)", text[found.end() :])


def scenario(board):
    """All that a server does, once."""
    pki = h.Pki("ec")
    good = h.content_of(pki.proof("good"))
    there = h.Server(pki, primary_hostname="far.example", local_domains="far.example")
    responder = Responder(good)
    s = Traced(board, pki, start=False, relay_from_hosts="127.0.0.1", route_list=f"* smtp:localhost:{there.port}", ocsp_fetch=responder.url)
    own = lambda name: os.path.join(s.dir, name)  # noqa: E731
    s.configure(
        tls_ocsp_file=own("proof.der"), auth_users_file=own("users"), aliases_file=own("aliases"), log_level="debug",
        submit_socket=own("submit"), outbox_directory=own("outbox"),
    )  # fmt: skip
    with open(own("aliases"), "w", encoding="ascii") as f:
        f.write("both: alice, bob@far.example\n")
    command(s, "passwd", "--stdin", "alice", text="open sesame\n")
    os.makedirs(own("outbox"), 0o1733)
    command(s, "sendmail", "alice@test.example", text="Subject: in the outbox\n\nhi\n")
    s.start()
    h.wait_until(lambda: "result=good" in s.log(), "a fetched proof")
    client = h.hello(s, tls=True)
    client.cmd("AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l", 235)
    client.message(h.body_of(1, 9000), ["both@test.example", "nobody@far.example"], "alice@test.example")
    client.cmd("RCPT TO:<alice@test.example>", 503)
    client.quit()
    there.messages("bob", 1)
    command(s, "sendmail", "alice@test.example", text="Subject: by hand\n\nhi\n")
    s.messages("alice", 4)  # the report is one
    s.configure(message_size_limit="100K", daemon_smtp_ports=f"{s.port} : {s.tls_port} : {h.free_port()}")
    s.send_signal(signal.SIGHUP)
    h.wait_until(lambda: "new options are in force" in s.log(), "the new options")
    for words in (("status",), ("queue",), ("flush",)):
        command(s, *words)
    client = h.hello(s)
    client.starttls()
    client.cmd("EHLO client.example", 250)
    client.reset()
    s.stop()
    there.stop()
    return s


def command(s, name, *words, text=""):
    flag = "-C" if name == "sendmail" else "-c"
    status, out = h.run(h.POSTERN, name, flag, s.conf_path, *words, text=text)
    h.check_equal(status, 0, f"{name} {words}: {out}")


def check_board(board):
    filter_of = Filter(board)
    h.check(not filter_of.lets("getpriority", "") and not filter_of.lets("mprotect", "0x1000,4096,PROT_EXEC|PROT_READ"), "it lets anything through")
    calls = scenario(board).calls()
    names = {filter_of.names.get(int(n), n) if n.isdigit() else n for n, _ in calls}
    for alternatives in SEEN.split():
        h.check(names & set(alternatives.split("|")), f"no call of {alternatives} among {sorted(names)}")
    refused = sorted({n for n, arguments in calls if not filter_of.lets(filter_of.names.get(int(n), n) if n.isdigit() else n, arguments)})
    h.check(not refused, f"called behind the filter, which does not let it through: {refused}")
    print(f"        {board}: {len(calls)} calls of {len(names)} names, of {len(filter_of.allowed)} on the list")


CASES = {f"test_{board}": lambda board=board: check_board(board) for board in BOARDS}

if __name__ == "__main__":
    h.main(CASES)
