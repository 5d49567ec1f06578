#!/usr/bin/env python3
"""Logins that Dovecot decides (auth_dovecot_socket): the real one, unpacked below build/, and a scripted one."""

import base64
import os
import signal
import socket
import threading

import auth_test
import harness
import peers
from auth_test import Scram, b64, do_scram, plain, tls_client
from harness import Pki, Server, case_dir, check, check_equal, wait_until

AUTH_CONF = """
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
service auth {{
  chroot =
  unix_listener {dir}/auth.sock {{
    mode = 0666
  }}
}}
"""


class Dovecot(peers.Dovecot):
    """With the auth socket that an MTA asks at."""

    def __init__(self, more=""):
        before = peers.DOVECOT_CONF
        peers.DOVECOT_CONF = before + AUTH_CONF + more
        try:
            super().__init__()
        finally:
            peers.DOVECOT_CONF = before
        self.auth = os.path.join(self.dir, "auth.sock")
        wait_until(lambda: os.path.exists(self.auth), "Dovecot's auth socket")


def server(path, **options):
    return Server(Pki("ec"), auth_dovecot_socket=path, log_level="debug", **options)


def ready(s):
    s.wait_log("dovecot", "result=connected")


def test_real():
    d = Dovecot()
    s = server(d.auth)
    ready(s)
    client = tls_client(s)
    check("AUTH PLAIN LOGIN SCRAM-SHA-256\n" in client.ehlo + "\n", client.ehlo)
    check("AUTH" not in client.plain_ehlo, "AUTH in plaintext")
    client.cmd(plain("alice", "secret"), 235)
    client.message(b"Subject: x\r\n\r\nx\r\n")
    check(b"with ESMTPSA" in s.messages("alice", 1)[0], "Received")
    s.wait_log("message", 'user="alice"')
    client = tls_client(s)
    client.cmd("AUTH LOGIN", 334)
    client.cmd(b64("alice"), 334)
    client.cmd(b64("secret"), 235)
    check_equal(do_scram(tls_client(s).cmd, Scram("alice", "secret")), 235, "SCRAM")
    client = tls_client(s, host="127.0.0.2")
    check("5.7.8" in client.cmd(plain("alice", "guessed"), 535), "the enhanced code")
    client = tls_client(s, host="127.0.0.3")
    client.cmd(plain("nobody", "secret"), 535)
    client.cmd("AUTH SCRAM-SHA-256-PLUS", 504)
    client.cmd("AUTH PLAIN", 334)
    client.cmd("*", 501)
    client.cmd(plain("alice", "secret"), 235)
    s.wait_log("login", "result=denied", 'user="nobody"')


