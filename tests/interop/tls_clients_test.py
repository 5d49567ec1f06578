#!/usr/bin/env python3
"""Programs that others wrote, upgrading with STARTTLS: with a good proof, and with one that has expired.

OpenSSL, GnuTLS, curl and Exim ask for the proof and check it; curl and Exim can be told to refuse a server
without one. swaks, msmtp and smtplib show that everybody else is served as well.
"""

import os
import re
import smtplib
import ssl

import harness
from harness import Failed, Pki, Server, case_dir, check, check_equal, run, unpack, wait_until

TEXT = "From: sender@client.example\nTo: alice@test.example\nSubject: with a proof\n\nTo be stapled.\n"
VERSIONS = ("1.2", "1.3")


def pki(kind="ec"):
    return Pki(kind)


def server(proof_kind, kind="ec", **options):
    p = pki(kind)
    return Server(p, p.proof(proof_kind) if proof_kind else None, **options), p


def content(path):
    with open(path, "rb") as f:
        return f.read()


def text_file():
    path = os.path.join(case_dir(), "message.eml")
    with open(path, "w", encoding="ascii", newline="\r\n") as f:
        f.write(TEXT)
    return path


def delivered(s, number):
    """That many messages are there, each with the text that was sent, and the log says how the proof fared."""
    for message in s.messages("alice", number):
        check(b"To be stapled." in message, f"not what was sent: {message!r}")
    check_equal(len(s.files("alice")), number, "messages")


def staples(s, number):
    """What the log says of the staple, for the last so many connections that have ended."""
    found = []

    def enough():
        found[:] = re.findall(r"^.*\bconnection .*\bocsp=(\S+)", s.log(), re.M)
        return len(found) >= number

    try:
        wait_until(enough, f"{number} connection lines with ocsp=", 10)
    except Failed as e:
        raise Failed(f"{e}; the log:\n{s.log()[-2000:]}") from None
    return found[-number:]


# --- OpenSSL ---


def s_client(s, p, version, *more, implicit=False):
    port = s.tls_port if implicit else s.port
    starttls = () if implicit else ("-starttls", "smtp")
    status, out = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *starttls),
        *("-status", "-tls" + version.replace(".", "_"), "-CAfile", p.root, "-verify_return_error"),
        *("-verify_hostname", "localhost", "-servername", "localhost", "-crlf", "-ign_eof", *more),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status of s_client, which printed\n" + out[-400:])
    check("Verify return code: 0" in out, "certificate not verified:\n" + out[-400:])
    return out


def openssl_good(kind):
    s, p = server("good", kind)
    for version in VERSIONS:
        for implicit in (False, True):
            out = s_client(s, p, version, implicit=implicit)
            check("OCSP Response Status: successful" in out, f"TLS {version}: no staple:\n{out[:400]}")
            check("Cert Status: good" in out, f"TLS {version}: not good")
            check(f"TLSv{version}" in out, f"not TLS {version}")
    check_equal(staples(s, 4), ["served"] * 4, "ocsp=")


def test_openssl_good():
    openssl_good("ec")


def test_openssl_good_rsa():
    openssl_good("rsa")


def test_openssl_groups():
    """Each group works; the key share that the client sent is taken, and it is asked again only where it has to be."""
    s, p = server("good")
    for version, groups in (
        *(("1.3", group) for group in ("P-256", "X25519", "P-384")),
        # In TLS 1.2 the list must have the certificate's own curve too.
        *(("1.2", group) for group in ("P-256", "X25519:P-256", "P-384:P-256")),
    ):
        out = s_client(s, p, version, "-groups", groups)
        check("OCSP Response Status: successful" in out, f"TLS {version}, {groups}: no staple")
    for groups, number in (("X25519:P-256", 1), ("P-384:P-256", 1), ("X448:P-256", 2)):
        out = s_client(s, p, "1.3", "-groups", groups, "-msg")
        check("OCSP Response Status: successful" in out, f"{groups}: no staple")
        check_equal(len(re.findall(r"^>>> .*ClientHello", out, re.M)), number, f"ClientHellos with {groups}")


