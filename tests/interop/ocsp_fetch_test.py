#!/usr/bin/env python3
"""`postern ocsp-fetch`: what it fetches, from whom, what it writes, and what every failure looks like.

The responder is a socket on the loopback interface that does what a case wants with a connection; where
it is to be a real one, `openssl ocsp` answers each request (its own listener would take any interface).
"""

import base64
import os
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import harness
from harness import POSTERN, Pki, Server, case_dir, check, check_equal, content_of, free_port, run, wait_until

ACCEPT, REJECT, MALFORMED, WRONG, FAILED = range(5)


# --- Responders ---


class Responder:
    """Calls respond(connection, head, body) for each connection, in a thread of its own."""

    def __init__(self, respond):
        self.respond = respond
        self.heads = []
        self.over = threading.Event()
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(8)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.url = f"http://{self.address}/ca"
        threading.Thread(target=self.serve, daemon=True).start()
        harness.started().append(self)

    def serve(self):
        while True:
            try:
                c = self.socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        c.settimeout(20)
        with c:
            try:
                head, body = read_request(c)
                self.heads.append(head)
                self.respond(c, head, body)
            except OSError:
                pass

    def end(self):
        self.over.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def read_request(c):
    data = b""
    while b"\r\n\r\n" not in data:
        more = c.recv(4096)
        if not more:
            return data.decode(), b""
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while length and len(body) < int(length[0]):
        body += c.recv(4096)
    return head.decode(), body


