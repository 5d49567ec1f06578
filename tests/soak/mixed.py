#!/usr/bin/env python3
"""A long time of ordinary mail and of everything that an operator does to a server meanwhile.

tests/soak/mixed.py MINUTES, or `make soak MINUTES=60`. Clients hand mail over in plaintext, in TLS 1.2 and 1.3, as
users who have logged in, by BDAT and from this machine (postern sendmail); it goes into Maildirs and on to a sink.
Options are read again, certificates and proofs renewed, the server is ended by SIGTERM and by kill -9 and started
anew. At the end each acknowledged message is there, unchanged; one is there twice only if a kill fell between its
delivery and the record of that. Memory and descriptors do not grow. Curves: build/soak/mixed.svg.
"""

import base64
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "interop"))

import harness
from harness import BUILD, POSTERN, Failed, Pki, Server, Smtp, body_of, check, check_equal, run, same_body, stuffed, wait_until
from load import number_of
from watch import Curves, ask, budget_kb, memory_kb, num_files

SECRET = "a password of 23 chars."
SETTLED_S = 20  # how old a delivered file is before it is looked at and taken away: its outcome is on disk then
KILL_WINDOW_S = 10  # what was delivered this long before a kill may come once more
PAUSE_S = 0.4  # between two messages of a client; the machine may be shared
LIMIT_DOUBLES_PER_KILL = 64  # as many as are under way at once


