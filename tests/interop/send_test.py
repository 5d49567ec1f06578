#!/usr/bin/env python3
"""Mail that goes on: to Exim, Postfix and Dovecot as next hops, and past every failure that smtp-sink can make."""

import os
import re
import signal
import sys

import harness
import peers
from harness import Pki, Server, body_of, check, check_equal, hello, wait_until

REMOTE = "remote.example"
VERSIONS = ("1.2", "1.3")


def relay(peer, transport="smtp", pki=None, **options):
    """A server that sends mail for remote.example to that peer."""
    settings = {
        "relay_from_hosts": "127.0.0.1",
        "route_list": f"{REMOTE} {transport}:127.0.0.1:{peer.port}",
        "retry_min": "1s",
        "retry_max": "2s",
    }
    if pki:
        settings["remote_tls_verify_certificates"] = pki.root
    settings.update(options)
    return Server(**settings)


def send(s, number=1, to=f"all@{REMOTE}", sender="alice@test.example", params="", eight_bit=False):
    body = body_of(number, 3000, eight_bit)
    client = hello(s)
    name = client.message(body, to, sender, params)
    client.quit()
    return name, body


def outcome(s, name, result, number=1):
    """The delivery lines of that message with that result, and what the log says of the connections."""
    s.wait_log("delivery", f"id={name}", f"result={result}", number=number)
    return "\n".join(s.log_lines("relay", f"id={name}") + s.log_lines("relay-try", f"id={name}"))


def without_trace(message):
    """What stands behind the Received fields that the servers wrote on top."""
    return re.split(rb"\n(?=Subject: number )", b"\n" + message, maxsplit=1)[1]


def arrived(peer, body, number=1):
    wanted = body.replace(b"\r\n", b"\n").strip()
    got = [without_trace(m).replace(b"\r\n", b"\n") for m in peer.messages(number)]
    check(any(wanted.split(b"\n")[-1] in one for one in got), f"the message is not among {len(got)}: {got[:1]}")
    for one in got:
        check(b"\n".join(wanted.split(b"\n")[2:]) in one or len(got) > 1, f"other bytes: {one[:400]!r}")


# --- OCSP towards Exim ---


def exim_with(kind, version):
    pki = Pki()
    return peers.Exim(pki, pki.proof(kind) if kind else None, version), pki


def test_exim_good():
    """hosts_require_ocsp lets a message go to a peer that proves itself."""
    for version in VERSIONS:
        peer, pki = exim_with("good", version)
        s = relay(peer, pki=pki, route_list=f"{REMOTE} smtp:localhost:{peer.port}", hosts_require_ocsp="*")
        name, body = send(s)
        line = outcome(s, name, "relayed")
        check("tls_out_ocsp=verified" in line and f"TLSv{version}" in line, line)
        arrived(peer, body)
        s.stop()


def test_exim_without_proof():
    """Without a proof the message waits, and never goes in plaintext; it goes where a proof is only asked for."""
    for version in VERSIONS:
        peer, pki = exim_with(None, version)
        s = relay(peer, pki=pki, route_list=f"{REMOTE} smtp:localhost:{peer.port}", hosts_require_ocsp="*")
        name, body = send(s)
        line = outcome(s, name, "deferred")
        check("tls_out_ocsp=no-response" in line, line)
        check_equal(peer.files(), [], "messages at the peer")
        s.configure(hosts_require_ocsp=None)
        s.send_signal(signal.SIGHUP)
        line = outcome(s, name, "relayed")
        check("tls_out_ocsp=no-response" in line, line)
        arrived(peer, body)
        s.stop()


# --- Whatever OpenSSL can be made to staple ---

GOOD = ("good", "delegate", "large")
USELESS = (None, "expired", "future", "no-next-update", "unknown", "other")
OCSP_WORD = {**{k: "verified" for k in GOOD}, **{k: "failed" for k in USELESS}, None: "no-response", "revoked": "failed"}


