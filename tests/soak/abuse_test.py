#!/usr/bin/env python3
"""Peers that want a server to fall over, and others that must be served all the same.

tests/soak/abuse_test.py [--full] [CASE...]. Each case is an attack by a process of its own from 127.0.0.1, while clients
from 127.0.0.2 hand in mail, in plaintext and in TLS: each of them must get through, and how much longer they took
than before the attack is printed. Afterwards every pool, the TLS heap and the descriptors are as they were, and the
memory has never been more than `postern budget` says. `make test` runs it with small figures, `make soak` with --full.
"""

import json
import os
import random
import re
import select
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))

import harness
from harness import Failed, Pki, Server, Smtp, body_of, check, run, wait_until
from watch import ask, budget_kb, memory_kb, num_files

FULL = "--full" in sys.argv
BYSTANDER, BALANCER = ("127.0.0.2", 0), ("127.0.0.3", 0)
LIMIT_S = 900 if FULL else 120
SIZE_LIMIT = 1 << 20
LOG_LINES_PER_HOST = 150  # that a server may write an hour about one peer that hands in nothing


def figure(short, full):
    return full if FULL else short


class Bystander:
    """A client within its limits: one message a session. Counts how long each took."""

    def __init__(self, server):
        self.server, self.number = server, 0

    def session(self, tls):
        begun = time.monotonic()
        client = Smtp(self.server, source=BYSTANDER, tls=tls)
        client.cmd("EHLO bystander.example", 250)
        self.number += 1
        client.message(body_of(self.number, 1500))
        client.quit()
        return time.monotonic() - begun

    def both(self):
        return self.session(False), self.session(True)


def median_ms(times, which):
    return 1000 * statistics.median(t[which] for t in times)


class Attack:
    """A function in a process of its own, which gives back a dictionary of numbers."""

    def __init__(self, function, *args):
        self.read_end, write_end = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                harness.die_with_parent()
                os.close(self.read_end)
                told = json.dumps(function(*args) or {}).encode()
                os.write(write_end, told)
                status = 0
            except Exception as e:
                os.write(write_end, json.dumps({"error": repr(e)}).encode())
            finally:
                os._exit(status)
        os.close(write_end)
        harness.started().append(self)

    def is_over(self):
        return bool(select.select([self.read_end], [], [], 0)[0])

    def result(self):
        told = json.loads(os.read(self.read_end, 65536) or b"{}")
        self.end()
        check("error" not in told, f"the attack itself failed: {told.get('error')}")
        return told

    def end(self):
        if self.pid:
            try:
                os.kill(self.pid, 9)
            except ProcessLookupError:
                pass
            os.waitpid(self.pid, 0)
            self.pid = 0


