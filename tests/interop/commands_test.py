#!/usr/bin/env python3
"""What postern check and the other commands tell whoever sets a server up: what is wrong, and where."""

import os
import subprocess

import harness
from harness import POSTERN, Pki, Server, case_dir, check, check_equal, hello, run, body_of

CLONE_NEWNS = 0x20000
MISTAKES = "configuration: what cannot be used stands above\n"


def postern_check(s):
    return run(POSTERN, "check", "-c", s.conf_path)


def a_file(name="plain"):
    path = os.path.join(case_dir(), name)
    with open(path, "w", encoding="ascii") as f:
        f.write("not a mailbox\n")
    return path


# --- Things that are no directories, or no sockets ---


def test_file_for_a_directory():
    path = a_file()
    s = Server(start=False, spool_directory=path)
    want = f"spool_directory {path}: cannot be used: not-a-directory\n"
    check(want + MISTAKES in postern_check(s)[1], postern_check(s)[1])
    status, out = run(POSTERN, "-c", s.conf_path)
    check(status == 78 and want in out, f"{status}: {out}")
    s = Server(start=False, outbox_directory=path)
    check(f"outbox_directory {path}: cannot be used: not-a-directory\n" + MISTAKES in postern_check(s)[1], postern_check(s)[1])
    s.start()
    s.wait_log("outbox", "result=unavailable", "reason=not-a-directory")


def test_mbox_for_a_maildir():
    """As /var/mail has them where another server delivered before: mail waits until they are moved."""
    s = Server(start=False)
    mbox = os.path.join(s.mail, "bob")
    os.rename(a_file(), mbox)
    check(f"maildir {mbox}/new/x: cannot be used: not-a-directory\n" + MISTAKES in postern_check(s)[1], postern_check(s)[1])
    s.start()
    c = hello(s)
    c.message(body_of(1, 500), to="bob@test.example")
    s.wait_log("delivery", "result=deferred", "reason=not-a-directory")
    os.unlink(mbox)
    check_equal(run(POSTERN, "flush", "-c", s.conf_path)[0], 0, "flush")
    s.messages("bob", 1)


def test_file_for_a_socket():
    path = a_file()
    for option in ("submit_socket", "control_socket"):
        s = Server(start=False, **{option: path})
        check(f"{option} {path}: cannot be used: exists\n" + MISTAKES in postern_check(s)[1], postern_check(s)[1])
        s.configure(**{option: case_dir()})
        check(f"{option} {case_dir()}: cannot be used: exists\n" + MISTAKES in postern_check(s)[1], postern_check(s)[1])
        s.configure(**{option: os.path.join(case_dir(), "nowhere/deeper/socket")})
        check(f"{option} {case_dir()}/nowhere/deeper/socket: cannot be used: absent\n" in postern_check(s)[1], postern_check(s)[1])
        s.configure(**{option: os.path.join(case_dir(), option, "socket")})
        check("configuration: ok\n" in postern_check(s)[1], postern_check(s)[1])
        s.start()
        check("configuration: ok\n" in postern_check(s)[1], "of a server that runs: " + postern_check(s)[1])
        s.stop()
    check(os.path.getsize(path) > 0, "the file is not touched")


def test_spool_too_deep_for_its_socket():
    spool = os.path.join(case_dir(), "d" * 100)
    s = Server(start=False, spool_directory=spool)
    check(f"control_socket {spool}/control: cannot be used: too-big\n" + MISTAKES in postern_check(s)[1], postern_check(s)[1])
    s.start()
    s.wait_log("control", "result=unavailable", "reason=too-big")


def mount_small(path, size):
    """A partition of its own, for this case's process and what it starts."""
    os.makedirs(path)
    return (
        harness.LIBC.unshare(CLONE_NEWNS) == 0
        and subprocess.call(["mount", "--make-rprivate", "/"]) == 0
        and subprocess.call(["mount", "-t", "tmpfs", "-o", "size=" + size, "small", path]) == 0
    )


def test_not_listened_on():
    """At the start, which alone tries it."""
    path = a_file()
    for options, want in (
        ({"submit_socket": path}, f"submit_socket {path}: exists\n"),
        ({"local_interfaces": "192.0.2.77"}, "listen on 192.0.2.77 port {port}: no address of this machine\n"),
    ):
        s = Server(start=False, **options)
        status, out = run(POSTERN, "-c", s.conf_path)
        check(status != 0 and want.format(port=s.port) in out, f"{status}: {out}")


def test_spool_larger_than_its_partition():
    """Told before there is a spool, and with what the spool has counted as room."""
    small = os.path.join(case_dir(), "small")
    if not mount_small(small, "24M"):
        print("skipped: nothing can be mounted here")
        return
    s = Server(start=False, spool_directory=os.path.join(small, "spool"), spool_size="64M", message_size_limit="1M")
    want = "spool_size: expected at most 24M, for which there is room on the partition of spool_directory\n"
    check(want + "configuration: ok\n" in postern_check(s)[1], postern_check(s)[1])
    s.start()
    hello(s).message(body_of(1, 500))
    s.messages("alice", 1)
    check("spool_size: expected at most 2" in postern_check(s)[1], postern_check(s)[1])
    s.configure(spool_size="16M")
    check("spool_size" not in postern_check(s)[1], postern_check(s)[1])
    s.stop()
    with open(os.path.join(small, "spool", "segment-7fffffff"), "wb") as f:
        f.write(bytes(12 << 20))
    check("spool_size" not in postern_check(s)[1], "with a segment of another length: " + postern_check(s)[1])
    with open(os.path.join(small, "ballast"), "wb") as f:
        try:
            f.write(bytes(24 << 20))
        except OSError:
            pass
    check("spool_size: expected at most 1" in postern_check(s)[1], "with no room left: " + postern_check(s)[1])


