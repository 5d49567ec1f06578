#!/usr/bin/env python3
"""From a client's bytes to the Maildir: every acknowledged message once, byte for byte."""

import os
import re

import harness
from harness import (
    Pki,
    Server,
    Smtp,
    body_of,
    check,
    check_equal,
    check_same_body,
    has_ipv6,
    hello,
    split_delivered,
    stuffed,
)
from load import Load

MANY = {"smtp_accept_max": 300, "smtp_accept_max_per_host": 300}


def one(server, client, body, **how):
    """Hands it over and finds it, unchanged, as the newest message; its trace lines."""
    before = set(server.files("alice"))
    client.message(body, **how)
    server.messages("alice", len(before) + 1)
    (path,) = set(server.files("alice")) - before
    with open(path, "rb") as f:
        message = f.read()
    check_same_body(message, body)
    return split_delivered(message)[0].decode()


# --- One message ---


def test_trace_lines():
    s = Server()
    c = hello(s)
    trace = one(s, c, body_of(1, 500), sender="sender@client.example")
    lines = trace.splitlines()
    check_equal(lines[0], "Return-Path: <sender@client.example>", "first line")
    received = " ".join(trace.split("Received:", 1)[1].split())
    check(received.startswith("from client.example "), received)
    check("127.0.0.1" in received, f"no address of the client: {received}")
    check(" by mail.test.example " in received and " with ESMTP " in received, received)
    check(re.search(r"; \w\w\w, \d\d? \w\w\w \d{4} \d\d:\d\d:\d\d [+-]\d{4}", received), f"date: {received}")
    trace = one(s, c, body_of(2, 500), sender="")
    check(trace.startswith("Return-Path: <>"), trace)
    c.quit()


def test_protocol_in_trace():
    p = Pki()
    s = Server(p)
    c = Smtp(s)
    c.cmd("HELO client.example", 250)
    check(" with SMTP " in " ".join(one(s, c, body_of(1, 300)).split()), "not SMTP after HELO")
    c.quit()
    c = hello(s)
    c.starttls()
    c.cmd("EHLO client.example", 250)
    check(" with ESMTPS " in " ".join(one(s, c, body_of(2, 300)).split()), "not ESMTPS after STARTTLS")
    c.quit()
    c = hello(s, tls=True)
    check(" with ESMTPS " in " ".join(one(s, c, body_of(3, 300)).split()), "not ESMTPS with implicit TLS")
    c.quit()


def test_ehlo():
    p = Pki()
    s = Server(p, message_size_limit="123456", recipients_max="117")
    c = hello(s)
    words = {line.split()[0]: line for line in c.ehlo.split("\n")[1:]}
    for word in ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN", "STARTTLS"):
        check(word in words, f"no {word} in {sorted(words)}")
    check_equal(words.get("SIZE"), "SIZE 123456", "SIZE")
    check("RCPTMAX=117" in words.get("LIMITS", ""), f"LIMITS: {words.get('LIMITS')}")
    for word in ("AUTH", "VRFY", "ETRN"):
        check(word not in words, f"{word} is advertised")
    c.starttls()
    check("STARTTLS" not in c.cmd("EHLO client.example", 250), "STARTTLS within TLS")
    c.quit()


def test_dots():
    s = Server()
    c = hello(s)
    body = b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.a\r\n\r\n. \r\n.\r\n"
    one(s, c, body)
    one(s, c, b"")
    one(s, c, b".\r\n")
    one(s, c, b"\r\n")
    c.quit()