class Target:
    """The server under attack, how it was before, and how the bystanders fared then."""

    def __init__(self, **options):
        self.pki = Pki()
        users = os.path.join(harness.case_dir(), "users")
        with open(os.path.join(harness.case_dir(), "aliases"), "w", encoding="ascii") as f:
            f.write("many: " + ", ".join(f"user{i}@elsewhere.example" for i in range(60)) + "\n")
        self.server = Server(
            self.pki, self.pki.proof("good"), start=False, auth_users_file=users, message_size_limit=str(SIZE_LIMIT),
            log_host_rate=str(LOG_LINES_PER_HOST), smtp_accept_max="250", smtp_accept_max_per_host="200", hosts_proxy=BALANCER[0],
            aliases_file=os.path.join(harness.case_dir(), "aliases"), **options,
        )  # fmt: skip
        check(run(harness.POSTERN, "passwd", "-c", self.server.conf_path, "--stdin", "alice", text="secret\n")[0] == 0, "passwd")
        self.server.start()
        self.bystander = Bystander(self.server)
        self.bystander.both()
        self.before = [self.bystander.both() for _ in range(figure(4, 10))]
        wait_until(lambda: self.used() == {}, f"an idle server {self.used()}")
        self.files = self.num_files()
        self.heap = self.heap_used()
        self.budget_kb = budget_kb(self.server) + memory_kb(self.server.pid, "VmExe") + memory_kb(self.server.pid, "VmLib")
        self.log_len = os.path.getsize(self.server.log_path)

    def num_files(self):
        """Open descriptors without the spool's segments, of which there are as many as its size needs."""
        return num_files(self.server.pid) - num_files(self.server.pid, self.server.options["spool_directory"] + "/segment")

    def heap_used(self):
        return int(ask(self.server, "status")["tls heap"].split()[0])

    def used(self):
        """What is not at zero: the control connection that asks is left out."""
        told = ask(self.server, "status") or {}
        left = {k: v for k, v in told.items() if k.startswith("pool ") and not v.startswith("0 of") and "control" not in k}
        for key in ("connections", "tls handshakes", "messages"):
            if not told.get(key, "").startswith("0 "):
                left[key] = told.get(key)
        return left

    def endure(self, function, *args, log_lines=None):
        """Runs the attack while bystanders come and go; what the attack says."""
        attack = Attack(function, self, *args)
        cpu, begun, during = self.server.cpu_s(), time.monotonic(), []
        while not attack.is_over() or len(during) < figure(3, 5):
            check(time.monotonic() - begun < LIMIT_S, f"the attack still runs after {LIMIT_S} s")
            during.append(self.bystander.both())
            time.sleep(0.02)
        told = attack.result()
        told.update(seconds=round(time.monotonic() - begun, 1), server_cpu_s=round(self.server.cpu_s() - cpu, 2))
        slower = [median_ms(during, i) / median_ms(self.before, i) for i in (0, 1)]
        print(f"        {told}")
        print(
            f"        {len(during)} bystanders of each kind served; plain {median_ms(self.before, 0):.1f} -> {median_ms(during, 0):.1f} ms "
            f"({slower[0]:.1f} times), TLS {median_ms(self.before, 1):.1f} -> {median_ms(during, 1):.1f} ms ({slower[1]:.1f} times); "
            f"slowest {1000 * max(max(t) for t in during):.0f} ms"
        )
        self.check_as_before(log_lines)
        return told

    def check_as_before(self, log_lines):
        wait_until(lambda: self.used() == {}, "an idle server", 60)
        wait_until(lambda: self.num_files() <= self.files, f"{self.files} descriptors, not {self.num_files()}")
        heap = self.heap_used()
        check(heap <= self.heap, f"{heap} bytes of the TLS heap are in use, {self.heap} were before")
        most = memory_kb(self.server.pid)
        check(most <= self.budget_kb, f"VmHWM {most} KB is more than the {self.budget_kb} KB of the budget")
        with open(self.server.log_path, "rb") as f:
            f.seek(self.log_len)
            log = f.read()
        of_attacker = [l for l in log.splitlines() if b"peer=127.0.0.1" in l or b"peer=127.0.0.3" in l]
        print(f"        VmHWM {most} KB of {self.budget_kb} KB; {len(log)} bytes of log, {len(of_attacker)} lines about the attacker")
        if log_lines is not None:
            check(len(of_attacker) <= log_lines, f"{len(of_attacker)} lines of log about one peer, not at most {log_lines}")
        self.log_len += len(log)


# --- Attackers' tools ---


def plain(target, port=None, source=None, timeout_s=60):
    return socket.create_connection(("127.0.0.1", port or target.server.port), timeout_s, source_address=source)


