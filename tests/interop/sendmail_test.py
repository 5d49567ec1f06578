#!/usr/bin/env python3
"""postern sendmail as programs use it: cron, mailx, php, msmtp's users; the submit socket and its users."""

import email
import email.header
import email.utils
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

import harness
from harness import POSTERN, Server, check, check_equal, run, unpack, wait_until

HOST = "mail.test.example"
DOMAIN = "test.example"  # where a name without a domain belongs, as mail for HOST is not taken


def open_dir():
    """A directory that every user may enter, for what they need to reach; it goes with the case."""
    path = tempfile.mkdtemp(prefix="postern-sendmail-", dir="/tmp")
    os.chmod(path, 0o755)
    return path


class Site:
    """A server with a submit socket, and the program as any user can start it."""

    def __init__(self, **options):
        self.dir = open_dir()
        self.socket = os.path.join(self.dir, "submit")
        self.options = {"submit_socket": self.socket, **options}
        if os.geteuid() != 0:
            self.options.setdefault("trusted_users", pwd.getpwuid(os.geteuid()).pw_name)
        self.server = Server(local_users="alice : bob : root : nobody", **self.options)
        self.conf = os.path.join(self.dir, "conf")
        shutil.copy(self.server.conf_path, self.conf)
        os.chmod(self.conf, 0o644)
        self.program = os.path.join(self.dir, "postern")
        shutil.copy(POSTERN, self.program)
        os.chmod(self.program, 0o755)
        self.sendmail = os.path.join(self.dir, "sendmail")
        os.symlink(self.program, self.sendmail)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir)

    def make_outbox(self):
        """The directory, which the server makes as it starts."""
        outbox = os.path.join(self.dir, "outbox")
        self.server.configure(outbox_directory=outbox)
        shutil.copy(self.server.conf_path, self.conf)
        self.server.stop()
        self.server.start()
        return outbox

    def run(self, *args, text="", uid=None, name=None):
        """(exit status, output) of sendmail, as root or as that user."""
        done = subprocess.run(
            [name or self.sendmail, "-C", self.conf, *args],
            input=text.encode() if isinstance(text, str) else text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            cwd="/",
            preexec_fn=(lambda: os.setuid(uid)) if uid is not None else None,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def sends(self, *args, text="", uid=None, name=None):
        status, out = self.run(*args, text=text, uid=uid, name=name)
        check_equal((status, out), (0, ""), "sendmail " + " ".join(args))

    def got(self, user, number=1):
        """The messages of a user, headers and body apart."""
        found = [m.decode("utf-8", "replace").split("\n\n", 1) for m in self.server.messages(user, number)]
        return [(unfold(head), body) for head, body in found]


def unfold(head):
    return re.sub(r"\n[ \t]+", " ", head)


def field(head, name):
    found = re.findall(rf"(?m)^{name}: *(.*)$", head)
    check_equal(len(found), 1, f"fields {name} in {head}")
    return found[0]


def not_root():
    if os.geteuid() == 0:
        return False
    print("        not root: nobody else to try it as")
    return True


# --- What programs do ---


def test_cron():
    """Vixie cron's and Debian's command line, and its header."""
    with Site() as s:
        s.sends(
            *("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"),
            text="From: root (Cron Daemon)\nTo: alice@test.example\nSubject: Cron <root@host> job\n"
            "Content-Type: text/plain; charset=UTF-8\nX-Cron-Env: <SHELL=/bin/sh>\n\nout\n.\nput\n",
        )
        head, body = s.got("alice")[0]
        check_equal(field(head, "Return-Path"), f"<root@{DOMAIN}>", "sender")
        check_equal(field(head, "From"), "root (Cron Daemon)", "From")
        check_equal(body, "out\n.\nput\n", "body")
        check(re.match(r"from localhost \(local uid \d+\) by mail.test.example with ESMTP", field(head, "Received")), head)


def test_python_subprocess():
    """As a script would: recipients as arguments, an incomplete header, lone LF."""
    with Site() as s:
        s.sends("alice@test.example", "bob@test.example", text="Subject: hello\n\nhi\n")
        for user in ("alice", "bob"):
            head, body = s.got(user)[0]
            check_equal(body, "hi\n", "body")
            check_equal(field(head, "Subject"), "hello", "Subject")
            check_equal(field(head, "From"), f"<root@{DOMAIN}>" if os.geteuid() == 0 else field(head, "From"), "From")
            check(re.fullmatch(r"<[0-9a-f]{24}@mail\.test\.example>", field(head, "Message-ID")), head)
            check(re.search(r"\d\d:\d\d:\d\d \+0000$", field(head, "Date")), head)


def test_php():
    """php's mail(): sendmail -t -i, To and Bcc in the header, CRLF."""
    with Site() as s:
        s.sends(
            *("-t", "-i", "-fwebmaster@test.example"),
            text="To: Alice <alice@test.example>,\r\n undisclosed: nobody@test.example;\r\nSubject: php\r\n"
            "Bcc: bob@test.example,\r\n\t\"Doe, Jane\" <root@test.example>\r\n"
            "From: web@test.example\r\nMessage-Id: <1@php>\r\nDate: Mon, 23 Nov 2026 22:48:00 +0000\r\n\r\nbody\r\n",
        )
        for user in ("alice", "bob", "root", "nobody"):
            head, body = s.got(user)[0]
            check("\nbcc" not in head.lower() and "Jane" not in head, head)
            check_equal(field(head, "Message-Id"), "<1@php>", "Message-Id")
            check_equal(len(re.findall(r"(?mi)^(?:message-id|date|from):", head)), 3, "fields added")
            check_equal(field(head, "To"), "Alice <alice@test.example>, undisclosed: nobody@test.example;", "To")
            check_equal(field(head, "Return-Path"), "<webmaster@test.example>", "sender")
            check_equal(body, "body\n", "body")


def test_bsd_mailx():
    """The mail(1) of Debian, told where sendmail is by its own option."""
    root = unpack("bsd-mailx")
    with Site() as s:
        wrapper = os.path.join(s.dir, "wrapper")
        with open(wrapper, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\nexec {s.sendmail} -C {s.conf} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        rc = os.path.join(s.dir, "mailrc")
        with open(rc, "w", encoding="utf-8") as f:
            f.write(f"set sendmail={wrapper}\n")
        status, out = run(
            "sh",
            "-c",
            f". {root}/env && exec bsd-mailx -s 'A subject' -c bob@test.example -b root@test.example alice@test.example",
            text="line one\n.line two\nline three\n",
            env={"MAILRC": rc, "HOME": s.dir},
        )
        check_equal(status, 0, out)
        for user in ("alice", "bob", "root"):
            head, body = s.got(user)[0]
            check_equal(field(head, "Subject"), "A subject", "Subject")
            check("\nbcc" not in head.lower(), head)
            check_equal(body, "line one\n.line two\nline three\n", "body")


def test_dots():
    with Site() as s:
        s.sends("alice@test.example", text="Subject: 1\n\n..\n.x\n.\nnot this\n")
        s.sends("-i", "bob@test.example", text="Subject: 2\n\n..\n.x\n.\nthis too\n")
        s.sends("-oi", "root@test.example", text="Subject: 3\n\n.\n")
        check_equal(s.got("alice")[0][1], "..\n.x\n", "without -i")
        check_equal(s.got("bob")[0][1], "..\n.x\n.\nthis too\n", "with -i")
        check_equal(s.got("root")[0][1], ".\n", "with -oi")


def test_names_alone():
    """Mail for the host's own name, which is not one of local_domains, would have been lost."""
    with Site() as s:
        s.sends("alice", text="Subject: x\n\nx\n")
        s.sends("-t", text="To: alice\nSubject: y\n\nx\n")
        for head, _ in s.got("alice", 2):
            check("for <alice@test.example>" in head, head)


def test_long_list():
    """What PHP and scripts write: all recipients in one line. No address may be torn where that is broken."""
    with Site() as s:
        for n in range(20):
            gap = ", " if n % 2 else ","
            s.sends("-t", text=f"To: ({'x' * n}) " + gap.join(["bob@test.example"] * 199) + "\nSubject: x\n\nx\n")
        for head, _ in s.got("bob", 20):
            check_equal(field(head, "To").count("bob@test.example"), 199, "recipients in To")


def test_options_together():
    """As getopt reads them: what has no value may stand in front of what has one."""
    with Site() as s:
        for args in (("-tif", "alice@test.example"), ("-tifalice@test.example",), ("-oi", "-tr", "alice@test.example")):
            s.sends(*args, text=f"To: bob@test.example\nSubject: {args[-1]}\n\n.\nx\n")
        for head, body in s.got("bob", 3):
            check_equal(field(head, "Return-Path"), "<alice@test.example>", "sender")
            check_equal(body, ".\nx\n", "body")
        check_equal(s.server.messages("alice"), [], "what the sender got")
        check_equal(s.run("-tif", text="To: bob@test.example\n\nx\n")[0], 64, "-f without a value")


def test_full_name():
    """In ASCII whatever it is, as no header without SMTPUTF8 may be 8-bit."""
    long = "\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{EURO SIGN}" * 30
    with Site() as s:
        for name in ("Ann \\ \"A\" Example", "J\N{LATIN SMALL LETTER U WITH DIAERESIS}rgen M.", long):
            s.sends("-F", name, "alice@test.example", text="\nx\n")
        found = s.server.messages("alice", 3)
        got = set()
        for message in found:
            check(message.isascii(), f"{message!r}")
            check(max(len(line) for line in message.splitlines()) <= 78, f"{message!r}")
            field = email.message_from_bytes(message)["From"]
            got.add(email.utils.parseaddr(str(email.header.make_header(email.header.decode_header(field))))[0])
        check_equal(got, {"Ann \\ \"A\" Example", "J\N{LATIN SMALL LETTER U WITH DIAERESIS}rgen M.", long}, "names")
        s.sends("-F", "x" + "\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 150, "root@test.example", text="\nx\n")  # longer than it may be
        words = email.header.decode_header(email.message_from_bytes(s.server.messages("root", 1)[0])["From"])
        check("\N{REPLACEMENT CHARACTER}" not in words[0][0].decode("utf-8", "replace"), words)
        s.sends("-F", os.fsdecode(b"caf\xe9"), "bob@test.example", text="\nx\n")  # of a locale that is not UTF-8
        check(s.server.messages("bob", 1)[0].isascii(), "a name that is no UTF-8")


def test_unset_clock():
    """A machine that has no clock of its own begins in 1970; the server, which knows better, adds the Date."""
    source, library = (os.path.join(harness.case_dir(), name) for name in ("clock.c", "clock.so"))
    with open(source, "w", encoding="ascii") as f:
        f.write("long time(long *out);\nlong time(long *out) { return out != 0 ? (*out = 77) : 77; }\n")
    status, out = run("cc", "-shared", "-fPIC", "-o", library, source)
    check_equal(status, 0, out)
    with Site() as s:
        words = [s.sendmail, "-C", s.conf, "alice@test.example"]
        check_equal(run(*words, text="Subject: x\n\nx\n", env={"LD_PRELOAD": library}), (0, ""), "sendmail")
        check(" 1970 " not in field(s.got("alice")[0][0], "Date"), s.got("alice")[0][0])


def test_names_of_the_program():
    with Site() as s:
        for name in ("mailq", "newaliases"):
            os.symlink(s.program, os.path.join(s.dir, name))
        status, out = s.run(name=os.path.join(s.dir, "newaliases"))
        check_equal((status, out), (0, ""), "newaliases")
        status, out = s.run(name=os.path.join(s.dir, "mailq"))
        check_equal((status, out), (0, "messages: 0\n"), "mailq")
        check_equal(s.run("-bp"), (0, "messages: 0\n"), "sendmail -bp")
        check_equal(s.run("-bi")[0], 0, "sendmail -bi")
        check_equal(s.run("-q"), (0, "to be tried now: 0\n"), "sendmail -q")
        words = ["send-mail", "-C", s.conf, "-i", "bob"]  # as mail(1) of the BSDs, and others made from it, call it
        done = subprocess.run(words, executable=s.sendmail, input=b"Subject: x\n\nBSD\n", timeout=60, check=False)
        check_equal(done.returncode, 0, "send-mail")
        check_equal(s.got("bob")[0][1], "BSD\n", "body")
        status, out = run(s.program, "sendmail", "-C", s.conf, "alice@test.example", text="Subject: x\n\nby word\n")
        check_equal((status, out), (0, ""), "postern sendmail")
        check_equal(s.got("alice")[0][1], "by word\n", "body")


def test_closed_streams():
    """Daemons close what they do not need; a complaint must not go to whatever took its descriptor, as the session."""
    with Site() as s:
        words = f"exec {s.sendmail} -C {s.conf} nosuch bob {'alice ' * 70} 2>&-"  # more than one transaction takes
        check_equal(run("sh", "-c", words, text="Subject: x\n\nx\n")[0], 67, "sendmail without stderr")
        s.got("bob")
        status, out = run("sh", "-c", f"exec {s.sendmail} -C {s.conf} -bp >&-")
        check_equal((status, out), (0, ""), "mailq without stdout")


def test_smtp_by_hand():
    with Site() as s:
        status, out = s.run(
            "-bs",
            text="EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\nSubject: y\r\n\r\nbs\r\n.\r\nQUIT\r\n",
        )
        check_equal(status, 0, out)
        check_equal(re.findall(r"(?m)^(\d{3}) ", out), ["220", "250", "250", "250", "354", "250", "221"], "replies")
        check_equal(s.got("alice")[0][1], "bs\n", "body")


def test_long_lines_and_odd_bytes():
    with Site() as s:
        s.sends("-i", "alice@test.example", text=b"Subject: x\n\n" + b"a" * 5000 + b"\rb\0\xc3\xa4\n")
        body = s.got("alice")[0][1]
        check_equal(body.replace("\n", ""), "a" * 5000 + "b?ä", "content")
        check(max(len(line) for line in body.split("\n")) <= 998, "lines")
        s.sends("bob@test.example", text="no header at all\nTo: nobody\n")
        check_equal(s.got("bob")[0][1], "no header at all\nTo: nobody\n", "a message without a header")
        s.sends("root@test.example", text="")
        check_equal(s.got("root")[0][1], "", "an empty message")


def test_many_recipients():
    """More than fit into one transaction: each gets one copy."""
    with Site() as s:
        users = [f"user{i}" for i in range(150)]
        s.server.configure(local_users=" : ".join(users))
        s.server.stop()
        s.server.start()
        s.sends("-t", text="To: " + ",\n ".join(f"{u}@test.example" for u in users) + "\n\nmany\n")
        for user in users:
            check_equal(len(s.server.messages(user, 1)), 1, user)


def test_many_transactions():
    """What the server takes or bears in one session is no limit for a message: its next recipients come in another one."""
    users = [f"user{i}" for i in range(150)]
    with Site(smtp_accept_max_per_connection="1") as s:
        s.server.configure(local_users=" : ".join(users))
        s.server.stop()
        s.server.start()
        status, out = s.run(*users, *(f"nobody{i}" for i in range(120)), "user0", text="Subject: x\n\nmany\n")
        check_equal((status, out.count("550 5.1.1")), (67, 120), out[-500:])
        for user in users:
            check_equal(len(s.server.messages(user, 1)), 1, user)


def test_many_at_once():
    """As cron's at midnight: no user has more than 8 sessions, and who comes later waits for one."""
    with Site() as s:
        held = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        for one in held:
            one.connect(s.socket)
            check(one.recv(3) == b"220", "the greeting")
        command = subprocess.Popen([s.sendmail, "-C", s.conf, "alice"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        command.stdin.write(b"Subject: x\n\nx\n")
        command.stdin.close()
        time.sleep(1.5)
        for one in held:
            one.close()
        check_equal(command.wait(20), 0, "exit status")
        check_equal(s.got("alice")[0][1], "x\n", "body")


def test_refused_for_all():
    """Whom the server would have been told of in another transaction waits for nothing, and nobody gets it after all."""
    if not_root():
        return
    with Site() as s:
        for has_outbox in (False, True):
            outbox = s.make_outbox() if has_outbox else ""
            users = [f"user{i}@far.example" for i in range(64)] + ["alice"]
            status, out = s.run("-f", "root@test.example", *users, text="Subject: x\n\nforged\n", uid=65534)
            check_equal((status, out.count("553 5.7.1")), (77, 65), out[-500:])
        check_equal(outbox_files(outbox), [], "what is left in the outbox")


def test_mail_for_elsewhere():
    """What a user hands in goes wherever routes lead; with -N and -V, so do its parameters."""
    far = Server(primary_hostname="mail.far.example", local_domains="far.example", local_users="alice")
    with Site(route_list=f"far.example smtp:127.0.0.1:{far.port}", local_domains="@ : test.example") as s:
        far.configure(route_list=f"{HOST} smtp:127.0.0.1:{s.server.port}")
        far.stop()
        far.start()
        s.sends("-N", "success,failure", "-V", "id-1", "-R", "hdrs", "alice@far.example", text="Subject: x\n\nfar\n")
        head, body = [m.decode().split("\n\n", 1) for m in far.messages("alice", 1)][0]
        check_equal(body, "far\n", "body")
        check("(local uid " in head, head)
        if os.geteuid() == 0:  # whose mailbox there is; the other server sends the report
            report = s.got("root")[0]
            check_equal(field(report[0], "Return-Path"), "<>", "the report's sender")
            check("Original-Envelope-Id: id-1" in report[1] and "alice@far.example" in report[1], report[1])


# --- Exit statuses ---


def test_refusals():
    with Site() as s:
        for args, text, want, word in (
            (("nosuch@test.example",), "\nx\n", 67, "550 5.1.1"),
            (("nosuch@test.example", "alice@test.example"), "\nx\n", 67, "550 5.1.1"),
            ((), "\nx\n", 64, "there are none"),
            (("-t",), "Subject: x\n\nx\n", 64, "there are none"),
            (("-t",), "To: a b c\n\nx\n", 65, "a b c: is no address"),
            (("not an address",), "\nx\n", 65, "is no address"),
            (("alice@test.example\r\nDATA",), "\nx\n", 65, "example\\x0d\\x0aDATA: is no address"),
            (("-f", "a b", "alice@test.example"), "\nx\n", 64, "is no address"),
            (("-f",), "\nx\n", 64, "postern: -f: not understood"),
            (("-bd",), "", 64, "postern: -bd: not understood"),
            (("--read-recipients", "alice@test.example"), "\nx\n", 64, "--read-recipients: not understood"),
            (("-bd", "-bm", "alice@test.example"), "\nx\n", 64, "postern: -bd: not understood"),
            (("alice@test.example", "-f", "bob"), "\nx\n", 64, "-f: options go before recipients"),
            (("-N", "often", "alice@test.example"), "\nx\n", 64, "often"),
            (("-N", "", "alice@test.example"), "\nx\n", 64, "expected never"),
            (("-R", "nonsense", "alice@test.example"), "\nx\n", 64, "postern: nonsense: expected full or hdrs"),
            (("-Rf", "alice@test.example"), "\nx\n", 64, "postern: f: expected full or hdrs"),
            (("-V", "x" * 9000, "alice@test.example"), "\nx\n", 64, "-V: expected at most 100"),
            (("-V", "+" * 34, "alice@test.example"), "\nx\n", 64, "-V: expected at most 100"),
            (("-V", "a\tb", "alice@test.example"), "\nx\n", 64, "-V: expected at most 100"),
        ):
            status, out = s.run(*args, text=text)
            check_equal(status, want, f"{args}: {out}")
            check(word in out, f"{args}: {out}")
        check_equal(len(s.got("alice")), 1, "messages for whom nothing was wrong")
        status, out = run(s.sendmail, "-C", "/nowhere", "alice", text="x")
        check_equal(status, 78, out)


def test_too_large():
    with Site(message_size_limit="65536") as s:
        status, out = s.run("alice@test.example", text="Subject: x\n\n" + "0123456789\n" * 7000)
        check_equal(status, 65, out)
        check("too-big" in out, out)


def test_without_a_server():
    with Site() as s:
        s.server.stop()
        status, out = s.run("alice@test.example", text="Subject: x\n\nx\n")
        check_equal(status, 75, out)
        s.server.configure(submit_socket=None)
        status, out = run(s.sendmail, "-C", s.server.conf_path, "alice@test.example", text="x")
        check_equal(status, 78, out)


# --- The outbox ---


def outbox_files(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def test_outbox_keeps_until_the_server_is_back():
    with Site() as s:
        outbox = s.make_outbox()
        check_equal(stat.S_IMODE(os.stat(outbox).st_mode), 0o3733, "the outbox's mode")
        s.server.stop()
        s.sends("-t", text="To: alice@test.example\nBcc: bob@test.example\nSubject: 1\n\nwaited\n")
        s.sends("-f", "root@test.example", "nosuch@test.example", text="Subject: 2\n\nnobody's\n")
        uids = [os.getuid()] * 2
        if not not_root():
            s.sends("alice@test.example", text="\nas nobody\n", uid=65534)
            s.sends("-f", "root@test.example", "alice@test.example", text="\nforged\n", uid=65534)
            uids += [65534] * 2
        names = outbox_files(outbox)
        check_equal(sorted(int(n.split(".")[0]) for n in names), sorted(uids), "whose files they are")
        for name in names:
            info = os.stat(os.path.join(outbox, name))
            check_equal((info.st_uid, stat.S_IMODE(info.st_mode)), (int(name.split(".")[0]), 0o640), name)
        s.server.start()
        wait_until(lambda: not outbox_files(outbox), "the outbox to be empty")
        heads = [head for head, _ in s.got("alice", len(uids) - 1)]
        check("(local uid " in heads[0] and "\nbcc" not in heads[0].lower(), heads[0])
        if os.geteuid() == 0:
            senders = sorted(field(head, "Return-Path") for head in heads)
            check_equal(senders, sorted([f"<root@{DOMAIN}>"] + [f"<nobody@{DOMAIN}>"] * 2), "senders")
            check("nosuch@test.example" in s.got("root")[0][1], "the report")
        check_equal(s.got("bob")[0][1], "waited\n", "Bcc")
        s.sends("alice@test.example", text="\ndirectly\n")


def test_outbox_knows_aliases():
    """To where one leads elsewhere nobody is told, and reports name it as its sender did: as of what is handed in directly."""
    far = Server(primary_hostname="mail.far.example", local_domains="far.example", local_users="alice")
    aliases = os.path.join(harness.case_dir(), "aliases")
    with open(aliases, "w", encoding="ascii") as f:
        f.write("friend: alice@far.example\nlost: nosuch@far.example\n")
    with Site(route_list=f"far.example smtp:127.0.0.1:{far.port}", aliases_file=aliases) as s:
        s.make_outbox()
        s.server.stop()
        s.sends("friend", text="\nwaited\n")
        s.sends("lost", text="\nwaited\n")
        s.server.start()
        s.sends("friend", text="\ndirectly\n")
        for message in far.messages("alice", 2):
            traces = re.findall(r"(?m)^Received: .*$", unfold(message.decode()))
            check_equal(len(traces), 2, "servers on the way")
            check("alice@far.example" in traces[0] and "alice@far.example" not in traces[1], traces)
        if os.geteuid() == 0:  # whose mailbox there is
            check(f"Original-Recipient: rfc822; lost@{DOMAIN}" in s.got("root")[0][1], s.got("root")[0][1])


def test_outbox_keeps_what_is_damaged():
    """The log has it, and what is left of it stays, in nobody's way; under its name of before it is taken."""
    with Site() as s:
        outbox = s.make_outbox()
        name = os.path.join(outbox, f"{os.getuid()}.0")
        s.server.stop()
        cut = set()
        for num in (1, 2):
            s.sends("alice@test.example", text="\nwaited\n")
            content = harness.content_of(name)
            cut.add(content[:-1])
            with open(name, "wb") as f:
                f.write(content[:-1])
            s.server.start()
            s.server.wait_log("outbox", "result=refused", "reason=malformed", number=num)
            s.server.stop()
        paths = [os.path.join(outbox, one) for one in outbox_files(outbox)]
        check_equal({harness.content_of(path) for path in paths}, cut, "what stays")
        for path in paths:
            check(re.fullmatch(re.escape(name) + r"\.ffffffff[0-9a-f]{8}", path), path)
        with open(path, "wb") as f:
            f.write(content)
        os.rename(path, name)
        s.server.start()
        check_equal(s.got("alice")[0][1], "waited\n", "body")


def test_outbox_names_are_not_taken():
    """Neither what a killed command of the same process id has left nor what somebody else has put there is in the way."""
    with Site() as s:
        outbox = s.make_outbox()
        s.server.stop()
        status, out = run("sh", "-c", f": >{outbox}/.$$.{os.getuid()}; exec {s.sendmail} -C {s.conf} alice@test.example", text="\nwaited\n")
        check_equal(status, 0, out)
        check(f"{os.getuid()}.0" in outbox_files(outbox), outbox_files(outbox))


def test_stopped_server():
    """One that answers nothing keeps nobody for long: the outbox has the message, and it comes once."""
    with Site() as s:
        outbox = s.make_outbox()
        s.server.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            s.sends("alice@test.example", text="\nwaited\n")
            check(time.monotonic() - started < 30, "it took too long")
            check_equal(len(outbox_files(outbox)), 1, "files")
        finally:
            s.server.send_signal(signal.SIGCONT)
        s.sends("bob@test.example", text="\ndirectly\n")
        s.server.stop()
        s.server.start()
        wait_until(lambda: not outbox_files(outbox), "the outbox to be empty")
        check_equal([body for _, body in s.got("alice")], ["waited\n"], "the message")


def test_suspended_command():
    """Who is suspended while he waits for the server, as by Ctrl-Z, goes on waiting afterwards."""
    with Site() as s:
        outbox = s.make_outbox()
        s.server.send_signal(signal.SIGSTOP)
        try:
            commands = (
                [s.sendmail, "-C", s.conf, "alice@test.example"],
                [s.program, "queue", "-c", s.conf],
            )
            waiting = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for c in commands]
            waiting[0].stdin.write(b"\nonce\n")
            waiting[0].stdin.close()
            time.sleep(0.5)
            for number in (signal.SIGSTOP, signal.SIGCONT):
                for one in waiting:
                    one.send_signal(number)
                time.sleep(0.2)
        finally:
            s.server.send_signal(signal.SIGCONT)
        for one in waiting:
            out = one.stdout.read()
            check_equal(one.wait(), 0, out)
        check_equal(outbox_files(outbox), [], "what is in the outbox")
        check_equal([body for _, body in s.got("alice")], ["once\n"], "the message")


def test_suspended_smtp():
    """The same in the middle of a message by -bs, while the server reads nothing: none of it is left out."""
    body = b"".join(b"%07d\r\n" % number for number in range(100000))
    with Site() as s:
        command = subprocess.Popen([s.sendmail, "-C", s.conf, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        command.stdin.write(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n")
        command.stdin.flush()
        while not command.stdout.readline().startswith(b"354"):
            pass
        s.server.send_signal(signal.SIGSTOP)
        try:
            writer = threading.Thread(target=command.stdin.write, args=(b"Subject: z\r\n\r\n" + body + b".\r\nQUIT\r\n",))
            writer.start()
            time.sleep(0.5)
            for number in (signal.SIGSTOP, signal.SIGCONT):
                command.send_signal(number)
                time.sleep(0.2)
        finally:
            s.server.send_signal(signal.SIGCONT)
        writer.join()
        command.stdin.close()
        command.stdout.read()
        check_equal(command.wait(), 0, "exit status")
        check(s.got("alice")[0][1].encode() == body.replace(b"\r", b""), "the body is another")


def test_refused_for_now():
    """Who was refused for now, beside others, waits in the outbox; without one, is named."""
    if not_root():
        return
    with Site(submit_rate="1") as s:
        to = ["nosuch1", "nosuch2"] + 62 * ["alice"] + ["bob"]
        status, out = s.run(*to, text="Subject: 1\n\nx\n", uid=65534)
        check_equal(status, 75, "without an outbox: " + out)
        check(f"bob@{DOMAIN}: could not" in out and "alice" not in out, out)
        s.make_outbox()
        status, out = s.run(*to, text="Subject: 2\n\nx\n", uid=65534)
        check_equal(status, 67, out)
        check("nosuch1" in out and "nosuch2" in out and "bob" not in out, out)
        s.server.stop()
        s.server.start()
        check_equal(field(s.got("bob")[0][0], "Subject"), "2", "what waited")
        s.server.wait_delivered()
        check_equal((len(s.server.files("alice")), len(s.server.files("bob"))), (2, 1), "messages")


def test_outbox_is_bounded():
    with Site() as s:
        outbox = os.path.join(s.dir, "outbox")
        s.server.configure(outbox_directory=outbox)
        shutil.copy(s.server.conf_path, s.conf)
        s.server.stop()
        status, out = s.run("alice@test.example", text="\nx\n")
        check_equal(status, 75, "without a directory: " + out)
        s.server.start()
        s.server.stop()
        for i in range(100):
            s.sends("alice@test.example", text=f"\n{i}\n")
        status, out = s.run("alice@test.example", text="\none too many\n")
        check_equal(status, 75, out)
        check("too many messages of yours wait there" in out, out)
        check_equal(len(outbox_files(outbox)), 100, "files")
        s.server.start()
        check_equal(len(s.server.messages("alice", 100)), 100, "messages")


# --- Users ---


def test_other_users():
    if not_root():
        return
    with Site(trusted_users="daemon") as s:
        mode = stat.S_IMODE(os.stat(s.socket).st_mode)
        check_equal(mode, 0o666, "the socket's mode")
        s.sends("alice@test.example", text="\nas nobody\n", uid=65534)
        head, _ = s.got("alice")[0]
        check_equal(field(head, "Return-Path"), f"<nobody@{DOMAIN}>", "sender")
        check("(local uid 65534)" in field(head, "Received"), head)
        status, out = s.run("-f", "root", "alice@test.example", text="\nx\n", uid=65534)
        check_equal(status, 77, out)
        check("553 5.7.1" in out, out)
        s.sends("-f", "nobody@test.example", "bob@test.example", text="\nx\n", uid=65534)
        s.sends("-f", "anybody@far.example", "bob@test.example", text="\nx\n", uid=1)
        check_equal(len(s.got("bob", 2)), 2, "messages")
        status, out = s.run("-bp", uid=65534)
        check_equal(status, 77, "mailq of a stranger: " + out)


def test_directory_that_the_server_makes():
    """As /run/postern after each boot: users can reach the socket there, whatever else is beside it."""
    if not_root():
        return
    for user in ("root", "nobody"):
        with Site() as s:
            where = os.path.join(s.dir, "run")
            if user != "root":
                os.chown(s.dir, pwd.getpwnam(user).pw_uid, -1)
                os.chmod(s.server.dir, 0o777)
                shutil.rmtree(s.server.options["spool_directory"])
            s.server.stop()
            s.server.configure(submit_socket=os.path.join(where, "submit"), control_socket=os.path.join(where, "control"), user=user)
            shutil.copy(s.server.conf_path, s.conf)
            s.server.start()
            check_equal(stat.S_IMODE(os.stat(where).st_mode), 0o755, "the directory's mode")
            s.sends("alice@test.example", text="\nx\n", uid=1)
            check_equal(s.run("-bp", uid=1)[0], 77, "mailq of a stranger")


def test_trusted_by_number():
    if not_root():
        return
    with Site(trusted_users="nosuchuser : 65534 : daemon") as s:
        s.sends("-f", "anybody@far.example", "bob@test.example", text="\nx\n", uid=65534)
        status, out = run(POSTERN, "check", "-c", s.server.conf_path)
        check_equal(status, 0, out)
        check("trusted_users: found 'nosuchuser', expected a user of /etc/passwd, or a number\n" in out, out)
        check_equal(out.count("trusted_users"), 1, out)


def test_group():
    if not_root():
        return
    with Site(submit_socket_group="mail") as s:
        info = os.stat(s.socket)
        check_equal((stat.S_IMODE(info.st_mode), info.st_gid), (0o660, grp.getgrnam("mail").gr_gid), "mode and group")
        status, out = s.run("alice@test.example", text="\nx\n", uid=65534)
        check_equal(status, 77, out)
        s.sends("alice@test.example", text="\nx\n")
        s.server.stop()
        s.server.configure(submit_socket_group="nosuchgroup")
        status, out = run(POSTERN, "-c", s.server.conf_path)
        check_equal(status, 78, out)
        check("submit_socket_group: there is no such group" in out, out)
        status, out = run(POSTERN, "check", "-c", s.server.conf_path)
        check_equal(status, 78, "check: " + out)
        check("submit_socket_group: found 'nosuchgroup', expected a group of /etc/group, or a number" in out, out)


harness.main(globals())
