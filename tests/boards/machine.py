"""Boards booted in emulated machines, for the tests beside it and for `make boards`.

Builds on tests/interop/harness.py: a Machine stands where a Server stands there. Each has an image of its
own with the test's configuration and the agent (agent.c); everything goes through QEMU's user network.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
import harness as h  # noqa: E402

LIB = os.path.join(h.TOP, "boards/lib")
IMAGES = os.path.abspath(os.environ.get("IMAGES", h.BUILD))  # where the boards were built
BOOT_S = int(os.environ.get("BOOT_S", "90"))  # for machines that share theirs with others
PARTS = ("init", "postern", "kernel")
MAIL = "/spool/mail"


def value_of(board, name):
    """What boards/BOARD/machine says."""
    with open(os.path.join(h.TOP, "boards", board, "machine"), encoding="ascii") as f:
        found = re.search(rf"^{name}=\"?([^\"\n]*)", f.read(), re.M)
    return found.group(1) if found else ""


def kernel_has(board, name):
    """Whether the board's kernel is configured with CONFIG_NAME."""
    for path in (os.path.join(LIB, "kernel.config"), os.path.join(h.TOP, "boards", board, "kernel.config")):
        with open(path, encoding="ascii") as f:
            if f"CONFIG_{name}=y\n" in f.read():
                return True
    return False