def test_stapler():
    """Proof, option and TLS version: what goes, what waits, and what the log calls it."""
    pki = Pki()
    staplers = {}
    for version in VERSIONS:
        for kind in (*GOOD, *USELESS, "revoked"):
            staplers[version, kind] = peers.Stapler(pki, pki.proof(kind) if kind else None, version)
    names = {key: f"d{n}.example" for n, key in enumerate(staplers)}
    routes = " ; ".join(f"{names[key]} smtps:localhost:{one.port}" for key, one in staplers.items())
    for mode in ("require", "request", "off"):
        lists = {"hosts_require_ocsp": "*" if mode == "require" else None, "hosts_request_ocsp": "" if mode == "off" else "*"}
        s = Server(
            relay_from_hosts="127.0.0.1",
            route_list=routes,
            remote_tls_verify_certificates=pki.root,
            retry_min="2s",
            retry_max="3s",
            **lists,
        )
        wait_until(lambda: all(one.listens() for one in staplers.values()), "the staplers to be there again")
        body = body_of(1, 2000)
        with_ids = hello(s)
        ids = {key: with_ids.message(body, f"x@{names[key]}", "bob@test.example") for key in staplers}
        with_ids.quit()
        for (version, kind), name in ids.items():
            stops = kind not in GOOD if mode == "require" else kind == "revoked" and mode == "request"
            log = outcome(s, name, "deferred" if stops else "relayed")
            lines = [l for l in log.splitlines() if f"TLSv{version}" in l]
            word = "not-requested" if mode == "off" else OCSP_WORD[kind]
            check(lines, f"{mode} {version} {kind}: not over TLS {version}:\n{log}")
            check(all(f"tls_out_ocsp={word}" in l for l in lines), f"{mode} {version} {kind}: not {word}:\n{log}")
            check(not s.log_lines("relay", f"id={name}", "tls=no", "delivered=1"), f"in plaintext: {log}")
        s.stop()
        goes = sum(kind in GOOD for _, kind in staplers) if mode == "require" else len(staplers) - 2 * (mode == "request")
        check_equal(sum(len(one.got) for one in staplers.values()), goes, f"messages that arrived under {mode}")
        for one in staplers.values():
            one.got.clear()
    # bad_certificate_status_response, RFC 6066 8; some may not get to read it, as the connection is closed behind it.
    told = 0
    for one in staplers.values():
        with open(one.log_path, encoding="utf-8", errors="replace") as f:
            told += "SSL alert number 113" in f.read()
    check(told > 0, "nobody was told that its proof will not do")


def check_verified(pki, version):
    """OpenSSL's server with that certificate, in that version of TLS, gets a message, its proof verified."""
    peer = peers.Stapler(pki, pki.proof("good"), version)
    wait_until(peer.listens, "the stapler")
    s = relay(peer, pki=pki, route_list=f"{REMOTE} smtps:localhost:{peer.port}", hosts_require_ocsp="*")
    line = outcome(s, send(s)[0], "relayed")
    check("tls_out_ocsp=verified" in line and f"TLSv{version}" in line, line)
    s.stop()


def test_rsa():
    """OpenSSL signs with RSA-PSS wherever that is offered, in TLS 1.2 too."""
    pki = Pki("rsa")
    for version in VERSIONS:
        check_verified(pki, version)


