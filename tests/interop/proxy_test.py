#!/usr/bin/env python3
"""A fleet behind HAProxy: two Posterns, each told whose connection it gets (PROXY protocol 1 and 2).

HAProxy is the real one, unpacked below build/. What a balancer never sends is sent by hand.
"""

import os
import re
import socket
import subprocess

import harness
from harness import LIMIT_S, Pki, Server, Smtp, case_dir, check, check_equal, die_with_parent, free_port, unpack, wait_until

CLIENT = "127.0.0.9"  # as it comes to HAProxy
BODY = b"Subject: x\r\n\r\nx\r\n"


class Haproxy:
    """Passes port on to the servers' ports, in turn."""

    def __init__(self, servers, version, tls=False):
        root = unpack("haproxy")
        self.port = self.tls_port = free_port()
        self.path = os.path.join(case_dir(), f"haproxy-{self.port}")
        send = {1: "send-proxy", 2: "send-proxy-v2"}[version]
        lines = [
            "global", "  maxconn 100", "defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 30s",
            "  timeout server 30s", "  timeout check 30s", "listen mail", f"  bind 127.0.0.1:{self.port}", "  balance roundrobin",
        ]
        for i, s in enumerate(servers):
            lines.append(f"  server s{i} 127.0.0.1:{s.tls_port if tls else s.port} {send} check check-send-proxy inter 200")
        with open(self.path + ".cfg", "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        with open(self.path + ".log", "wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", f'. "{root}/env" && exec haproxy -db -f "{self.path}.cfg"'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )
        harness._started.append(self)
        wait_until(self.is_ready, "HAProxy; it said: " + self.said())

    def said(self):
        with open(self.path + ".log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def is_ready(self):
        check(self.process.poll() is None, "HAProxy left: " + self.said())
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2):
                return True
        except OSError:
            return False

    def end(self):
        self.process.kill()
        self.process.wait()


class Behind(Server):
    """A server whose every client must be announced: ready when it listens."""

    def _ready(self):
        if self.process.poll() is not None:
            return super()._ready()
        return "ready" if self.log_lines("start") else None


def fleet(**options):
    pki = Pki("ec")
    return [Behind(pki, hosts_proxy="127.0.0.1", **options) for _ in range(2)]


def client_of(balancer, **how):
    client = Smtp(balancer, source=(CLIENT, 0), **how)
    client.cmd("EHLO client.example", 250)
    return client


def check_version(version):
    servers = fleet(relay_from_hosts=CLIENT)
    balancer = Haproxy(servers, version)
    for _ in range(6):
        client = client_of(balancer)
        client.cmd("MAIL FROM:<a@client.example>", 250)
        client.cmd("RCPT TO:<somebody@elsewhere.example>", 250)  # the client's address counts
        client.cmd("RSET", 250)
        client.message(BODY)
        client.quit()
    wait_until(lambda: sum(len(s.files("alice")) for s in servers) == 6, "six messages")
    for s in servers:
        for message in s.messages("alice", 1):  # each has its share
            check(f"([{CLIENT}])".encode() in message, f"Received: {message!r}")
        s.wait_log("connection", f"peer={CLIENT}", "proxy=127.0.0.1", "messages=1")
    # One server leaves: the other takes all.
    servers[0].stop()
    wait_until(lambda: "DOWN" in balancer.said(), "HAProxy to see that")
    for _ in range(3):
        client_of(balancer).message(BODY, to="bob@test.example")
    check_equal(len(servers[1].messages("bob", 3)), 3, "messages of the server that is left")


def test_version_1():
    check_version(1)


def test_version_2():
    check_version(2)


def test_tls():
    servers = fleet()
    balancer = Haproxy(servers, 2, tls=True)
    for _ in range(6):
        client = client_of(balancer, tls=True)
        client.message(BODY)
        client.quit()
    for s in servers:
        check(f"([{CLIENT}])".encode() in s.messages("alice", 1)[0], "Received")


def test_limits_count_clients():
    servers = fleet(smtp_accept_max_per_host="2")
    balancer = Haproxy(servers[:1], 2)
    held = [client_of(balancer) for _ in range(2)]
    third = Smtp(balancer, source=(CLIENT, 0), banner=False)
    third.expect(421)
    third.closed()
    other = Smtp(balancer, source=("127.0.0.8", 0))
    other.cmd("EHLO client.example", 250)
    held[0].quit()
    client_of(balancer).quit()


# --- Without a balancer ---


def raw(server, data, source="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", server.port), LIMIT_S, source_address=(source, 0))
    s.sendall(data)
    return s


def answer(s):
    try:
        return s.recv(4096)
    except ConnectionError:
        return b""


def test_headers_by_hand():
    server = fleet()[0]
    for wrong in (
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 20,
    ):
        check_equal(answer(raw(server, wrong)), b"", f"after {wrong[:20]!r}")
    server.wait_log("connection", "result=refused", "reason=no-proxy-header", number=5)
    # Byte by byte, with commands of the client right behind it: none of them is lost or taken for the header.
    s = raw(server, b"")
    for byte in b"PROXY TCP6 2001:db8::7 2001:db8::1 1234 25\r\nEHLO client.example\r\nQUIT\r\n":
        s.sendall(bytes([byte]))
    got = b""
    while b"\r\n221" not in got:
        more = s.recv(4096)
        check(more != b"", f"closed after {got!r}")
        got += more
    check(re.match(rb"220 .*\r\n250-", got), got)
    server.wait_log("connection", "peer=2001:db8::7", "end=quit")
    # A client that is silent for ever is given up; so is one in the middle of a header.
    silent = [raw(server, b""), raw(server, b"PROXY TCP4 192.")]
    for s in silent:
        s.settimeout(LIMIT_S)
        check_equal(answer(s), b"", "a header that does not come")


def test_limits_count_networks():
    """A client of IPv6 has its network's addresses for nothing."""
    server = fleet(smtp_accept_max_per_host="2")[0]
    held = []
    for number, code in ((1, b"220"), (2, b"220"), (3, b"421")):
        held.append(raw(server, f"PROXY TCP6 2001:db8:1:2::{number} 2001:db8::1 1234 25\r\n".encode()))
        check_equal(answer(held[-1])[:3], code, f"number {number} of one network of 64 bits")
    other = raw(server, b"PROXY TCP6 2001:db8:1:3::1 2001:db8::1 1234 25\r\n")
    check_equal(answer(other)[:3], b"220", "another network")
    status = harness.run(harness.POSTERN, "status", "-c", server.conf_path)[1]
    check(" since the start, 1 refused\n" in status, status)


def test_others_are_not_believed():
    server = fleet()[0]
    s = raw(server, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 25\r\nQUIT\r\n", source="127.0.0.5")
    got = b""
    while b"\r\n221" not in got:
        more = s.recv(4096)
        check(more != b"", f"closed after {got!r}")
        got += more
    check(re.match(rb"220 .*\r\n500 ", got), got)
    server.wait_log("connection", "peer=127.0.0.5")


if __name__ == "__main__":
    harness.main(globals())
