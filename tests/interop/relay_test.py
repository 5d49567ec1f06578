#!/usr/bin/env python3
"""No way to relay without being listed: a client that tries everything, and one that is listed.

What each recipient comes to is in tests/tables/relay.def; here it is a whole server, whose peers' addresses decide.
127.0.0.2 is listed, 127.0.0.1 is not; what is relayed waits for a next hop that does not answer."""

import base64
import os

import harness
from harness import POSTERN, Failed, Pki, Server, check, check_equal, free_port, has_ipv6, hello, run, wait_until

LISTED = ("127.0.0.2", 0)

# Each stands for mail to somewhere else, or seems to.
STRANGE = (
    "<x@elsewhere.example>",
    "<x@ELSEWHERE.example>",
    "<x@test.example.elsewhere.example>",
    "<x@sub.test.example>",
    "<x@xtest.example>",
    "<x%elsewhere.example@test.example>",
    "<x%elsewhere.example@mail.test.example>",
    "<x%elsewhere.example%test.example@test.example>",
    "<elsewhere.example!x@test.example>",
    "<test.example!elsewhere.example!x@test.example>",
    "<elsewhere.example!x>",
    "<@test.example:x@elsewhere.example>",
    "<@test.example,@mail.test.example:x@elsewhere.example>",
    "<@test.example:x%elsewhere.example@test.example>",
    "<@backup.example:x@elsewhere.example>",
    '<"x@elsewhere.example">',
    '<"x@elsewhere.example"@test.example>',
    '<"x\\@elsewhere.example"@test.example>',
    '<"x%elsewhere.example"@test.example>',
    '<"<x@elsewhere.example>"@test.example>',
    '<"@elsewhere.example:x"@test.example>',
    '<"x@elsewhere.example"@[127.0.0.1]>',
    "<x@elsewhere.example@test.example>",
    "<x@test.example@elsewhere.example>",
    "<x@elsewhere.example,alice@test.example>",
    "<alice@test.example,x@elsewhere.example>",
    "<alice@test.example> <x@elsewhere.example>",
    "<x@elsewhere.example.>",
    "<x@test.example.>",
    "<x@.elsewhere.example>",
    "<x@>",
    "<@>",
    "<x>",
    "<>",
    "<x@[127.0.0.1]>",
    "<x@[127.0.0.2]>",
    "<x@[IPv6:::1]>",
    "<x@127.0.0.1>",
    "<x@localhost>",
    "<x@2130706433>",
    "<x@[elsewhere.example]>",
    "<postmaster@elsewhere.example>",
    "x@elsewhere.example",
    "alice@test.example <x@elsewhere.example>",
    "<x%elsewhere.example@backup.example>",
    "<elsewhere.example!x@backup.example>",
    '<"x@elsewhere.example"@backup.example>',
    "<x@sub.backup.example>",
    "<x@elsewhere.example> ORCPT=rfc822;alice@test.example",
    "<x@elsewhere.example> NOTIFY=NEVER",
)


def relay(pki=None, **options):
    return Server(
        pki=pki,
        local_domains="@ : test.example",
        relay_from_hosts="127.0.0.2",
        relay_to_domains="backup.example",
        route_list=f"* smtp:127.0.0.1:{free_port()}",
        smtp_max_synprot_errors="0",
        smtp_accept_max_nonmail="0",
        smtp_max_refused_recipients="0",
        **options,
    )


def check_refused(c, path, what=""):
    code, text = c.cmd(f"RCPT TO:{path}")
    check(500 <= code < 560, f"{what}{path}: {code} {text}")


def test_a_stranger_relays_nothing():
    s = relay()
    for greeting in ("EHLO client.example", "HELO client.example"):
        c = hello(s)
        c.cmd(greeting, 250)
        for sender in ("x@client.example", "alice@test.example", "", "x@elsewhere.example"):
            c.cmd(f"MAIL FROM:<{sender}>", 250)
            for path in STRANGE:
                check_refused(c, path)
            c.cmd("DATA", 554)
            c.cmd("RSET", 250)
        c.cmd("MAIL FROM:<x@client.example>", 250)
        text = c.cmd("RCPT TO:<x@elsewhere.example>", 550)
        check("5.7.1" in text, text)
        wait_until(lambda: "reason=relay-denied to=" in s.log(), "the log line")
        c.cmd("RCPT TO:<alice@test.example>", 250)
        c.cmd("RCPT TO:<any@BACKUP.example>", 250)
        c.quit()
    s.stop()


