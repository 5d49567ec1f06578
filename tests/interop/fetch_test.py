#!/usr/bin/env python3
"""The server fetches its proofs, over real sockets, from OpenSSL's own responder with a delegated signer.

The responder here is a web server on the loopback interface that lets `openssl ocsp` answer each request
(its own listener would take any interface). Clients are `openssl s_client -status`.
"""

import base64
import http.server
import os
import socket
import subprocess
import threading
import urllib.parse

import harness
from harness import Pki, Server, case_dir, check, check_equal, hello, run, wait_until


class Responder:
    """Answers for one Pki. mode: good, revoked, silent (never answers), chunked, redirect, junk."""

    def __init__(self, pki, mode="good", host="127.0.0.1"):
        self.pki, self.mode = pki, mode
        self.requests = []  # (method, target)
        self.hang = threading.Event()
        responder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                responder.requests.append(("POST", self.path))
                responder.respond(self, body)

            def do_GET(self):
                responder.requests.append(("GET", self.path))
                coded = self.path.rsplit("/", 1)[1]
                responder.respond(self, base64.b64decode(urllib.parse.unquote(coded), validate=True))

            def log_message(self, *_):
                pass

        pki.proof("delegate")  # makes the signer

        class Listener(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

        self.server = Listener((host, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        harness.started().append(self)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server.server_port}/ca"

    def respond(self, handler, request):
        if self.mode == "silent":
            self.hang.wait(60)
            return
        status, extra, body = 200, {}, b"junk"
        if self.mode == "redirect":
            status, extra = 302, {"Location": self.url}
        elif self.mode != "junk":
            body = self.answer(request)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/ocsp-response")
        for name, value in extra.items():
            handler.send_header(name, value)
        if self.mode == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for at in range(0, len(body), 100):
                piece = body[at : at + 100]
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

    def answer(self, request):
        """What `openssl ocsp` says to it."""
        folder = case_dir()
        index, asked, said = (os.path.join(folder, n) for n in ("index", "asked", "said"))
        number = run("openssl", "x509", "-noout", "-serial", "-in", self.pki.chain)[1].strip().split("=")[1]
        state = "R\t391231235959Z\t260101000000Z" if self.mode == "revoked" else "V\t391231235959Z\t"
        with open(index, "w", encoding="ascii") as f:
            f.write(f"{state}\t{number}\tunknown\t/CN=localhost\n")
        with open(asked, "wb") as f:
            f.write(request)
        ca, signer, key = (os.path.join(self.pki.dir, n) for n in ("inter.pem", "delegate.pem", "delegate.key"))
        subprocess.run(
            ["openssl", "ocsp", "-index", index, "-CA", ca, "-rsigner", signer, "-rkey", key, "-ndays", "7"]
            + ["-reqin", asked, "-respout", said],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return content(said)

    def end(self):
        self.hang.set()
        self.server.shutdown()
        self.server.server_close()


def content(path):
    with open(path, "rb") as f:
        return f.read()


def stapled(s, pki):
    """What s_client says of the proof: good, revoked... or none; it must have verified it all."""
    status, out = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-starttls", "smtp", "-status"),
        *("-CAfile", pki.root, "-verify_return_error", "-servername", "localhost", "-crlf", "-ign_eof"),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status of s_client, which printed\n" + out[-800:])
    if "OCSP Response Status: successful" not in out:
        check("OCSP response: no response sent" in out, out[:2000])
        return "none"
    return out.split("Cert Status: ", 1)[1].split()[0]


def proof_path():
    folder = os.path.join(case_dir(), "ocsp")
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, "proof.der")


def judged(path, p):
    """What `postern ocsp-check` says of the file."""
    inter, leaf = (os.path.join(p.dir, n) for n in ("inter.pem", "leaf.pem"))
    return run(harness.POSTERN, "ocsp-check", "--issuer", inter, "--cert", leaf, path)


def fetching(p, url, **options):
    return Server(p, options.pop("proof", proof_path()), ocsp_fetch=url, **options)


def test_fetched():
    """From nothing to a proof in each handshake and in the file; after a restart without a responder too."""
    p = Pki()
    r = Responder(p)
    s = fetching(p, r.url)
    s.wait_log("ocsp-fetch", "result=good", "status=200")
    check_equal(stapled(s, p), "good", "the staple")
    status, out = judged(proof_path(), p)
    check_equal(status, 0, out)
    check("signer: delegate" in out, out)
    check_equal(r.requests, [("POST", "/ca")], "what was asked")
    s.stop()
    r.end()
    s.start()
    check_equal(stapled(s, p), "good", "the staple after a restart")
    check_equal(len(s.log_lines("result=good")), 1, "fetches")
    s.stop()


def test_aia():
    """The responder that the certificate names; a file in PEM keeps what else it holds."""
    r = Responder(Pki("ec", "fetch-aia"))
    os.environ["RESPONDER"] = r.url
    r.pki.renew()
    del os.environ["RESPONDER"]
    other = Pki("ec").proof("good")
    path = os.path.join(case_dir(), "proofs")
    block = b"-----BEGIN OCSP RESPONSE-----\n" + base64.encodebytes(content(other)) + b"-----END OCSP RESPONSE-----\n"
    with open(path, "wb") as f:
        f.write(b"of another\n" + block)
    s = fetching(r.pki, "aia", proof=path)
    s.wait_log("ocsp-fetch", "result=good")
    check_equal(stapled(s, r.pki), "good", "the staple")
    check(content(path).startswith(b"of another\n" + block + b"-----BEGIN OCSP RESPONSE-----\n"), "the file")
    s.stop()
    s.start()
    check_equal(stapled(s, r.pki), "good", "the staple after a restart")
    s.stop()


def test_ways_to_ask():
    """GET, with a nonce, in chunks, through a proxy that alone can resolve the name."""
    p = Pki()
    r = Responder(p, "chunked")
    for options in (
        {"ocsp_fetch_method": "GET"},
        {"ocsp_fetch_nonce": "yes"},
        {"ocsp_fetch_proxy": r.url.rsplit("/", 1)[0]},
    ):
        if os.path.exists(proof_path()):
            os.remove(proof_path())
        url = "http://ocsp.invalid/x" if "ocsp_fetch_proxy" in options else r.url
        s = fetching(p, url, **options)
        s.wait_log("ocsp-fetch", "result=good")
        check_equal(stapled(s, p), "good", f"the staple with {options}")
        s.stop()
    check_equal([m for m, _ in r.requests], ["GET", "POST", "POST"], "methods")
    check_equal(r.requests[2][1], "http://ocsp.invalid/x", "what the proxy was asked for")


def test_addresses():
    """A responder with an IPv6 address alone; one by a name of the hosts file."""
    p = Pki()
    hosts = [("127.0.0.1", "localhost")] + ([("::1", "[::1]")] if harness.has_ipv6() else [])
    for host, name in hosts:
        if os.path.exists(proof_path()):
            os.remove(proof_path())
        r = Responder(p, host=host)
        s = fetching(p, f"http://{name}:{r.server.server_port}/ca")
        s.wait_log("ocsp-fetch", "result=good")
        check_equal(stapled(s, p), "good", "the staple from " + name)
        s.stop()


def test_revoked():
    """The responder says revoked: the staple goes away at once, and for good."""
    p = Pki("ec", "fetch-revoked")
    r = Responder(p, "revoked")
    p.timed_proof(-7200, 3600, proof_path())  # over half of its life
    s = fetching(p, "no")
    check_equal(stapled(s, p), "good", "the staple at first")
    s.configure(ocsp_fetch=r.url)
    s.send_signal(1)  # SIGHUP
    s.wait_log("ocsp-fetch", "result=revoked")
    check_equal(stapled(s, p), "none", "the staple of a revoked certificate")
    check("reason: revoked" in judged(proof_path(), p)[1], "the file")
    s.stop()
    r.end()
    p.timed_proof(-7200, 3600, proof_path())
    s.start()
    check_equal(stapled(s, p), "none", "the staple after a restart with the old file")
    s.stop()


def test_no_help():
    """Redirects and junk are refused; a silent responder delays neither mail nor handshakes nor the end."""
    p = Pki()
    for mode, result in (("redirect", "http-redirect"), ("junk", "malformed")):
        r = Responder(p, mode)
        s = fetching(p, r.url)
        s.wait_log("ocsp-fetch", "result=" + result)
        check_equal(len(r.requests), 1, "requests")
        check(not os.path.exists(proof_path()), "something was written")
        s.stop()
    r = Responder(p, "silent")
    s = fetching(p, r.url)
    wait_until(lambda: r.requests, "a request")
    for _ in range(3):
        check_equal(stapled(s, p), "none", "the staple")
        c = hello(s)
        c.message(b"Subject: x\r\n\r\nhello\r\n")
        c.quit()
    s.messages("alice", 3)
    check_equal(s.log_lines("ocsp-fetch"), [], "the fetch is still under way")
    s.stop()


def test_not_saved():
    """A folder that does not exist: served all the same, and told; `postern check` names it before."""
    p = Pki()
    r = Responder(p)
    s = fetching(p, r.url, proof=os.path.join(case_dir(), "nowhere", "proof.der"))
    s.wait_log("ocsp-fetch", "result=not-saved", "reason=absent")
    check_equal(stapled(s, p), "good", "the staple")
    s.stop()
    status, out = run(harness.POSTERN, "check", "-c", s.conf_path)
    check_equal(status, 0, out)
    check(f"ocsp_fetch {case_dir()}/nowhere/proof.der: what is fetched cannot be written: absent\n" in out, out)
    s.configure(ocsp_fetch="aia", tls_ocsp_file=proof_path())
    status, out = run(harness.POSTERN, "check", "-c", s.conf_path)
    check("cannot be written" not in out, out)
    check(f"ocsp_fetch {p.chain}: nobody can be asked for its proof: no-responder\n" in out, out)


if __name__ == "__main__":
    harness.main(globals())
