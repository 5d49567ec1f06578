#!/usr/bin/env python3
"""The server that root has started: whom it becomes, what it can still do then, and what it says it cannot.

All of it needs root; what it tests is another user, who must be able to reach its files, so they lie in /tmp.
"""

import atexit
import base64
import os
import re
import select
import shutil
import signal
import socket
import sys
import tempfile
import time

import harness
from harness import POSTERN, Pki, Server, body_of, check, check_equal, check_same_body, hello, run, wait_until

UID, GID = 1234, 4321
EX_CONFIG = 78
UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def status_of(s):
    """What the kernel says of each of its threads."""
    threads = []
    for task in os.listdir(f"/proc/{s.pid}/task"):
        with open(f"/proc/{s.pid}/task/{task}/status", encoding="ascii") as f:
            threads.append(dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line))
    return threads


def readable(pki):
    """Its keys, for the server's group and nobody else."""
    for name in os.listdir(pki.dir):
        path = os.path.join(pki.dir, name)
        if os.path.isfile(path):
            os.chown(path, 0, GID)
            os.chmod(path, 0o640)
    return pki


def server(*args, start=True, **options):
    s = Server(*args, start=False, **{"user": str(UID), "group": str(GID), **options})
    os.chmod(s.dir, 0o755)
    if "maildir" not in options:
        s.mail = os.path.join(s.dir, "own", "mail")  # the server makes it
        s.configure(maildir=os.path.join(s.mail, "$local_part"))
    if start:
        s.start()
    return s


def deliver(s, number=1):
    c = hello(s)
    body = body_of(number, 2000)
    c.message(body)
    c.quit()
    wait_until(lambda: any(harness.same_body(m, body) for m in s.messages("alice")), "the message")


def low_port():
    """One that only root may bind; None: there is none here."""
    with open(UNPRIVILEGED, encoding="ascii") as f:
        first = int(f.read())
    for port in range(min(first, 1024) - 1, 600, -1):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    return None


def test_becomes_a_user():
    s = server()
    wait_until(lambda: all(int(t["CapPrm"], 16) == 0 for t in status_of(s)), "both threads to give up what they need not")
    for thread in status_of(s):
        check_equal(thread["Uid"].split(), [str(UID)] * 4, "its user")
        check_equal(thread["Gid"].split(), [str(GID)] * 4, "its group")
        check_equal(thread["Groups"].split(), [], "its other groups")
        check_equal(int(thread["CapEff"], 16) | int(thread["CapPrm"], 16) | int(thread["CapInh"], 16), 0, "its capabilities")
        check_equal(thread["NoNewPrivs"], "1", "no new privileges")
        line = s.wait_log("sandbox")[0]
        check_equal(thread.get("Seccomp", "0"), "2" if "seccomp=yes" in line else "0", line)
    with open(f"/proc/{s.pid}/limits", encoding="ascii") as f:
        limits = f.read()
    check(re.search(r"^Max core file size +0 +0 ", limits, re.M), limits)
    check(re.search(r"^Max processes +0 +0 ", limits, re.M), limits)
    check(f"uid={UID} gid={GID}" in line, line)
    check_equal(os.stat(f"/proc/{s.pid}/environ").st_uid, 0, "whose its memory is")
    deliver(s)
    for path in [s.options["spool_directory"], *s.files("alice")]:
        check_equal((os.stat(path).st_uid, os.stat(path).st_gid), (UID, GID), path)
    status, out = run(POSTERN, "status", "-c", s.conf_path)
    check(status == 0 and "delivered since the start" in out, out)
    s.stop()
    s.start()  # with what it has left
    deliver(s, 2)


def test_reload_and_renewals():
    """New certificates and proofs, options and aliases are read by the user that it has become."""
    p = Pki("ec", name="privilege-renewed")
    proofs = os.path.join(harness.case_dir(), "proofs")
    os.makedirs(proofs)
    proof = p.timed_proof(-7200, 86400, os.path.join(proofs, "proof.der"))
    os.chmod(proof, 0o644)
    s = server(readable(p), proof)

    def serial():
        _, out = run("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-status", text="QUIT\n")
        cert = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", out, re.S)
        update = re.search(r"This Update: (.*)", out)
        return cert and cert.group(0), update and update.group(1)

    before = serial()
    check(before[1], "no staple at first")
    p.renew()
    p.timed_proof(-3600, 86400, proof + ".new")
    os.chmod(proof + ".new", 0o644)
    os.rename(proof + ".new", proof)
    readable(p)
    s.configure(message_size_limit="100K")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "new options are in force" in s.log(), "the new options")
    wait_until(lambda: serial()[0] != before[0], "the new certificate", 20)
    check(serial()[1] not in (None, before[1]), "the new proof")
    check("SIZE 102400" in hello(s).ehlo, "the new limit")
    deliver(s)