def test_unknown_signature_in_chain():
    """The last of a peer's certificates has a key or a signature that nobody here knows; nor is it needed."""
    pki = Pki(name="odd")
    key, extra = os.path.join(pki.dir, "extra.key"), os.path.join(pki.dir, "extra.pem")
    harness.run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    harness.run("openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=Ed25519", "-days", "9", "-out", extra)
    below = os.path.join(pki.dir, "below.pem")  # with such a key, and a signature that is known
    root_key = os.path.join(pki.dir, "root.key")
    harness.run("openssl", "req", "-new", "-key", key, "-subj", "/CN=below", "-out", below + ".csr")
    harness.run("openssl", "x509", "-req", "-in", below + ".csr", "-CA", pki.root, "-CAkey", root_key, "-out", below)
    large = os.path.join(pki.dir, "large.pem")  # with RSA of 8192 bits
    with open(large + ".cnf", "w", encoding="ascii") as f:
        f.write(
            "asn1=SEQUENCE:spki\n[spki]\na=SEQUENCE:alg\nk=BITWRAP,SEQUENCE:key\n[alg]\no=OID:rsaEncryption\nn=NULL\n"
            f"[key]\nn=INTEGER:0x{'F' * 2048}\ne=INTEGER:65537\n"
        )
    harness.run("openssl", "asn1parse", "-genconf", large + ".cnf", "-noout", "-out", large + ".der")
    harness.run("openssl", "rsa", "-pubin", "-inform", "DER", "-in", large + ".der", "-pubout", "-out", large + ".pub")
    signed = ("-subj", "/CN=large", "-CA", pki.root, "-CAkey", root_key, "-out", large)
    harness.run("openssl", "x509", "-new", "-force_pubkey", large + ".pub", *signed)
    with open(pki.chain, encoding="ascii") as f:
        chain = f.read()
    for version, odd in ((v, o) for v in VERSIONS for o in (extra, below, large)):
        with open(pki.chain, "w", encoding="ascii") as out, open(odd, encoding="ascii") as f:
            out.write(chain + f.read())
        check_verified(pki, version)


# --- Postfix ---


def test_postfix():
    """Opportunistic TLS, both versions; several messages and recipients over one connection."""
    for version in VERSIONS:
        pki = Pki()
        peer = peers.Postfix(pki, version)
        s = relay(peer, pki=pki)
        names = [send(s, n) for n in range(5)]
        for name, body in names:
            line = outcome(s, name, "relayed")
            check(f"TLSv{version}" in line, line)
        arrived(peer, names[0][1], 5)
        s.stop()


def test_postfix_requires_proof():
    pki = Pki()
    peer = peers.Postfix(pki)
    s = relay(peer, pki=pki, route_list=f"{REMOTE} smtp:localhost:{peer.port}", hosts_require_ocsp="*")
    name, _ = send(s)
    check("tls_out_ocsp=no-response" in outcome(s, name, "deferred"), "deferred for want of a proof")
    check_equal(peer.files(), [], "messages at the peer")
    s.stop()


def test_postfix_plaintext():
    peer = peers.Postfix()
    s = relay(peer)
    name, body = send(s)
    outcome(s, name, "relayed")
    arrived(peer, body)
    s.stop()
    s = relay(peer, hosts_require_tls="*")
    name, _ = send(s)
    outcome(s, name, "deferred")
    check_equal(len(peer.files()), 1, "messages at the peer")
    s.stop()


# --- Dovecot ---


def test_dovecot():
    """LMTP over TCP and over a socket: each recipient has its own fate, and the sender hears of the one that failed."""
    peer = peers.Dovecot()
    for number, transport in enumerate((f"lmtp:127.0.0.1:{peer.port}", f"lmtp:{peer.socket}")):
        # What asks for TLS with every server asks none of a socket of this machine.
        strict = {"hosts_require_tls": "*"} if number == 1 else {}
        s = relay(peer, route_list=f"{REMOTE} {transport}", **strict)
        name, _ = send(s, number, [f"alice@{REMOTE}", f"zed@{REMOTE}", f"bob@{REMOTE}"])
        outcome(s, name, "delivered", 2)
        outcome(s, name, "failed")
        peer.messages(2 * number + 2)
        report = s.messages("alice", 1)[0]
        check(b"multipart/report" in report and b"zed@remote.example" in report and b"5.1.1" in report, report.decode())
        check(b"Final-Recipient: rfc822; bob@" not in report and b"Action: failed" in report, report.decode())
        s.stop()


# --- Every failure that smtp-sink can make ---

TEMPORARY = [("-r", at) for at in ("CONNECT", "EHLO,HELO", "MAIL", "RCPT", "DATA", ".")] + [
    (kind, at) for kind in ("-q", "-Q") for at in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")
]
PERMANENT = [("-f", at) for at in ("MAIL", "RCPT", "DATA", ".")]
LATER = [("-f", at) for at in ("CONNECT", "EHLO,HELO")]


