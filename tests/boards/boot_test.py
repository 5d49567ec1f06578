"""Boards that boot and serve: a proof under TLS 1.2 and 1.3, messages that arrive, in the least memory.

BOARDS names them (armv7 and mips24kc unless given); their images' parts must have been built."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import machine as m  # noqa: E402

h = m.h
BOARDS = os.environ.get("BOARDS", "armv7 mips24kc").split()
NEW = ("chain.pem", "key.pem", "proof.der")  # what a renewed certificate consists of


def ways(board):
    """How it boots: by its loader (True) as well as with the kernel handed over (False), if it has one."""
    return (False, True) if m.value_of(board, "loader") else (False,)


def least_mib(board, loader=False):
    """The RAM that is to suffice."""
    return int(m.value_of(board, "least_cold_mib" if loader else "least_mib"))


def s_client(machine, pki, version):
    return (
        "openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{machine.port}", version, "-status",
        "-servername", "localhost", "-CAfile", pki.root, "-verify_return_error",
    )  # fmt: skip


def check_staple(machine, pki, version):
    status, text = h.run(*s_client(machine, pki, version), text="QUIT\n")
    h.check(status == 0 and "OCSP Response Status: successful" in text and "Cert Status: good" in text, f"{version}: {text[-1500:]}")
    h.check(re.search("Response Verify OK|Verify return code: 0", text), f"{version}: {text[-1500:]}")


def check_serves(machine, pki, number=20):
    """A proof in both versions of TLS; messages, one of them of 1 MiB, in TLS and without."""
    check_staple(machine, pki, "-tls1_3")
    check_staple(machine, pki, "-tls1_2")
    bodies = [h.body_of(n, 1 << 20 if n == 0 else 3000) for n in range(number)]
    client = h.hello(machine)
    client.starttls()
    client.cmd("EHLO client.example", 250)
    for n, body in enumerate(bodies):
        if n == number // 2:
            client.quit()
            client = h.hello(machine)
        client.message(body)
    client.quit()
    arrived = machine.wait_messages("alice", number)
    h.check("result=deferred" not in machine.console(), machine.console()[-1500:])
    h.check_equal(len(arrived), number, "messages")
    for n, body in enumerate(bodies):
        h.check(any(h.same_body(one, body) for one in arrived), f"message {n} of {len(body)} bytes did not arrive whole")


def check_fence(machine):
    """The server is a user of its own, behind what the board's kernel has for that."""
    line = machine.wait_console([" sandbox "])
    h.check(re.search(r" uid=[1-9]\d* gid=[1-9]\d* ", line), line)
    h.check("seccomp=yes" in line, line)
    fenced = re.search(r" landlock=(\d+)", line).group(1) != "0"
    h.check_equal(fenced, m.kernel_has(machine.board, "SECURITY_LANDLOCK"), line)


def check_renewal(machine, new):
    """A certificate, its key and its proof that take the place of others, from behind the fence."""
    for name in NEW:
        h.check_equal(machine.ask(f"replace /config/{name} /config/{name}.new"), b"ok", name)
    machine.hang_up()
    h.wait_until(lambda: h.run(*s_client(machine, new, "-tls1_3"), text="QUIT\n")[0] == 0, "the new certificate", 30)
    check_staple(machine, new, "-tls1_3")


def check_board(board, ram, loader=False):
    pki, new = h.Pki("ec"), h.Pki("ec")
    later = {f"{name}.new": path for name, path in zip(NEW, (new.chain, new.key, new.proof("good")))}
    machine = m.Machine(board, pki, pki.proof("good"), files=later)
    seconds = machine.boot(ram=ram, loader=loader)
    check_serves(machine, pki)
    check_fence(machine)
    check_renewal(machine, new)
    print(f"{board}: {ram} MiB{' with its boot loader' if loader else ''}, banner after {seconds:.1f} s")
    print(machine.parts)
    print(re.sub(r"(?m)^(?!postern|MemTotal|MemAvail|MemFree).*\n", "", machine.ask("memory").decode()))


def staple(machine):
    _, text = h.run("openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{machine.port}", "-tls1_3", "-status", text="QUIT\n")
    h.check("OCSP response:" in text or "OCSP Response Data" in text, text[-1500:])
    return "Cert Status: good" in text


def check_clock(board, tell):
    """A machine whose clock begins in 2001: no proof until it is told the time, and then at once."""
    pki = h.Pki("ec")
    machine = m.Machine(board, pki, pki.proof("good"), clock_trusted="auto", control_socket="/spool/run/control")
    machine.boot(ram=32, arguments=("-rtc", "base=2001-01-01T00:00:00"))
    h.check(not staple(machine), "a proof was stapled by a clock of 2001")
    print(machine.wait_console(["staple", "reason=clock-not-set"]))
    tell(machine)
    h.wait_until(lambda: staple(machine), "a proof after the clock was set", 20)
    h.check(machine.boots == 1, "it was booted again")


def tell_by_command(machine):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(machine.ask(f"run /sbin/postern clock -c /config/postern.conf --set {now}").decode())


def tell_by_kernel(machine):
    h.check_equal(machine.ask(f"clock {int(time.time())}"), b"ok", "setting the clock")
    h.check_equal(machine.ask("synchronised"), b"ok", "saying that it is right")


def check_passwords(board):
    """A file of passwords that nobody but the server may read, or it does not start."""
    pki = h.Pki("ec")
    passwords = os.path.join(h.case_dir(), "passwords")
    with open(passwords, "w", encoding="ascii") as f:
        f.write("relay.example device secret\n")
    os.chmod(passwords, 0o600)
    machine = m.Machine(
        board, pki, pki.proof("good"), files={"passwords": passwords, "roots.pem": pki.root},
        client_auth_file="/config/passwords", remote_tls_verify_certificates="/config/roots.pem",
    )  # fmt: skip
    machine.boot(ram=32)
    check_staple(machine, pki, "-tls1_3")


CASES = {}
for one in BOARDS:
    CASES[f"test_passwords_{one}"] = lambda b=one: check_passwords(b)
    for way in ways(one):
        CASES[f"test_{one}{'_cold' if way else ''}"] = lambda b=one, w=way: check_board(b, least_mib(b, w), loader=w)

if "armv7" in BOARDS:
    CASES["test_clock_command"] = lambda: check_clock("armv7", tell_by_command)
    CASES["test_clock_kernel"] = lambda: check_clock("armv7", tell_by_kernel)

if __name__ == "__main__":
    h.main(CASES)