def answer(body, status="200 OK", kind="application/ocsp-response", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def saying(data):
    """A responder that sends these bytes whatever it is asked."""
    return Responder(lambda c, head, body: c.sendall(data))


def openssl(p, signer="inter", status="V"):
    """A responder with OpenSSL's word."""

    def respond(c, head, body):
        if head.startswith("GET "):
            body = base64.b64decode(urllib.parse.unquote(head.split()[1].rsplit("/", 1)[1]), validate=True)
        folder = case_dir()
        index, asked, said = (os.path.join(folder, n) for n in ("index", "asked", "said"))
        number = run("openssl", "x509", "-noout", "-serial", "-in", p.chain)[1].strip().split("=")[1]
        with open(index, "w", encoding="ascii") as f:
            f.write(f"{status}\t391231235959Z\t{'260101000000Z' * (status == 'R')}\t{number}\tunknown\t/CN=x\n")
        with open(asked, "wb") as f:
            f.write(body)
        ca, cert, key = (os.path.join(p.dir, n) for n in ("inter.pem", signer + ".pem", signer + ".key"))
        subprocess.run(
            ["openssl", "ocsp", "-index", index, "-CA", ca, "-rsigner", cert, "-rkey", key, "-ndays", "7"]
            + ["-reqin", asked, "-respout", said],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        c.sendall(answer(content_of(said)))

    p.proof("delegate")  # makes that signer
    return Responder(respond)


# --- The command ---


def out_path():
    return os.path.join(case_dir(), "out.der")


def fetch(p, url, *options, cert=None):
    """(exit status, {key: value}, what else it printed)"""
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    more = ["--url", url] if url else []
    return said(*("--issuer", inter, "--cert", cert or leaf, "-o", out_path(), *more, *options))


def said(*arguments):
    status, out = run(POSTERN, "ocsp-fetch", *arguments)
    lines = [line for line in out.splitlines() if not line.startswith(("postern: ", " ", "usage"))]
    return status, dict(line.split(": ", 1) for line in lines), out


def judged(p, path):
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    return run(POSTERN, "ocsp-check", "--proof", "--issuer", inter, "--cert", leaf, path)[0]


def check_fetched(p, got, what):
    status, found, out = got
    check_equal((status, found.get("verdict"), found.get("written")), (ACCEPT, "accept", "yes"), what + ": " + out)
    check_equal(judged(p, out_path()), ACCEPT, what + ", the file")
    check_equal(os.listdir(case_dir()).count("out.der.new"), 0, "files left behind")


def check_failed(got, reason, what):
    status, found, out = got
    check_equal((status, found), (FAILED, {}), what + ": " + out)
    check(out.startswith("postern: ") and reason in out, f"{what}: {out}")
    check(not os.path.exists(out_path()), what + ": something was written")


# --- Real responders ---


def test_signers():
    """The issuer itself, and a delegate of its."""
    p = Pki()
    for signer, name in (("inter", "issuer"), ("delegate", "delegate")):
        got = fetch(p, openssl(p, signer).url)
        check_fetched(p, got, signer)
        check_equal(got[1]["signer"], name, "the signer")
        os.unlink(out_path())


def test_ways_to_ask():
    """GET, a nonce, a proxy; each is what the responder sees."""
    p = Pki()
    r = openssl(p)
    check_fetched(p, fetch(p, r.url, "--get"), "GET")
    check(r.heads[-1].startswith("GET /ca/"), r.heads[-1])
    os.unlink(out_path())
    check_fetched(p, fetch(p, r.url, "--nonce"), "a nonce")
    check(r.heads[-1].startswith("POST /ca HTTP/1.1\r\n"), r.heads[-1])
    os.unlink(out_path())
    check_fetched(p, fetch(p, "http://ocsp.invalid/x", "--proxy", f"http://{r.address}"), "a proxy")
    check(r.heads[-1].startswith("POST http://ocsp.invalid/x HTTP/1.1\r\n"), r.heads[-1])


def test_revoked():
    """Rejected, and written: whoever serves is to know. A good proof that is older does not come back."""
    p = Pki()
    with open(out_path(), "wb") as f:
        f.write(content_of(p.timed_proof(-7200, 86400, os.path.join(case_dir(), "older.der"))))
    status, found, out = fetch(p, openssl(p, status="R").url)
    check_equal((status, found["reason"], found["written"]), (REJECT, "revoked", "yes"), out)
    check_equal(judged(p, out_path()), REJECT, "the file")
    old = saying(answer(content_of(os.path.join(case_dir(), "older.der"))))
    status, found, out = fetch(p, old.url)
    check_equal((status, found["written"]), (ACCEPT, "no, not newer"), out)
    check_equal(judged(p, out_path()), REJECT, "the file then")


def test_nothing_new():
    """The same proof again is not written again; a newer one is, with the mode and owner of the file."""
    p = Pki()
    first, second = (p.timed_proof(-s, 86400, os.path.join(case_dir(), f"{s}.der")) for s in (7200, 3600))
    check_fetched(p, fetch(p, saying(answer(content_of(first))).url), "the first")
    os.chmod(out_path(), 0o640)
    before = os.stat(out_path())
    status, found, out = fetch(p, saying(answer(content_of(first))).url)
    check_equal((status, found["written"]), (ACCEPT, "no, not newer"), out)
    check_equal(os.stat(out_path()).st_ino, before.st_ino, "the file's inode")
    check_fetched(p, fetch(p, saying(answer(content_of(second))).url), "the second")
    check_equal(os.stat(out_path()).st_mode, before.st_mode, "the file's mode")
    check_equal(content_of(out_path()), content_of(second), "the file")


# --- Failures ---


def slowly(c, data):
    for byte in data:
        c.sendall(bytes([byte]))
        time.sleep(1)


def reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def test_refused():
    check_failed(fetch(Pki(), f"http://127.0.0.1:{free_port()}/"), "refused", "nobody listens")


def test_too_slow():
    """Silence, and a byte a second: over when the time is."""
    p = Pki()
    r = Responder(lambda c, head, body: r.over.wait(20))
    check_failed(fetch(p, r.url, "--timeout", "1s"), "timeout", "silence")
    good = answer(content_of(p.proof("good")))
    check_failed(fetch(p, Responder(lambda c, head, body: slowly(c, good)).url, "--timeout", "2s"), "timeout", "slow")


def test_reset():
    check_failed(fetch(Pki(), Responder(lambda c, head, body: reset(c)).url), "reset", "a reset")


def test_http():
    """What HTTP says instead of an answer."""
    p = Pki()
    good = content_of(p.proof("good"))
    for what, data, reason in (
        ("404", answer(b"no", "404 Not Found"), "http-status, status 404"),
        ("500", answer(b"no", "500 Internal Server Error"), "http-status, status 500"),
        ("redirect", answer(good, "301 Moved", more="Location: http://127.0.0.1/\r\n"), "http-redirect, status 301"),
        ("type", answer(good, kind="text/html"), "http-wrong-type"),
        ("coding", answer(good, more="Content-Encoding: gzip\r\n"), "http-encoded"),
        ("cut short", answer(good)[:-1], "http-cut-short"),
        ("nothing", b"", "http-cut-short"),
        ("too big", answer(bytes(70000)), "http-too-big"),
        ("not HTTP", b"220 mail.example ESMTP\r\n", "http-malformed"),
    ):
        check_failed(fetch(p, saying(data).url), reason, what)


def test_chunked():
    p = Pki()
    good = content_of(p.proof("good"))
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(good[i : i + 99]), good[i : i + 99]) for i in range(0, len(good), 99))
    check_fetched(p, fetch(p, saying(head + chunks + b"0\r\n\r\n").url), "chunks")


