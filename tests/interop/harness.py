"""What the interop tests share: a server under test, certificates, a raw SMTP client, counted cases.

A test file defines functions named test_* and ends with harness.main(globals()). Each case gets a fresh
directory in case_dir(); whatever it starts through this module is ended when it is over. Nothing here
talks to anything but the loopback interface. Needs Python 3.9 and its standard library.
"""

import base64
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))
POSTERN = os.path.abspath(os.environ.get("POSTERN", os.path.join(BUILD, "host/postern")))
PKI = os.path.join(TOP, "tests/lib/pki")
NAME = os.path.basename(sys.argv[0]).rsplit(".", 1)[0]
WORK = os.path.abspath(os.environ.get("WORK", os.path.join(BUILD, "work", NAME)))

DAY_S = 86400
LIMIT_S = 30  # how long anything may take before it counts as hanging
JOBS = int(os.environ.get("JOBS", "4"))  # cases at once; most of them wait most of the time

_case = ""
_started = []  # what to end when the case is over
_ports = set()  # that free_port gave out: the system may give one again before it is listened on


def started():
    """What end_all() will end: anything with end()."""
    return _started


_secrets = set()  # what no log may have


def keep_secret(password):
    """From here on no server's log may have it: as it is, or anywhere inside of something in base64. Returns it."""
    _secrets.add(password)
    for before in range(3):
        whole = base64.b64encode(b"x" * before + password.encode()).decode().rstrip("=")
        _secrets.add(whole[4 if before else 0 : -1])  # without what its neighbours have a part in
    return password


class Failed(Exception):
    """A case did not come out as it should; the text says how."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def check_equal(got, want, what):
    check(got == want, f"{what}: {got!r}, not {want!r}")


def case_dir():
    path = os.path.join(WORK, _case)
    os.makedirs(path, exist_ok=True)
    return path


def content_of(path):
    with open(path, "rb") as f:
        return f.read()


def wait_until(condition, what, limit_s=LIMIT_S):
    """Polls until condition() is true and returns that value."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {limit_s} s in vain for {what}")
        time.sleep(0.02)


def free_port():
    """A port of the loopback interface that nobody has, for IPv4 and, where there is IPv6, for it too."""
    for _ in range(50):
        with socket.socket() as s4:
            s4.bind(("127.0.0.1", 0))
            port = s4.getsockname()[1]
            if port in _ports:
                continue
            _ports.add(port)
            if not has_ipv6():
                return port
            with socket.socket(socket.AF_INET6) as s6:
                try:
                    s6.bind(("::1", port))
                    return port
                except OSError:
                    pass
    raise Failed("no free port")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
            return True
    except OSError:
        return False


