#!/usr/bin/env python3
"""The control socket by hand: postern status and clock, and who may use them."""

import os
import socket
import stat
import subprocess
import time

import harness
from harness import POSTERN, Pki, Server, check, check_equal, hello, run, body_of, wait_until

NOBODY = 65534


def ask(server, *words):
    return run(POSTERN, *words, "-c", server.conf_path)


def control_path(server):
    return os.path.join(server.options["spool_directory"], "control")


def test_status():
    s = Server()
    c = hello(s)
    c.message(body_of(1, 1000))
    s.wait_delivered()
    status, out = ask(s, "status")
    check_equal(status, 0, out)
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    check_equal(lines["hostname"], "mail.test.example", "hostname")
    check(lines["connections"].startswith("1 of 250, "), lines["connections"])
    check(", 1 received, 1 delivered" in lines["messages"], lines["messages"])
    check_equal(lines["tls"], "none", "tls")
    s.stop()
    status, out = ask(s, "status")
    check_equal(status, 69, out)
    check(f"postern: {control_path(s)}: no server runs there" in out, out)


def test_socket_is_its_owners():
    s = Server()
    mode = os.stat(control_path(s)).st_mode
    check(stat.S_ISSOCK(mode), "it is a socket")
    check_equal(stat.S_IMODE(mode), 0o600, "its mode")
    if os.geteuid() != 0:
        print("        not root: nobody else to try it as")
        return
    # From a directory that everybody may enter, so that the socket's own mode decides.
    path = f"/tmp/postern-control-{os.getpid()}"
    s.stop()
    s.configure(control_socket=path)
    s.start()
    conf = path + ".conf"
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f"control_socket = {path}\n")
    os.chmod(conf, 0o644)
    program = path + ".postern"
    try:
        with open(POSTERN, "rb") as f, open(program, "wb") as copy:
            copy.write(f.read())
        os.chmod(program, 0o755)
        check_equal(run(program, "status", "-c", conf)[0], 0, "as root")
        done = subprocess.run(
            [program, "status", "-c", conf],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            preexec_fn=lambda: os.setuid(NOBODY),
            text=True,
        )
        check_equal(done.returncode, 77, done.stdout)
        check("permission-denied" in done.stdout, done.stdout)
    finally:
        os.unlink(conf)
        os.unlink(program)
        s.stop()
    check(not os.path.exists(path), "the socket goes with the server")


def test_left_by_a_dead_server():
    s = Server()
    s.kill()
    check(os.path.exists(control_path(s)), "a killed server leaves its socket")
    check_equal(ask(s, "status")[0], 69, "status of a dead server")
    s.start()
    check_equal(ask(s, "status")[0], 0, "status of the next one")


def test_wrong_arguments():
    s = Server(start=False)
    for words in (
        ("status", "all"),
        ("clock", "--set"),
        ("clock", "--set", "yesterday"),
        ("clock", "--trust", "--set", "2026-01-01T00:00:00Z"),
        ("clock", "now"),
    ):
        status, out = ask(s, *words)
        check_equal(status, 64, " ".join(words) + ": " + out)
    status, out = run(POSTERN, "status", "-c")
    check_equal(status, 64, out)
    status, out = run(POSTERN, "status", "-c", "/nowhere/postern.conf")
    check_equal(status, 78, out)
    check("/nowhere/postern.conf: absent" in out, out)


def test_clock():
    """On a machine that nobody synchronises, a proof is served once the time is set by hand, and then at once."""
    p = Pki()
    s = Server(p, p.proof("good"), clock_trusted="auto")
    status, out = ask(s, "clock")
    check_equal(status, 0, out)
    if "synchronised by the system" in out:
        status, out = ask(s, "clock", "--set", "2030-01-01T00:00:00Z")
        check_equal(status, 65, out)
        check("the system is synchronised: its clock counts" in out, out)
        return
    check("not believed: nobody has set it" in out, out)
    status, out = ask(s, "clock", "--set", "2020-01-01T00:00:00Z")
    check_equal(status, 65, out)
    check("that is before the floor" in out, out)
    check("clock-not-set" in ask(s, "status")[1], "why no proof is served")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    status, out = ask(s, "clock", "--set", now)
    check_equal(status, 0, out)
    check("by hand" in out, out)
    check(wait_until(lambda: s.log_lines("staple", "state=served"), "the proof to be served"), "staple")
    status, out = ask(s, "clock", "--reset-floor")
    check_equal(status, 0, out)
    check("not believed" in out, out)
    check_equal(ask(s, "clock", "--trust")[0], 0, "to trust the machine's clock")


def test_many_silent_askers():
    """Whoever opens the socket and says nothing keeps nobody out, neither there nor from mail."""
    s = Server()
    silent = []
    for _ in range(20):
        c = socket.socket(socket.AF_UNIX)
        c.connect(control_path(s))
        silent.append(c)
    check_equal(ask(s, "status")[0], 0, "status")
    hello(s).message(body_of(1, 1000))
    s.wait_delivered()
    for c in silent:
        c.close()


harness.main(globals())