def test_bad_proofs():
    """What comes well over HTTP and is no proof: judged, not written, and what is there stays."""
    p = Pki()
    good = content_of(p.proof("good"))
    with open(out_path(), "wb") as f:
        f.write(good)
    for what, proof, status, reason in (
        ("garbage", b"junk", MALFORMED, "malformed"),
        ("a byte too many", good + b"\0", MALFORMED, "malformed"),
        ("try later", b"\x30\x03\x0a\x01\x03", REJECT, "try-later"),
        ("expired", content_of(p.proof("expired")), REJECT, "expired"),
        ("future", content_of(p.proof("future")), REJECT, "not-yet-valid"),
        ("another certificate's", content_of(p.proof("other")), REJECT, "wrong-certificate"),
        ("without an end", content_of(p.proof("no-next-update")), REJECT, "no-next-update"),
    ):
        got, found, out = fetch(p, saying(answer(proof)).url)
        check_equal((got, found["reason"], found["written"]), (status, reason, "no"), f"{what}: {out}")
        check_equal(content_of(out_path()), good, "the file after " + what)


def test_forged():
    """A signature that is another's."""
    p = Pki()
    good = bytearray(content_of(p.timed_proof(-3600, 86400, os.path.join(case_dir(), "good.der"))))
    good[-1] ^= 1  # the signature's last byte: nothing is embedded behind it
    status, found, out = fetch(p, saying(answer(bytes(good))).url)
    check_equal((status, found["reason"], found["written"]), (REJECT, "bad-signature", "no"), out)
    check(not os.path.exists(out_path()), "it was written")


def test_wrong_nonce():
    p = Pki()
    other = openssl(p)
    check_fetched(p, fetch(p, other.url, "--nonce"), "with its nonce")
    replayed = content_of(out_path())
    os.unlink(out_path())
    check_failed(fetch(p, saying(answer(replayed)).url, "--nonce"), "wrong-nonce", "another's nonce")


def test_usage():
    p = Pki()
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    for arguments in (
        [],
        ["--issuer", inter, "--cert", leaf],
        ["--issuer", inter, "-o", out_path()],
        ["-c", "/nowhere", "-o", out_path()],
        ["--issuer", inter, "--cert", leaf, "-o", out_path(), "more"],
        ["--issuer", inter, "--cert", leaf, "-o", out_path(), "--timeout", "soon"],
        ["--issuer", inter, "--cert", leaf, "-o"],
        ["--issuer", inter, "--cert", leaf, "-o", out_path()],  # the certificate names no responder
        ["--issuer", leaf, "--cert", leaf, "-o", out_path(), "--url", "http://127.0.0.1/"],
        ["--issuer", "/nowhere", "--cert", leaf, "-o", out_path()],
        ["-c", "/nowhere"],
    ):
        status, _, out = said(*arguments)
        check_equal(status, WRONG, f"{arguments}: {out}")
        check(out != "", f"{arguments}: silence")
    for url, options, reason in (  # nothing to try again later, as a responder that is away
        ("https://127.0.0.1/", [], "https://127.0.0.1/: url-https"),
        ("http://127.0.0.1:1/", ["--proxy", "127.0.0.1:3128"], "127.0.0.1:3128: url-not-http"),
    ):
        status, _, out = fetch(p, url, *options)
        check_equal((status, out), (WRONG, f"postern: {reason}\n"), "an argument that is no URL")
    check_equal(said("--help")[0], ACCEPT, "--help")
    with open(out_path(), "wb") as f:
        f.write(b"-----BEGIN OCSP RESPONSE-----\n-----END OCSP RESPONSE-----\n")
    status, _, out = fetch(p, saying(answer(content_of(p.proof("good")))).url)
    check_equal(status, FAILED, "over a file in PEM: " + out)


def test_not_written():
    """A place where nothing can be written: said, and the exit status tells."""
    p = Pki()
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    out = os.path.join(case_dir(), "absent", "out.der")
    good = saying(answer(content_of(p.proof("good"))))
    status, found, text = said("--issuer", inter, "--cert", leaf, "-o", out, "--url", good.url)
    check_equal((status, found["verdict"], found["written"]), (FAILED, "accept", "no"), text)