def run(*command, text="", env=None, limit_s=60):
    """Runs a client to its end: (exit status, stdout and stderr as one string)."""
    done = subprocess.run(
        command,
        input=text if isinstance(text, bytes) else text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        timeout=limit_s,
        cwd=case_dir(),
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Lock:
    """Held by one process at a time: cases run in processes of their own."""

    def __init__(self, name):
        self.path = os.path.join(WORK, name + ".lock")

    def __enter__(self):
        self.file = open(self.path, "w", encoding="ascii")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


# --- Certificates and proofs ---


class Pki:
    """A throwaway CA with one certificate for localhost; see tests/lib/pki."""

    def __init__(self, kind="ec", name=None):
        self.dir = os.path.join(WORK, name or "pki-" + kind)
        with Lock("pki"):
            if name or not os.path.exists(os.path.join(self.dir, "key.pem")):
                shutil.rmtree(self.dir, ignore_errors=True)
                self._do("make", kind)
        self.root = os.path.join(self.dir, "root.pem")
        self.chain = os.path.join(self.dir, "chain.pem")
        self.key = os.path.join(self.dir, "key.pem")

    def _do(self, command, *args):
        done = subprocess.run([PKI, command, self.dir, *args], stderr=subprocess.PIPE, check=False)
        check(done.returncode == 0, done.stderr.decode())

    def proof(self, kind, path=None):
        """A proof of one of the kinds below; its path. Times are seconds from now."""
        path = path or os.path.join(case_dir(), kind + ".der")
        with Lock("pki"):
            self._proof(kind, path)
        return path

    def _proof(self, kind, path):
        if kind in ("good", "revoked"):
            self._do("respond", path, "7", kind)
        elif kind == "delegate":
            self._do("delegate", path, "7")
        elif kind == "large":  # good, and longer than two of the records that the server writes
            self._do("delegate", path, "7", "9500")
        elif kind == "expired":
            self._do("proof", path, str(-2 * DAY_S), "-3600")
        elif kind == "future":
            self._do("proof", path, str(DAY_S), str(3 * DAY_S))
        elif kind == "no-next-update":
            self._do("proof", path, "-3600", "none")
        elif kind in ("unknown", "other"):
            self._do("proof", path, "-3600", str(7 * DAY_S), kind)
        else:
            raise ValueError(kind)

    def timed_proof(self, from_s, to_s, path):
        with Lock("pki"):
            self._do("proof", path, str(from_s), str(to_s))
        return path

    def renew(self):
        with Lock("pki"):
            self._do("renew")


# --- The server under test ---

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """No server outlives its test, however that ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


READY = re.compile(rb"^220[ -]", re.M)


class Server:
    """Postern with a configuration of its own. Options are those of postern.conf; None leaves one out."""

    preexec = staticmethod(die_with_parent)  # what runs in the child before the program does
    prefix = ()  # what the program is run by
    program = None  # None: POSTERN

    def __init__(self, pki=None, proof=None, start=True, **options):
        self.dir = tempfile.mkdtemp(prefix="server-", dir=case_dir())
        self.port, self.tls_port = free_port(), free_port()
        self.log_path = os.path.join(self.dir, "log")
        self.conf_path = os.path.join(self.dir, "postern.conf")
        self.mail = os.path.join(self.dir, "mail")
        self.process = None
        os.makedirs(self.mail)
        self.options = {
            "primary_hostname": "mail.test.example",
            "local_domains": "test.example",
            "local_users": "alice : bob : postmaster",
            "local_interfaces": "127.0.0.1",
            "daemon_smtp_ports": f"{self.port}" + (f" : {self.tls_port}" if pki else ""),
            "spool_directory": os.path.join(self.dir, "spool"),
            "maildir": os.path.join(self.mail, "$local_part"),
            "log_file_path": "stderr",
            "clock_trusted": "yes",
            "user": "root",  # if that is who runs the tests: what they make is theirs
        }
        if pki:
            self.options.update(
                tls_certificate=pki.chain,
                tls_privatekey=pki.key,
                tls_on_connect_ports=f"{self.tls_port}",
            )
        if proof:
            self.options["tls_ocsp_file"] = proof
        self.options.update(options)
        self.configure()
        if start:
            self.start()

    def configure(self, **options):
        """Writes the options out, changed by those given."""
        self.options.update(options)
        with open(self.conf_path + ".new", "w", encoding="utf-8") as f:
            for name, value in self.options.items():
                if value is not None:
                    f.write(f"{name} = {value}\n")
        os.rename(self.conf_path + ".new", self.conf_path)

    def start(self):
        if self not in _started:
            _started.append(self)
        for _ in range(5):
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    [*self.prefix, self.program or POSTERN, "-c", self.conf_path],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=self.preexec,
                )
            if wait_until(self._ready, "the server's banner") == "ready":
                return
            self._other_ports()
        raise Failed("each port was taken in the meantime: " + self.log()[-500:])

    def _other_ports(self):
        """Somebody took a port between free_port() and now."""
        new = {str(self.port): str(free_port()), str(self.tls_port): str(free_port())}
        self.port, self.tls_port = (int(new[str(p)]) for p in (self.port, self.tls_port))
        for name in ("daemon_smtp_ports", "tls_on_connect_ports"):
            if self.options.get(name):
                self.options[name] = " : ".join(new[p] for p in self.options[name].split(" : "))
        self.configure()

    def _ready(self):
        if self.process.poll() is not None:
            lines = self.log().splitlines()
            check(lines and "in-use" in lines[-1] and "port" in lines[-1], f"the server left: {self.process.poll()}\n{self.log()}")
            return "taken"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.settimeout(5)
                return "ready" if READY.match(s.recv(512)) else None
        except OSError:
            return None

    @property
    def pid(self):
        return self.process.pid

    def cpu_s(self):
        """CPU time that the server has used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, want_status=0):
        """SIGTERM; the server must leave with that status, and have said nothing of a sanitizer."""
        self.send_signal(signal.SIGTERM)
        self.wait_gone(want_status)

    def wait_gone(self, want_status=0):
        try:
            status = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"the server ignored SIGTERM for {LIMIT_S} s") from None
        check_equal(status, want_status, "exit status of the server")
        self.check_sane()

    def kill(self):
        """kill -9: nothing is flushed, nothing is finished."""
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.running():
            self.process.kill()
            self.process.wait()

    def check_sane(self):
        log = self.log()
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            check(word not in log, f"{word} in the log:\n{log[-4000:]}")
        for word in _secrets:
            check(word not in log, f"the log has {word!r}")

    # The log.

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="surrogateescape") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, *words):
        """The lines that have all of these words, each as key=value or as the event's name."""
        return [l for l in self.log().splitlines() if all(w in l.split() for w in words)]

    def wait_log(self, *words, number=1):
        """The lines with all of these words, once there are so many."""

        def enough():
            lines = self.log_lines(*words)
            return lines if len(lines) >= number else None

        try:
            return wait_until(enough, f"{number} log line(s) with {' '.join(words)}", 10)
        except Failed as e:
            raise Failed(f"{e}; the log:\n{self.log()[-3000:]}") from None

    # The mailboxes.

    def files(self, user, folder="new"):
        try:
            path = os.path.join(self.mail, user, folder)
            return sorted(os.path.join(path, name) for name in os.listdir(path))
        except FileNotFoundError:
            return []

    def messages(self, user, number=None, limit_s=LIMIT_S):
        """All messages in that Maildir as bytes; waits until there are at least `number`."""
        if number is not None:
            wait_until(
                lambda: len(self.files(user)) >= number,
                f"{number} messages for {user} ({len(self.files(user))} there)\n" + self.log()[-1500:],
                limit_s,
            )
        found = []
        for path in self.files(user):
            with open(path, "rb") as f:
                found.append(f.read())
        return found

    def wait_delivered(self, limit_s=LIMIT_S):
        """Until nothing is waiting: every message line has its delivery lines."""
        wait_until(lambda: not self.undelivered(), f"deliveries of {self.undelivered()[:3]}", limit_s)

    def undelivered(self):
        """Ids of messages that have been accepted and not been delivered to each of their recipients, by the log."""
        log = self.log()
        left = {}
        for line in re.findall(r"^.*\bmessage .*\bid=.*result=accepted.*", log, re.M):
            number = re.search(r"\brcpts=(\d+)", line)
            left[re.search(r"\bid=(\S+)", line).group(1)] = int(number.group(1)) if number else 1
        for line in re.findall(r"^.*\bdelivery .*\bresult=delivered.*", log, re.M):
            name = re.search(r"\bid=(\S+)", line).group(1)
            left[name] = left.get(name, 0) - 1
        return [name for name, number in left.items() if number > 0]


