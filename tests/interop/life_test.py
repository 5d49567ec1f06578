#!/usr/bin/env python3
"""A server's life: signals, kill -9, new options, new certificates and proofs while it runs."""

import os
import random
import re
import shutil
import signal
import subprocess
import time

import harness
from harness import Failed, Pki, Server, Smtp, body_of, case_dir, check, check_equal, check_same_body, hello, run, stuffed, wait_until
from load import Load

MANY = {"smtp_accept_max": 300, "smtp_accept_max_per_host": 300}


def staple_of(s, p, version="1.3"):
    """The proof's thisUpdate and the certificate's serial number as a fresh s_client sees them."""
    status, out = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-status", "-crlf", "-ign_eof"),
        *("-tls" + version.replace(".", "_"), "-CAfile", p.root, "-verify_return_error", "-showcerts"),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status of s_client: " + out[-300:])
    update = re.search(r"This Update: (.*)", out)
    certificate = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", out, re.S)
    return update.group(1) if update else None, certificate.group(0)


# --- SIGTERM ---


def test_sigterm_idle():
    s = Server(Pki())
    idle = hello(s)
    busy = hello(s, tls=True)
    s.send_signal(signal.SIGTERM)
    check_equal(idle.reply()[0], 421, "to an idle client")
    idle.closed()
    check_equal(busy.reply()[0], 421, "to an idle client in TLS")
    s.wait_gone()
    try:
        hello(s)
    except OSError:
        return
    raise Failed("still listening")


def test_sigterm_in_message():
    """A message half sent is either finished with a 250 and kept, or cut with a 421 and forgotten."""
    s = Server()
    body = body_of(1, 50000)
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(stuffed(body)[:20000])
    time.sleep(0.1)
    s.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    acknowledged = False
    try:
        c.send(stuffed(body)[20000:] + b".\r\n")
        code, text = c.reply()
        check(code in (250, 421), f"{code} {text}")
        acknowledged = code == 250
    except (OSError, Failed) as e:
        if isinstance(e, Failed) and "closed" not in str(e):
            raise
    s.wait_gone()
    s.start()
    if acknowledged:
        check_same_body(s.messages("alice", 1)[0], body)
    time.sleep(0.3)
    check_equal(len(s.files("alice")), 1 if acknowledged else 0, "messages")


def test_sigterm_under_load():
    s = Server(**MANY)
    load = Load(s, 20, None, size=3000).start()
    wait_until(lambda: len(load.acknowledged) > 200, "200 messages")
    s.send_signal(signal.SIGTERM)
    load.enough = True
    load.wait()
    s.wait_gone()
    s.start()
    load.check_delivered()


# --- kill -9 ---


def launch(s):
    """Starts the server without waiting for it."""
    with open(s.log_path, "ab") as log:
        return subprocess.Popen([harness.POSTERN, "-c", s.conf_path], stdout=log, stderr=log)


def kill_rounds(rounds, spool_size, in_recovery):
    """Killed again and again in the middle of a load; in the end each acknowledged message is there once."""
    s = Server(**MANY, spool_size=spool_size, message_size_limit="8M", retry_min="1s", retry_max="2s")
    sent, acknowledged = {}, {}
    dice = random.Random(rounds)
    for number in range(rounds):
        size = dice.choice((500, 4000, 40000, 150000))
        load = Load(s, dice.choice((1, 5, 20)), None, size=size, first=number * 100000).start()
        time.sleep(dice.random() * 0.4)
        s.kill()
        load.enough = True
        load.wait()
        sent.update(load.sent)
        acknowledged.update(load.acknowledged)
        for _ in range(dice.randrange(3) if in_recovery else 0):
            again = launch(s)
            time.sleep(dice.random() * 0.03)
            again.kill()
            again.wait()
        s.start()
    load.sent, load.acknowledged = sent, acknowledged
    load.check_delivered()
    s.wait_delivered()
    s.stop()
    load.check_delivered()


def test_kill_under_load():
    kill_rounds(12, "128M", in_recovery=False)


def test_kill_in_recovery():
    kill_rounds(12, "128M", in_recovery=True)


def test_kill_with_a_small_spool():
    kill_rounds(12, "32M", in_recovery=True)


def test_kill_with_undelivered():
    """What could not be delivered before the kill is delivered after it."""
    s = Server()
    blocker = os.path.join(s.mail, "alice")
    with open(blocker, "w", encoding="ascii"):
        pass
    load = Load(s, 5, 20, size=20000).start()
    load.wait()
    check_equal(len(load.acknowledged), 100, f"acknowledged ({load.errors[:1]})")
    s.kill()
    os.remove(blocker)
    s.start()
    load.check_delivered()


