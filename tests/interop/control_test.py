#!/usr/bin/env python3
"""The control socket by hand: postern status and clock, and who may use them."""

import os
import re
import signal
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


def keys(out):
    return {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in out.splitlines() if ": " in line}


def test_status_of_proofs():
    """What is served until when, or why not, and how those fared who asked."""
    p = Pki()
    s = Server(p, p.proof("good"))
    hello(s, tls=True).quit()
    for asks in (("-status",), ()):
        run("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-quiet", *asks, text="QUIT\n")
    wait_until(lambda: keys(ask(s, "status")[1])["handshakes"] == "3", "three handshakes")
    told = keys(ask(s, "status")[1])
    check_equal(told["certificate"], p.chain, "certificate")
    check_equal(told["proof"], "served", "proof")
    check(told["until"].startswith("20"), told["until"])
    check(told["certificate-end"] > told["until"], str(told))
    check("next-refresh" in told, str(told))
    check_equal((told["handshakes"], told["asked"], told["served"]), ("3", "1", "1"), "counts")
    s.configure(tls_ocsp_file=p.proof("revoked"))
    s.send_signal(signal.SIGHUP)
    s.wait_log("reload")
    run("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-quiet", "-status", text="QUIT\n")
    told = wait_until(lambda: "withheld-revoked" in keys(ask(s, "status")[1]) and keys(ask(s, "status")[1]), "the count")
    check_equal((told["proof"], told["reason"], told["withheld-revoked"]), ("none", "revoked", "1"), "revoked")


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


# --- The queue ---


def with_waiting(number):
    """A server with that many messages that it cannot deliver, and their ids."""
    s = Server(maildir="/dev/null/$local_part", sandbox="no")
    c = hello(s)
    for i in range(number):
        c.message(body_of(i, 500), sender=f"sender{i}@client.example")
    c.quit()
    out = wait_until(lambda: all_wait(s, number), "all messages to wait")
    return s, [line.split()[0] for line in out.splitlines() if " waiting, " in line]


def all_wait(server, number):
    status, out = ask(server, "queue")
    check_equal(status, 0, out)
    return out if out.count(" waiting, age ") == number else None


def test_queue_list_and_show():
    s, ids = with_waiting(3)
    status, out = ask(s, "queue", "list")
    check_equal(status, 0, out)
    check(out.endswith("messages: 3\n"), out)
    check("bytes, from <sender1@client.example>\n    to <alice@test.example>\n" in out, out)
    check_equal(len(re.findall(r", next try in \w+, reason not-a-directory, \d+ bytes, from <sender\d@", out)), 3, out)
    status, out = ask(s, "queue", "show", ids[0])
    check_equal(status, 0, out)
    check(out.startswith(ids[0] + " waiting, "), out)
    check("\nrecipients: 1\n" in out and out.endswith("to <alice@test.example>, mailbox alice: waiting\n"), out)
    for words in (("show", "0000000000000"), ("show", "nonsense"), ("hold", "..")):
        status, out = ask(s, "queue", *words)
        check_equal(status, 65, out)
        check(f"postern: {words[1]}: there is no such message in the queue\n" in out, out)


def test_queue_long_list():
    """A list that is longer than any buffer, with more recipients than are listed."""
    s = Server(maildir="/dev/null/$local_part", local_users=" : ".join(f"user-{i:03}" for i in range(100)))
    c = hello(s)
    for i in range(60):
        c.cmd(f"MAIL FROM:<{'s' * 60}@{'d' * 60}.example>", 250)
        for k in range(100 if i == 0 else 10):
            c.cmd(f"RCPT TO:<user-{k:03}@test.example>", 250)
        c.cmd("DATA", 354)
        c.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        c.reply()
    status, out = ask(s, "queue")
    check_equal(status, 0, out[-300:])
    check(out.endswith("messages: 60\n"), out[-300:])
    check_equal(out.count(" bytes, from <" + "s" * 60), 60, "messages listed")
    check_equal(out.count("    to <user-"), 60 * 8, "recipients listed")
    check_equal(out.count("    and 2 more recipients\n"), 59, "lines that say how many more")
    check_equal(out.count("    and 92 more recipients\n"), 1, "the long one's")
    long_id = out[: out.index("    and 92 more")].splitlines()[-9].split()[0]
    status, out = ask(s, "queue", "show", long_id)
    check_equal(status, 0, out)
    check_equal([f"<user-{k:03}@" in out for k in range(100)], [True] * 100, "recipients shown")


def test_queue_hold_release_retry():
    s, ids = with_waiting(2)
    status, out = ask(s, "queue", "hold", *ids)
    check_equal(status, 0, out)
    check_equal(ask(s, "queue")[1].count(" held, "), 2, "messages held")
    status, out = ask(s, "queue", "hold", ids[0])
    check_equal(status, 65, out)
    check("it is held already" in out, out)
    check_equal(ask(s, "queue", "retry", ids[0])[0], 65, "to retry what is held")
    s.configure(maildir=os.path.join(s.mail, "$local_part"))
    s.kill()
    s.start()
    time.sleep(0.5)
    check_equal(s.files("alice"), [], "delivered though held")
    check_equal(ask(s, "queue", "release", ids[0])[0], 0, "to release one")
    s.messages("alice", 1)
    check_equal(ask(s, "queue", "release", ids[0])[0], 65, "to release what is gone")
    check_equal(ask(s, "queue", "release", ids[1])[0], 0, "to release the other")
    s.messages("alice", 2)
    wait_until(lambda: ask(s, "queue")[1] == "messages: 0\n", "the queue to be empty")


def test_queue_retry_and_flush():
    s, ids = with_waiting(2)
    s.configure(maildir=os.path.join(s.mail, "$local_part"))
    s.send_signal(signal.SIGHUP)
    s.wait_log("reload")
    check_equal(ask(s, "queue", "retry", ids[0])[0], 0, "to retry one")
    s.messages("alice", 1)
    time.sleep(0.3)
    check_equal(len(s.files("alice")), 1, "messages delivered")
    status, out = ask(s, "flush")
    check_equal((status, out), (0, "to be tried now: 1\n"), "flush")
    s.messages("alice", 2)


def test_queue_remove():
    s, ids = with_waiting(2)
    check_equal(ask(s, "queue", "remove", ids[0])[0], 0, "to remove one")
    wait_until(lambda: ask(s, "queue")[1].endswith("messages: 1\n"), "it to be gone")
    check_equal(ask(s, "queue", "remove")[0], 64, "without an id")
    check_equal(ask(s, "queue", "frobnicate", ids[1])[0], 64, "an unknown word")
    status, out = ask(s, "queue", "remove", ids[1], "--report")  # too late for it, once the message is gone
    check(status == 64 and "--report: not understood" in out, out)
    check(ids[1] in ask(s, "queue")[1], "a message that went without the report")


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