class Sink:
    """The next hop: takes everything, and remembers when each number came."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.arrived = []  # (number, body, time)
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            with peer, peer.makefile("rb") as lines:
                self._talk(peer, lines)
        except OSError:
            pass  # the server was killed

    def _talk(self, peer, lines):
        peer.sendall(b"220 sink.example ESMTP\r\n")
        for line in lines:
            word = line[:4].upper()
            if word == b"DATA":
                peer.sendall(b"354 Go on\r\n")
                body = self._content(lines)
                if body is None:
                    return
                with self.lock:
                    self.arrived.append((number_of(body), body, time.monotonic()))
            elif word == b"QUIT":
                peer.sendall(b"221 Bye\r\n")
                return
            peer.sendall(b"250 Ok\r\n")

    @staticmethod
    def _content(lines):
        """The text behind DATA, or None if the connection ended within."""
        content = []
        for line in lines:
            if line == b".\r\n":
                return b"".join(content)
            content.append(line[1:] if line.startswith(b".") else line)
        return None

    def take(self):
        with self.lock:
            taken, self.arrived = self.arrived, []
        return taken


class World:
    """What all clients share: which numbers were sent, which acknowledged, what has come."""

    def __init__(self, server, pki):
        self.server, self.pki = server, pki
        self.lock = threading.Lock()
        self.next_number = 1
        self.sent = {}  # number -> (length, places), until it has come
        self.acknowledged = {}  # number -> the places where it must come
        self.delivered = {}  # (number, place) -> time, of those which may yet come twice
        self.num_acknowledged = self.num_delivered = self.num_errors = self.num_handshakes_failed = 0
        self.kinds = {}
        self.doubles = []
        self.kills = []
        self.restarting = threading.Event()
        self.ending = threading.Event()

    def number(self, length, places):
        with self.lock:
            number = self.next_number
            self.next_number += 1
            self.sent[number] = (length, places)
        return number

    def acknowledge(self, number, places, kind):
        with self.lock:
            self.acknowledged.setdefault(number, set()).update(places)
            for place in places:
                if (number, place) in self.delivered:
                    self.acknowledged[number].discard(place)
            if not self.acknowledged[number]:
                del self.acknowledged[number]
            self.num_acknowledged += 1
            self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def deliver(self, number, place, message, when):
        with self.lock:
            check(number in self.sent, f"a message that nobody sent: {message[:300]!r}")
            length, places = self.sent[number]
            check(place in places, f"message {number} came to {place} and was for {places}")
            check(ends_with_body(message, number, length), f"message {number} was changed on its way: {message[:300]!r}")
            if (number, place) in self.delivered:
                self.doubles.append((number, place, self.delivered[number, place], when))
            else:
                self.num_delivered += 1
            self.delivered[number, place] = when
            left = self.acknowledged.get(number)
            if left is not None:
                left.discard(place)
                if not left:
                    del self.acknowledged[number]


def ends_with_body(message, number, length):
    body = body_of(number, length)
    return same_body(message, body) or message.endswith(body.replace(b"\r\n", b"\n")) or message.endswith(body)


def client_context(pki, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.root)
    context.minimum_version = context.maximum_version = version
    return context


LOCAL, FAR, BOTH = ("alice@test.example",), ("bob@remote.example",), ("alice@test.example", "bob@remote.example")


class Client(threading.Thread):
    """Message after message until the end, with some a connection; whatever fails is tried with a new connection."""

    def __init__(self, world, kind, places, tls=None, login=False, chunks=False, length=2000):
        super().__init__(daemon=True)
        self.world, self.kind, self.places, self.length = world, kind, places, length
        self.version, self.login, self.chunks = tls, login, chunks
        self.random = random.Random(kind)

    def run(self):
        while not self.world.ending.is_set():
            try:
                self._session()
            except (OSError, Failed) as e:
                self.world.num_errors += 1
                if isinstance(e, ssl.SSLError) and not self.world.restarting.is_set():
                    self.world.num_handshakes_failed += 1
                    print(f"        {self.kind}: {e}", flush=True)
                time.sleep(0.5)

    def _session(self):
        client = Smtp(self.world.server)
        try:
            client.cmd("EHLO client.example", 250)
            if self.version:
                client.starttls(client_context(self.world.pki, self.version))
                client.cmd("EHLO client.example", 250)
            if self.login:
                secret = base64.b64encode(f"\0alice\0{SECRET}".encode()).decode()
                client.cmd(f"AUTH PLAIN {secret}", 235)
            for _ in range(self.random.randint(1, 20)):
                if self.world.ending.is_set():
                    break
                self._message(client)
                time.sleep(PAUSE_S * self.random.uniform(0.5, 1.5))
            client.quit()
        finally:
            client.close()

    def _message(self, client):
        length = int(self.length * self.random.uniform(0.1, 2))
        number = self.world.number(length, self.places)
        body = body_of(number, length)
        client.envelope(self.places)
        if self.chunks:
            half = len(body) // 2
            client.send(f"BDAT {half}\r\n".encode() + body[:half] + f"BDAT {len(body) - half} LAST\r\n".encode() + body[half:])
            client.expect(250)
        else:
            client.cmd("DATA", 354)
            client.send(stuffed(body) + b".\r\n")
        client.expect(250)
        self.world.acknowledge(number, self.places, self.kind)


class Sendmail(threading.Thread):
    """A user of this machine who sends now and then; and one who asks how the server fares."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world = world

    def run(self):
        while not self.world.ending.is_set():
            number = self.world.number(500, LOCAL)
            body = body_of(number, 500).replace(b"\r\n", b"\n")
            done = subprocess.run(
                [POSTERN, "sendmail", "-C", self.world.server.conf_path, "-i", *LOCAL],
                input=body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
            )
            if done.returncode == 0:
                self.world.acknowledge(number, LOCAL, "sendmail")
            else:
                self.world.num_errors += 1
            ask(self.world.server, "queue", "list")
            time.sleep(5)


def collect(world, sink, age_s):
    """Looks at what has come, and takes it away once it is that old."""
    for number, body, when in sink.take():
        world.deliver(number, "bob@remote.example", body, when)
    now = time.time()
    for path in world.server.files("alice"):
        age = now - os.stat(path).st_mtime
        if age >= age_s:
            message = harness.content_of(path)
            os.unlink(path)
            world.deliver(number_of(message), "alice@test.example", message, time.monotonic() - age)


def check_proof(world, told):
    """A client that asks is shown a proof, and it is good and of the certificate that came with it."""
    status, out = run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{world.server.port}", "-starttls", "smtp", "-status",
        "-CAfile", world.pki.root, "-verify_return_error", text="QUIT\n", limit_s=60,
    )  # fmt: skip
    told["asked"] = told.get("asked", 0) + 1
    if "OCSP Response Data:" in out:
        check("Cert Status: good" in out, f"a proof that does not say good:\n{out}")
        shown = re.search(r"Serial Number: ([0-9A-F]+)", out).group(1)
        leaf = out[out.index("Server certificate") :]
        serial = run("openssl", "x509", "-noout", "-serial", text=leaf)[1].strip().split("=")[1]
        check_equal(shown, serial, "the serial number that the proof speaks of")
        told["served"] = told.get("served", 0) + 1
    elif status == 0 and not world.restarting.is_set():
        told["without"] = told.get("without", 0) + 1


