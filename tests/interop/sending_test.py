#!/usr/bin/env python3
"""Two servers of ours, one of which sends its mail on to the other: plain, by STARTTLS and implicit TLS, with a
proof required, and with a login. Other people's servers are in sending_peers_test.py, hostile ones in tests/sim."""

import os
import shutil
import socket
import subprocess
import threading

import harness
from harness import Pki, Server, check, check_equal


def far(pki=None, **options):
    return Server(
        pki=pki, **{"primary_hostname": "far.example", "local_domains": "example.net", "local_users": "bob : carol", **options}
    )


def near(route, **options):
    return Server(**{"route_list": route, "relay_from_hosts": "127.0.0.1", "retry_min": "1s", **options})


def send(server, recipients=("bob@example.net",), body=b"Subject: on\r\n\r\nhello\r\n.dot\r\n..two\r\n", number=1):
    s = harness.hello(server)
    for _ in range(number):
        s.cmd("MAIL FROM:<alice@test.example>", 250)
        for recipient in recipients:
            s.cmd(f"RCPT TO:<{recipient}>", 250)
        s.cmd("DATA", 354)
        s.send(harness.stuffed(body) + b".\r\n")
        s.expect(250)
    s.quit()


def only_line(server, *words):
    lines = server.wait_log(*words)
    check_equal(len(lines), 1, f"lines with {words}")
    return lines[0]


def test_plain():
    there = far()
    here = near(f"* smtp:127.0.0.1:{there.port}")
    body = b"Subject: on\r\n\r\nhello\r\n.dot\r\n..two\r\n"
    send(here, ("bob@example.net", "carol@example.net"), body)
    for user in ("bob", "carol"):
        message = there.messages(user, 1)[0]
        check(message.endswith(body.replace(b"\r\n", b"\n")), message)
    line = only_line(here, "relay", "delivered=2")
    check("tls=no" in line, line)
    check_equal(len(there.log_lines("message")), 1, "messages there")


def test_one_connection_for_many():
    there = far()
    here = near(f"* smtp:127.0.0.1:{there.port}", destination_concurrency="1")
    send(here, number=20)
    there.messages("bob", 20)
    here.wait_log("relay", number=20)
    check(len(there.log_lines("connection")) < 10, there.log())


def test_refused_recipient_bounces():
    there = far()
    here = near(f"* smtp:127.0.0.1:{there.port}")
    send(here, ("nobody@example.net", "bob@example.net"))
    there.messages("bob", 1)
    only_line(here, "relay", "delivered=1", "failed=1")


def test_waits_until_the_server_is_there():
    there = far(start=False)
    here = near(f"* smtp:127.0.0.1:{there.port}")
    send(here)
    here.wait_log("relay-try", "reason=refused")
    there.start()
    there.messages("bob", 1)


def test_fails_over():
    there = far()
    dead = harness.free_port()
    here = near(f"* smtp:127.0.0.1:{dead},127.0.0.1:{there.port}")
    send(here)
    there.messages("bob", 1)
    here.wait_log("relay-try", "reason=refused")


def leaves_early(listener, ehlo):
    """A server that refuses in the middle of a message, reads no more of it, and is gone: the kernel breaks the
    connection, as there is something unread."""
    answers = {b"EHLO": ehlo, b"DATA": b"354 go\r\n", b"BDAT": b""}
    connection = listener.accept()[0]
    lines = connection.makefile("rb")
    connection.sendall(b"220 early.example\r\n")
    for line in lines:
        connection.sendall(answers.get(line[:4], b"250 ok\r\n"))
        if line[:4] in (b"DATA", b"BDAT"):
            lines.read(3000000)
            connection.sendall(b"552 5.3.4 too much\r\n")
            break
    lines.close()
    connection.close()


def test_refused_in_the_middle():
    """What it said is the reason, not that the connection broke: else all of it would be sent again and again."""
    for ehlo in (b"250 early.example\r\n", b"250-early.example\r\n250 CHUNKING\r\n"):
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=leaves_early, args=(listener, ehlo))
        thread.start()
        here = near(f"* smtp:127.0.0.1:{listener.getsockname()[1]}", retry_min="5m")
        send(here, body=harness.body_of(1, 8000000))
        line = here.wait_log("relay")[0]
        check("failed=1" in line.split() and "552 5.3.4 too much" in line, line)
        thread.join()
        listener.close()


def proved(proof="good", version=None, route="smtp", **options):
    pki = Pki()
    ciphers = {"1.2": "ECDHE-ECDSA-AES128-GCM-SHA256", "1.3": "TLS_AES_128_GCM_SHA256", None: None}[version]
    there = far(pki, proof=pki.proof(proof) if proof else None, tls_require_ciphers=ciphers)
    port = there.tls_port if route == "smtps" else there.port
    trust = {"remote_tls_verify_certificates": pki.root}
    return there, near(f"* {route}:localhost:{port}", **{**trust, **options})


def delivered_with(version, route="smtp"):
    there, here = proved(version=version, route=route, hosts_require_ocsp="*")
    send(here)
    there.messages("bob", 1)
    line = only_line(here, "relay", "delivered=1")
    for word in ("certificate=verified", "tls_out_ocsp=verified", f"tls=TLSv{version}"):
        check(word in line.split(), line)


def test_proof_required_tls12():
    delivered_with("1.2")


def test_proof_required_tls13():
    delivered_with("1.3")


def test_proof_required_implicit_tls():
    delivered_with("1.3", "smtps")