def test_key_that_only_root_reads():
    p = Pki("ec", name="privilege-closed")
    readable(p)
    os.chmod(p.key, 0o600)
    s = server(p, start=False)
    for command in ((POSTERN, "check", "-c", s.conf_path), (POSTERN, "-c", s.conf_path)):
        status, out = run(*command)
        check_equal(status, 77, out)
        check(p.key in out and "denied" in out and f"user with uid {UID}, or its group {GID}" in out, out)
    os.chmod(p.key, 0o640)
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    check_equal(status, 0, out)


def test_new_low_port_needs_a_restart():
    port = low_port()
    if port is None:
        print("skipped: no port here is root's alone")
        return
    s = server()
    s.configure(daemon_smtp_ports=f"{s.port} : {port}")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "the options stay" in s.log(), "the refusal")
    check(f"port {port}: permission-denied" in s.log() and "need a restart" in s.log(), s.log())
    deliver(s)
    s.stop()
    s.start()
    with socket.create_connection(("127.0.0.1", port), 10) as c:
        check(c.recv(100).startswith(b"220"), "no banner at the low port")
    s.send_signal(signal.SIGHUP)  # it is there already
    wait_until(lambda: "new options are in force" in s.log(), "the new options")
    deliver(s, 2)


def test_new_high_port_does_not():
    s = server()
    other = harness.free_port()
    s.configure(daemon_smtp_ports=f"{s.port} : {other}")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "new options are in force" in s.log(), "the new options")
    with socket.create_connection(("127.0.0.1", other), 10) as c:
        check(c.recv(100).startswith(b"220"), "no banner at the new port")


def test_options_that_need_a_restart():
    s = server()
    for name, value in (("maildir", "/tmp/elsewhere/$local_part"), ("user", "4444"), ("sandbox", "no")):
        old = s.options.get(name)
        s.configure(**{name: value})
        s.send_signal(signal.SIGHUP)
        s.wait_log(f"option={name}", "result=needs-restart")
        s.configure(**{name: old})
        s.send_signal(signal.SIGHUP)
        time.sleep(0.2)
    s = server(route_list="* discard-with-bounce")
    check("connects=no" in s.wait_log("sandbox")[0], s.log())
    s.configure(route_list="* mx")
    s.send_signal(signal.SIGHUP)
    s.wait_log("option=route_list", "result=needs-restart")


def test_segments_of_somebody_else():
    """After "chown" without -R: the server does not start, and puts nothing aside; the mail is there once it may."""
    s = server(maildir="/proc/nowhere/$local_part")
    s.mail = os.path.join(s.dir, "own", "mail")
    c = hello(s)
    body = body_of(1, 2000)
    c.message(body)
    s.stop()
    spool = s.options["spool_directory"]
    segments = [os.path.join(spool, n) for n in sorted(os.listdir(spool)) if n.startswith("segment-")]
    for path in segments:
        os.chown(path, 0, 0)
    s.configure(maildir=os.path.join(s.mail, "$local_part"))
    out = run(POSTERN, "check", "-c", s.conf_path)[1]
    check(f"spool_directory {spool}: cannot be used: permission-denied" in out and "configuration: ok" not in out, out)
    status, out = run(POSTERN, "-c", s.conf_path)
    check(status != 0 and "reason=permission-denied" in out, f"{status}: {out}")
    check("lost" not in out and all(os.path.exists(path) for path in segments), out)
    for path in segments:
        os.chown(path, UID, GID)
    s.start()
    out = run(POSTERN, "check", "-c", s.conf_path)[1]
    check("configuration: ok" in out, out)
    check_same_body(s.messages("alice", 1)[0], body)