def test_long_lines():
    s = Server()
    c = hello(s)
    one(s, c, b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n")
    c.quit()


def test_eight_bit():
    s = Server()
    c = hello(s)
    every = bytes(x for x in range(1, 256) if x not in (10, 13))
    one(s, c, b"Subject: all octets\r\n\r\n" + every + b"\r\n" + every[::-1] + b"\r\n", params=" BODY=8BITMIME")
    one(s, c, body_of(1, 100000, eight_bit=True), params=" BODY=8BITMIME")
    c.quit()


def test_smtputf8():
    path = os.path.join(harness.case_dir(), "aliases")
    with open(path, "w", encoding="ascii") as f:
        f.write("*: bob\n")
    s = Server(aliases_file=path)
    c = hello(s)
    body = "Subject: Grüße ☃\r\n\r\nÄÖÜ\r\n".encode()
    trace = one(s, c, body, sender="jörg@bücher.example", params=" SMTPUTF8 BODY=8BITMIME")
    check(trace.startswith("Return-Path: <jörg@bücher.example>"), trace)
    c.message(body, "jürgen@test.example", params=" SMTPUTF8")
    check_same_body(s.messages("bob", 1)[0], body)
    code, text = c.cmd("MAIL FROM:<jörg@bücher.example>")
    check(500 <= code < 600, f"non-ASCII address without SMTPUTF8: {code} {text}")
    c.quit()


def test_one_byte_writes():
    p = Pki()
    s = Server(p)
    body = body_of(1, 3000)
    for tls in (False, True):
        c = Smtp(s, tls=tls)
        for part in (
            b"EHLO client.example\r\n",
            b"MAIL FROM:<sender@client.example>\r\n",
            b"RCPT TO:<alice@test.example>\r\n",
            b"DATA\r\n",
            stuffed(body) + b".\r\n",
        ):
            for i in range(len(part)):
                c.send(part[i : i + 1])
            c.expect(250, 354)
        c.quit()
    for message in s.messages("alice", 2):
        check_same_body(message, body)


def test_pipelined():
    """Five messages and what goes with them in one write: 26 replies, in order."""
    s = Server()
    c = Smtp(s)
    bodies = [body_of(n, 5000) for n in range(5)]
    # DATA has to be the last of a group (RFC 2920 3.1), so bodies go in with BDAT.
    parts = [b"EHLO client.example\r\n"]
    for body in bodies:
        parts.append(b"MAIL FROM:<sender@client.example>\r\nRCPT TO:<alice@test.example>\r\n")
        parts.append(b"RCPT TO:<nobody@test.example>\r\nRCPT TO:<alice@elsewhere.example>\r\n")
        parts.append(b"BDAT %d LAST\r\n" % len(body) + body)
    parts.append(b"QUIT\r\n")
    c.send(b"".join(parts))
    c.expect(250)
    for _ in bodies:
        c.expect(250)
        c.expect(250)
        c.expect(550)
        c.expect(550)
        c.expect(250)
    c.expect(221)
    c.closed()
    found = s.messages("alice", 5)
    for body in bodies:
        check(any(harness.same_body(m, body) for m in found), "a body is not there")


# --- BDAT ---


def test_bdat():
    s = Server()
    c = hello(s)
    body = b"Subject: chunks\r\n\r\n.\r\n..\r\nMAIL FROM:<x>\r\n.\r\nQUIT\r\n" + b"x" * 900 + b"\r\n"
    for size in (1, 2, 3, 7, 64, len(body)):
        c.envelope()
        for i in range(0, len(body), size):
            c.send(b"BDAT %d\r\n" % len(body[i : i + size]) + body[i : i + size])
            c.expect(250)
        c.cmd("BDAT 0 LAST", 250)
    c.envelope()
    c.send(b"BDAT %d LAST\r\n" % len(body) + body)
    c.expect(250)
    found = s.messages("alice", 7)
    check_equal(len(found), 7, "messages")
    for message in found:
        check_same_body(message, body)
    c.quit()


def test_bdat_mixed():
    s = Server()
    c = hello(s)
    c.envelope()
    c.send(b"BDAT 4\r\nab\r\n")
    c.expect(250)
    check_equal(c.cmd("DATA")[0], 503, "DATA behind BDAT")
    c.cmd("RSET", 250)
    # Chunks without a recipient are drained before their reply: the NOOP is a command again.
    c.send(b"BDAT 12\r\nNOOP\r\nQUIT\r\nNOOP\r\n")
    check_equal(c.reply()[0], 503, "BDAT without MAIL")
    c.expect(250)
    c.cmd("MAIL FROM:<sender@client.example>", 250)
    c.cmd("RCPT TO:<nobody@test.example>", 550)
    c.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    check(c.reply()[0] in (503, 554), "BDAT without a valid recipient")
    c.expect(250)
    check_equal(s.files("alice"), [], "messages")
    c.quit()


def test_bdat_bad_size_closes():
    s = Server()
    closing = []
    for size in ("", "x", "-1", "1 2", "1 LASTS", "99999999999999999999999", "0x10"):
        c = hello(s)
        c.envelope()
        code, text = c.cmd(f"BDAT {size}")
        check(code in (501, 500, 521, 554, 552, 421), f"BDAT {size!r}: {code} {text}")
        closing.append(c)
    for c in closing:
        c.closed()


# --- Recipients ---


def test_recipients():
    s = Server()
    c = hello(s)
    c.cmd("MAIL FROM:<sender@client.example>", 250)
    check(c.cmd("RCPT TO:<nobody@test.example>", 550).startswith("5.1.1"), "unknown user")
    check(c.cmd("RCPT TO:<alice@elsewhere.example>", 550).startswith("5.7.1"), "relaying")
    check(c.cmd("RCPT TO:<alice%elsewhere.example@elsewhere.example>", 550).startswith("5.7.1"), "relaying")
    check(c.cmd("RCPT TO:<alice@test.example.elsewhere.example>", 550).startswith("5.7.1"), "relaying")
    code = c.cmd("RCPT TO:<alice>")[0]
    check(500 <= code < 600, f"no domain: {code}")
    c.cmd("RCPT TO:<alice@TEST.Example>", 250)
    c.cmd("RCPT TO:<Bob@test.example>", 250)
    c.cmd("RCPT TO:<PostMaster>", 250)
    c.cmd("DATA", 354)
    body = body_of(1, 1000)
    c.send(stuffed(body) + b".\r\n")
    c.expect(250)
    for user in ("alice", "bob", "postmaster"):
        found = s.messages(user, 1)
        check_equal(len(found), 1, f"messages for {user}")
        check_same_body(found[0], body)
    c.quit()


def test_same_recipient_twice():
    s = Server()
    c = hello(s)
    c.message(body_of(1, 500), ["alice@test.example", "alice@test.example", "alice@TEST.example"])
    c.message(body_of(2, 500))
    s.messages("alice", 2)
    s.wait_delivered()
    check_equal(len(s.files("alice")), 2, "messages: one each")
    c.quit()


def test_paths_are_not_steered():
    """No local part leads out of the mailboxes' directory."""
    s = Server(smtp_max_synprot_errors="0")
    c = hello(s)
    c.cmd("MAIL FROM:<sender@client.example>", 250)
    for local in ("../alice", "..", ".", "alice/../bob", "alice/new", '"../../x"', '"al\\ice/.."', "%61lice", "$local_part"):
        code, text = c.cmd(f"RCPT TO:<{local}@test.example>")
        check(500 <= code < 600, f"{local}: {code} {text}")
    c.quit()
    check_equal(sorted(os.listdir(s.mail)), [], "mailboxes")


def test_a_maildir_for_each_domain():
    """One user at two domains has two mailboxes, and an alias that names a domain leads to that one's."""
    aliases = os.path.join(harness.case_dir(), "aliases")
    with open(aliases, "w", encoding="utf-8") as f:
        f.write("info: alice@b.example\n")
    s = Server(local_domains="a.example : b.example", aliases_file=aliases)
    s.stop()
    s.configure(maildir=os.path.join(s.mail, "$domain", "$local_part"))
    s.start()
    c = hello(s)
    c.message(body_of(1, 500), ["alice@a.example", "alice@b.example", "ALICE@B.example"])
    c.message(body_of(2, 500), "info@a.example")
    c.quit()
    s.wait_delivered()
    check_equal(len(s.files("a.example/alice")), 1, "at a.example")
    check_equal(len(s.files("b.example/alice")), 2, "at b.example")


def test_aliases():
    path = os.path.join(harness.case_dir(), "aliases")
    with open(path, "w", encoding="ascii") as f:
        f.write("# who gets what\nsales: alice, bob\nroot: postmaster\n*: bob\n")
    s = Server(aliases_file=path)
    c = hello(s)
    c.message(body_of(1, 500), "sales@test.example")
    c.message(body_of(2, 500), "root@test.example")
    c.message(body_of(3, 500), "anybody.else@test.example")
    s.messages("alice", 1)
    s.messages("bob", 2)
    s.messages("postmaster", 1)
    check_equal([len(s.files(u)) for u in ("alice", "bob", "postmaster")], [1, 2, 1], "messages")
    check_equal(c.cmd("MAIL FROM:<sender@client.example>")[0], 250, "still there")
    c.quit()


# --- Many and large ---


def test_loops_are_refused():
    """At the end of the message, by DATA and by chunks, and nothing of it is kept; the session goes on."""
    s = Server(received_headers_max="30")
    taken, looping = (b"Received: from a by b; x\r\n" * number + b"Subject: x\r\n\r\nReceived: in the body\r\n" for number in (29, 30))
    c = hello(s)
    for _ in range(2):
        c.envelope()
        c.cmd("DATA", 354)
        c.send(looping + b"x\r\n" * 100000 + b".\r\n")
        check("5.4.6" in c.expect(554), "the enhanced code")
        c.envelope()
        c.send(b"BDAT 300\r\n" + looping[:300])
        c.expect(250)
        c.send(b"BDAT %d LAST\r\n" % (len(looping) - 300) + looping[300:])
        check("5.4.6" in c.expect(554), "the enhanced code")
        c.message(taken)
    c.quit()
    check_equal(len(s.messages("alice", 2)), 2, "messages")
    check_equal(len(s.log_lines("message", "result=failed", "reason=loop")), 4, "lines about loops")


def test_fifty_megabytes():
    s = Server(message_size_limit="60M", spool_size="256M")
    c = hello(s)
    block = body_of(1, 1 << 20)[len(b"Subject: number 1\r\nX-Number: 1\r\n\r\n") :]
    body = b"Subject: large\r\n\r\n" + block * 50
    check(len(body) > 50 * 1000 * 1000, "too small a message")
    one(s, c, body, params=f" SIZE={len(body)}")
    c.envelope()
    for i in range(0, len(body), 1 << 22):
        part = body[i : i + (1 << 22)]
        c.send(b"BDAT %d%s\r\n" % (len(part), b" LAST" if i + len(part) == len(body) else b""))
        c.send(part)
        c.expect(250)
    for message in s.messages("alice", 2):
        check_same_body(message, body)
    c.quit()


def test_fifty_megabytes_tls():
    s = Server(Pki(), message_size_limit="60M", spool_size="256M")
    c = hello(s, tls=True)
    block = body_of(1, 1 << 20)[len(b"Subject: number 1\r\nX-Number: 1\r\n\r\n") :]
    one(s, c, b"Subject: large\r\n\r\n" + block * 50)
    c.quit()


def test_two_hundred_at_once():
    """All 200 are connected before the first hands over its message."""
    s = Server(**MANY)
    Load(s, 200, 2, together=True).start().finish()


def test_two_hundred_at_once_tls():
    s = Server(Pki(), **MANY)
    Load(s, 200, 1, tls=True, together=True).start().finish()


def test_two_thousand_messages():
    s = Server(**MANY)
    load = Load(s, 20, 100, size=4096).start()
    load.finish()
    check_equal(len(load.acknowledged), 2000, "acknowledged")
    check_equal(len(s.files("alice")), 2000, "messages")
    check_equal(s.files("alice", "tmp"), [], "files left in tmp/")


def test_ipv6():
    if not has_ipv6():
        print("no IPv6 on this machine: nothing to try")
        return
    s = Server(local_interfaces="<; 127.0.0.1 ; ::1")
    c = hello(s, host="::1")
    trace = one(s, c, body_of(1, 500))
    check("IPv6:::1" in trace or "IPv6:0" in trace, f"no IPv6 address in {trace}")
    c.quit()


# --- The log ---


def test_log_lines():
    s = Server(Pki())
    c = hello(s, tls=True)
    body = body_of(1, 3000)
    number = c.message(body, ["alice@test.example", "bob@test.example"])
    c.quit()
    s.messages("bob", 1)
    s.messages("alice", 1)
    s.wait_delivered()
    (message,) = s.wait_log("message", f"id={number}")
    check(f"size={len(body)}" in message or re.search(r"\bsize=\d+", message), message)
    check("sender@client.example" in message, message)
    for user in ("alice", "bob"):
        lines = [l for l in s.wait_log("delivery", f"id={number}", number=2) if f"={user}" in l]
        check(len(lines) == 1 and "result=delivered" in lines[0], f"delivery lines for {user}: {lines}")
        check(f' to="{user}@test.example"' in lines[0], lines[0])
    connection = s.wait_log("connection")[-1]
    check("127.0.0.1" in connection and re.search(r"\bocsp=not-asked\b", connection), connection)
    check(re.search(r"1\.3", connection), f"no TLS version: {connection}")


def test_log_is_not_forged():
    """What a peer says appears escaped, on the line where it belongs."""
    s = Server(smtp_max_synprot_errors="0")
    c = Smtp(s)
    c.send(b"EHLO \x1b[31mred\x7f\xff\r\n")
    c.reply()
    c.cmd("EHLO client.example", 250)
    c.send(b'MAIL FROM:<"a b=c result=delivered \\" x"@client.example>\r\n')
    c.reply()
    c.cmd("RSET", 250)
    c.send(b"MAIL FROM:<a\x07@client.example>\r\n")
    c.reply()
    c.cmd("RSET", 250)
    one(s, c, body_of(1, 300), sender='"x id=1 \\" result=delivered"@client.example')
    c.quit()
    s.wait_delivered()
    s.wait_log("connection")
    raw = s.log().encode("utf-8", "surrogateescape")
    bad = [x for x in raw if (x < 32 and x != 10) or x >= 127]
    check(not bad, f"unescaped bytes in the log: {bad[:10]}")
    check_equal(len(s.log_lines("delivery", "result=delivered")), 1, "deliveries by the log")


def test_as_devices_say_it():
    """Cameras, printers and old PCs: their mail arrives, however they write it."""
    s = Server()
    for name, sender, rcpt in (
        ("EHLO Front Door", "MAIL FROM: camera@b.example", "RCPT TO: alice@test.example"),
        ("HELO (none)", "mail from:<camera@my_nas.local>", "rcpt to:<ALICE@Test.Example>"),
        ("EHLO 192.168.1.5", "MAIL FROM: <camera@10.0.0.1> BODY=8BITMIME AUTH=<>", "RCPT TO:<@a,@b:alice@test.example>"),
    ):
        c = harness.Smtp(s)
        c.cmd(name, 250)
        c.cmd(sender, 250)
        c.cmd(rcpt, 250)
        c.cmd("DATA", 354)
        c.send(b"Subject: alarm\r\n\r\n..\r\n.\r\n")
        c.expect(250)
        c.quit()
    messages = s.messages("alice", 3)
    check(all(harness.same_body(m, b"Subject: alarm\r\n\r\n.\r\n") for m in messages), f"{messages}")
    check(any(b"\nReceived: from Front?Door (" in m for m in messages), f"{messages}")


# --- A mailbox that cannot be had ---


def test_failing_delivery_is_kept():
    """A file stands where the Maildir should be: the message stays spooled over a restart until it can be delivered."""
    s = Server()
    blocker = os.path.join(s.mail, "alice")
    with open(blocker, "w", encoding="ascii"):
        pass
    c = hello(s)
    body = body_of(1, 70000)
    number = c.message(body)
    c.message(body_of(2, 500), "bob@test.example")
    s.messages("bob", 1)
    harness.wait_until(
        lambda: [l for l in s.log_lines("delivery", f"id={number}") if "result=delivered" not in l],
        "a log line that tells of the failure: " + s.log()[-800:],
        15,
    )
    c.quit()
    s.stop()
    os.remove(blocker)
    s.start()
    check_same_body(s.messages("alice", 1)[0], body)
    s.stop()
    check_equal(len(s.files("alice")), 1, "messages for alice")
    check_equal(len(s.files("bob")), 1, "messages for bob")


harness.main(globals())