def test_spool_on_a_partition_without_a_size():
    """As in an initramfs: it says that it has no blocks, none of them free."""
    endless = os.path.join(case_dir(), "endless")
    if not mount_small(endless, "0"):
        print("skipped: nothing can be mounted here")
        return
    s = Server(start=False, spool_directory=os.path.join(endless, "spool"))
    check("spool_size" not in postern_check(s)[1], postern_check(s)[1])
    s.start()
    hello(s).message(body_of(1, 500))
    s.messages("alice", 1)


def test_read_only_partition():
    """Root can make directories anywhere else."""
    where = os.path.join(case_dir(), "image")
    if not mount_small(where, "1M") or subprocess.call(["mount", "-o", "remount,ro", where]) != 0:
        print("skipped: nothing can be mounted here")
        return
    s = Server(start=False, spool_directory=f"{where}/spool", maildir=f"{where}/$local_part", outbox_directory=where)
    out = postern_check(s)[1]
    for option, path in (("spool_directory", f"{where}/spool"), ("outbox_directory", where), ("maildir", f"{where}/alice")):
        check(f"{option} {path}: cannot be used: read-only\n" in out, out)


def test_open_relay():
    """It may be meant, behind a fence; most often it is not."""
    warning = ": anybody on the Internet may send mail to anybody by this server\n"
    for option, value, is_open in (
        ("relay_from_hosts", "*", True),
        ("relay_from_hosts", "!127.0.0.1 : 0.0.0.0/0", True),
        ("relay_from_hosts", "<; 10.0.0.0/8 ; 2000::/3", True),
        ("relay_from_hosts", "<; 10.0.0.0/8 ; 2001:db9::/32", False),
        ("relay_from_hosts", None, False),
        ("relay_to_domains", "*", True),
        ("relay_to_domains", "!a.example : *", True),
        ("relay_to_domains", "a.example : *.example", False),
    ):
        out = postern_check(Server(start=False, **{option: value}))[1]
        check((option + warning in out) == is_open == (warning in out), f"{option} = {value}: {out}")
        check("configuration: ok\n" in out, out)


def test_ports_for_nobody():
    """What is told so is still served."""
    warning = "submission_ports: nobody may send there without auth_users_file or auth_dovecot_socket\n"
    pki = Pki()
    s = Server(start=False)
    s.configure(submission_ports=s.port)
    check(warning + "configuration: ok\n" in postern_check(s)[1], postern_check(s)[1])
    s.start()
    s.stop()
    s.configure(relay_from_hosts="127.0.0.1")
    check(warning not in postern_check(s)[1], postern_check(s)[1])
    s.configure(relay_from_hosts=None, auth_dovecot_socket="/run/dovecot/auth", tls_certificate=pki.chain, tls_privatekey=pki.key)
    check(warning not in postern_check(s)[1], postern_check(s)[1])


def test_name_that_is_an_address():
    """Other servers refuse EHLO 192.0.2.1, and mail from root@192.0.2.1."""
    warning = "primary_hostname: expected an address in brackets\n"
    for name, is_wrong in (("192.0.2.1", True), ("[192.0.2.1]", False), ("192.0.2.1.example", False)):
        out = postern_check(Server(start=False, primary_hostname=name))[1]
        check((warning in out) == is_wrong, f"{name}: {out}")


# --- Output that goes nowhere ---


def test_no_logger():
    """As in a container: all that the server said would be lost, and nothing told that."""
    s = Server(start=False, log_file_path="syslog")
    out = postern_check(s)[1]
    check(("log_file_path: /dev/log: absent\n" in out) != os.path.exists("/dev/log"), out)
    check("configuration: ok\n" in out, out)
    s.configure(log_file_path="stderr")
    check("log_file_path" not in postern_check(s)[1], "of stderr")


def test_full_stdout():
    """What reads the output of a command must not take the part that fitted for all of it."""
    s = Server()
    conf = ("-c", s.conf_path)
    for words in (
        ("check", *conf),
        ("budget", *conf),
        ("status", *conf),
        ("queue", *conf),
        ("clock", *conf),
        ("--help",),
        ("--version",),
        ("ocsp-check", "--help"),
        ("ocsp-fetch", "--help"),
    ):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([POSTERN, *words], stdout=full, stderr=subprocess.PIPE, timeout=20, check=False)
        check_equal(done.returncode, 74, f"{words}: {done.stderr}")
        check(done.stderr.endswith(b"postern: standard output: no-space\n"), f"{words}: {done.stderr}")


def test_help():
    for command in ("check", "budget", "status", "clock", "queue", "flush", "sendmail", "passwd", "ocsp-check", "ocsp-fetch"):
        status, out = run(POSTERN, command, "--help")
        check(status == 0 and out.startswith("usage: postern") and f"postern {command}" in out, f"{command}: {status}: {out}")
    status, out = run(POSTERN, "nonsense", "--help")
    check_equal((status, out), (64, "postern: nonsense: not understood; try postern --help\n"), "nonsense")
    status, out = run(POSTERN, "check", "budget")
    check_equal((status, out), (64, "postern: budget: not understood; try postern --help\n"), "two commands")


harness.main(globals())