def test_kill_large():
    """Killed within a message of many segments and right behind its 250."""
    s = Server()
    body = body_of(1, 3000000)
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(stuffed(body)[:2000000])
    s.kill()
    c.close()
    s.start()
    c = hello(s)
    c.message(body)
    s.kill()
    s.start()
    check_same_body(s.messages("alice", 1)[0], body)
    s.wait_delivered()
    time.sleep(0.3)
    check_equal(len(s.files("alice")), 1, "messages")


def test_read_mail_is_not_delivered_again():
    """A message that its reader has moved to cur/ before the outcome was durable is not delivered a second time."""
    s = Server(**MANY)
    load = Load(s, 10, None, size=1500).start()
    moved = set()
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        for path in s.files("alice"):
            os.rename(path, path.replace("/new/", "/cur/") + ":2,S")
            moved.add(path)
    s.kill()
    load.enough = True
    load.wait()
    s.start()
    wait_until(lambda: len(s.files("alice")) + len(s.files("alice", "cur")) >= len(load.acknowledged), "all messages")
    s.stop()
    names = [os.path.basename(x).split(":")[0] for x in s.files("alice") + s.files("alice", "cur")]
    check_equal(len(names), len(set(names)), "names in the Maildir, one each")
    numbers = []
    for path in s.files("alice") + s.files("alice", "cur"):
        with open(path, "rb") as f:
            numbers.append(re.search(rb"^X-Number: (\d+)", f.read(), re.M).group(1))
    check_equal(len(numbers), len(set(numbers)), "messages, one each")
    lost = {b"%d" % n for n in load.acknowledged} - set(numbers)
    check(not lost, f"lost: {sorted(lost)[:5]}")


def test_two_servers_one_spool():
    s = Server()
    other = Server(start=False, spool_directory=s.options["spool_directory"])
    with open(other.log_path, "wb") as log:
        done = subprocess.run([harness.POSTERN, "-c", other.conf_path], stdout=log, stderr=log, timeout=20, check=False)
    check(done.returncode != 0, "a second server took the same spool")
    check("spool" in other.log(), f"the log does not say why: {other.log()!r}")
    c = hello(s)
    c.message(body_of(1, 300))
    c.quit()


# --- SIGHUP ---


def test_spool_size_below_what_is_there():
    """The spool has grown to more than spool_size now says: check and the server say so, and what would do."""
    s = Server(start=False, spool_size="64M", message_size_limit="1M")
    spool = s.options["spool_directory"]
    os.makedirs(spool, exist_ok=True)
    for n in range(1, 84):
        with open(os.path.join(spool, f"segment-{n:08x}"), "wb") as f:
            f.truncate(1 << 20)
    for command in ((harness.POSTERN, "check", "-c", s.conf_path), (harness.POSTERN, "-c", s.conf_path)):
        status, out = run(*command)
        check(status == 78 and "spool_size: expected at least 83M, as spool_directory has 83 segments" in out, f"{status}: {out}")
    s.configure(spool_size="83M")
    status, out = run(harness.POSTERN, "check", "-c", s.conf_path)
    check_equal(status, 0, out)
    s.start()
    s.stop()


def test_sighup_new_options():
    s = Server()
    old = hello(s)
    old.cmd("RSET", 250)
    s.configure(local_domains="test.example : second.example", message_size_limit="200000")
    s.send_signal(signal.SIGHUP)

    def takes_second():
        c = hello(s)
        c.cmd("MAIL FROM:<sender@client.example>", 250)
        code = c.cmd("RCPT TO:<alice@second.example>")[0]
        c.close()
        return code == 250

    wait_until(takes_second, "the new options")
    check("SIZE 200000" in hello(s).ehlo, "SIZE is the old one")
    old.message(body_of(1, 300))  # the connection was kept
    old.quit()
    check_equal(len(s.messages("alice", 1)), 1, "messages")


def test_many_names():
    """What a reload takes, check, the commands and the next start take as well."""
    s = Server()
    domains = " : ".join(f"dom{n:03d}.example.org" for n in range(180))
    hosts = " ; ".join(f"10.0.{n // 200}.{n % 200}" for n in range(300))
    s.configure(local_domains=f"test.example : {domains}", relay_to_domains=domains.replace("dom", "rel"),
                hosts_proxy=f"<; {hosts}", relay_from_hosts=f"<; {hosts}")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "new options are in force" in s.log(), "the new options")
    for command in ("check", "queue"):
        status, out = run(harness.POSTERN, command, "-c", s.conf_path)
        check_equal(status, 0, out)
    s.stop()
    s.start()
    hello(s).message(body_of(1, 300), to="alice@dom179.example.org")


