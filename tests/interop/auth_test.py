#!/usr/bin/env python3
"""Logins (AUTH): the clients that people have, a SCRAM client of our own, and what must not work.

swaks, msmtp, curl and smtplib log in with what they know; OpenSSL shows that SCRAM-SHA-256-PLUS is bound
to the session's exporter. Users are made with `postern passwd`.
"""

import base64
import hashlib
import hmac
import os
import pty
import re
import smtplib
import ssl
import subprocess
import termios

import harness
from harness import LIMIT_S, POSTERN, Failed, Pki, Server, Smtp, case_dir, check, check_equal, run

PASSWORD = harness.keep_secret("correct horse, battery=staple")


def passwd(server, *words, text="", want=0):
    status, out = run(POSTERN, "passwd", "-c", server.conf_path, *words, text=text)
    check_equal(status, want, f"postern passwd {words}: {out}")
    return out


def server(**options):
    """Postern with TLS and a user, alice."""
    pki = Pki("ec")
    s = Server(pki, start=False, **{"log_level": "debug", **options})
    s.options["auth_users_file"] = os.path.join(s.dir, "users")
    s.configure()
    passwd(s, "--stdin", "alice", text=PASSWORD + "\n")
    s.start()
    s.pki = pki
    return s


def context(version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = version
    return c


def tls_client(s, version=None, host="127.0.0.1"):
    """Connected from that address, after STARTTLS and the second EHLO."""
    client = Smtp(s, source=(host, 0))
    client.plain_ehlo = client.cmd("EHLO client.example", 250)
    client.starttls(context(version))
    client.ehlo = client.cmd("EHLO client.example", 250)
    return client


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def plain(user, password, authzid=""):
    if len(password) > 4:
        harness.keep_secret(password)
    return "AUTH PLAIN " + b64(f"{authzid}\0{user}\0{password}")


def received_with(message):
    return re.search(rb"\bwith (\S+)", message).group(1).decode()


# --- Who is offered what ---


def test_offers():
    s = server()
    old = tls_client(s, ssl.TLSVersion.TLSv1_2)
    new = tls_client(s, ssl.TLSVersion.TLSv1_3)
    check("AUTH" not in old.plain_ehlo, "AUTH in plaintext")
    check("AUTH PLAIN LOGIN SCRAM-SHA-256\n" in old.ehlo + "\n", old.ehlo)
    check("AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\n" in new.ehlo + "\n", new.ehlo)
    in_plaintext = harness.hello(s)
    in_plaintext.cmd(plain("alice", PASSWORD), 538)
    check("5.7.11" in in_plaintext.cmd("AUTH SCRAM-SHA-256", 538), "the enhanced code of 538")
    new.cmd("AUTH CRAM-MD5", 504)
    old.cmd("AUTH SCRAM-SHA-256-PLUS", 504)
    implicit = Smtp(s, tls=True)
    check("AUTH PLAIN LOGIN" in implicit.cmd("EHLO client.example", 250), "AUTH where TLS begins at once")
    implicit.cmd(plain("alice", PASSWORD), 235)
    none = harness.hello(Server(Pki("ec")), tls=True)
    check("AUTH" not in none.ehlo, "AUTH without users")
    none.cmd(plain("alice", PASSWORD), 502)


def test_states():
    s = server(smtp_max_synprot_errors="20")
    client = tls_client(s)
    client.cmd("MAIL FROM:<a@client.example> AUTH=a+3Db@x", 250)
    client.cmd(plain("alice", PASSWORD), 503)
    client.cmd("RSET", 250)
    check("5.7.8" in client.cmd(plain("alice", "guessed"), 535), "the enhanced code of 535")
    client.cmd("AUTH LOGIN", 334)
    client.cmd("*", 501)
    client.cmd("AUTH PLAIN", 334)
    client.cmd("no base64", 501)
    client.cmd(plain("alice", PASSWORD), 235)
    client.cmd(plain("alice", PASSWORD), 503)
    check("AUTH" not in client.cmd("EHLO client.example", 250), "AUTH after a login")
    client.message(b"Subject: x\r\n\r\nfrom alice\r\n")
    message = s.messages("alice", 1)[0]
    check_equal(received_with(message), "ESMTPSA", "Received")
    s.wait_log("message", 'user="alice"')
    client.quit()
    s.wait_log("login", "result=granted", 'user="alice"')


# --- Who is let in ---


def test_smtplib():
    s = server()
    for mechanism in ("PLAIN", "LOGIN"):
        with smtplib.SMTP("127.0.0.1", s.port, timeout=LIMIT_S) as client:
            client.starttls(context=context())
            client.ehlo()
            client.user, client.password = "alice", PASSWORD
            code, _ = client.auth(mechanism, getattr(client, "auth_" + mechanism.lower()))
            check_equal(code, 235, mechanism)
            client.sendmail("a@client.example", ["alice@test.example"], "Subject: x\r\n\r\nx\r\n")
    for message in s.messages("alice", 2):
        check_equal(received_with(message), "ESMTPSA", "Received")


def test_swaks():
    s = server()
    for mechanism in ("PLAIN", "LOGIN"):
        status, out = run(
            "swaks", "--server", "127.0.0.1", "--port", str(s.port), "--tls", "--auth", mechanism,
            "--auth-user", "alice", "--auth-password", PASSWORD, "--to", "alice@test.example", "--from", "a@client.example",
        )
        check_equal(status, 0, f"swaks, {mechanism}: {out}")
    status, out = run(
        "swaks", "--server", "127.0.0.1", "--port", str(s.port), "--tls", "--auth", "PLAIN",
        "--auth-user", "alice", "--auth-password", "wrong", "--to", "alice@test.example", "--from", "a@client.example",
    )
    check_equal(status, 28, f"swaks with a wrong password: {out}")
    check_equal(len(s.messages("alice", 2)), 2, "messages")


def test_msmtp():
    s = server()
    known = run("msmtp", "--version")[1]
    tried = 0
    for mechanism in ("plain", "login", "scram-sha-256", "scram-sha-256-plus"):
        if mechanism not in known.lower():
            continue
        tried += 1
        status, out = run(
            "msmtp", "--host=127.0.0.1", f"--port={s.port}", "--tls", "--tls-certcheck=off", f"--auth={mechanism}",
            "--user=alice", f"--passwordeval=printf '%s' '{PASSWORD}'", "--from=a@client.example", "alice@test.example",
            text="Subject: x\n\nx\n",
        )
        check_equal(status, 0, f"msmtp, {mechanism}: {out}")
        check_equal(received_with(s.messages("alice", tried)[-1]), "ESMTPSA", "Received")
    check(tried >= 2, known)


def test_curl():
    s = server()
    path = os.path.join(case_dir(), "message")
    with open(path, "w", encoding="ascii", newline="\r\n") as f:
        f.write("Subject: x\n\nx\n")
    for mechanism in ("PLAIN", "LOGIN"):
        status, out = run(
            "curl", "-sS", "-k", "--ssl-reqd", f"smtp://127.0.0.1:{s.port}", "--user", f"alice:{PASSWORD}",
            "--login-options", f"AUTH={mechanism}", "--mail-from", "a@client.example",
            "--mail-rcpt", "alice@test.example", "-T", path,
        )
        check_equal(status, 0, f"curl, {mechanism}: {out}")
    check_equal(len(s.messages("alice", 2)), 2, "messages")


# --- SCRAM, by hand ---


class Scram:
    """RFC 5802's client, apart from Postern's own."""

    def __init__(self, user, password, gs2="n,,", binding=b"", nonce="fyko+d2lbbFgONRv9qkxdawL"):
        self.password, self.gs2, self.binding, self.nonce = password, gs2, binding, nonce
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.first = gs2 + self.bare

    def final(self, challenge):
        found = re.fullmatch(r"r=([^,]+),s=([^,]+),i=(\d+)", challenge)
        check(found and found.group(1).startswith(self.nonce), f"no challenge: {challenge}")
        nonce, self.salt, self.iterations = found.group(1), found.group(2), int(found.group(3))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(self.salt), self.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={b64(self.gs2.encode() + self.binding)},r={nonce}"
        text = f"{self.bare},{challenge},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), text, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.expected = "v=" + b64(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), text, "sha256"))
        return f"{without_proof},p={b64(proof)}"


def do_scram(cmd, scram, mechanism="SCRAM-SHA-256"):
    """The exchange over cmd(line) -> (code, text); the last code."""
    code, text = cmd(f"AUTH {mechanism} {b64(scram.first)}")
    if code != 334:
        return code
    code, text = cmd(b64(scram.final(base64.b64decode(text).decode())))
    if code != 334:
        return code
    check_equal(base64.b64decode(text).decode(), scram.expected, "the server's signature")
    return cmd("")[0]


def test_scram():
    s = server()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        check_equal(do_scram(tls_client(s, version).cmd, Scram("alice", PASSWORD)), 235, "SCRAM")
    client = tls_client(s)
    check_equal(do_scram(client.cmd, Scram("alice", "guessed")), 535, "a wrong password")
    check_equal(do_scram(client.cmd, Scram("nobody", PASSWORD)), 535, "an unknown user")
    check_equal(do_scram(client.cmd, Scram("alice", PASSWORD)), 235, "SCRAM")
    # Who believes that -PLUS is not offered where it is has been lied to.
    client = tls_client(s, host="127.0.0.2")
    check_equal(do_scram(client.cmd, Scram("alice", PASSWORD, gs2="y,,")), 535, "a downgrade")
    client = tls_client(s, ssl.TLSVersion.TLSv1_2)
    check_equal(do_scram(client.cmd, Scram("alice", PASSWORD, gs2="y,,")), 235, "no -PLUS in TLS 1.2")


def test_unknown_users_look_alike():
    """The same salt at each try, of the same length and with the same number of iterations."""
    s = server()
    passwd(s, "--stdin", "bob", text="x\n")

    def challenge(user):
        client = tls_client(s)
        _, text = client.cmd(f"AUTH SCRAM-SHA-256 {b64(Scram(user, 'x').first)}", 334) or (0, "")
        return text

    def parts(user):
        client = tls_client(s)
        text = client.cmd(f"AUTH SCRAM-SHA-256 {b64(Scram(user, 'x').first)}", 334)
        return re.search(r",s=(\S+),i=(\d+)", base64.b64decode(text).decode()).groups()

    known, unknown = parts("bob"), parts("carol")
    check_equal(parts("carol"), unknown, "salt of an unknown user, again")
    check(parts("dave")[0] != unknown[0], "two unknown users with one salt")
    check_equal((len(unknown[0]), unknown[1]), (len(known[0]), known[1]), "form of the salt, iterations")
    s.stop()
    s.start()
    check_equal(parts("carol"), unknown, "salt of an unknown user after a restart")


class Openssl:
    """s_client as a pipe that knows the session's exporter."""

    def __init__(self, s):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-tls1_3", "-crlf", "-ign_eof",
             "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        harness._started.append(self)
        self.exporter = bytes.fromhex(self.until(r"\s*Keying material: ([0-9A-F]{64})").group(1))
        self.until(r"220 ")

    def until(self, pattern):
        for line in self.process.stdout:
            found = re.match(pattern, line.decode("ascii", "replace").rstrip("\r\n"))
            if found:
                return found
        raise Failed(f"s_client did not say {pattern}")

    def cmd(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        found = self.until(r"([2-5]\d\d) (.*)")
        return int(found.group(1)), found.group(2)

    def end(self):
        self.process.kill()
        self.process.communicate()


def test_scram_plus():
    s = server()
    client = Openssl(s)
    client.cmd("EHLO client.example")
    bound = Scram("alice", PASSWORD, "p=tls-exporter,,", client.exporter)
    check_equal(do_scram(client.cmd, bound, "SCRAM-SHA-256-PLUS"), 235, "SCRAM-SHA-256-PLUS")
    client = Openssl(s)
    client.cmd("EHLO client.example")
    elsewhere = Scram("alice", PASSWORD, "p=tls-exporter,,", bytes(32))
    check_equal(do_scram(client.cmd, elsewhere, "SCRAM-SHA-256-PLUS"), 535, "bound to another session")
    unique = Scram("alice", PASSWORD, "p=tls-unique,,", client.exporter)
    check_equal(do_scram(client.cmd, unique, "SCRAM-SHA-256-PLUS"), 535, "tls-unique")


# --- Who is not ---


def test_failures():
    s = server()
    texts = []
    client = tls_client(s)
    for user in ("alice", "nobody"):
        texts.append(client.cmd(plain(user, "guessed"), 535))
    check_equal(texts[0], texts[1], "the replies for a known and an unknown user")
    check("4.7.0" in client.cmd(plain("alice", "guessed"), 421), "the third failure")
    client.closed()
    s.wait_log("connection", "end=too-many-auth-failures")
    check_equal(len(s.log_lines("login", "result=denied")), 3, "lines of failures")
    other = tls_client(s, host="127.0.0.2")  # the address that has failed waits longer each time
    other.cmd(plain("al\nice\"", PASSWORD), 535)
    s.wait_log("login", "result=denied", 'user="al\\x0aice\\""')
    other.cmd(plain("alice", PASSWORD, authzid="bob"), 535)


def test_bounds():
    s = server()
    client = tls_client(s)
    check("5.5.6" in client.cmd("AUTH PLAIN " + "A" * 3000, 500), "a line that is too long")
    client.cmd("AUTH PLAIN", 334)
    client.cmd("A" * 3000, 500)
    client.cmd("NOOP", 250)
    client = tls_client(s)
    client.cmd("AUTH PLAIN " + b64("\0" + "u" * 300 + "\0x"), 501)
    client.cmd("AUTH PLAIN " + b64("\0" + "u" * 255 + "\0" + "x" * 600), 535)
    client.cmd(plain("alice", PASSWORD), 235)
    client.quit()
    # A client that leaves in the middle of everything.
    for line in ("AUTH LOGIN", plain("alice", PASSWORD), plain("alice", "guessed")):
        for _ in range(3):
            client = tls_client(s)
            client.send(line.encode() + b"\r\n")
            client.close()
    tls_client(s).cmd(plain("alice", PASSWORD), 235)


# --- The users file ---


def test_passwd():
    s = server()
    tls_client(s).cmd(plain("alice", PASSWORD), 235)
    users = s.options["auth_users_file"]
    with open(users, encoding="ascii") as f:
        before = f.read()
    check(PASSWORD not in before, "the password stands in the file")
    check_equal(os.stat(users).st_mode & 0o777, 0o600, "mode of the file")
    os.chmod(users, 0o640)
    with open(users, "a", encoding="ascii") as f:
        f.write("# a comment\n")
    passwd(s, "--stdin", "bob", text="another\n")
    passwd(s, "--stdin", "alice", text="changed\n")
    with open(users, encoding="ascii") as f:
        after = f.read()
    check("# a comment\n" in after and after.count("alice:") == 1, after)
    check_equal(os.stat(users).st_mode & 0o777, 0o640, "mode of the file")
    client = tls_client(s)  # no restart, no signal
    client.cmd(plain("alice", PASSWORD), 535)
    client.cmd(plain("alice", "changed"), 235)
    tls_client(s).cmd(plain("bob", "another"), 235)
    passwd(s, "--delete", "bob")
    tls_client(s).cmd(plain("bob", "another"), 535)
    passwd(s, "--delete", "bob", want=67)
    passwd(s, "--stdin", "b:b", text="x\n", want=64)
    check("ASCII" in passwd(s, "--stdin", "bob", text="schlüssel\n", want=65), "a password beyond ASCII")
    passwd(s, "--stdin", "bob", text="", want=65)
    passwd(s, "bob", text="one\nother\n", want=65)
    passwd(s, "bob", text="one\none\n")
    tls_client(s).cmd(plain("bob", "one"), 235)
    os.rename(users, users + ".away")
    tls_client(s).cmd(plain("bob", "one"), 454)
    s.wait_log("login", "result=refused", "reason=absent")


def wait_echo(fd, want):
    harness.wait_until(lambda: bool(termios.tcgetattr(fd)[3] & termios.ECHO) == want, f"a terminal with echo: {want}")


def test_passwd_at_a_terminal():
    s = server()
    ours, its = pty.openpty()
    asker = subprocess.Popen([POSTERN, "passwd", "-c", s.conf_path, "bob"], stdin=its, stdout=its, stderr=its)
    try:
        for prompt in (b"Password: ", b"Again: "):
            seen = b""
            while not seen.endswith(prompt):
                seen += os.read(ours, 100)
            check(b"unseen" not in seen, f"{seen}")
            wait_echo(its, False)
            os.write(ours, b"unseen\n")
        check_equal(asker.wait(LIMIT_S), 0, "status of postern passwd")
        wait_echo(its, True)
    finally:
        asker.kill()
        os.close(ours)
        os.close(its)
    tls_client(s).cmd(plain("bob", "unseen"), 235)


def test_check():
    s = server()
    with open(s.options["auth_users_file"], "a", encoding="ascii") as f:
        f.write("mallory:plain\n")
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    check(status == 78 and ":3: expected a line as `postern passwd` writes it" in out, out)
    passwd(s, "--stdin", "bob", text="x\n", want=65)


if __name__ == "__main__":
    harness.main(globals())