def reply_of(peer):
    """The next bytes; empty once the other side has gone."""
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def tls_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def client_hello(context):
    """The bytes of one, and the objects that made it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read(), session, incoming, outgoing


class Tls:
    """TLS over a socket, by hand: whoever wants decides how its records are sent."""

    def __init__(self, target, version=None):
        self.peer = plain(target, target.server.tls_port)
        hello, self.session, self.incoming, self.outgoing = client_hello(tls_context(version))
        self.peer.sendall(hello)
        while True:
            more = self.peer.recv(65536)
            check(more, "the server closed in the handshake")
            self.incoming.write(more)
            try:
                self.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.peer.sendall(self.outgoing.read())
        self.peer.sendall(self.outgoing.read())

    def records(self, pieces):
        for piece in pieces:
            self.session.write(piece)
        return self.outgoing.read()


def pour(peer, data, limit=None, until_s=LIMIT_S):
    """Sends data over and over, reads and forgets what comes, until it is cut or the limit is reached: (sent, read)."""
    peer.setblocking(False)
    sent = read = 0
    end = time.monotonic() + until_s
    view = memoryview(data)
    at = 0
    while time.monotonic() < end and (limit is None or sent < limit):
        readable, writable, _ = select.select([peer], [peer], [], 5)
        try:
            if readable:
                more = peer.recv(1 << 18)
                if not more:
                    break
                read += len(more)
            if writable:
                part = peer.send(view[at:] if limit is None or limit - sent > len(view) - at else view[at : at + limit - sent])
                sent += part
                at = (at + part) % len(view)
        except BlockingIOError:
            pass
        except OSError:
            break
    return sent, read


def last_replies(peer, within_s=10):
    """What still comes, as lines, until nothing has come for a moment."""
    peer.setblocking(True)
    peer.settimeout(within_s)
    got = b""
    try:
        while True:
            more = peer.recv(65536)
            if not more:
                break
            got = (got + more)[-2000:]
            if got.endswith(b"\r\n"):
                peer.settimeout(figure(0.3, 1))
    except OSError:
        pass
    return got.decode("latin-1").strip().split("\r\n")


def commands(target, line, number, opening=b"EHLO a.example\r\n"):
    """So many commands, pipelined; a new connection whenever one was ended, up to a bound."""
    left, used, replies, last = number, 0, 0, ""
    bunch = line * max(1, 4000 // len(line))
    while left > 0 and used < figure(20, 500):
        with plain(target) as peer:
            used += 1
            try:
                peer.sendall(opening)
            except OSError:
                continue
            sent, read = pour(peer, bunch, left * len(line))
            replies += read
            last = last_replies(peer, 3)[-1]
        left -= sent // len(line)
    return {"sent": number - left, "connections": used, "bytes_of_replies": replies, "last": last}


# --- The attacks ---


def slow_peers(target, number):
    """Connections that say a byte now and then, in every phase that waits for a peer; (socket, bytes to dribble)."""
    hello = client_hello(tls_context())[0]

    def started(*lines, tls=False):
        peer = plain(target)
        reply_of(peer)
        for line in lines:
            peer.sendall(line)
            reply_of(peer)
        return peer

    def banner():
        return started(), b""

    def command():
        return started(), b"EHLO " + b"a" * 400

    def starttls():
        return started(b"EHLO a\r\n", b"STARTTLS\r\n"), hello

    def handshake():
        return plain(target, target.server.tls_port), hello

    def data():
        return started(b"EHLO a\r\n", b"MAIL FROM:<a@a.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n"), b"Subject: slow\r\n" * 99

    def chunk():
        return started(b"EHLO a\r\n", b"MAIL FROM:<a@a.example>\r\nRCPT TO:<alice@test.example>\r\nBDAT 100000 LAST\r\n"), b"x" * 999

    def login():
        tls = Tls(target)
        tls.peer.sendall(tls.records([b"EHLO a\r\n"]))
        reply_of(tls.peer)
        tls.peer.sendall(tls.records([b"AUTH LOGIN\r\n"]))
        reply_of(tls.peer)
        return tls.peer, tls.records([b"YWxp"])[:-1]

    def proxy():
        return plain(target, source=BALANCER), b"PROXY TCP4 192.0.2.1 192.0.2.2 4444 25"

    kinds = (banner, command, starttls, handshake, data, chunk, login, proxy)
    return [kinds[i % len(kinds)]() for i in range(number)]


def slowloris(target):
    peers = slow_peers(target, figure(96, 190))
    at, told = 0, {"connections": len(peers)}
    end = time.monotonic() + figure(3, 60)
    while time.monotonic() < end:
        for peer, dribble in peers:
            try:
                peer.sendall(dribble[at : at + 1])
            except OSError:
                pass  # its time was up
        at += 1
        time.sleep(figure(0.3, 1))
    told["bytes_each"] = at
    told["cut"] = sum(1 for peer, _ in peers if select.select([peer], [], [], 0)[0] and not reply_of(peer))
    return told


def too_many(target):
    """5,000 at once, of which a host may have 200; those in turn are held."""
    poller, number = select.epoll(), figure(1500, 5000)
    held, replies, refused = {}, {}, 0
    for _ in range(number):
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex(("127.0.0.1", target.server.port))
        held[peer.fileno()] = peer
        poller.register(peer, select.EPOLLIN)
    end = time.monotonic() + figure(20, 90)
    while len(replies) < number and time.monotonic() < end:
        for fd, _ in poller.poll(1):
            try:
                replies[fd] = held[fd].recv(200)[:3].decode() or "cut"
            except OSError:
                replies[fd] = "cut"
            poller.unregister(fd)
    refused = sum(1 for r in replies.values() if r != "220")
    time.sleep(figure(0.5, 5))
    served = sum(1 for r in replies.values() if r == "220")
    check(served <= 200, f"{served} connections of one host were let in")
    check(served > 0 and refused > 0, f"{served} let in, {refused} refused")
    return {"connections": number, "let_in": served, "refused": refused}


def handshakes(target):
    """Beginnings of handshakes, held and left at once; junk instead of them; and whole ones, left at once."""
    told, span_s = {"held": 0, "begun": 0, "junk": 0, "whole": 0}, figure(1, 20)
    hello = client_hello(tls_context())[0]

    def begin(text):
        peer = plain(target, target.server.tls_port)
        try:
            peer.sendall(text)
        except OSError:
            pass
        return peer

    held = [begin(hello) for _ in range(figure(60, 150))]
    told["held"] = len(held)
    time.sleep(span_s)
    for peer in held:
        peer.close()
    end = time.monotonic() + span_s
    while time.monotonic() < end:
        begin(hello).close()
        begin(random.randbytes(2000)).close()
        told["begun"] += 1
        told["junk"] += 1
    end = time.monotonic() + span_s
    while time.monotonic() < end:
        try:
            Tls(target).peer.close()
            told["whole"] += 1
        except (Failed, OSError):
            pass
    return told


def s_client(target, version, text, rate_s):
    """openssl s_client, whose single letters on a line of their own renegotiate (R) or update keys (K)."""
    command = ["openssl", "s_client", "-crlf", "-connect", f"127.0.0.1:{target.server.tls_port}", version]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    num = 0
    try:
        for line in text:
            process.stdin.write(line)
            process.stdin.flush()
            time.sleep(rate_s if num else 0.5)  # a letter counts only where it comes alone
            num += 1
    except OSError:
        pass
    try:
        process.stdin.close()
    except OSError:
        pass
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        pass
    process.kill()
    process.wait()
    return num


def renegotiation(target):
    times = figure(3, 20)
    return {"asked": sum(s_client(target, "-tls1_2", [b"EHLO a\n"] + [b"R\n"] * 20, 0.05) for _ in range(times)), "sessions": times}


def key_updates(target):
    times = figure(3, 20)
    return {"asked": sum(s_client(target, "-tls1_3", [b"EHLO a\n"] + [b"K\n", b"k\n"] * 20, 0.05) for _ in range(times)), "sessions": times}


def records(target):
    """Records of one byte, of none, handshakes in pieces of one byte, and empty records of every kind in front of one."""
    told = {"tiny": 0, "read": 0}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        tls = Tls(target, version)
        tls.peer.sendall(tls.records([b"EHLO a\r\n", b"MAIL FROM:<a@a.example>\r\n", b"RCPT TO:<alice@test.example>\r\n", b"DATA\r\n"]))
        letters = [b"x"] * 70 + [b"\r", b"\n"]
        for _ in range(figure(300, 6000)):
            try:
                tls.peer.sendall(tls.records(letters))
            except OSError:
                break
            told["tiny"] += len(letters)
        tls.peer.close()
    hello = client_hello(tls_context())[0]
    pieces = b"".join(b"\x16\x03\x01\x00\x01" + hello[5 + i : 6 + i] for i in range(len(hello) - 5))
    for flood in (b"\x16\x03\x01\x00\x00", b"\x15\x03\x01\x00\x02\x01\x00", b"\x17\x03\x03\x00\x00", b"\x14\x03\x03\x00\x01\x01", pieces):
        for _ in range(figure(2, 10)):
            with plain(target, target.server.tls_port) as peer:
                told["read"] += pour(peer, flood, 20000 if flood != pieces else len(pieces))[0]
    return told


def expansion(target):
    """Little bytes that might make much: lines without end, header bombs, folds, aliases, routes, parameters."""
    told = {}
    envelope = b"EHLO a\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<alice@test.example>\r\nDATA\r\n"
    floods = {
        "line without end": (b"", b"A" * 65536, figure(1 << 22, 1 << 28)),
        "lines of 100 KB": (b"", b"A" * 100000 + b"\r\n", figure(1 << 22, 1 << 27)),
        "EHLO of 100 KB": (b"", b"EHLO " + b"a" * 100000 + b"\r\n", figure(1 << 20, 1 << 24)),
        "header fields": (envelope, b"X: y\r\n" * 10000, figure(1 << 21, 1 << 27)),
        "folded field": (envelope, b"Subject: x\r\n" + b" y\r\n" * 10000, figure(1 << 21, 1 << 27)),
        "text line without end": (envelope, b"A" * 65536, figure(1 << 21, 1 << 27)),
        "dots": (envelope, b"..\r\n" * 10000, figure(1 << 21, 1 << 27)),
        "Received fields": (envelope, b"Received: from a by b; Sat, 1 Jan 2022 00:00:00 +0000\r\n" * 100, figure(1 << 20, 1 << 20)),
        "source routes": (b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n", b"RCPT TO:<" + b",".join([b"@h.example"] * 20) + b":alice@test.example>\r\n", figure(1 << 20, 1 << 24)),
        "aliases": (b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n", b"RCPT TO:<many@test.example>\r\n", figure(1 << 16, 1 << 22)),
        "parameters": (b"EHLO a\r\n", b"MAIL FROM:<a@a.example>" + b" X=Y" * 100 + b"\r\n", figure(1 << 18, 1 << 22)),
        "base64": (b"EHLO a\r\n", b"AUTH PLAIN " + b"A" * 30000 + b"\r\n", figure(1 << 20, 1 << 24)),
        "junk": (b"", random.randbytes(65536), figure(1 << 20, 1 << 24)),
        "NUL": (envelope, b"\0" * 65536, figure(1 << 20, 1 << 24)),
    }
    for name, (opening, flood, limit) in floods.items():
        with plain(target) as peer:
            reply_of(peer)
            if opening:
                peer.sendall(opening)
            sent, read = pour(peer, flood, limit, 60)
            told[name] = f"{sent}/{read}"
    return told


def large_data(target):
    """A message far over the limit, by DATA and by BDAT: read to its end, refused, and nothing of it kept."""
    told, length = {}, figure(200 << 20, 10 << 30)
    opening = b"EHLO a\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<alice@test.example>\r\n"
    for name, begin, end in (("data", b"DATA\r\n", b"\r\n.\r\n"), ("bdat", f"BDAT {length} LAST\r\n".encode(), b"")):
        with plain(target) as peer:
            reply_of(peer)
            peer.sendall(opening + begin)
            piece = (b"x" * 70 + b"\r\n") * 4096
            sent, _ = pour(peer, piece, length)
            if sent == length:
                peer.setblocking(True)
                peer.settimeout(60)
                peer.sendall(end + b"NOOP\r\n")
            told[name] = {"bytes": sent, "replies": last_replies(peer, 30)[-2:]}
    return told


def recipients(target):
    number = figure(20000, 1000000)
    opening = b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n"
    return {
        name: commands(target, b"RCPT TO:<" + who + b">\r\n", number, opening)
        for name, who in (("known", b"alice@test.example"), ("unknown", b"nobody@test.example"), ("elsewhere", b"x@elsewhere.example"))
    }


def idle_commands(target, number):
    told = {}
    for line in (b"NOOP\r\n", b"RSET\r\n", b"VRFY alice\r\n", b"WHAT\r\n", b"HELP\r\n", b"EHLO a\r\n", b"QUIT x\r\n"):
        told[line.decode().strip()] = commands(target, line, number)
    told["MAIL, RSET"] = commands(target, b"MAIL FROM:<a@a.example>\r\nRSET\r\n", number)
    told["MAIL"] = commands(target, b"MAIL FROM:<a@a.example>\r\nEHLO a\r\n", number)
    told["AUTH"] = commands(target, b"AUTH PLAIN AGFsaWNlAHg=\r\n", number)
    return told


def log_flood(target):
    """What might make a line each: connections, refused recipients, broken handshakes, headers of balancers."""
    told, end = {"connections": 0, "recipients": 0, "handshakes": 0, "headers": 0}, time.monotonic() + figure(3, 60)
    while time.monotonic() < end:
        for _ in range(50):
            plain(target).close()
            told["connections"] += 1
        with plain(target) as peer:
            peer.sendall(b"EHLO a\r\nMAIL FROM:<a@a.example>\r\n" + b"RCPT TO:<x@elsewhere.example>\r\n" * 100)
            told["recipients"] += 100
            last_replies(peer, 2)
        with plain(target, target.server.tls_port) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
            told["handshakes"] += 1
            reply_of(peer)
        with plain(target, source=BALANCER) as peer:
            peer.sendall(b"PROXY what\r\n")
            told["headers"] += 1
            reply_of(peer)
    return told


def test_slowloris():
    Target().endure(slowloris)


def test_too_many_connections():
    Target().endure(too_many, log_lines=LOG_LINES_PER_HOST + 5)


def test_handshakes():
    Target().endure(handshakes, log_lines=LOG_LINES_PER_HOST + 5)


def test_renegotiation():
    Target().endure(renegotiation)


def test_key_updates():
    Target().endure(key_updates)


def test_records():
    Target().endure(records)


def test_expansion():
    Target().endure(expansion)


def test_large_data():
    told = Target().endure(large_data)
    for way in ("data", "bdat"):
        check([r[:9] for r in told[way]["replies"]] == ["552 5.3.4", "250 2.0.0"], f"{way}: {told[way]}")


def test_recipients():
    Target().endure(recipients, log_lines=LOG_LINES_PER_HOST + 5)


def test_idle_commands():
    Target().endure(idle_commands, figure(2000, 1000000), log_lines=LOG_LINES_PER_HOST + 5)


def test_idle_commands_without_limits():
    """An operator may lift them: then all are answered, and others are served all the same."""
    lifted = ("smtp_accept_max_nonmail", "smtp_max_unknown_commands", "smtp_max_synprot_errors", "smtp_accept_max_per_connection")
    number = figure(20000, 1000000)
    told = Target(**dict.fromkeys(lifted, "0")).endure(idle_commands, number, log_lines=LOG_LINES_PER_HOST + 5)
    for name in ("NOOP", "RSET", "VRFY alice", "WHAT", "MAIL, RSET"):
        check(told[name]["sent"] == number and told[name]["connections"] == 1, f"{name}: {told[name]}")


def test_log_flood():
    Target().endure(log_flood, log_lines=2 * LOG_LINES_PER_HOST + 5)


if __name__ == "__main__":
    sys.argv = [a for a in sys.argv if a != "--full"]
    if FULL:
        harness.JOBS = 1  # so that nothing but the attack slows the bystanders
    harness.main(globals())