class Operator:
    """Does to the server what operators do, and what happens to machines."""

    def __init__(self, world, proof, minutes):
        self.world, self.proof, self.life_s = world, proof, minutes * 60
        self.counts = {"reload": 0, "certificate": 0, "proof": 0, "kill": 0, "stop": 0}
        # A third of the time in the middle is one process's life, whose memory is looked at.
        shares = [0.04, 0.08, 0.10, 0.14, 0.17, 0.20, 0.84, 0.87, 0.90, 0.92]
        self.kills = [self.life_s * s for s in shares]
        self.stops = [self.life_s * s for s in (0.12, 0.88)]
        self.next_reload, self.next_proof, self.next_certificate = 15, 25, 40

    def act(self, now):
        server = self.world.server
        if self.kills and now > self.kills[0]:
            self.kills.pop(0)
            self._restart(server.kill)
            self.counts["kill"] += 1
        elif self.stops and now > self.stops[0]:
            self.stops.pop(0)
            self._restart(server.stop)
            self.counts["stop"] += 1
        elif now > self.next_certificate:
            self.next_certificate = now + 90
            self.world.pki.renew()
            self.world.pki.proof("good", self.proof)
            self._reload("certificate")
        elif now > self.next_proof:
            self.next_proof = now + 45
            self.world.pki.proof(random.choice(("good", "delegate", "large")), self.proof)
            self.counts["proof"] += 1  # and no signal: it is found
        elif now > self.next_reload:
            self.next_reload = now + 30
            server.configure(smtp_accept_max_nonmail=random.randint(20, 30))
            self._reload("reload")

    def _reload(self, what):
        self.world.server.send_signal(signal.SIGHUP)
        self.counts[what] += 1

    def _restart(self, end):
        self.world.restarting.set()
        end()
        self.world.kills.append(time.monotonic())
        self.world.server.start()
        time.sleep(0.5)
        self.world.restarting.clear()


def clients(world):
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    return [
        Client(world, "plain", LOCAL),
        Client(world, "large", LOCAL, length=60000),
        Client(world, "chunks", LOCAL, chunks=True),
        Client(world, "tls12", LOCAL, tls=v12),
        Client(world, "tls13", LOCAL, tls=v13, length=9000),
        Client(world, "login", FAR, tls=v13, login=True),
        Client(world, "login-both", BOTH, tls=v12, login=True, chunks=True),
        Sendmail(world),
    ]


def check_flat(lives, budget):
    """Within each process's life of some length memory is what it was after its first third, and descriptors too."""
    for samples in lives:
        if len(samples) < 30:
            continue
        third = len(samples) // 3
        for key, slack in (("rss_kb", 512), ("files", 8)):
            before = max(s[key] for s in samples[third : 2 * third])
            after = max(s[key] for s in samples[2 * third :])
            check(after <= before + slack, f"{key} grew from {before} to {after} within {samples[-1]['time'] - samples[0]['time']:.0f} s")
    most = max(s["hwm_kb"] for samples in lives for s in samples)
    check(most <= budget, f"VmHWM {most} KB, more than the budget of {budget} KB")
    print(f"        VmHWM at most {most} KB of {budget} KB; longest life {max(l[-1]['time'] - l[0]['time'] for l in lives):.0f} s")


def sample(world, begun, lives):
    server = world.server
    if not lives or lives[-1][0]["pid"] != server.pid:
        lives.append([])
    one = {
        "pid": server.pid,
        "time": time.monotonic() - begun,
        "rss_kb": memory_kb(server.pid, "VmRSS"),
        "hwm_kb": memory_kb(server.pid),
        "files": num_files(server.pid),
    }
    lives[-1].append(one)
    return one


def program_kb(server):
    """What the program takes before it has done anything: its text and libraries, which the budget does not count."""
    return memory_kb(server.pid, "VmExe") + memory_kb(server.pid, "VmLib")


