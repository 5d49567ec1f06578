#!/usr/bin/env python3
"""What goes deepest into the stack: handshakes of both versions with each group, EC and RSA of 4096 bits, as
server and as client that verifies chain and proof, logins, and the commands. It is enough of a program to say
how much stack it takes (make stack); that it works otherwise, others try."""

import os

os.environ["RSA_BITS"] = "4096"  # Pki("rsa")

import harness  # noqa: E402
from harness import POSTERN, Pki, Server, check, check_equal, hello, run  # noqa: E402

BODY = b"Subject: deep\r\n\r\n" + b"hello\r\n" * 2000


def handshakes(pki, groups):
    s = Server(pki, pki.proof("good"))
    for version in ("1.2", "1.3"):
        for group in groups[version]:
            status, out = run(
                *("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-status", "-crlf", "-ign_eof"),
                *("-tls" + version.replace(".", "_"), "-groups", group, "-CAfile", pki.root, "-verify_return_error"),
                text="EHLO client.example\nQUIT\n",
            )
            check_equal(status, 0, f"s_client with TLS {version} and {group}: {out[-400:]}")
            check("Cert Status: good" in out, f"TLS {version}, {group}: no staple")
    c = hello(s, tls=True)
    c.message(BODY)
    c.quit()
    s.messages("alice", 1)
    s.stop()


def sending(pki):
    """By one of ours to another of ours: with a proof that must be there."""
    there = Server(pki, pki.proof("good"), primary_hostname="far.example", local_domains="example.net")
    here = Server(
        route_list=f"* smtp:localhost:{there.port}",
        relay_from_hosts="127.0.0.1",
        tls_verify_certificates=pki.root,
        remote_tls_verify_hosts="localhost",
        hosts_require_ocsp="localhost",
    )
    c = hello(here)
    c.cmd("MAIL FROM:<alice@test.example>", 250)
    for user in ("alice", "bob", "nobody"):
        c.cmd(f"RCPT TO:<{user}@example.net>", 250)
    c.cmd("DATA", 354)
    c.send(harness.stuffed(BODY) + b".\r\n")
    c.expect(250)
    c.quit()
    there.messages("alice", 1)
    there.messages("bob", 1)
    here.messages("alice", 1)  # nobody is there: the report
    for s in (here, there):
        s.stop()


def test_handshakes_ec():
    groups = ("X25519:P-256", "P-256", "P-384:P-256")
    handshakes(Pki("ec"), {"1.2": groups, "1.3": ("X25519", "P-256", "P-384")})


def test_handshakes_rsa_4096():
    groups = ("X25519", "P-256", "P-384")
    handshakes(Pki("rsa"), {"1.2": groups, "1.3": groups})


def test_sending_ec():
    sending(Pki("ec"))


def test_sending_rsa_4096():
    sending(Pki("rsa"))


def test_login_and_commands():
    pki = Pki("ec")
    s = Server(pki, start=False, ocsp_fetch="aia", tls_ocsp_file=pki.proof("good"))
    s.configure(auth_users_file=os.path.join(s.dir, "users"))
    for command in (
        ("passwd", "-c", s.conf_path, "--stdin", "alice"),
        ("check", "-c", s.conf_path),
        ("budget", "-c", s.conf_path),
        ("ocsp-check", "--help"),
    ):
        status, out = run(POSTERN, *command, text="open sesame\n")
        check_equal(status, 0, f"{command}: {out}")
    s.start()
    c = hello(s, tls=True)
    c.cmd("AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l", 235)
    c.quit()
    for command in (("status",), ("queue",), ("clock",)):
        status, out = run(POSTERN, command[0], "-c", s.conf_path)
        check_equal(status, 0, f"{command}: {out}")
    s.stop()


harness.main(globals())