def test_spool_on_a_read_only_file_system():
    """As flash is after an error: told as what it is, not as a matter of rights; the mail is there once it can be written."""
    s = server(maildir="/proc/nowhere/$local_part")
    s.mail = os.path.join(s.dir, "own", "mail")
    c = hello(s)
    body = body_of(1, 2000)
    c.message(body)
    s.stop()
    spool = s.options["spool_directory"]
    s.configure(maildir=os.path.join(s.mail, "$local_part"))
    prefix = ("unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', spool)
    for more in (("check",), ()):
        status, out = run(*prefix, POSTERN, *more, "-c", s.conf_path)
        check(f"spool_directory {spool}: cannot be used: read-only" in out and "uid" not in out, out)
        check("configuration: ok" not in out and "lost" not in out, out)
    check_equal(status, 74, "exit status of the start")
    s.start()
    check_same_body(s.messages("alice", 1)[0], body)


def test_maildir_of_somebody_else():
    """Mail waits, and the log says why; once it may, it is delivered."""
    theirs = os.path.join(harness.case_dir(), "theirs")
    os.makedirs(theirs, 0o755)
    s = server(maildir=os.path.join(theirs, "$local_part"))
    s.mail = theirs
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    check(f"maildir {theirs}/" in out and "cannot be used: permission-denied" in out, out)
    c = hello(s)
    body = body_of(1, 500)
    c.message(body)
    s.wait_log("result=deferred", "reason=permission-denied")
    os.chown(theirs, UID, GID)
    check_equal(run(POSTERN, "flush", "-c", s.conf_path)[0], 0, "flush")
    check_same_body(s.messages("alice", 1)[0], body)
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    check(status == 0 and "cannot be used" not in out, out)


def test_spool_of_somebody_else():
    s = server(start=False)
    os.makedirs(s.options["spool_directory"], 0o700)
    for command in ((POSTERN, "check", "-c", s.conf_path), (POSTERN, "-c", s.conf_path)):
        _, out = run(*command)
        check("spool" in out and "denied" in out, out)
    os.chown(s.options["spool_directory"], UID, GID)
    s.start()
    deliver(s)


def test_directories_that_end_in_slashes():
    """In a directory of root's, where only root can make them."""
    s = server(start=False)
    own = os.path.join(s.dir, "made")
    os.mkdir(own, 0o755)
    s.configure(spool_directory=own + "/queue/", outbox_directory=own + "/outbox//", control_socket=os.path.join(s.dir, "run", "control"), submit_socket=os.path.join(s.dir, "run", "submit"))
    _, out = run(POSTERN, "check", "-c", s.conf_path)
    check("cannot be used" not in out, out)
    s.start()
    deliver(s)
    for name in ("queue", "outbox"):
        check_equal(os.stat(os.path.join(own, name)).st_uid, UID, name)


def test_nobody_to_become():
    s = server(start=False, user="no-such-user")
    for command in ((POSTERN, "check", "-c", s.conf_path), (POSTERN, "-c", s.conf_path)):
        status, out = run(*command)
        check_equal(status, EX_CONFIG, out)
        check("user: found 'no-such-user', expected a user of /etc/passwd, or a number" in out, out)


def test_without_the_sandbox():
    s = server(sandbox="no")
    line = s.wait_log("sandbox")[0]
    check("seccomp=no" in line and "landlock=0" in line, line)
    for thread in status_of(s):
        check_equal(thread["Uid"].split(), [str(UID)] * 4, "its user")
        check_equal(thread.get("Seccomp", "0"), "0", "seccomp")
    deliver(s)


def test_local_users_hand_in():
    """The submit socket with a group, and the outbox, are opened by the user that it becomes."""
    sockets = os.path.join(harness.case_dir(), "run")
    s = server(submit_socket=os.path.join(sockets, "submit"), submit_socket_group="5555", outbox_directory=os.path.join(harness.case_dir(), "outbox"))
    info = os.stat(s.options["submit_socket"])
    check_equal((info.st_uid, info.st_gid, info.st_mode & 0o777), (UID, 5555, 0o660), "the submit socket")
    check_equal(os.stat(sockets).st_uid, UID, "whose its directory is")
    status, out = run(POSTERN, "sendmail", "-C", s.conf_path, "alice@test.example", text="Subject: by hand\n\nhi\n")
    check_equal(status, 0, out)
    check(b"Subject: by hand" in s.messages("alice", 1)[0], "the message")


def memory_of(s):
    """All that it can write to."""
    found = []
    with open(f"/proc/{s.pid}/maps", encoding="ascii") as maps, open(f"/proc/{s.pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, access = line.split()[:2]
            if "w" in access:
                begin, end = (int(at, 16) for at in span.split("-"))
                memory.seek(begin)
                found.append(memory.read(end - begin))
    return b"".join(found)


def test_passwords_that_root_sets():
    """A users file that postern passwd makes is the server's to read, and nobody else's; its owner may then change that."""
    p = readable(Pki(name="pki-passwd"))
    users = os.path.join(harness.case_dir(), "users")
    s = server(p, start=False, auth_users_file=users)
    for name, mode in (("alice", 0o640), ("bob", 0o400)):
        status, out = run(POSTERN, "passwd", "-c", s.conf_path, "--stdin", name, text="secret\n")
        check_equal(status, 0, out)
        info = os.stat(users)
        check_equal((info.st_uid, info.st_gid, info.st_mode & 0o777), (0, GID, mode), "the users file")
        os.chmod(users, 0o400)
    os.chmod(users, 0o640)
    s.start()


def test_secrets_are_wiped():
    """Of a key that has been read there is no file's text left, of a login, granted or not, no password."""
    p = Pki("ec", name="privilege-wiped")
    s = server(readable(p), start=False)
    s.configure(auth_users_file=os.path.join(s.dir, "users"))
    password, wrong = "correct horse 5Zq8", "wrong donkey 7Xk2"
    status, out = run(POSTERN, "passwd", "-c", s.conf_path, "--stdin", "alice", text=password + "\n")
    check_equal(status, 0, out)
    os.chown(s.options["auth_users_file"], UID, GID)
    s.start()
    for word, code in ((wrong, 535), (password, 235)):
        plain = base64.b64encode(b"\0alice\0" + word.encode()).decode()
        c = hello(s, tls=True)
        c.send(f"AUTH PLAIN {plain}".encode())  # and no end of the line yet
        wait_until(lambda what=plain.encode(): what in memory_of(s), "the password in its memory")
        c.cmd("", code)
        c.quit()
    with open(p.key, "rb") as f:
        key = [line for line in f.read().split(b"\n") if line and not line.startswith(b"-")]
    time.sleep(0.3)
    memory = memory_of(s)
    for what, text in (("key", key[0]), ("key", key[1]), ("password", password.encode()), ("wrong password", wrong.encode())):
        at = memory.find(text)
        check(at < 0, f"the {what} is in its memory: {memory[max(at - 40, 0):at + 60]!r}")
        coded = base64.b64encode(b"\0alice\0" + text)[:-4]
        at = memory.find(coded)
        check(at < 0, f"the {what} is in its memory, as base64: {memory[max(at - 40, 0):at + 60]!r}")


class Logger:
    """The system's log as the server sees it: /dev/log in a /dev of its own, whose socket comes and goes."""

    def __init__(self):
        self.dev = os.path.join(harness.case_dir(), "dev")
        os.makedirs(self.dev)
        with open(os.path.join(self.dev, "null"), "wb"):
            pass
        self.prefix = ("unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$0/null" && mount --rbind "$0" /dev && exec "$@"', self.dev)
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.join(self.dev, "log"))
        os.chmod(os.path.join(self.dev, "log"), 0o666)
        self.socket.settimeout(harness.LIMIT_S)

    def close(self):
        self.socket.close()
        os.remove(os.path.join(self.dev, "log"))

    def wait(self, word):
        """The next line with that word, of those that come."""
        while True:
            line = self.socket.recv(8192).decode()
            check(re.match(r"<2\d>postern\[\d+\]: ", line), line)  # facility mail
            if word in line:
                return line


def test_log_socket_made_anew():
    """As the system's logger makes one when it starts again: found from inside of the sandbox, by the user that it is."""
    logger = Logger()
    s = server(start=False, log_file_path="syslog", route_list="* discard-with-bounce")
    s.prefix = logger.prefix
    s.start()
    line = logger.wait("sandbox")
    check(f"uid={UID}" in line and "connects=local" in line, line)
    deliver(s)
    logger.wait("result=delivered")
    logger.close()
    deliver(s, 2)  # told to nobody, and nobody waits for it
    logger.open()
    number = 3
    while not select.select([logger.socket], [], [], 0)[0]:  # it is looked for once a second, if there is something to tell
        check(number < 60, "nothing has come")
        deliver(s, number)
        number += 1
        time.sleep(0.1)
    line = logger.wait("log dropped=")
    check(int(line.split("=")[1]) > 0, line)
    deliver(s, number)
    logger.wait("result=delivered")
    check_equal(s.log(), "", "stderr")


def test_log_socket_replaced():
    """A logger that has started again while nothing was said gets the next line, too."""
    logger = Logger()
    s = server(start=False, log_file_path="syslog", route_list="* discard-with-bounce")
    s.prefix = logger.prefix
    s.start()
    deliver(s)
    logger.wait("result=delivered")
    time.sleep(1.2)
    logger.close()
    logger.open()
    deliver(s, 2)
    first = logger.wait("")
    check("dropped=" not in first, first)
    check("dropped=" not in logger.wait("result=delivered"), "a line was dropped")
    check_equal(s.log(), "", "stderr")


def main():
    if os.geteuid() != 0:
        print("skipped: only root can become another user")
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.umask(0o022)
    harness.WORK = tempfile.mkdtemp(prefix="postern-privilege-", dir="/tmp")
    os.chmod(harness.WORK, 0o755)
    owner = os.getpid()
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(harness.WORK, ignore_errors=True))
    harness.main(globals())


if __name__ == "__main__":
    main()