def check_doubles(world):
    """Nothing comes twice but what a kill overtook."""
    for number, place, first, again in world.doubles:
        near = [k for k in world.kills if first <= k <= again and k - first <= KILL_WINDOW_S]
        check(place in FAR, f"message {number} was delivered to {place} twice; a Maildir gets each once, kill or not")
        check(near, f"message {number} came to {place} twice, {again - first:.1f} s apart, without a kill in between")
    check(len(world.doubles) <= LIMIT_DOUBLES_PER_KILL * len(world.kills), f"{len(world.doubles)} messages came twice")


def run_mixed(minutes):
    os.makedirs(os.path.join(BUILD, "soak"), exist_ok=True)
    pki = Pki(name="pki-soak")
    proof = pki.proof("good", os.path.join(pki.dir, "staple.der"))
    sink = Sink()
    server = Server(
        pki, proof, start=False, auth_users_file=os.path.join(pki.dir, "users"), retry_min="1s", retry_max="10s",
        route_list=f"* smtp:127.0.0.1:{sink.port}", submit_socket=os.path.join(pki.dir, "submit"), submit_rate="0",
        submission_user_rate="0", smtp_accept_max_nonmail="20",
    )  # fmt: skip
    check_equal(run(POSTERN, "passwd", "-c", server.conf_path, "--stdin", "alice", text=SECRET + "\n")[0], 0, "postern passwd")
    server.start()
    world = World(server, pki)
    operator = Operator(world, proof, minutes)
    curves = Curves("Mixed load")
    lives, told, begun = [], {}, time.monotonic()
    budget = budget_kb(server) + program_kb(server)
    threads = clients(world)
    for thread in threads:
        thread.start()
    next_sample = next_proof = next_word = 0
    while time.monotonic() - begun < minutes * 60:
        now = time.monotonic() - begun
        kills = len(world.kills)
        operator.act(now)
        if len(world.kills) > kills:
            curves.mark(now, "#d88")
        collect(world, sink, SETTLED_S)
        if now >= next_sample:
            next_sample = now + max(1, min(5, minutes * 60 / 400))
            one = sample(world, begun, lives)
            curves.add(
                one["time"], **{"resident memory, KB": one["rss_kb"], "most of it so far (VmHWM), KB": one["hwm_kb"],
                "descriptors": one["files"], "messages acknowledged": world.num_acknowledged},
            )  # fmt: skip
        if now >= next_proof:
            next_proof = now + 10
            check_proof(world, told)
        if now >= next_word:
            next_word = now + 60
            curves.write(os.path.join(BUILD, "soak/mixed.svg"))
            print(f"        {now / 60:.0f} min: {world.num_acknowledged} acknowledged, {one['rss_kb']} KB, {one['files']} descriptors, {operator.counts}", flush=True)
        time.sleep(0.2)
    finish(world, sink, threads)
    curves.write(os.path.join(BUILD, "soak/mixed.svg"))
    print(
        f"        {world.num_acknowledged} acknowledged {world.kinds}, {world.num_delivered} delivered, {len(world.doubles)} twice across a kill; "
        f"{operator.counts}; {world.num_errors} sessions cut, {world.num_handshakes_failed} handshakes failed; proofs {told}"
    )
    check(world.num_acknowledged > 0 and told.get("served"), "nothing was tried")
    check_doubles(world)
    check_flat(lives, budget)
    check(world.num_handshakes_failed == 0, f"{world.num_handshakes_failed} TLS handshakes failed while the server ran")
    check_equal(ask(server, "status")["connections"].split(" ")[0], "0", "connections left")


def finish(world, sink, threads):
    """The clients end; then all that was acknowledged comes."""
    world.ending.set()
    for thread in threads:
        thread.join(90)
        check(not thread.is_alive(), "a client still waits")

    def all_there():
        collect(world, sink, 0)
        return not world.acknowledged

    wait_until(all_there, f"{len(world.acknowledged)} acknowledged messages", 120)
    time.sleep(3)
    collect(world, sink, 0)


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    os.makedirs(harness.WORK, exist_ok=True)
    passed = harness.run_case("mixed", lambda: run_mixed(minutes))
    print(f"{int(passed)} passed, {int(not passed)} failed")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