def routes_to(sinks):
    return " ; ".join(f"d{n}.example smtp:127.0.0.1:{sink.port}" for n, sink in enumerate(sinks))


def test_sink_temporary():
    """The message waits, whatever the peer breaks off at, and arrives once when the peer is well again."""
    kinds = TEMPORARY + LATER
    sinks = [peers.SmtpSink(option, at) for option, at in kinds]
    s = relay(sinks[0], route_list=routes_to(sinks))
    sent = [send(s, n, f"x@d{n}.example") for n in range(len(kinds))]
    for kind, (name, _) in zip(kinds, sent):
        outcome(s, name, "deferred")
        check_equal(s.log_lines("delivery", f"id={name}", "result=failed"), [], f"failures with {kind}")
    well = peers.SmtpSink()
    s.configure(route_list=routes_to([well] * len(kinds)))
    s.send_signal(signal.SIGHUP)
    for name, _ in sent:
        outcome(s, name, "relayed")
    check_equal(len(well.messages(len(kinds))), len(kinds), "messages at the well one")
    for _, body in sent:
        arrived(well, body, len(kinds))
    s.stop()
    check_equal(s.files("alice"), [], "reports")


def test_sink_permanent():
    """The sender hears of each once, with what the peer said."""
    sinks = [peers.SmtpSink(option, at, "-B", "554 5.7.1 Not here, not now") for option, at in PERMANENT]
    s = relay(sinks[0], route_list=routes_to(sinks))
    for n in range(len(sinks)):
        name, _ = send(s, n, f"x@d{n}.example")
        outcome(s, name, "failed")
    reports = [m.decode() for m in s.messages("alice", len(sinks))]
    for n in range(len(sinks)):
        mine = [r for r in reports if f"Final-Recipient: rfc822; x@d{n}.example" in r]
        check_equal(len(mine), 1, f"reports about d{n}")
        for text in ("Status: 5.7.1", "554 5.7.1 Not here, not now", "Action: failed"):
            check(text in mine[0], mine[0])
    s.stop()
    check_equal(len(s.files("alice")), len(sinks), "reports")


def test_sink_plain():
    """Peers that lack everything: no ESMTP, no pipelining, no enhanced codes, no DSN and 8BITMIME."""
    sinks = [peers.SmtpSink(*options) for options in (("-e",), ("-p",), ("-E",), ("-N", "-8", "-p"))]
    s = relay(sinks[0], route_list=routes_to(sinks))
    for n, sink in enumerate(sinks):
        name, body = send(s, n, f"x@d{n}.example")
        outcome(s, name, "relayed")
        arrived(sink, body)
    s.stop()


def test_null_sender():
    """Nobody is told of a message from <> that fails."""
    peer = peers.SmtpSink("-f", "RCPT")
    s = relay(peer)
    name, _ = send(s, sender="")
    outcome(s, name, "failed")
    s.stop()
    check_equal(s.files("alice") + s.files("postmaster"), [], "reports")


def test_several_destinations():
    """One that is dead holds up nobody."""
    peer = peers.SmtpSink()
    dead = harness.free_port()
    routes = f"{REMOTE} smtp:127.0.0.1:{peer.port} ; dead.example smtp:127.0.0.1:{dead}"
    s = relay(peer, route_list=routes)
    for n in range(10):
        name, _ = send(s, n, [f"x@dead.example", f"all@{REMOTE}", "bob@test.example"])
        outcome(s, name, "relayed")
        outcome(s, name, "delivered")
    outcome(s, name, "deferred")
    peer.messages(10)
    s.messages("bob", 10)
    s.stop()
    s.start()
    outcome(s, name, "deferred", 2)
    check_equal(len(peer.files()), 10, "copies after a restart")
    s.stop()


REASON = peers.cannot_run()
if REASON:
    cases = [n for n in list(globals()) if n.startswith("test_")]
    print(f"skipped: {REASON}")
    print(f"0 passed, 0 failed, {len(cases)} skipped")
    sys.exit(0)
harness.main(globals())