def test_openssl_no_common_group():
    """Who has no group that the server has is told so (handshake_failure), in both versions."""
    for kind in ("ec", "rsa"):
        s, _ = server("good", kind)
        for version in ("-tls1_2", "-tls1_3"):
            for group in ("P-521", "X448"):
                _, out = run(
                    *("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", version, "-groups", group),
                    text="QUIT\n",
                )
                check("alert number 40" in out, f"{kind}, {version}, {group}: {out[:400]}")
        s.wait_log("connection", "tls_failure=no-common-parameters", number=4)


def no_staple(kind, reason):
    s, p = server(kind)
    for version in VERSIONS:
        out = s_client(s, p, version)
        check("OCSP response: no response sent" in out, f"TLS {version}: a staple was sent:\n{out[:400]}")
    got = staples(s, 2)
    check_equal(got, ["none:" + reason] * 2, "ocsp=")


def test_openssl_expired():
    no_staple("expired", "expired")


def test_openssl_not_yet_valid():
    no_staple("future", "not-yet-valid")


def test_openssl_revoked():
    no_staple("revoked", "revoked")


def test_openssl_unknown():
    no_staple("unknown", "unknown")


def test_openssl_other_certificate():
    no_staple("other", "wrong-certificate")


def test_openssl_no_next_update():
    no_staple("no-next-update", "no-next-update")


def test_openssl_no_proof():
    no_staple(None, "no-file")


def test_openssl_clock_not_set():
    p = pki()
    s = Server(p, p.proof("good"), clock_trusted="auto")
    out = s_client(s, p, "1.3")
    got = staples(s, 1)
    if "OCSP Response Status: successful" in out:
        check_equal(got, ["served"], "ocsp=")  # the kernel says that its clock is disciplined
    else:
        check_equal(got, ["none:clock-not-set"], "ocsp=")


def test_openssl_not_asked():
    s, p = server("good")
    status, out = run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-starttls", "smtp"),
        *("-CAfile", p.root, "-verify_return_error", "-crlf", "-ign_eof"),
        text="QUIT\n",
    )
    check_equal(status, 0, "exit status")
    check_equal(staples(s, 1), ["not-asked"], "ocsp=")


def test_openssl_resumption():
    s, p = server("good")
    for version in VERSIONS:
        session = os.path.join(case_dir(), "session" + version)
        out = s_client(s, p, version, "-sess_out", session)
        check("\nNew, TLSv" in out, "not a full handshake first")
        out = s_client(s, p, version, "-sess_in", session)
        check("\nReused, TLSv" in out, f"TLS {version}: not resumed:\n{out[-2000:]}")
        check("OCSP Response Status: successful" not in out, f"TLS {version}: a staple in a resumption")


# --- GnuTLS ---


def gnutls_cli(s, p, version):
    """What it printed, and the staple that it got (None: none)."""
    saved = os.path.join(case_dir(), "staple-" + version)
    status, out = run(
        *("gnutls-cli", "--starttls-proto=smtp", "-p", str(s.port), "--x509cafile", p.root),
        *("--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--save-ocsp=" + saved, "127.0.0.1"),
        text="QUIT\r\n",
    )
    check_equal(status, 0, "exit status of gnutls-cli, which printed\n" + out[-400:])
    check("The certificate is trusted." in out, "not trusted:\n" + out[-400:])
    return out, content(saved) if os.path.exists(saved) else None


def test_gnutls_good():
    for kind in ("ec", "rsa"):
        s, p = server("good", kind)
        want = content(s.options["tls_ocsp_file"])
        for version in VERSIONS:
            out, got = gnutls_cli(s, p, version)
            check(got == want, f"TLS {version}: {len(got or b'')} bytes of staple, not the {len(want)} of the file")
            check(f"(TLS{version}" in out, f"not TLS {version}: {out[-400:]}")
        check_equal(staples(s, 2), ["served"] * 2, "ocsp=")


def test_gnutls_large():
    """A proof that needs several records comes through whole."""
    s, p = server("large")
    want = content(s.options["tls_ocsp_file"])
    check(len(want) > 9000, f"only {len(want)} bytes")
    for version in VERSIONS:
        check(gnutls_cli(s, p, version)[1] == want, f"TLS {version}: not the proof of the file")
        check("OCSP Response Status: successful" in s_client(s, p, version), f"TLS {version}: s_client got none")


def test_gnutls_expired():
    s, p = server("expired")
    for version in VERSIONS:
        check(not gnutls_cli(s, p, version)[1], f"TLS {version}: a staple was sent")
    check_equal(staples(s, 2), ["none:expired"] * 2, "ocsp=")


