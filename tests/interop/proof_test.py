#!/usr/bin/env python3
"""What the server says of its proofs: `postern check`, proofs for a chain, and what the log tells of serving."""

import base64
import os
import shutil
import subprocess
import time

import harness
from harness import POSTERN, Failed, Pki, Server, case_dir, check, check_equal, run, wait_until


def postern_check(s):
    return run(POSTERN, "check", "-c", s.conf_path)


def test_check():
    """Each file that keeps the server from stapling or from starting is named."""
    p = Pki()
    proof = p.proof("good")
    s = Server(p, proof, start=False)
    status, out = postern_check(s)
    check_equal(status, 0, out)
    check(f"tls_ocsp_file {proof}: served until 20" in out, out)
    for kind, reason in (("expired", "expired"), ("revoked", "revoked"), ("other", "wrong-certificate")):
        s.configure(tls_ocsp_file=p.proof(kind))
        status, out = postern_check(s)
        check_equal(status, 0, out)
        check(f"tls_ocsp_file {os.path.join(case_dir(), kind)}.der: no proof is served: {reason}\n" in out, out)
    s.configure(tls_ocsp_file="/nowhere/proof.der")
    check("tls_ocsp_file /nowhere/proof.der: no proof is served: no-file\n" in postern_check(s)[1], "an absent proof")
    s.configure(tls_ocsp_file=None)
    check(f"tls_certificate {p.chain}: no proof is served: no-file\n" in postern_check(s)[1], "no proof")
    s.configure(tls_certificate="/nowhere/chain.pem", tls_privatekey="/nowhere/key.pem")
    status, out = postern_check(s)
    check_equal(status, 78, out)
    check("tls_certificate /nowhere/chain.pem: there is no such file\n" in out, out)


def test_check_ciphers():
    """Ciphers of TLS 1.2 that are all for the other kind of key, with which no handshake can succeed."""
    ecdsa, rsa = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"
    for kind, fits, other in (("ec", ecdsa, rsa), ("rsa", rsa, ecdsa)):
        p = Pki(kind)
        s = Server(p, start=False)
        for ciphers, is_shown in ((None, True), (fits, True), (other, False), (f"{other}:{fits}", True)):
            s.configure(tls_require_ciphers=ciphers)
            status, out = postern_check(s)
            text = f"tls_certificate {p.chain}: is never shown, as none of tls_require_ciphers is for its key\n"
            check(status == 0 and (text in out) != is_shown, f"{kind}, {ciphers}: {out}")
        s.configure(tls_require_ciphers=f"{other}:TLS_AES_128_GCM_SHA256")
        check("is never shown" not in postern_check(s)[1], "in TLS 1.3 any key will do")


def test_check_spool():
    """So is a directory for the spool that the server could not make; the folder above it must be there."""
    s = Server(Pki(), start=False)
    where = os.path.join(case_dir(), "spool-of-check")
    s.configure(spool_directory=where)
    check("spool_directory" not in postern_check(s)[1], "a directory that is yet to be made")
    check(not os.path.exists(where), "checking makes nothing")
    s.configure(spool_directory=where + "/deeper")
    status, out = postern_check(s)
    check_equal(status, 0, out)
    check(f"spool_directory {where}/deeper: cannot be used: absent\n" in out, out)
    check("configuration: ok" not in out, "beside what cannot be used: " + out)
    status, out = run(POSTERN, "-c", s.conf_path)
    check_equal(status, 78, out)
    check(f"spool_directory {where}/deeper: cannot be used: absent\n" in out, "at the start: " + out)
    with open(where, "wb"):
        s.configure(spool_directory=where)
    check(f"spool_directory {where}: cannot be used: " in postern_check(s)[1], "a file")
    os.unlink(where)
    os.mkdir(where)
    s.configure(spool_directory=where + "/deeper")
    check("spool_directory" not in postern_check(s)[1], "the folder is there")


def test_sha1():
    """ocsp_allow_sha1 is taken; it does not make other proofs better."""
    p = Pki()
    s = Server(p, p.proof("good"), start=False, ocsp_allow_sha1="yes")
    check("served until" in postern_check(s)[1], "a good proof")
    s.configure(ocsp_allow_sha1="maybe")
    check_equal(postern_check(s)[0], 78, "exit status for a wrong value")


# --- A proof for each certificate of the chain ---


def content(path):
    with open(path, "rb") as f:
        return f.read()


def pem(*paths):
    """These responses as blocks of one file; its path."""
    path = os.path.join(case_dir(), "proofs.pem")
    with open(path + ".new", "wb") as f:
        for der in map(content, paths):
            f.write(b"-----BEGIN OCSP RESPONSE-----\n" + base64.encodebytes(der) + b"-----END OCSP RESPONSE-----\n")
    os.rename(path + ".new", path)
    return path