class Machine:
    """One board with one image. boot() and cut() as often as wanted; what it wrote stays."""

    def __init__(self, board, pki=None, proof=None, postern=None, files=None, **options):
        """files: name in /config -> path of what is to be there as well."""
        self.board = board
        self.dir = os.path.join(h.case_dir(), "machine")
        self.console_path = os.path.join(self.dir, "console")
        self.process = None
        self.agent_port = 0
        self.port = 0
        self.boots = 0
        self._make(pki, {**(files or {}), **({"proof.der": proof} if proof else {})}, postern, options)
        h._started.append(self)

    def _make(self, pki, files, postern, options):
        config = os.path.join(self.dir, "config")
        os.makedirs(config)
        parts = os.path.join(IMAGES, self.board, "image")
        for name in PARTS:
            os.symlink(os.path.join(parts, name), os.path.join(self.dir, name))
        if postern:
            os.remove(os.path.join(self.dir, "postern"))
            os.symlink(postern, os.path.join(self.dir, "postern"))
        values = {
            "primary_hostname": "board.test.example",
            "local_domains": "test.example",
            "local_users": "alice : bob : postmaster",
            "local_interfaces": "0.0.0.0",
            "spool_directory": "/spool/queue",
            "spool_size": "16M",
            "message_size_limit": "4M",
            "maildir": f"{MAIL}/$local_part",
            "log_file_path": "stderr",
            "clock_trusted": "yes",
        }
        if pki:
            shutil.copy(pki.chain, os.path.join(config, "chain.pem"))
            shutil.copy(pki.key, os.path.join(config, "key.pem"))
            values.update(tls_certificate="/config/chain.pem", tls_privatekey="/config/key.pem")
        for name, path in files.items():
            shutil.copy(path, os.path.join(config, name))
        if "proof.der" in files:
            values["tls_ocsp_file"] = "/config/proof.der"
        values.update(options)
        with open(os.path.join(config, "postern.conf"), "w", encoding="ascii") as f:
            f.writelines(f"{name} = {value}\n" for name, value in values.items() if value is not None)
        env = {**os.environ, "CONFIG": config, "EXTRA": os.path.join(parts, "agent")}
        done = subprocess.run([os.path.join(LIB, "image"), self.board, self.dir], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        h.check(done.returncode == 0, done.stdout.decode())
        self.parts = done.stdout.decode()

    def boot(self, ram=None, loader=False, storage=None, arguments=(), limit_s=BOOT_S, limit_cpu_s=None):
        """Until the banner; the seconds that it took. storage: what boards/lib/boot takes as DISK or NOR.
        limit_cpu_s: as many seconds of the emulator's own, however busy this machine is."""
        self.port, self.agent_port = h.free_port(), h.free_port()
        env = {**os.environ, "FORWARD": f"{self.port}:25 {self.agent_port}:7"}
        env.update({"RAM": str(ram)} if ram else {}, **({"LOADER": "1"} if loader else {}), **(storage or {}))
        self.boots += 1
        with open(self.console_path, "ab") as console:
            console.write(b"\n--- boot\n")
            self.boot_at = console.tell()
            self.process = subprocess.Popen(
                [os.path.join(LIB, "boot"), self.board, self.dir, *arguments],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                preexec_fn=h.die_with_parent,
            )
        began = time.monotonic()
        while time.monotonic() < began + limit_s:
            if self.process.poll() is not None:
                raise h.Failed(f"the machine left\n{self.console()[-1500:]}")
            if self._says_start() and self._banner():
                return time.monotonic() - began
            if limit_cpu_s and self.cpu_s() > limit_cpu_s:
                raise h.Failed(f"no banner within {limit_cpu_s} s of CPU time\n{self.console()[-1500:]}")
            time.sleep(0.1)
        raise h.Failed(f"no banner within {limit_s} s\n{self.console()[-1500:]}")

    def cpu_s(self):
        """CPU time that the emulator has used; 0 when it has left."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
                words = f.read().rsplit(")", 1)[1].split()
        except OSError:
            return 0
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def _says_start(self):
        """Not to be asked before: QEMU's network may stay silent for good after what came when the guest had none."""
        with open(self.console_path, "rb") as f:
            f.seek(self.boot_at)
            return b" info start " in f.read()

    def _banner(self):
        """QEMU accepts before the guest is up, and then closes."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.settimeout(2)
                return s.recv(512).startswith(b"220")
        except OSError:
            return False

    def console(self):
        with open(self.console_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_console(self, words, limit_s=h.LIMIT_S):
        """Until a line of this boot has all of these words; that line."""

        def found():
            lines = self.console().rsplit("--- boot", 1)[1].splitlines()
            return next((l for l in lines if all(w in l for w in words)), None)

        try:
            return h.wait_until(found, f"{words} on the console", limit_s)
        except h.Failed as e:
            raise h.Failed(f"{e}\n{self.console()[-1500:]}") from None

    def ask(self, line):
        """The agent's answer to one request, as bytes. QEMU's network may drop what comes while the guest's is
        being set up, and with it the connection: one that stays silent is begun anew. Requests can be repeated."""
        for tries_left in (2, 1, 0):
            answer = bytearray()
            try:
                with socket.create_connection(("127.0.0.1", self.agent_port), 10) as s:
                    s.settimeout(30)
                    s.sendall(line.encode() + b"\n")
                    while more := s.recv(65536):
                        answer += more
                return bytes(answer)
            except OSError as e:
                if tries_left and not answer and self.running() and isinstance(e, TimeoutError):
                    continue
                state = "runs" if self.running() else "has left"
                raise h.Failed(f"asked for {line!r}: {e!r} behind {bytes(answer[:40])!r}; the machine {state}\n{self.console()[-1500:]}") from None

    def hang_up(self):
        """SIGHUP to the server."""
        answer = self.ask("hangup postern")
        h.check(answer == b"ok", f"SIGHUP: {answer!r}\n{self.console()[-1500:]}")

    def names(self, user):
        return self.ask(f"names {MAIL}/{user}/new").decode().split()

    def messages(self, user):
        return [self.ask(f"file {MAIL}/{user}/new/{name}") for name in self.names(user)]

    def wait_messages(self, user, number, limit_s=60):
        h.wait_until(lambda: len(self.names(user)) >= number, f"{number} messages for {user}", limit_s)
        return self.messages(user)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def cut(self):
        """Takes the power away."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    end = cut