# --- A raw SMTP client ---


class Smtp:
    """Sends what it is told, byte for byte, and reads replies strictly."""

    def __init__(self, server, tls=False, host="127.0.0.1", banner=True, source=None):
        port = server.tls_port if tls else server.port
        self.socket = socket.create_connection((host, port), LIMIT_S, source_address=source)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""
        _started.append(self)
        if tls:
            self.wrap()
        if banner:
            self.banner = self.expect(220)

    def wrap(self, context=None):
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's list of authorities
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        check(self.pending == b"", f"bytes in plaintext before the handshake: {self.pending!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def starttls(self, context=None):
        self.cmd("STARTTLS", 220)
        self.wrap(context)

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.pending:
            more = self.socket.recv(65536)
            if not more:
                raise Failed(f"the connection was closed; unread: {self.pending!r}")
            self.pending += more
        line, self.pending = self.pending.split(b"\n", 1)
        check(line.endswith(b"\r"), f"a reply line without CRLF: {line!r}")
        check(len(line) <= 511, f"a reply line of {len(line) + 1} bytes")
        return line[:-1].decode()

    def reply(self):
        """(code, text lines joined by newlines)"""
        texts, code = [], ""
        while True:
            line = self.line()
            check(re.match(r"[2-5]\d\d([ -]|$)", line), f"not a reply: {line!r}")
            check(not texts or line[:3] == code, f"codes differ within a reply: {code}, {line!r}")
            code = line[:3]
            texts.append(line[4:])
            if line[3:4] != "-":
                return int(code), "\n".join(texts)

    def expect(self, *codes):
        """The reply's text; its code must be one of these."""
        code, text = self.reply()
        check(code in codes, f"reply {code} {text!r}, not {'/'.join(map(str, codes))}")
        return text

    def cmd(self, line, *codes):
        self.send(line.encode() + b"\r\n")
        try:
            return self.expect(*codes) if codes else self.reply()
        except Failed as e:
            raise Failed(f"{line[:60]!r}: {e}") from None

    def closed(self):
        """The other side closes without another byte."""
        try:
            rest = self.pending + self.socket.recv(4096)
        except (ConnectionError, ssl.SSLError):
            return
        check(rest == b"", f"not closed but: {rest!r}")

    def envelope(self, to="alice@test.example", sender="sender@client.example", params=""):
        self.cmd(f"MAIL FROM:<{sender}>{params}", 250)
        for one in [to] if isinstance(to, str) else to:
            self.cmd(f"RCPT TO:<{one}>", 250)

    def message(self, body, to="alice@test.example", sender="sender@client.example", params=""):
        """One transaction with DATA; body has its dots unstuffed and ends in CRLF. The queue id."""
        self.envelope(to, sender, params)
        self.cmd("DATA", 354)
        self.send(stuffed(body) + b".\r\n")
        return queue_id(self.expect(250))

    def quit(self):
        self.cmd("QUIT", 221)
        self.closed()
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection the hard way, by a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    end = close


def hello(server, **how):
    """Connected and greeted."""
    client = Smtp(server, **how)
    client.ehlo = client.cmd("EHLO client.example", 250)
    return client


def stuffed(body):
    body = re.sub(rb"(\A|\r\n)\.", rb"\1..", body)
    return body


def queue_id(text):
    found = re.search(r"\bid=(\S+)", text) or re.search(r"\bas (\S+)", text)
    return found.group(1) if found else text


def body_of(number, length, eight_bit=False):
    """A message of about that length whose every line tells which message and line it is."""
    lines = [f"Subject: number {number}".encode(), f"X-Number: {number}".encode(), b""]
    size = sum(len(l) + 2 for l in lines)
    count = 0
    while size < length:
        text = f"{number}.{count} ".encode() + hashlib.sha256(f"{number}.{count}".encode()).hexdigest().encode()
        if eight_bit:
            text += " größe ☃".encode()
        if count % 7 == 3:
            text = b"." + text
        lines.append(text)
        size += len(text) + 2
        count += 1
    return b"\r\n".join(lines) + b"\r\n"


def split_delivered(message):
    """(the trace lines that the server put on top, the message as it was handed over)"""
    kind = b"\r\n" if b"\r\n" in message.split(b"\n", 1)[0] + b"\n" else b"\n"
    lines = message.split(kind)
    number = 0
    while number < len(lines):
        line = lines[number]
        if number == 0 and line.lower().startswith(b"return-path:"):
            number += 1
        elif line.lower().startswith((b"received:", b"delivered-to:")) and number < 3:
            number += 1
            while number < len(lines) and lines[number][:1] in (b" ", b"\t"):
                number += 1
            if line.lower().startswith(b"received:"):
                break
        else:
            break
    return kind.join(lines[:number]), kind.join(lines[number:])


def same_body(delivered, sent):
    """The delivered text, past its trace lines, is what was sent; in the mailbox lines may end in LF alone."""
    rest = split_delivered(delivered)[1]
    return rest == sent or rest == sent.replace(b"\r\n", b"\n")


def check_same_body(delivered, sent, what="message"):
    if not same_body(delivered, sent):
        trace, rest = split_delivered(delivered)
        raise Failed(f"{what}: {len(rest)} bytes differ from the {len(sent)} sent; trace {trace!r}; begins {rest[:200]!r}")


def unpack(*packages):
    """Unpacks Debian packages below build/, once; the directory."""
    root = os.path.join(BUILD, "unpacked")
    mark = os.path.join(root, ".done", "+".join(packages))
    with Lock("unpack"):
        if os.path.exists(mark):
            return root
        done = subprocess.run(
            [os.path.join(TOP, "tests/lib/unpack"), *packages],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "BUILD": BUILD},
            cwd=TOP,
            check=False,
        )
        check(done.returncode == 0, done.stderr.decode())
        with open(mark, "wb"):
            pass
    return root