def issuer_proof(p, status="V"):
    """The root's word on the intermediate certificate."""
    path = os.path.join(case_dir(), f"issuer-{status}.der")
    index = os.path.join(case_dir(), "index.txt")
    revoked = "260101000000Z" if status == "R" else ""
    with open(index, "w", encoding="ascii") as f:
        f.write(f"{status}\t391231235959Z\t{revoked}\t02\tunknown\t/CN=Throwaway issuer\n")
    root, key, inter = (os.path.join(p.dir, n) for n in ("root.pem", "root.key", "inter.pem"))
    subprocess.run(
        ["openssl", "ocsp", "-index", index, "-CA", root, "-rsigner", root, "-rkey", key, "-issuer", root]
        + ["-cert", inter, "-no_nonce", "-noverify", "-ndays", "7", "-respout", path],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return path


def saved_by_gnutls(s, p, version):
    """The DER of each response that GnuTLS was sent, and verified; in order of the chain."""
    multi = os.path.join(case_dir(), "multi.pem")
    if os.path.exists(multi):
        os.remove(multi)
    status, out = run(
        *("gnutls-cli", "--starttls-proto=smtp", "--port", str(s.port), "--x509cafile", p.root),
        *("--save-ocsp-multi", multi, f"--priority=NORMAL:-VERS-ALL:+VERS-TLS{version}", "--sni-hostname=localhost"),
        *("--verify-hostname=localhost", "127.0.0.1"),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status of gnutls-cli, which printed\n" + out[-1500:])
    check("Status: The certificate is trusted" in out, "not trusted:\n" + out[-1500:])
    if not os.path.exists(multi):
        return []
    blocks = content(multi).split(b"-----BEGIN OCSP RESPONSE-----")[1:]
    return [base64.b64decode(b.split(b"-----END")[0]) for b in blocks]


def test_chain():
    """TLS 1.3 has a proof with each certificate, TLS 1.2 the leaf's; each is judged by itself."""
    if shutil.which("gnutls-cli") is None:
        raise Failed("gnutls-cli is missing")
    p = Pki()
    leaf, inter, gone = p.proof("good"), issuer_proof(p), issuer_proof(p, "R")
    s = Server(p, pem(inter, leaf), tls_verify_certificates=p.root)
    check_equal(saved_by_gnutls(s, p, "1.3"), [content(leaf), content(inter)], "responses in TLS 1.3")
    check_equal(saved_by_gnutls(s, p, "1.2"), [content(leaf)], "responses in TLS 1.2")
    s.stop()
    s = Server(p, pem(leaf, gone), tls_verify_certificates=p.root)
    s.wait_log("proof", "chain=1", "reason=revoked")
    check_equal(saved_by_gnutls(s, p, "1.3"), [content(leaf)], "responses when the issuer is revoked")
    s.stop()
    # Without the root nobody can tell whether the issuer's proof is true.
    s = Server(p, pem(leaf, inter))
    check_equal(saved_by_gnutls(s, p, "1.3"), [content(leaf)], "responses without the root")
    s.stop()


# --- Evicted for good ---


def test_evicted():
    """What the issuer has revoked is not served again after a restart, until it says so later."""
    p = Pki("ec", name="evicted")
    path = p.timed_proof(-7200, 86400, os.path.join(case_dir(), "served.der"))
    s = Server(p, path)
    check_equal(len(saved_by_gnutls(s, p, "1.3")), 1, "responses at first")
    p.proof("revoked", path)
    wait_until(lambda: not saved_by_gnutls(s, p, "1.3"), "no staple", 10)
    for end in (s.stop, s.kill):
        end()
        p.timed_proof(-7200, 86400, path)
        s.start()
        check_equal(saved_by_gnutls(s, p, "1.3"), [], "responses after a restart")
    check("served until" not in postern_check(s)[1], "postern check with an older proof")
    check("no proof is served: revoked" in postern_check(s)[1], "postern check tells why")
    p.timed_proof(1, 86400, path)
    wait_until(lambda: saved_by_gnutls(s, p, "1.3"), "the newer good proof", 10)
    s.stop()
    s.start()
    check_equal(len(saved_by_gnutls(s, p, "1.3")), 1, "responses in the end")
    s.stop()


# --- Sets for names ---


def shown_for(s, name, version="1.3"):
    """(the certificate's serial number, whether a proof was stapled) for a client that asks for that name, or none."""
    asks = ("-servername", name) if name else ("-noservername",)
    status, out = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-starttls", "smtp", "-status", *asks),
        *("-tls" + version.replace(".", "_"), "-crlf", "-ign_eof"),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status of s_client, which printed\n" + out[-800:])
    end = "-----END CERTIFICATE-----\n"  # what stands in front of it are those within the response
    cert = out.split("\nServer certificate\n", 1)[1].split(end, 1)[0] + end
    serial = run("openssl", "x509", "-noout", "-serial", text=cert)[1].strip()
    return serial, "OCSP Response Status: successful" in out


def serial_of(p):
    return run("openssl", "x509", "-noout", "-serial", "-in", p.chain)[1].strip()


def put_set(folder, name, p, proof):
    where = os.path.join(folder, name)
    os.makedirs(where, exist_ok=True)
    shutil.copy(p.chain, os.path.join(where, "chain.pem"))
    if proof:
        shutil.copy(proof, os.path.join(where, "proof.der"))
    shutil.copy(p.key, os.path.join(where, "key.pem"))


def three_pkis():
    """With serial numbers that differ; `renew` takes them from the clock."""
    default, one, two = Pki("ec", "sni-default"), Pki("ec", "sni-one"), Pki("rsa", "sni-two")
    one.renew()
    time.sleep(1.1)
    two.renew()
    return default, one, two


def test_names():
    """$tls_in_sni: each name has its own certificate and proof; no name and any other has the default one."""
    default, one, two = three_pkis()
    serials = [serial_of(p) for p in (default, one, two)]
    folder = os.path.join(case_dir(), "tls")
    put_set(folder, "mail.test.example", default, default.proof("good"))
    put_set(folder, "one.example", one, one.proof("good"))
    put_set(folder, "two.example", two, None)
    path = os.path.join(folder, "$tls_in_sni")
    files = {"tls_certificate": "chain.pem", "tls_privatekey": "key.pem", "tls_ocsp_file": "proof.der"}
    s = Server(default, **{option: os.path.join(path, name) for option, name in files.items()})
    for version in ("1.2", "1.3"):
        check_equal(shown_for(s, None, version), (serials[0], True), "no name")
        check_equal(shown_for(s, "one.example", version), (serials[1], True), "one.example")
        check_equal(shown_for(s, "ONE.Example", version), (serials[1], True), "ONE.Example")
        check_equal(shown_for(s, "two.example", version), (serials[2], False), "two.example")
        for name in ("other.example", "..", "../tls/one.example", "one.example/", ".one.example", "one.example."):
            check_equal(shown_for(s, name, version), (serials[0], True), name)
    # A proof that comes later counts, for its name alone.
    shutil.copy(two.proof("good"), os.path.join(folder, "two.example", "proof.der"))
    wait_until(lambda: shown_for(s, "two.example") == (serials[2], True), "the second name's proof", 10)
    s.stop()
    # A proof of another name's certificate does not.
    shutil.copy(two.proof("good"), os.path.join(folder, "one.example", "proof.der"))
    s.start()
    check_equal(shown_for(s, "one.example"), (serials[1], False), "one.example with the proof of the other")
    s.wait_log("connection", "ocsp=none:wrong-certificate")
    s.stop()


def test_names_need_a_default():
    """primary_hostname stands for the name of a client that gives none; so it must be a name, and have files."""
    p = Pki()
    folder = os.path.join(case_dir(), "tls")
    put_set(folder, "one.example", p, None)
    path = os.path.join(folder, "$tls_in_sni")
    s = Server(p, start=False, tls_certificate=f"{path}/chain.pem", tls_privatekey=f"{path}/key.pem")
    s.configure(primary_hostname="[192.0.2.1]")
    status, out = postern_check(s)
    check_equal(status, 78, out)
    check("primary_hostname must be a domain name" in out, out)
    s.configure(primary_hostname="mail.test.example")
    status, out = postern_check(s)
    check_equal(status, 78, out)
    check(f"tls_certificate {folder}/mail.test.example/chain.pem: there is no such file" in out, out)
    s.configure(primary_hostname="one.example")
    check_equal(postern_check(s)[0], 0, "exit status")


# --- What the log says ---


def test_told():
    """That a proof has lapsed is told when it happens, though nobody connects; the counts are told at the end."""
    p = Pki()
    path = p.timed_proof(-3600, 5, os.path.join(case_dir(), "short.der"))
    s = Server(p, path, ocsp_margin="0s")
    s.wait_log("staple", f'certificate="{p.chain}"', "state=none", "reason=expired")
    check_equal(len(s.log_lines("staple", "state=served")), 1, "lines that it is served")
    check_equal(saved_by_gnutls(s, p, "1.3"), [], "responses")
    p.proof("good", path)
    wait_until(lambda: saved_by_gnutls(s, p, "1.3"), "a staple", 10)
    s.wait_log("staple", "state=served", number=2)
    s.stop()
    line = s.wait_log("staples")[0]
    check("served=1" in line.split() and any(w.startswith("none:expired=") for w in line.split()), line)


def test_refused_counts():
    """Who refuses the server for want of a proof is counted among those that asked."""
    if shutil.which("curl") is None:
        raise Failed("curl is missing")
    p = Pki()
    s = Server(p, p.proof("expired"))
    for version in ("1.2", "1.3"):
        status, out = run(
            *("curl", "--silent", "--show-error", "--ssl-reqd", "--cert-status", "--cacert", p.root),
            *("--connect-to", f"localhost:{s.port}:127.0.0.1:{s.port}", f"smtp://localhost:{s.port}"),
            *("--tlsv" + version, "--tls-max", version, "-X", "NOOP"),
        )
        check(status == 91, f"curl did not refuse: {status}\n{out}")
    s.stop()
    check("none:expired=2" in s.wait_log("staples", "asked=2", "served=0")[0], "the reason")


if __name__ == "__main__":
    harness.main(globals())
