#!/usr/bin/env python3
"""Submission (RFC 6409): who may send, as whom and how much, and what Postern adds to a message."""

import re

import auth_test
import harness
from auth_test import PASSWORD, passwd, plain, tls_client
from harness import POSTERN, check, check_equal, run

HEADER = b"From: a@client.example\r\nSubject: x\r\n"


def server(**options):
    """Its first port is a submission port, the one with TLS from the begin is not."""
    s = auth_test.server(**options)
    s.configure(submission_ports=str(s.port))
    s.stop()
    s.start()
    return s


def logged_in(s, user="alice", password=PASSWORD):
    client = tls_client(s)
    client.cmd(plain(user, password), 235)
    return client


def fields(message, name):
    header = re.split(rb"\r?\n\r?\n", message, maxsplit=1)[0]
    return re.findall(rb"^" + name + rb": ?(.*?)\r?$", header, re.M)


def test_login_required():
    s = server()
    client = tls_client(s)
    check("5.7.0" in client.cmd("MAIL FROM:<a@client.example>", 530), "the enhanced code of 530")
    client.cmd(plain("alice", PASSWORD), 235)
    client.cmd("MAIL FROM:<a@client.example>", 250)
    client.cmd("RCPT TO:<somebody@elsewhere.example>", 250)  # who has logged in may relay
    client.cmd("RSET", 250)
    check("AUTH=" not in client.cmd("EHLO client.example", 250), "an AUTH that nobody knows")
    other = harness.hello(s, tls=True)  # no submission port: local mail from anybody, no relaying
    other.cmd("MAIL FROM:<a@client.example>", 250)
    other.cmd("RCPT TO:<somebody@elsewhere.example>", 550)
    other.cmd("RCPT TO:<alice@test.example>", 250)
    relay = server(relay_from_hosts="127.0.0.2")
    harness.hello(relay).cmd("MAIL FROM:<a@client.example>", 530)
    listed = harness.hello(relay, source=("127.0.0.2", 0))
    listed.cmd("MAIL FROM:<a@client.example>", 250)


def test_fields_added():
    s = server()
    client = logged_in(s)
    client.message(HEADER + b"\r\nDate: in the body\r\n")
    message = s.messages("alice", 1)[0]
    date, name = fields(message, b"Date"), fields(message, b"Message-ID")
    check(len(date) == 1 and re.match(rb"\w{3}, \d\d? \w{3} \d{4} [\d:]{8} [+-]\d{4}", date[0]), f"Date: {date}")
    check(len(name) == 1 and re.match(rb"<[\w.]+@mail\.test\.example>", name[0]), f"Message-ID: {name}")
    check(message.replace(b"\r\n", b"\n").endswith(b"\n\nDate: in the body\n"), message)
    # Bytes one by one, and in chunks that end anywhere.
    sent = HEADER + b"\r\nbody\r\n"
    client.envelope()
    for i in range(0, len(sent), 7):
        piece = sent[i : i + 7]
        client.send(f"BDAT {len(piece)}\r\n".encode() + piece)
        client.expect(250)
    client.cmd("BDAT 0 LAST", 250)
    client.envelope()
    client.cmd("DATA", 354)
    for byte in HEADER + b".\r\n":
        client.send(bytes([byte]))
    client.expect(250)
    for message in s.messages("alice", 3):
        check_equal((len(fields(message, b"Date")), len(fields(message, b"Message-ID"))), (1, 1), "fields")
    # Nothing is added where they are, and nothing on another port.
    complete = b"date: Mon, 23 Nov 2026 22:48:00 +0000\r\nmessage-ID: <a@b>\r\n" + HEADER + b"\r\nbody\r\n"
    logged_in(s).message(complete, to="bob@test.example")
    harness.hello(s, tls=True).message(HEADER + b"\r\nbody\r\n", to="postmaster@test.example")
    harness.check_same_body(s.messages("bob", 1)[0], complete)
    harness.check_same_body(s.messages("postmaster", 1)[0], HEADER + b"\r\nbody\r\n")