def test_sighup_right_behind_the_start():
    """A reload that comes while the server reads its options is kept for later, and does not end it. (Now and then one
    comes before it can keep anything.)"""
    s = Server(start=False)
    harness.started().append(s)
    num_ended = 0
    for _ in range(6):
        with open(s.log_path, "ab") as log:
            s.process = subprocess.Popen([harness.POSTERN, "-c", s.conf_path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        with open(f"/proc/{s.pid}/status", encoding="ascii") as f:
            while "NoNewPrivs:\t0" in f.read():  # that is the first that it does
                f.seek(0)
        s.send_signal(signal.SIGHUP)
        if wait_until(lambda: "ended" if not s.running() else s._ready(), "the banner") == "ended":
            num_ended += 1
        else:
            s.stop()
    check(num_ended <= 1, f"{num_ended} of 6 ended")


def test_sighup_wrong_options():
    s = Server()
    held = hello(s)
    s.configure(message_size_limit="plenty")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "message_size_limit" in s.log(), "a line that names the option")
    held.message(body_of(1, 300))
    c = hello(s)
    c.message(body_of(2, 300))
    c.quit()
    held.quit()
    with open(s.conf_path, "w", encoding="ascii") as f:
        f.write("no_such_option = 1\n")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "no_such_option" in s.log(), "a line that names the option")
    hello(s).quit()


def test_sighup_in_message():
    s = Server()
    c = hello(s)
    body = body_of(1, 100000)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(stuffed(body)[:40000])
    s.configure(message_size_limit="1M")
    s.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    c.send(stuffed(body)[40000:] + b".\r\n")
    c.expect(250)
    check_same_body(s.messages("alice", 1)[0], body)
    c.quit()


def test_sighup_listeners_and_tls():
    """Ports come and go, TLS comes, and what both configurations name stays open throughout."""
    p = Pki()
    s = Server(sandbox="no")
    held = hello(s)
    check("STARTTLS" not in held.ehlo, "STARTTLS without a certificate")
    s.configure(
        daemon_smtp_ports=f"{s.port} : {s.tls_port}",
        tls_on_connect_ports=f"{s.tls_port}",
        tls_certificate=p.chain,
        tls_privatekey=p.key,
        tls_ocsp_file=p.proof("good"),
    )
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "STARTTLS" in hello(s).ehlo, "STARTTLS")
    check(staple_of(s, p)[0], "no staple after the reload")
    in_tls = hello(s, tls=True)
    other = Pki("ec", name="other-key")
    s.configure(tls_privatekey=other.key)
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "the options stay" in s.log(), "the refusal of a key that does not fit")
    check(staple_of(s, p)[0], "no staple after a refused reload")
    s.configure(daemon_smtp_ports=f"{s.port}", tls_on_connect_ports=None, tls_certificate=None, tls_privatekey=None, tls_ocsp_file=None)
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "STARTTLS" not in hello(s).ehlo, "no STARTTLS")
    try:
        Smtp(s, tls=True)
        raise Failed("the second port is still open")
    except OSError:
        pass
    in_tls.message(body_of(1, 300))
    in_tls.quit()
    held.message(body_of(2, 300))
    held.quit()
    check_equal(len(s.messages("alice", 2)), 2, "messages")


def test_sighup_narrower_address():
    """What 0.0.0.0 holds cannot be opened beside it: the log says that a restart helps."""
    s = Server(sandbox="no", local_interfaces="0.0.0.0")
    s.configure(local_interfaces="127.0.0.1")
    s.send_signal(signal.SIGHUP)
    wait_until(lambda: "the options stay" in s.log(), "the refusal")
    check("in-use by this server itself, at another address: a restart is needed" in s.log(), s.log())
    hello(s).quit()


# --- A wrong start ---


def fails_to_start(s, *words):
    with open(s.log_path, "wb") as log:
        done = subprocess.run([harness.POSTERN, "-c", s.conf_path], stdout=log, stderr=log, timeout=20, check=False)
    check(done.returncode != 0, f"it started and left with 0:\n{s.log()}")
    for word in words:
        check(word in s.log(), f"no word of {word!r} in: {s.log()!r}")


def test_wrong_start():
    fails_to_start(Server(start=False, message_size_limit="plenty"), "message_size_limit")
    fails_to_start(Server(start=False, no_such_option="1"), "no_such_option")
    p = Pki()
    other = Pki("ec", name="other")
    fails_to_start(Server(p, start=False, tls_privatekey=other.key), "tls_privatekey")
    fails_to_start(Server(p, start=False, tls_certificate="/nonexistent/cert.pem"), "/nonexistent/cert.pem")
    taken = Server()
    s = Server(start=False, daemon_smtp_ports=f"{taken.port}")
    fails_to_start(s, f"{taken.port}")