# --- Running the cases ---


def set_case(name):
    """Names the directory of what follows, for programs that have no cases."""
    global _case
    _case = name


def end_all():
    """Ends whatever was started through this module."""
    for thing in reversed(_started):
        thing.end()
    _started.clear()


def run_case(name, function):
    """Runs one case and tells how it went; True if it passed."""
    set_case(name)
    shutil.rmtree(case_dir(), ignore_errors=True)
    started = time.monotonic()
    try:
        function()
        for thing in _started:
            if isinstance(thing, Server):
                if thing.running():
                    thing.stop()
                thing.check_sane()
    except Exception as e:  # whatever it is, the other cases still count
        print(f"FAILED  {_case}: {e if isinstance(e, Failed) else traceback.format_exc()}")
        for line in traceback.extract_tb(e.__traceback__):
            if line.filename == os.path.abspath(sys.argv[0]):
                print(f"        {os.path.relpath(line.filename, TOP)}:{line.lineno}: {line.line}")
        for thing in _started:
            if isinstance(thing, Server):
                print("        log: " + thing.log_path)
        return False
    finally:
        end_all()
    print(f"ok      {_case} ({time.monotonic() - started:.1f} s)")
    return True


def fork_case(name, function):
    """Starts the case in a process of its own, so that cases share nothing: the process's id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if run_case(name, function) else 1
            sys.stdout.flush()
        finally:
            os._exit(status)
    return pid


def main(names, num_skipped=0):
    """Runs every test_* of names, or those given on the command line, and prints 'N passed, N failed'. Cases that
    could not run, for reasons that have been told, are counted as skipped."""
    wanted = sys.argv[1:]
    cases = [(n[5:], f) for n, f in names.items() if n.startswith("test_") and callable(f)]
    cases = [(n, f) for n, f in cases if not wanted or n in wanted]
    os.makedirs(WORK, exist_ok=True)
    passed = failed = 0
    running = set()
    while cases or running:
        while cases and len(running) < JOBS:
            running.add(fork_case(*cases.pop(0)))
        pid, status = os.wait()
        running.discard(pid)
        passed += status == 0
        failed += status != 0
    print(f"{passed} passed, {failed} failed" + (f", {num_skipped} skipped" if num_skipped else ""))
    sys.exit(1 if failed else 0)