def test_no_proof():
    there, here = proved(proof=None, hosts_require_ocsp="localhost")
    send(here)
    line = here.wait_log("relay-try", "reason=proof-missing")[0]
    check("tls_out_ocsp=no-response" in line, line)
    check_equal(there.log_lines("message"), [], "messages there")


def test_courtesy():
    """Nothing is required, nothing known: TLS all the same."""
    there, here = proved(proof=None, remote_tls_verify_certificates=None)
    send(here)
    there.messages("bob", 1)
    line = only_line(here, "relay", "delivered=1")
    check("certificate=unverified" in line and "tls=TLSv1.3" in line, line)


def test_proof_of_a_stranger():
    """Who vouches for itself has no verified proof, whatever it staples."""
    for trust in (None, Pki(name="pki-other").root):
        there, here = proved(remote_tls_verify_certificates=trust)
        send(here)
        there.messages("bob", 1)
        line = only_line(here, "relay", "delivered=1")
        check("certificate=unverified" in line and "tls_out_ocsp=not-verified" in line, line)


def test_other_authority():
    other = Pki(name="pki-other")
    there, here = proved(remote_tls_verify_certificates=other.root, remote_tls_verify_hosts="*")
    send(here)
    here.wait_log("relay-try", "reason=certificate-unverified")
    check_equal(there.log_lines("message"), [], "messages there")


def test_other_name():
    """The certificate is for localhost and 127.0.0.1."""
    pki = Pki()
    there = far(pki, proof=pki.proof("good"), local_interfaces="127.0.0.1 : 127.0.0.2")
    here = near(
        f"* smtp:127.0.0.2:{there.port}", remote_tls_verify_certificates=pki.root, remote_tls_verify_hosts="127.0.0.2"
    )
    send(here)
    here.wait_log("relay-try", "reason=certificate-unverified")


def test_authorities_change():
    """Their file is read again when it has changed, without a signal."""
    path = os.path.join(harness.case_dir(), "authorities.pem")
    shutil.copy(Pki(name="pki-changing").root, path)
    there, here = proved(remote_tls_verify_certificates=path, remote_tls_verify_hosts="*", retry_max="2s")
    send(here)
    here.wait_log("relay-try", "reason=certificate-unverified")
    shutil.copy(Pki().root, path + ".new")
    os.rename(path + ".new", path)
    there.messages("bob", 1)
    check("certificate=verified" in only_line(here, "relay", "delivered=1"), here.log())


def bundle(number, last):
    """A file of so many authorities that are none of ours, and the last one."""
    where = harness.case_dir()
    key, path = os.path.join(where, "authority.key"), os.path.join(where, "bundle.pem")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    with open(path, "wb") as out:
        for i in range(number):
            subject = f"/O=Tests/CN=Authority {i}"
            made = ["openssl", "req", "-x509", "-new", "-key", key, "-subj", subject, "-days", "30"]
            out.write(f"# Authority {i}\n".encode() + subprocess.run(made, check=True, capture_output=True).stdout)
        with open(last, "rb") as file:
            out.write(file.read())
    check(os.path.getsize(path) > 200 * 1024, "the bundle is as long as a system's")
    return path


def test_many_authorities():
    """As many as a system believes in, in one file."""
    path = bundle(199, Pki().root)
    there, here = proved(remote_tls_verify_certificates=path, remote_tls_verify_hosts="*")
    status, out = harness.run(harness.POSTERN, "check", "-c", here.conf_path)
    check(status == 0 and "configuration: ok" in out, out)
    send(here)
    there.messages("bob", 1)
    check("certificate=verified" in only_line(here, "relay", "delivered=1"), here.log())


def test_readable_passwords_are_refused():
    path = os.path.join(harness.case_dir(), "passwords")
    with open(path, "w", encoding="utf-8") as f:
        f.write("localhost joe secret\n")
    os.chmod(path, 0o644)
    options = {"client_auth_file": path, "tls_verify_certificates": Pki().root}
    here = near("* smtp:localhost:25", start=False, **options)
    check_command = (harness.POSTERN, "check", "-c", here.conf_path)
    status, text = harness.run(*check_command)[:2]
    check(status != 0 and "mode 0600" in text, text)
    os.chmod(path, 0o600)
    status, text = harness.run(*check_command)[:2]
    check_equal(status, 0, text)


def login(password, mechanisms=None):
    pki = Pki()
    there = far(pki, start=False)
    there.options["auth_users_file"] = os.path.join(there.dir, "users")
    there.configure()
    status, text = harness.run(harness.POSTERN, "passwd", "-c", there.conf_path, "--stdin", "joe", text="right one\n")[:2]
    check_equal(status, 0, text)
    there.start()
    path = os.path.join(harness.case_dir(), "passwords")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"# relays\nlocalhost joe {password}\n")
    os.chmod(path, 0o600)
    harness.keep_secret(password)
    here = near(f"* smtp:localhost:{there.port}", client_auth_file=path, tls_verify_certificates=pki.root, log_level="debug")
    send(here)
    return there, here


def test_login():
    there, here = login("right one")
    there.messages("bob", 1)
    only_line(here, "relay", "delivered=1")
    check("joe" in only_line(there, "message"), there.log())


def test_wrong_password_waits():
    there, here = login("wrong one")
    line = here.wait_log("relay-try", "reason=login-refused")[0]
    check("error" in line.split(), line)
    check("wrong" not in here.log(), "the password is in the log")
    check_equal(there.log_lines("message"), [], "messages there")


harness.main(globals())