def test_names_change_nothing():
    """What a client says of itself is not believed."""
    s = relay()
    for greeting in ("EHLO [127.0.0.2]", "EHLO mail.test.example", "HELO 127.0.0.2", "EHLO localhost"):
        c = hello(s)
        c.cmd(greeting, 250)
        c.cmd("MAIL FROM:<alice@test.example>", 250)
        check_refused(c, "<x@elsewhere.example>", greeting + " ")
        c.close()
    for first in (b"PROXY TCP4 127.0.0.2 127.0.0.1 1000 25\r\n", b"XCLIENT ADDR=127.0.0.2\r\n", b"\r\n\r\n\0\r\nQUIT\n"):
        c = harness.Smtp(s)
        try:
            c.send(first + b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\nQUIT\r\n")
            while True:
                check(c.reply()[0] != 354, f"{first!r} lets mail in")
        except (Failed, OSError) as e:
            check("lets mail in" not in str(e), str(e))
        c.close()
    s.stop()


def test_a_refused_recipient_gets_nothing():
    """Beside an accepted one, in one packet, in both ways of sending a message."""
    s = relay()
    c = hello(s)
    c.send(
        b"MAIL FROM:<x@client.example>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<alice@test.example>\r\n"
        b"RCPT TO:<y%elsewhere.example@test.example>\r\nDATA\r\n"
    )
    check_equal([c.reply()[0] for _ in range(5)], [250, 550, 250, 550, 354], "replies")
    c.send(b"Subject: a\r\n\r\na\r\n.\r\n")
    c.expect(250)
    c.send(b"MAIL FROM:<x@client.example>\r\nRCPT TO:<x@elsewhere.example>\r\nBDAT 3 LAST\r\nx\r\n")
    check_equal([c.reply()[0] for _ in range(3)], [250, 550, 554], "replies")
    c.quit()
    wait_until(lambda: len(s.files("alice")) == 1, "the message for alice")
    lines = [line for line in s.log().splitlines() if " message " in line]
    check(len(lines) == 1 and "rcpts=1" in lines[0], f"accepted: {lines}")
    s.stop()


def test_transactions_do_not_leak():
    """A sender, a recipient or a right of one transaction is none of the next."""
    s = relay()
    c = hello(s)
    for reset in ("RSET", "EHLO client.example", "HELO client.example"):
        c.cmd("MAIL FROM:<x@client.example>", 250)
        c.cmd("RCPT TO:<alice@test.example>", 250)
        c.cmd(reset, 250)
        c.cmd("RCPT TO:<x@elsewhere.example>", 503)
        c.cmd("MAIL FROM:<x@client.example>", 250)
        check_refused(c, "<x@elsewhere.example>", reset + " ")
        c.cmd("DATA", 554)
        c.cmd("RSET", 250)
    c.quit()
    s.stop()


def test_starttls_lends_nothing():
    """Neither what was pipelined before the handshake nor the handshake itself is a right."""
    s = relay(Pki())
    c = hello(s)
    c.send(b"STARTTLS\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n")
    code, text = c.reply()
    check(500 <= code < 600, f"plaintext behind STARTTLS: {code} {text}")
    c.closed()
    c.close()
    c = hello(s)
    c.cmd("MAIL FROM:<x@client.example>", 250)
    c.cmd("RCPT TO:<alice@test.example>", 250)
    c.starttls()
    c.cmd("RCPT TO:<x@elsewhere.example>", 503)
    c.cmd("EHLO client.example", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 503)
    c.cmd("MAIL FROM:<alice@test.example>", 250)
    for path in STRANGE:
        check_refused(c, path, "in TLS ")
    c.close()
    c = hello(s, tls=True)
    c.cmd("MAIL FROM:<alice@test.example>", 250)
    check_refused(c, "<x@elsewhere.example>", "in TLS from the begin ")
    c.close()
    s.stop()


def test_only_a_login_that_succeeds_counts():
    """A wrong one, one given up, one in plaintext, one half way: nothing. The right one, in TLS: any domain."""

    def plain(user, password):
        return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()

    def refused(c, what):
        c.cmd("MAIL FROM:<alice@test.example> AUTH=<alice@test.example>", 250)
        check_refused(c, "<x@elsewhere.example>", what + " ")
        c.cmd("RSET", 250)

    users = os.path.join(harness.case_dir(), "users")
    s = relay(Pki(), start=False, auth_users_file=users)
    status, out = run(POSTERN, "passwd", "-c", s.conf_path, "--stdin", "alice", text="right\n")
    check_equal(status, 0, out)
    s.start()
    c = hello(s)
    check(500 <= c.cmd(plain("alice", "right"))[0] < 600, "a login in plaintext")
    refused(c, "after a login in plaintext")
    c.starttls()
    c.cmd("EHLO client.example", 250)
    refused(c, "before any login")
    c.cmd(plain("alice", "wrong"), 535)
    refused(c, "after a wrong password")
    c.cmd("AUTH PLAIN", 334)
    c.cmd("*", 501)
    refused(c, "after a login given up")
    c.cmd("AUTH LOGIN", 334)
    c.cmd(base64.b64encode(b"alice").decode(), 334)
    c.cmd("MAIL FROM:<alice@test.example>", 501)
    refused(c, "after half a login")
    c.cmd(plain("alice", "right"), 235)
    c.cmd("MAIL FROM:<alice@test.example>", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 250)
    c.cmd("RCPT TO:<x%y.example@backup.example>", 250)
    c.close()
    other = hello(s, tls=True)
    refused(other, "in another connection")
    other.close()
    s.stop()


def test_who_is_listed_may():
    s = relay()
    c = hello(s, source=LISTED)
    c.cmd("MAIL FROM:<x@client.example> RET=HDRS ENVID=q1", 250)
    for path in ("<x@elsewhere.example> NOTIFY=NEVER ORCPT=rfc822;y@z", "<x@[192.0.2.1]>", "<x%y.example@elsewhere.example>"):
        c.cmd(f"RCPT TO:{path}", 250)
    c.cmd("RCPT TO:<nobody@test.example>", 550)
    c.cmd("RCPT TO:<x@elsewhere.example.>", 501)
    c.cmd("RSET", 250)
    c.quit()
    s.configure(relay_from_hosts="!127.0.0.2 : 127.0.0.0/8")
    s.send_signal(1)
    wait_until(lambda: "reload" in s.log(), "the reload")
    c = hello(s)
    c.cmd("MAIL FROM:<x@client.example>", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 250)
    c.close()
    c = hello(s, source=LISTED)
    c.cmd("MAIL FROM:<x@client.example>", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 550)
    c.close()
    s.stop()


def test_lists_hold_for_both_families():
    if not has_ipv6():
        print("no IPv6 here")
        return
    s = relay(local_interfaces="<; ::0 ; 0.0.0.0")
    s.configure(relay_from_hosts="<; 127.0.0.2 ; 2001:db8::/32")
    s.stop()
    s.start()
    for source, code in ((None, 550), (LISTED, 250)):
        c = hello(s, source=source)
        c.cmd("MAIL FROM:<x@client.example>", 250)
        c.cmd("RCPT TO:<x@elsewhere.example>", code)
        c.close()
    c = hello(s, host="::1")
    c.cmd("MAIL FROM:<x@client.example>", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 550)
    c.close()
    s.configure(relay_from_hosts="<; ::1")
    s.stop()
    s.start()
    c = hello(s, host="::1")
    c.cmd("MAIL FROM:<x@client.example>", 250)
    c.cmd("RCPT TO:<x@elsewhere.example>", 250)
    c.close()
    s.stop()


harness.main(globals())