# --- Certificates and proofs ---


def replaced(path, content_of):
    shutil.copy(content_of, path + ".new")
    os.rename(path + ".new", path)


def test_new_proof():
    """A proof that is replaced is served from the next second on; one that is no good evicts nothing, unless it says revoked."""
    p = Pki("ec", name="new-proof")
    path = os.path.join(case_dir(), "served.der")
    first = p.timed_proof(-7200, 86400, os.path.join(case_dir(), "first.der"))
    second = p.timed_proof(-3600, 86400, os.path.join(case_dir(), "second.der"))
    replaced(path, first)
    s = Server(p, path)
    kept = staple_of(s, p)[0]
    check(kept, "no staple at first")
    replaced(path, second)
    time.sleep(1.1)
    wait_until(lambda: staple_of(s, p)[0] not in (None, kept), "the second proof", 10)
    kept = staple_of(s, p)[0]
    for bad in ("expired", "future", "other", "no-next-update"):
        replaced(path, p.proof(bad))
        time.sleep(1.1)
        check_equal(staple_of(s, p)[0], kept, f"staple after a proof that is {bad}")
    with open(path, "wb") as f:
        f.write(b"no proof at all")
    time.sleep(1.1)
    check_equal(staple_of(s, p)[0], kept, "staple after a broken file")
    os.remove(path)
    time.sleep(1.1)
    staple_of(s, p)
    # What the issuer says later wins.
    p.timed_proof(-10, 86400, path)
    time.sleep(1.1)
    wait_until(lambda: staple_of(s, p)[0] not in (None, kept), "the third proof", 10)
    p.proof("revoked", path)
    time.sleep(1.1)
    wait_until(lambda: staple_of(s, p)[0] is None, "no staple once it is revoked", 10)
    wait_until(lambda: "none:revoked" in s.log(), "the reason in the log")


def test_proof_lapses():
    """Loaded while good, and no longer served once its time is up, without anybody touching the file."""
    p = Pki()
    path = p.timed_proof(-3600, 5, os.path.join(case_dir(), "short.der"))
    started = time.monotonic()
    s = Server(p, path, ocsp_margin="0s")
    check(staple_of(s, p)[0] or time.monotonic() - started > 4, "no staple at first")
    time.sleep(max(0.0, 6.5 - (time.monotonic() - started)))
    for version in ("1.2", "1.3"):
        check_equal(staple_of(s, p, version)[0], None, "staple after its nextUpdate")
    s.wait_log("connection", "ocsp=none:expired", number=2)


def test_margin():
    p = Pki()
    path = p.timed_proof(-3600, 200, os.path.join(case_dir(), "short.der"))
    s = Server(p, path)
    check_equal(staple_of(s, p)[0], None, "staple within the margin")
    s.wait_log("connection", "ocsp=none:expired")


def test_new_certificate():
    """Certificate, key and proof are one set: replaced one after the other, clients see the old set or the new one."""
    p = Pki("ec", name="new-certificate")
    where = case_dir()
    cert, key, proof = (os.path.join(where, x) for x in ("cert.pem", "key.pem", "proof.der"))
    shutil.copy(p.chain, cert)
    shutil.copy(p.key, key)
    p.timed_proof(-7200, 86400, proof)
    s = Server(p, proof, tls_certificate=cert, tls_privatekey=key)
    held = hello(s, tls=True)
    old = staple_of(s, p)
    check(old[0], "no staple at first")
    p.renew()
    replaced(cert, p.chain)
    time.sleep(1.2)
    check_equal(staple_of(s, p), old, "with a new certificate and the old key")
    replaced(key, p.key)
    p.timed_proof(-3600, 86400, proof)
    time.sleep(1.2)
    wait_until(lambda: staple_of(s, p)[1] != old[1], "the new certificate", 10)
    new = staple_of(s, p)
    check(new[0] and new[0] != old[0], f"staple of the new set: {new[0]}")
    held.message(body_of(1, 300))
    held.quit()
    with open(cert, "w", encoding="ascii") as f:
        f.write("no certificate\n")
    time.sleep(1.2)
    for _ in range(3):
        check_equal(staple_of(s, p), new, "with a broken certificate file")
    lines = [l for l in s.log().splitlines() if cert in l and "action=old-kept" in l]
    check(len(lines) == 1, f"a broken set is logged once, not {len(lines)} times:\n" + "\n".join(lines[:6]))


harness.main(globals())