# --- curl ---


def curl(s, p, version, *more, implicit=False):
    scheme, port = ("smtps", s.tls_port) if implicit else ("smtp", s.port)
    return run(
        *("curl", "-sS", "--ssl-reqd", "--cert-status", "--cacert", p.root),
        *("--tlsv" + version, "--tls-max", version, "--resolve", f"localhost:{port}:127.0.0.1"),
        *("--mail-from", "sender@client.example", "--mail-rcpt", "alice@test.example"),
        *("-T", text_file(), *more, f"{scheme}://localhost:{port}/client.example"),
    )


def test_curl_good():
    number = 0
    for kind in ("ec", "rsa"):
        s, p = server("good", kind)
        for version in VERSIONS:
            for implicit in (False, True):
                status, out = curl(s, p, version, implicit=implicit)
                check_equal(status, 0, f"exit status of curl, TLS {version}: {out}")
        delivered(s, 4)
        number += 4
        check_equal(staples(s, 4), ["served"] * 4, "ocsp=")


def test_curl_delegate():
    """A proof that a delegate of the issuer signed."""
    for kind in ("ec", "rsa"):
        s, p = server("delegate", kind)
        for version in VERSIONS:
            status, out = curl(s, p, version)
            check_equal(status, 0, f"exit status of curl, TLS {version}: {out}")
            check(gnutls_cli(s, p, version)[1] == content(s.options["tls_ocsp_file"]), "not the proof of the file")
        check_equal(staples(s, 4), ["served"] * 4, "ocsp=")


def test_curl_expired_refuses():
    for kind in ("expired", "revoked"):
        s, p = server(kind)
        for version in VERSIONS:
            status, out = curl(s, p, version)
            check_equal(status, 91, f"exit status of curl, {kind}, TLS {version}: {out}")
        check_equal(s.files("alice"), [], "messages")


# --- swaks, msmtp, smtplib ---


def test_refused_by_client():
    """Who does not know the authority says so, and the log what was said: unknown_ca, RFC 8446 6.2."""
    s, _ = server("good")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = ssl.create_default_context(cafile=Pki(name=f"pki-other-{version.value}").root)
        c.minimum_version = c.maximum_version = version
        try:
            harness.hello(s).starttls(c)
        except OSError:
            pass
    s.wait_log("connection", "tls_failure=peer-alert", "tls_alert=48", number=2)


def swaks(s, p, version):
    status, out = run(
        *("swaks", "--server", "127.0.0.1", "--port", str(s.port), "--ehlo", "client.example"),
        *("--from", "sender@client.example", "--to", "alice@test.example", "--tls"),
        *("--tls-protocol", "tlsv" + version.replace(".", "_"), "--tls-ca-path", p.root, "--tls-verify"),
        *("--tls-sni", "localhost", "--data", TEXT.replace("\n", "\\n")),
    )
    check_equal(status, 0, "exit status of swaks, which printed\n" + out[-2000:])
    check(f"TLSv{version}" in out, f"not TLS {version}")


def msmtp(s, p, version):
    status, out = run(
        *("msmtp", "--host=127.0.0.1", f"--port={s.port}", "--tls=on", "--tls-starttls=on", "--auth=off"),
        *("--tls-trust-file=" + p.root, f"--tls-priorities=NORMAL:-VERS-ALL:+VERS-TLS{version}"),
        *("--domain=client.example", "--from=sender@client.example", "--", "alice@test.example"),
        text=TEXT,
    )
    check_equal(status, 0, "exit status of msmtp: " + out)


def smtplib_client(s, p, version):
    context = ssl.create_default_context(cafile=p.root)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
    with smtplib.SMTP("127.0.0.1", s.port, "client.example", timeout=30) as client:
        client.starttls(context=context)
        client.ehlo()
        check(not client.has_extn("starttls"), "STARTTLS is still advertised")
        check_equal(client.sendmail("sender@client.example", ["alice@test.example"], TEXT), {}, "refused")
        check_equal(client.sock.version(), "TLSv" + version, "version")


def anybody(client):
    """Served with and without a good proof: these clients do not insist on one."""
    for kind in ("good", "expired"):
        s, p = server(kind)
        for version in VERSIONS:
            client(s, p, version)
        delivered(s, 2)
        want = {"good": ("served", "not-asked"), "expired": ("none:expired", "not-asked")}[kind]
        check(all(x in want for x in staples(s, 2)), f"ocsp={staples(s, 2)}")