def test_next_responder():
    """Of two that the certificate names nobody is at the first; by hand, and of the options."""
    dead = f"http://127.0.0.1:{free_port()}/"
    r = Responder(lambda c, head, body: by_hand.respond(c, head, body))
    os.environ["RESPONDER"] = f"{dead},OCSP;URI:{r.url}"
    p = Pki("ec", "fetch-next")
    del os.environ["RESPONDER"]
    by_hand = openssl(p, "delegate")
    check_fetched(p, fetch(p, None), "by hand")
    os.unlink(out_path())
    s = Server(p, out_path(), start=False, ocsp_fetch="aia")
    status, found, out = said("-c", s.conf_path)
    check_equal((status, found.get("written")), (ACCEPT, "yes"), "of the options: " + out)
    check(f"postern: {dead}: refused" in out, "the first one's failure: " + out)


def test_next_responder_after_a_useless_one():
    """The first one answers, and not with a proof: try later, or one that is past."""
    first = Responder(lambda c, head, body: c.sendall(answer(useless[-1])))
    second = Responder(lambda c, head, body: by_hand.respond(c, head, body))
    os.environ["RESPONDER"] = f"{first.url},OCSP;URI:{second.url}"
    p = Pki("ec", "fetch-useless")
    del os.environ["RESPONDER"]
    by_hand = openssl(p, "delegate")
    useless = [b"\x30\x03\x0a\x01\x03"]
    check_fetched(p, fetch(p, None), "by hand")
    os.unlink(out_path())
    s = Server(p, out_path(), start=False, ocsp_fetch="aia")
    useless.append(content_of(p.proof("expired")))
    status, found, out = said("-c", s.conf_path)
    check_equal((status, found.get("written")), (ACCEPT, "yes"), "of the options: " + out)
    check("reason: expired" in out, "the first one's word: " + out)
    check_equal((len(first.heads), len(second.heads)), (2, 2), "asked")
    os.unlink(out_path())
    harness.started().remove(second)
    second.end()
    status, found, out = said("-c", s.conf_path)
    check_equal((status, found.get("written")), (REJECT, "no"), "a useless one alone: " + out)


# --- All that the options name ---


def test_nothing_to_fetch_for():
    """From cron that must not pass for a proof that was fetched."""
    p = Pki()
    for s, want in ((Server(p, start=False), "tls_ocsp_file"), (Server(start=False), "tls_certificate")):
        status, out = run(POSTERN, "ocsp-fetch", "-c", s.conf_path)
        check(status == 3 and f"postern: {s.conf_path}: {want} is not set\n" in out, f"{status}: {out}")


def test_of_the_options():
    """-c: into tls_ocsp_file, from where the running server takes it; each option of it is obeyed."""
    p = Pki("ec", "fetch-options")  # of its own, as its files are renamed
    r = openssl(p, "delegate")
    s = Server(p, out_path())
    status, found, out = said("-c", s.conf_path, "--url", r.url)
    check_equal((status, found.get("verdict"), found.get("written")), (ACCEPT, "accept", "yes"), out)
    check_equal(found["file"], out_path(), "the file named")
    check_equal(judged(p, out_path()), ACCEPT, "the file")
    s.configure(ocsp_fetch=r.url, ocsp_fetch_method="GET")
    os.unlink(out_path())
    status, found, out = said("-c", s.conf_path)
    check_equal((status, found.get("written")), (ACCEPT, "yes"), out)
    check(r.heads[-1].startswith("GET "), r.heads[-1])

    def is_served():
        client = ["openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-status", "-CAfile", p.root]
        return "OCSP Response Status: successful" in run(*client, text="QUIT\n")[1]

    wait_until(is_served, "the server to staple it")
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    os.rename(leaf, os.path.join(p.dir, "localhost.pem"))
    by_name = {"tls_certificate": os.path.join(p.dir, "$tls_in_sni.pem"), "primary_hostname": "LocalHost"}
    before = {name: s.options.get(name) for name in by_name}
    os.unlink(out_path())
    s.configure(**by_name, tls_verify_certificates=inter)
    status, found, out = said("-c", s.conf_path)
    check_equal((status, found.get("written")), (ACCEPT, "yes"), "the issuer is elsewhere, the name is capital: " + out)
    os.rename(os.path.join(p.dir, "localhost.pem"), leaf)
    s.configure(**before, tls_verify_certificates=None)
    s.configure(ocsp_fetch=f"http://127.0.0.1:{free_port()}/")
    check_equal(said("-c", s.conf_path)[0], FAILED, "nobody listens")
    s.configure(ocsp_fetch=None)
    status, _, out = said("-c", s.conf_path)
    check_equal(status, FAILED, "no responder is named: " + out)
    check("no-responder" in out, out)


harness.main(globals())