def test_large():
    """A header longer than any buffer."""
    s = server()
    many = b"".join(b"X-Number-%d: %s\r\n" % (i, b"x" * 900) for i in range(300))
    logged_in(s).message(many + HEADER + b"\r\n" + b"body\r\n" * 20000)
    message = s.messages("alice", 1)[0].replace(b"\r\n", b"\n")
    check_equal(len(fields(message, rb"X-Number-\d+")), 300, "fields of the header")
    check_equal((len(fields(message, b"Date")), len(fields(message, b"Message-ID"))), (1, 1), "fields added")
    check_equal(message.count(b"\nbody"), 20000, "lines of the body")


def test_senders():
    s = server()
    passwd(s, "--stdin", "bob", text="secret\n")
    with open(s.options["auth_users_file"], encoding="ascii") as f:
        text = f.read()
    with open(s.options["auth_users_file"], "w", encoding="ascii") as f:
        f.write(re.sub(r"^(alice:.*)$", r"\1 alice@test.example *@lists.example", text, flags=re.M))
    client = logged_in(s)
    for sender in ("alice@test.example", "alice@TEST.example", "any@lists.example", ""):
        client.cmd(f"MAIL FROM:<{sender}>", 250)
        client.cmd("RSET", 250)
    for sender in ("bob@test.example", "alice@elsewhere.example", "a@sub.lists.example", "Alice@test.example"):
        check("5.7.1" in client.cmd(f"MAIL FROM:<{sender}>", 553), sender)
    logged_in(s, "bob", "secret").cmd("MAIL FROM:<anybody@elsewhere.example>", 250)
    passwd(s, "--stdin", "alice", text="new\n")  # keeps the list
    logged_in(s, "alice", "new").cmd("MAIL FROM:<bob@test.example>", 553)
    # What never was an address keeps the server of a new version from nothing, but its user from sending.
    s.stop()
    with open(s.options["auth_users_file"], "r+", encoding="ascii") as f:
        text = f.read().replace(" alice@test.example ", " alice@test.example,")
        f.seek(0)
        f.write(text)
    s.start()
    logged_in(s, "alice", "new").cmd("MAIL FROM:<alice@test.example>", 553)
    passwd(s, "--stdin", "bob", text="other\n")
    logged_in(s, "bob", "other").cmd("MAIL FROM:<anybody@elsewhere.example>", 250)
    status, out = harness.run(harness.POSTERN, "check", "-c", s.conf_path)
    check(status == 0 and "with addresses or *@DOMAIN behind it\n" in out and "configuration: ok\n" in out, out)


def test_rates():
    s = server(submission_user_rate="3", submission_host_rate="5")
    passwd(s, "--stdin", "bob", text="secret\n")
    client = logged_in(s)
    for _ in range(3):
        client.message(HEADER + b"\r\nx\r\n")
    check("4.7.1" in client.cmd("MAIL FROM:<a@client.example>", 450), "the enhanced code of 450")
    client = logged_in(s)  # another session, the same user
    client.cmd("MAIL FROM:<a@client.example>", 450)
    bob = logged_in(s, "bob", "secret")  # what alice was refused was not sent by the address
    for _ in range(2):
        bob.message(HEADER + b"\r\nx\r\n")
    bob.cmd("MAIL FROM:<a@client.example>", 450)  # which has used up its five
    other = tls_client(s, host="127.0.0.2")
    other.cmd(plain("bob", "secret"), 235)
    other.cmd("MAIL FROM:<a@client.example>", 250)
    check_equal(len(s.messages("alice", 5)), 5, "messages")


def test_port_must_be_listened_on():
    s = auth_test.server()
    s.configure(submission_ports="9")
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    check(status == 78 and "submission_ports: found 9, expected a port of" in out, out)


if __name__ == "__main__":
    harness.main(globals())