def test_real_judges_nobody():
    """What it has to ask is out of order: that is no wrong password, and counts as none."""
    program = os.path.join(case_dir(), "out-of-order")
    with open(program, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nexit 111\n")
    os.chmod(program, 0o755)
    d = Dovecot(f"passdb {{{{\n  driver = checkpassword\n  args = {program}\n}}}}\n")
    s = server(d.auth)
    ready(s)
    tls_client(s).cmd(plain("nobody", "secret"), 454)
    s.wait_log("login", "result=refused", "reason=dovecot")


def test_real_goes_and_comes():
    d = Dovecot()
    s = server(d.auth)
    ready(s)
    d.end()
    s.wait_log("dovecot", "result=lost")
    tls_client(s).cmd(plain("alice", "secret"), 454)


class Scripted:
    """Speaks the protocol as told: script(line) -> the lines to answer with, None to hang up."""

    GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t2\nCOOKIE\tff\nDONE\n"

    def __init__(self, script, greeting=GREETING, name="auth.sock"):
        self.path = os.path.join(case_dir(), name)
        self.script, self.greeting, self.lines = script, greeting, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.sendall(self.greeting)
                for line in peer.makefile("rb"):
                    self.lines.append(line.decode().rstrip("\n"))
                    answer = b"" if line.startswith((b"VERSION", b"CPID")) else self.script(line.decode())
                    if answer is None:
                        break
                    try:
                        peer.sendall(answer)
                    except OSError:
                        break


def number_of(line):
    return line.split("\t")[1]


def test_what_is_asked():
    d = Scripted(lambda line: f"OK\t{number_of(line)}\tuser=alice\n".encode())
    s = server(d.path)
    ready(s)
    client = tls_client(s)
    check("AUTH PLAIN LOGIN\n" in client.ehlo + "\n", client.ehlo)
    client.cmd("AUTH PLAIN =", 235)
    asked = [l for l in d.lines if l.startswith("AUTH")]
    check_equal(asked, ["AUTH\t1\tPLAIN\tservice=smtp\tsecured\tnologin\trip=127.0.0.1\tresp="], "what Dovecot is asked")
    check_equal(d.lines[0], "VERSION\t1\t1", "the first line")
    client = tls_client(s)
    client.cmd("AUTH PLAIN AA==\tvalid-client-cert", 501)  # nothing but base64 gets through
    client.cmd("AUTH PLAIN user=root", 501)
    check_equal(len([l for l in d.lines if l.startswith("AUTH")]), 1, "requests")


def test_answers():
    answers = {
        "ok-without-user": b"OK\t%d\n",
        "control": b"OK\t%d\tuser=a\x01b\n",
        "long": b"OK\t%d\tuser=" + b"x" * 300 + b"\n",
        "challenge": b"CONT\t%d\t" + b"A" * 600 + b"\n",
        "temporary": b"FAIL\t%d\tuser=alice\ttemp\n",
        "hangs-up": None,
    }
    name = [""]
    d = Scripted(lambda line: answers[name[0]] and answers[name[0]].replace(b"%d", number_of(line).encode()))
    s = server(d.path)
    for number, name[0] in enumerate(answers):
        wait_until(lambda: tls_client(s).cmd("NOOP", 250) and s.log_lines("dovecot", "result=connected"), "Dovecot")
        client = tls_client(s)
        check("4.7.0" in client.cmd(plain("alice", "x"), 454), name[0])
    s.wait_log("dovecot", "result=lost", "reason=eof")


def test_another_protocol():
    for greeting in (b"VERSION\t2\t0\nDONE\n", b"x" * 9000):
        d = Scripted(lambda line: b"", greeting=greeting)
        s = server(d.path)
        s.wait_log("dovecot", "result=lost")
        tls_client(s).cmd(plain("alice", "x"), 454)
        d.socket.close()
        os.unlink(d.path)


def test_nobody_there():
    s = server(os.path.join(case_dir(), "none.sock"))
    tls_client(s).cmd(plain("alice", "x"), 454)
    s.wait_log("dovecot", "result=lost", "reason=absent")
    # It comes: the next clients are served, without a restart.
    d = Scripted(lambda line: f"OK\t{number_of(line)}\tuser=alice\n".encode())
    os.rename(d.path, os.path.join(case_dir(), "none.sock"))

    def logs_in():
        return tls_client(s).cmd(plain("alice", "x"))[0] == 235

    wait_until(logs_in, "a login once Dovecot is there")


def test_another_socket():
    """A reload leads to another one: what the first was asked is given up, and nothing is asked before the next is ready."""
    first = Scripted(lambda line: b"")
    silent = Scripted(lambda line: b"", greeting=b"", name="silent.sock")
    last = Scripted(lambda line: f"OK\t{number_of(line)}\tuser=alice\n".encode(), name="last.sock")
    s = server(first.path)
    ready(s)
    waiting, other = tls_client(s), tls_client(s)
    waiting.send(plain("alice", "x").encode() + b"\r\n")
    wait_until(lambda: any(l.startswith("AUTH") for l in first.lines), "the request")
    for number, d in enumerate((silent, last), 1):
        s.configure(auth_dovecot_socket=d.path)
        s.send_signal(signal.SIGHUP)
        wait_until(lambda: s.log().count("new options are in force") == number, "the reload")
        if d is silent:
            waiting.expect(454)
            wait_until(lambda: d.lines, "the next connection")
            check("4.7.0" in other.cmd(plain("alice", "x"), 454), "before it is ready")
            check(not any(l.startswith("AUTH") for l in d.lines), f"it was asked: {d.lines}")
    s.wait_log("dovecot", "result=connected", number=2)
    other.cmd(plain("alice", "x"), 235)


def test_leaving_clients():
    """Answers for those who have left reach nobody else."""
    held = []

    def script(line):
        held.append(line)
        return b""

    d = Scripted(script)
    s = server(d.path)
    ready(s)
    client = tls_client(s)
    client.send(plain("alice", "x").encode() + b"\r\n")
    wait_until(lambda: held, "the request")
    client.close()
    d.script = lambda line: f"OK\t{number_of(held[0])}\tuser=root\nFAIL\t{number_of(line)}\tuser=bob\n".encode()
    tls_client(s).cmd(plain("bob", "x"), 535)


if __name__ == "__main__":
    harness.main(globals())
