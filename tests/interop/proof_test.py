#!/usr/bin/env python3
"""What the server says of its proofs: `postern check`, proofs for a chain, and what the log tells of serving."""

import os

import harness
from harness import POSTERN, Pki, Server, case_dir, check, check_equal, run


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


def test_sha1():
    """ocsp_allow_sha1 is taken; it does not make other proofs better."""
    p = Pki()
    s = Server(p, p.proof("good"), start=False, ocsp_allow_sha1="yes")
    check("served until" in postern_check(s)[1], "a good proof")
    s.configure(ocsp_allow_sha1="maybe")
    check_equal(postern_check(s)[0], 78, "exit status for a wrong value")


if __name__ == "__main__":
    harness.main(globals())
