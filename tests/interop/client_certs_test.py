#!/usr/bin/env python3
"""Clients' certificates: wanted or tried, from the right authority, in date, not revoked; what they are good for.

Every case is tried with TLS 1.2 and 1.3. The authorities and their revocation lists are made with OpenSSL.
"""

import hashlib
import os
import re
import ssl
import subprocess
import time

import harness
from harness import POSTERN, Failed, Pki, Server, Smtp, case_dir, check, check_equal, run, wait_until

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Authority:
    """An authority that issues certificates for clients and lists those that it has revoked."""

    def __init__(self, name, folder=None):
        self.dir = os.path.join(case_dir(), folder or name)
        os.makedirs(self.dir)
        self.serial = 0
        with open(os.path.join(self.dir, "cnf"), "w", encoding="ascii") as f:
            f.write(
                "[req]\ndistinguished_name=dn\n[dn]\n[ca]\ndefault_ca=a\n[a]\ndatabase=index\ndefault_md=sha256\n"
                "certificate=ca.pem\nprivate_key=ca.key\ncrlnumber=number\n"
                "[authority]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
                "[client]\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n"
                "[server]\nbasicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n"
            )
        for file, text in (("index", ""), ("number", "01\n"), ("index.attr", "unique_subject=no\n")):
            with open(os.path.join(self.dir, file), "w", encoding="ascii") as f:
                f.write(text)
        self.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 "
            f"-config cnf -extensions authority -subj /CN={name}"
        )
        self.pem = os.path.join(self.dir, "ca.pem")
        self.crl = os.path.join(self.dir, "crl.pem")

    def openssl(self, arguments):
        done = subprocess.run(f"openssl {arguments}", shell=True, cwd=self.dir, capture_output=True, check=False)
        check(done.returncode == 0, f"openssl {arguments}: {done.stderr.decode()}")

    def issue(self, name, days=10, kind="client"):
        """A certificate and its key; negative days: it is over."""
        self.serial += 1
        self.openssl(
            f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -config cnf "
            f"-subj /CN={name}"
        )
        self.openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {self.serial} -out {name}.pem "
            f"-extfile cnf -extensions {kind} -days {days}"
        )
        return Certificate(self, name)

    def list_revoked(self, *certificates, days="30", path=None):
        """Revokes these, and writes a list that is good for so long."""
        for c in certificates:
            self.openssl(f"ca -config cnf -revoke {c.name}.pem")
        self.openssl(f"ca -config cnf -gencrl -out crl.new {days if days.startswith('-') else '-crldays ' + days}")
        os.rename(os.path.join(self.dir, "crl.new"), path or self.crl)
        return path or self.crl


class Certificate:
    def __init__(self, authority, name, whole=True):
        self.name = name
        self.pem = os.path.join(authority.dir, name + ".pem")
        self.key = os.path.join(authority.dir, name + ".key")
        if not whole:
            return
        with open(self.pem, encoding="ascii") as f:
            self.sha256 = hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest()


