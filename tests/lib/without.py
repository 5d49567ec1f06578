"""One program that was built without parts (WITHOUT): see without_test.sh."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop"))
import harness
from harness import POSTERN, Pki, Server, body_of, check, check_equal, hello, run

PARTS = os.environ["WITHOUT"].split()
# Of each part: options that name it, and what is said of them.
LACKS = {
    "outgoing": (
        {"route_list": "* smtp:relay.example"},
        {"hosts_require_tls": "*"},
        {"destination_concurrency": "3"},
        {"remote_tls_verify_hosts": "*"},
    ),
    "fetch": ({"ocsp_fetch": "aia"}, {"ocsp_alarm": "1h"}),
    "tls12": ({"tls_require_ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},),
    "rsa": ({"tls_require_ciphers": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"},),
}
COMMANDS = {"fetch": ("ocsp-fetch",), "commands": ("ocsp-check", "ocsp-fetch", "sendmail", "passwd")}
NEEDS = {"outgoing": "sending to other servers (outgoing)", "fetch": "fetching of proofs (fetch)", "tls12": "TLS 1.2 (tls12)", "rsa": "RSA (rsa)"}


def test_version():
    status, out = run(POSTERN, "--version")
    check_equal(status, 0, "exit status")
    check(out.startswith("postern "), out)


def test_delivery():
    pki = Pki("ec")
    s = Server(pki, proof=pki.proof("good"))
    for tls in (False, True):
        c = hello(s, tls=tls)
        c.cmd("MAIL FROM:<a@client.example>", 250)
        c.cmd("RCPT TO:<b@elsewhere.example>", 550)
        c.cmd("RSET", 250)
        c.message(body_of(1, 500))
        c.quit()
    for message in s.messages("alice", 2):
        check(b"Subject: number 1" in message, repr(message))
    s.stop()


def test_proof_is_stapled():
    pki = Pki("ec")
    s = Server(pki, proof=pki.proof("good"))
    for version in ("-tls1_2", "-tls1_3"):
        status, out = run(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-status", "-crlf", "-ign_eof", version),
            *("-CAfile", pki.root, "-verify_return_error"),
            text="QUIT\n",
        )
        if version == "-tls1_2" and "tls12" in PARTS:
            check(status != 0, "TLS 1.2 was spoken")
        else:
            check_equal(status, 0, "exit status of s_client: " + out[-300:])
            check("Cert Status: good" in out, out[-2000:])
    s.stop()


def test_rsa_certificate():
    pki = Pki("rsa")
    s = Server(pki, start=False)
    status, out = run(POSTERN, "check", "-c", s.conf_path)
    if "rsa" in PARTS:
        check(status != 0 and "this build has no RSA (rsa)" in out, out)
    else:
        check_equal(status, 0, "exit status: " + out)


def test_options_that_it_lacks():
    for part, options in LACKS.items():
        for option in options:
            status, out = run(POSTERN, "check", "-c", Server(Pki("ec"), start=False, **option).conf_path)
            lacks = "this build has no " + NEEDS[part]
            if part in PARTS:
                either = part == "rsa" and "tls12" in PARTS
                wanted = "this build has no TLS 1.2 (tls12)" if either else lacks
                check(status == 78 and wanted in out, f"{option}: {status} {out}")
            else:
                check(lacks not in out, f"{option}: {out}")


def test_commands_that_it_lacks():
    for part, commands in COMMANDS.items():
        for command in commands:
            status, out = run(POSTERN, command, "--help")
            if part in PARTS:
                check_equal((status, out), (69, f"postern: {command}: this build has no such command\n"), command)
            elif part == "commands" and not (command == "ocsp-fetch" and "fetch" in PARTS):
                check("no such command" not in out, out)


harness.main(globals())