def test_swaks():
    anybody(swaks)


def test_msmtp():
    anybody(msmtp)


def test_smtplib():
    anybody(smtplib_client)


# --- Exim as a client ---

EXIM_CONF = """\
exim_path = {exim}
spool_directory = {dir}/spool
log_file_path = {dir}/%slog
primary_hostname = client.example
keep_environment = ^LD_ : ^NSS_WRAPPER : ^UID_WRAPPER
tls_advertise_hosts =
trusted_users = me
begin routers
out:
  driver = manualroute
  domains = test.example
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  protocol = {protocol}
  hosts_require_tls = *
  hosts_require_ocsp = *
  tls_verify_certificates = {root}
  tls_verify_hosts = *
  tls_verify_cert_hostnames = :
  tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-TLS{version}
begin retry
"""


class Exim:
    """Debian's Exim, unpacked and never installed; it delivers one message to the server and ends.

    It wants a user Debian-exim and to change to it. Neither is to be had here: nss_wrapper lends it a passwd
    file, uid_wrapper lets it believe that it is root.
    """

    def __init__(self):
        self.root = unpack("exim4-daemon-light", "exim4-base", "libnss-wrapper", "libuid-wrapper")
        self.exim = os.path.join(self.root, "usr/sbin/exim4")
        os.chmod(self.exim, 0o755)  # no set-user-id program stays behind
        libraries = {}
        for where, _, names in os.walk(self.root):
            libraries.update((name, where) for name in names if ".so" in name)
        wrappers = ("libnss_wrapper.so", "libuid_wrapper.so")
        for name in wrappers:
            check(name in libraries, f"no {name} below {self.root}")
        passwd = os.path.join(case_dir(), "passwd")
        group = os.path.join(case_dir(), "group")
        number = os.getuid() or 65534  # owns the configuration, and is not root
        with open(passwd, "w", encoding="ascii") as f:
            f.write(f"me:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\nDebian-exim:x:{number}:{number}::/:/bin/false\n")
        with open(group, "w", encoding="ascii") as f:
            f.write(f"me:x:{os.getgid()}:\nDebian-exim:x:{number}:\nmail:x:8:\n")
        self.env = {
            "LD_PRELOAD": ":".join(os.path.join(libraries[name], name) for name in wrappers),
            "LD_LIBRARY_PATH": ":".join(sorted(set(libraries.values()))),
            "NSS_WRAPPER_PASSWD": passwd,
            "NSS_WRAPPER_GROUP": group,
        }
        if os.getuid() == 0:
            self.env.update(UID_WRAPPER="1", UID_WRAPPER_ROOT="1")

    def send(self, s, p, version, implicit=False):
        """Its log of one delivery."""
        where = os.path.join(case_dir(), f"exim-{s.port}-{version}-{implicit}")
        os.makedirs(os.path.join(where, "spool"))
        conf = os.path.join(where, "exim.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(
                EXIM_CONF.format(
                    exim=self.exim,
                    dir=where,
                    port=s.tls_port if implicit else s.port,
                    protocol="smtps" if implicit else "smtp",
                    root=p.root,
                    version=version,
                )
            )
        status, out = run(
            *(self.exim, "-C", conf, "-odf", "-oi", "-f", "sender@client.example", "alice@test.example"),
            text=TEXT,
            env=self.env,
        )
        try:
            return content(os.path.join(where, "mainlog")).decode()
        except FileNotFoundError:
            raise Failed(f"Exim did not run (status {status}): {out}") from None


def test_exim_good():
    exim = Exim()
    for kind in ("ec", "rsa"):
        s, p = server("good", kind)
        for version in VERSIONS:
            for implicit in (False, True):
                log = exim.send(s, p, version, implicit)
                check(" => alice@test.example" in log and "CV=yes" in log, log)
                check(f"X=TLS{version}" in log, f"not TLS {version}: {log}")
        delivered(s, 4)
        check_equal(staples(s, 4), ["served"] * 4, "ocsp=")


def test_exim_expired_refuses():
    exim = Exim()
    s, p = server("expired")
    for version in VERSIONS:
        log = exim.send(s, p, version)
        check(" => alice@test.example" not in log and "certificate status" in log, log)
    check_equal(s.files("alice"), [], "messages")


harness.main(globals())