def context(version, certificate=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    c.minimum_version = c.maximum_version = version
    if certificate:
        c.load_cert_chain(certificate.pem, certificate.key)
    return c


def connect(s, version, certificate=None, **how):
    client = harness.hello(s, **how)
    client.starttls(context(version, certificate))
    client.cmd("EHLO client.example", 250)
    return client


def refused(s, version, certificate=None, alert=""):
    """The handshake fails, at once or with the first byte that is read, and the client is told why."""
    number = len(re.findall(r"tls_failure=", s.log()))
    try:
        connect(s, version, certificate)
    except (OSError, Failed) as e:
        check("_ALERT_" + alert in repr(e), f"no alert {alert}: {e!r}")
        failures = wait_until(lambda: re.findall(r"tls_failure=(\S+)", s.log())[number:], "the reason in the log")
        return failures[0]
    raise Failed("the client was let in")


def may_relay(client):
    client.cmd("MAIL FROM:<a@client.example>", 250)
    code, _ = client.cmd("RCPT TO:<somebody@elsewhere.example>")
    client.cmd("RSET", 250)
    return code == 250


def joined(name, *paths):
    """A file of these."""
    path = os.path.join(case_dir(), name)
    with open(path, "w", encoding="ascii") as f:
        for each in paths:
            with open(each, encoding="ascii") as one:
                f.write(one.read())
    return path


def server(authority, **options):
    return Server(Pki("ec"), tls_verify_certificates=authority.pem, **options)


def test_required():
    ours, other = Authority("ours"), Authority("other")
    good, late = ours.issue("good"), ours.issue("late", days=-1)
    wrong, of_server = other.issue("wrong"), ours.issue("of-server", kind="server")
    s = server(ours, tls_verify_hosts="127.0.0.1")
    for version in VERSIONS:
        client = connect(s, version, good)
        check(not may_relay(client), "a certificate alone lets nobody relay")
        client.message(b"Subject: x\r\n\r\nx\r\n")
        client.quit()
        alert = "CERTIFICATE_REQUIRED" if version == ssl.TLSVersion.TLSv1_3 else "HANDSHAKE_FAILURE"
        check_equal(refused(s, version, alert=alert), "no-client-certificate", "without a certificate")
        for bad in (late, wrong):
            check_equal(refused(s, version, bad), "certificate-not-trusted", bad.name)
        check(refused(s, version, of_server) in ("bad-certificate", "certificate-not-trusted"), "not for clients")
        connect(s, version, source=("127.0.0.2", 0)).quit()  # who is not listed is not asked
    s.wait_log("connection", "client_certificate=verified", f"certificate_sha256={good.sha256}", number=2)
    check_equal(len(s.messages("alice", 2)), 2, "messages")


def test_tried():
    ours, other = Authority("ours"), Authority("other")
    good, second, wrong = ours.issue("good"), ours.issue("second"), other.issue("wrong")
    s = server(ours, tls_try_verify_hosts="*", relay_from_certificates=f"{good.sha256.upper()}")
    for version in VERSIONS:
        check(may_relay(connect(s, version, good)), "the certificate that may relay")
        for certificate in (None, second, wrong):
            check(not may_relay(connect(s, version, certificate)), f"{certificate} may not relay")
    s.configure(relay_from_certificates="*")
    s.send_signal(1)
    s.wait_log("reload")
    for version in VERSIONS:
        check(may_relay(connect(s, version, second)), "every certificate of the authority may relay")
        check(not may_relay(connect(s, version, wrong)), "but no other")
        check(not may_relay(connect(s, version)), "and nobody without")
    plain = harness.hello(s)
    check(not may_relay(plain), "nobody in plaintext")


def test_submission():
    ours = Authority("ours")
    good = ours.issue("good")
    s = server(ours, start=False, tls_try_verify_hosts="*", relay_from_certificates="*")
    s.configure(submission_ports=str(s.port))
    s.start()
    connect(s, VERSIONS[1]).cmd("MAIL FROM:<a@client.example>", 530)
    connect(s, VERSIONS[1], good).cmd("MAIL FROM:<a@client.example>", 250)


def test_revocation():
    ours = Authority("ours")
    good, bad = ours.issue("good"), ours.issue("bad")
    ours.list_revoked(bad)
    s = server(ours, tls_verify_hosts="*", tls_crl=ours.crl)
    for version in VERSIONS:
        connect(s, version, good).quit()
        check_equal(refused(s, version, bad), "certificate-not-trusted", "a revoked certificate")
    # A new list holds from the next handshake on, without a signal.
    ours.list_revoked(good)
    for version in VERSIONS:
        check_equal(refused(s, version, good), "certificate-not-trusted", "revoked meanwhile")
    s.wait_log("trust", 'text="files')
    # A list that cannot be read changes nothing.
    with open(ours.crl, "w", encoding="ascii") as f:
        f.write("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    check_equal(refused(s, VERSIONS[1], good), "certificate-not-trusted", "with a broken list")
    s.wait_log("trust", 'text="what')


def test_log_tells_why():
    ours, other = Authority("ours"), Authority("other")
    bad, foreign = ours.issue("bad"), other.issue("foreign")
    ours.list_revoked(bad)
    s = server(ours, tls_try_verify_hosts="*", tls_crl=ours.crl)
    for version in VERSIONS:
        for certificate, why in ((bad, "revoked"), (foreign, "not-trusted")):
            connect(s, version, certificate).quit()
            s.wait_log("connection", f"client_certificate={why}", f"certificate_sha256={certificate.sha256}")
    other.list_revoked()
    s = server(ours, tls_try_verify_hosts="*", tls_crl=other.crl)
    connect(s, VERSIONS[1], bad).quit()
    s.wait_log("connection", "client_certificate=no-revocation-list")


def test_lists_that_are_late_or_missing():
    ours, other = Authority("ours"), Authority("other")
    good, foreign = ours.issue("good"), other.issue("foreign")
    both = joined("both.pem", ours.pem, other.pem)
    ours.list_revoked()
    s = Server(Pki("ec"), tls_verify_certificates=both, tls_verify_hosts="*", tls_crl=ours.crl)
    for version in VERSIONS:
        connect(s, version, good).quit()
        check_equal(refused(s, version, foreign), "certificate-not-trusted", "an authority without a list")
    ours.list_revoked(days="-crlsec 4")
    connect(s, VERSIONS[1], good).quit()
    time.sleep(5.1)
    for version in VERSIONS:
        check_equal(refused(s, version, good), "certificate-not-trusted", "a list that is over")


def test_authority_with_a_new_key():
    """It keeps its name, and signs a list with each key (AD CS): each is for what that key has signed."""
    old, new = Authority("ours", "old"), Authority("ours", "new")
    certificates = {which: (which.issue("good"), which.issue("bad")) for which in (old, new)}
    for which, (good, bad) in certificates.items():
        which.list_revoked(bad)
    both = joined("both.pem", old.pem, new.pem)
    lists = {order: joined(order, *paths) for order, paths in (("1.crl", (old.crl, new.crl)), ("2.crl", (new.crl, old.crl)))}
    for crl in lists.values():
        s = Server(Pki("ec"), tls_verify_certificates=both, tls_verify_hosts="*", tls_crl=crl)
        for version in VERSIONS:
            for which, (good, bad) in certificates.items():
                connect(s, version, good).quit()
                check_equal(refused(s, version, bad), "certificate-not-trusted", "a revoked certificate")
    s = Server(Pki("ec"), tls_verify_certificates=both, tls_verify_hosts="*", tls_crl=old.crl)
    for version in VERSIONS:
        connect(s, version, certificates[old][0]).quit()
        check_equal(refused(s, version, certificates[new][0]), "certificate-not-trusted", "a key without a list")


def below(authority, name, extensions, pubkey="", newkey="ec -pkeyopt ec_paramgen_curve:P-256"):
    """A client's certificate, and between it and the authority another one with these extensions."""
    d = authority.dir
    with open(os.path.join(d, "sub.cnf"), "w", encoding="ascii") as f:
        f.write(f"basicConstraints=critical,CA:TRUE\n{extensions}\n")
    kind = "rsa:4096" if pubkey else "ec -pkeyopt ec_paramgen_curve:P-256"
    authority.openssl(f"req -newkey {kind} -nodes -keyout sub.key -out sub.csr -config cnf -subj /CN=sub")
    signed = "-CA ca.pem -CAkey ca.key -set_serial 99 -days 9 -extfile sub.cnf"
    authority.openssl(f"x509 -req -in sub.csr -out sub.pem {signed}")
    authority.openssl(f"req -newkey {newkey} -nodes -keyout {name}.key -out end.csr -config cnf -subj /CN=end")
    authority.openssl(
        f"x509 -req -in end.csr -CA sub.pem -CAkey sub.key -set_serial 3 -out end.pem -extfile cnf -extensions client -days 9"
    )
    if pubkey:
        authority.openssl(f"x509 -new -force_pubkey {pubkey} -subj /CN=sub -out sub.pem {signed}")
    with open(os.path.join(d, name + ".pem"), "w", encoding="ascii") as out:
        for part in ("end.pem", "sub.pem"):
            with open(os.path.join(d, part), encoding="ascii") as f:
                out.write(f.read())
    return Certificate(authority, name, whole=False)


def test_authorities_between():
    ours = Authority("ours")
    good, wrong = (below(ours, n, f"extendedKeyUsage={n}") for n in ("clientAuth", "serverAuth"))
    limited, advised = (below(ours, n, f"nameConstraints={w}permitted;DNS:example") for n, w in (("a", "critical,"), ("b", "")))
    # An RSA key whose exponent is as long as its modulus: each check of a signature would take a hundredfold.
    with open(os.path.join(ours.dir, "dear.cnf"), "w", encoding="ascii") as f:
        f.write(
            "asn1=SEQUENCE:spki\n[spki]\na=SEQUENCE:alg\nk=BITWRAP,SEQUENCE:key\n[alg]\no=OID:rsaEncryption\nn=NULL\n"
            f"[key]\nn=INTEGER:0x{'F' * 1024}\ne=INTEGER:0x7{'F' * 1023}\n"
        )
    ours.openssl("asn1parse -genconf dear.cnf -noout -out dear.der")
    ours.openssl("rsa -pubin -inform DER -in dear.der -pubout -out dear.pub")
    dear = below(ours, "dear", "", pubkey="dear.pub")
    large = below(ours, "large", "", newkey="rsa:4224")
    s = server(ours, tls_verify_hosts="*")
    for version in VERSIONS:
        connect(s, version, good).quit()
        connect(s, version, advised).quit()
        check_equal(refused(s, version, limited), "certificate-not-trusted", "an authority for names that nobody looks at")
        check_equal(refused(s, version, wrong), "certificate-not-trusted", "an authority for servers")
        check_equal(refused(s, version, dear), "bad-certificate", "a key that takes too long")
        check_equal(refused(s, version, large), "bad-certificate", "a key of its own that is not known")
        check_equal(refused(s, version), "no-client-certificate", "without a certificate")


def test_nothing_is_resumed():
    ours = Authority("ours")
    good = ours.issue("good")
    s = server(ours, tls_try_verify_hosts="127.0.0.1")

    def sessions(source, certificate):
        for version in VERSIONS:
            c = context(version, certificate)
            first = harness.hello(s, source=(source, 0))
            first.starttls(c)
            first.cmd("EHLO client.example", 250)
            session = first.socket.session
            first.quit()
            second = harness.hello(s, source=(source, 0))
            second.cmd("STARTTLS", 220)
            second.socket = c.wrap_socket(second.socket, server_hostname="localhost", session=session)
            second.cmd("EHLO client.example", 250)
            yield second.socket.session_reused
            second.quit()

    check_equal(list(sessions("127.0.0.1", good)), [False, False], "resumption where a certificate is asked for")
    check_equal(list(sessions("127.0.0.2", None)), [True, True], "resumption where none is")


def test_check():
    ours = Authority("ours")
    s = server(ours)
    for options, text in (
        ({"tls_verify_hosts": "*", "tls_verify_certificates": None}, "tls_verify_hosts: "),
        ({"tls_try_verify_hosts": "*", "relay_from_certificates": "ab"}, "relay_from_certificates: found 'ab', expected"),
        ({"relay_from_certificates": "*"}, "relay_from_certificates: is of no use"),
        ({"tls_try_verify_hosts": "*", "tls_crl": "/nonexistent"}, "tls_crl /nonexistent: absent"),
        ({"tls_try_verify_hosts": "*", "tls_crl": ours.pem}, f"tls_crl {ours.pem}: expected revocation lists"),
        ({"tls_certificate": "/"}, "tls_certificate /: not-a-file"),
        ({"tls_verify_certificates": "/"}, "tls_verify_certificates /: not-a-file"),
        ({"remote_tls_verify_certificates": "/"}, "remote_tls_verify_certificates /: not-a-file"),
        ({"aliases_file": "/nonexistent"}, "aliases_file /nonexistent: absent"),
        ({"local_users": "/"}, "local_users /: not-a-file"),
        ({"auth_users_file": "/nonexistent"}, "auth_users_file /nonexistent: absent"),
        ({"client_auth_file": "/nonexistent"}, "client_auth_file /nonexistent: absent"),
    ):
        old = dict(s.options)
        s.configure(**options)
        status, out = run(POSTERN, "check", "-c", s.conf_path)
        check(status != 0 and text in out, f"{options}: {status} {out}")
        s.options = old


if __name__ == "__main__":
    harness.main(globals())
