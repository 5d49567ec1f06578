"""A server whose system calls are interfered with, its clients, the next hop, and what must hold when all is over.

The journal has every message that was handed over, whether it was acknowledged, and to whom. Each try is a message
of its own with a number of its own, so that what is found in the mailboxes can be counted by number.
"""

import http.server
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time

import harness
from harness import Failed, POSTERN, Server, Smtp, body_of, check, content_of, same_body, stuffed, wait_until

LIMIT_S = 60
PATIENCE_S = 1.5  # with a failing disk
LOCAL = "test.example"


class Gone(Exception):
    """The server is no longer there to talk to."""


class PortTaken(Exception):
    """Somebody has taken the server's port: it all has to begin anew, as an injector serves one program."""


class CrashServer(Server):
    """A Server whose system calls a plan looks at, as long as there is one."""

    injector = None

    def preexec(self):
        harness.die_with_parent()
        if self.injector is not None:
            self.injector.preexec()

    def _other_ports(self):
        raise PortTaken

    def died(self):
        return self.process is not None and self.process.poll() is not None

    def killed(self):
        return self.died() and self.process.returncode == -signal.SIGKILL


# --- The next hop and the responder ---


class Sink:
    """An SMTP server. Of its domains bad.example is refused, away.example deferred while `away`; else it takes mail."""

    def __init__(self):
        self.away = True
        self.got = []  # (recipients, bytes), from before the 250 leaves
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    sink.talk(self.rfile, self.wfile)
                except OSError:
                    pass  # the client was killed

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        harness.started().append(self)

    def talk(self, source, to):
        def say(text):
            to.write(text.encode() + b"\r\n")
            to.flush()

        rcpts, message = [], None
        say("220 sink.example")
        for line in source:
            word = line[:4].upper()
            if message is not None:
                if line != b".\r\n":
                    message.append(line[1:] if line.startswith(b"..") else line)
                    continue
                self.got.append((rcpts, b"".join(message)))
                rcpts, message = [], None
                say("250 2.0.0 taken")
            elif word == b"RCPT":
                to_whom = re.search(rb"<(.*?)>", line).group(1).decode()
                if to_whom.endswith("@bad.example"):
                    say("550 5.1.1 nobody here")
                elif to_whom.endswith("@away.example") and self.away:
                    say("451 4.3.0 later")
                else:
                    rcpts.append(to_whom)
                    say("250 2.1.5 good")
            elif word == b"DATA":
                message = [] if rcpts else None
                say("354 go on" if rcpts else "554 5.5.1 no recipients")
            elif word == b"RSET":
                rcpts = []
                say("250 2.0.0 good")
            elif word == b"QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 good")

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class Responder:
    """Answers every OCSP request with the same bytes, which may be set anew."""

    def __init__(self, answer):
        self.answer = answer
        responder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(responder.answer)))
                self.end_headers()
                try:
                    self.wfile.write(responder.answer)
                except OSError:
                    pass  # the client was killed

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        harness.started().append(self)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def end(self):
        self.server.shutdown()
        self.server.server_close()


# --- The world ---


class Entry:
    def __init__(self, body, rcpts, sender):
        self.body, self.rcpts, self.sender = body, rcpts, sender
        self.acknowledged = False
        self.code = 0


class World:
    """One server with its surroundings; of the plan's injector only one program at a time is the victim."""

    def __init__(self, injector, pki=None, storage=None, **options):
        self.injector = injector
        self.journal = {}
        self.sink = Sink()
        self.refusals = []
        self.server = CrashServer(
            pki,
            start=False,
            local_users="alice : bob : carol : postmaster",
            relay_from_hosts="127.0.0.1",
            route_list=f"* smtp:127.0.0.1:{self.sink.port}",
            retry_min="1s",
            retry_max="2s",
            delay_warning="0",
            smtp_accept_max_nonmail="0",
            **options,
        )
        if storage:  # elsewhere: a file system of its own
            self.server.mail = os.path.join(storage, "mail")
            self.server.configure(spool_directory=os.path.join(storage, "spool"), maildir=os.path.join(self.server.mail, "$local_part"))
        self.outbox = os.path.join(self.server.dir, "outbox")

    def is_failing(self):
        """Whether some calls have been made to fail, so that not all goes on as it would."""
        i = self.injector
        return i is not None and i.fails and bool(i.hits) and not i.over

    # What a scenario does.

    def start(self):
        """The server, with its calls looked at."""
        self.server.injector = self.injector
        try:
            self.server.start()
        except Failed:
            if self.server.died():
                raise Gone from None
            raise

    def connect(self):
        try:
            client = Smtp(self.server)
            client.cmd("EHLO client.example", 250)
            return client
        except (OSError, Failed) as e:
            raise self._gone(e) from None

    def _gone(self, why):
        """What a broken connection means: Gone if the server is, else the failure that it is."""
        end = time.monotonic() + 5
        while time.monotonic() < end and not self.server.died():
            if not isinstance(why, OSError) and "closed" not in str(why) and "4.3.2" not in str(why):
                break
            time.sleep(0.01)
        return Gone() if self.server.died() else Failed(str(why))

    def hand_over(self, client, rcpts, size=600, sender=f"alice@{LOCAL}"):
        """One message; True if it was acknowledged. A refusal must be a temporary one."""
        number = len(self.journal)
        entry = self.journal[number] = Entry(body_of(number, size), rcpts, sender)
        try:
            for line in [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{one}>" for one in rcpts] + ["DATA"]:
                code, text = client.cmd(line)
                if code not in (250, 354):
                    self._refused(entry, code, text)
                    client.cmd("RSET", 250)
                    return False
            client.send(stuffed(entry.body) + b".\r\n")
            code, text = client.reply()
        except (OSError, Failed) as e:
            raise self._gone(e) from None
        if code != 250:
            self._refused(entry, code, text)
            return False
        entry.acknowledged = True
        return True

    def _refused(self, entry, code, text):
        entry.code = code
        self.refusals.append(f"{code} {text}")
        check(400 <= code < 500, f"a permanent refusal: {code} {text}")

    def to_all_kinds(self, client):
        """A message of each kind: what it is to alice, to many, elsewhere, large, to come back, to wait."""
        self.hand_over(client, [f"alice@{LOCAL}"])
        self.hand_over(client, [f"alice@{LOCAL}", f"bob@{LOCAL}", f"carol@{LOCAL}", "x@far.example"])
        self.hand_over(client, ["x@far.example"], sender="x@client.example")
        self.hand_over(client, ["nobody@bad.example"])
        self.hand_over(client, ["y@away.example", f"bob@{LOCAL}"])
        self.hand_over(client, [f"bob@{LOCAL}"], 90000)

    def command(self, *words):
        """postern WORDS, itself left alone."""
        return harness.run(POSTERN, *words, "-c", self.server.conf_path)

    def flush(self):
        self.sink.away = False
        status, out = self.command("flush")
        if status != 0 and not (self.is_failing() and not self.server.died()):
            raise self._gone(Failed("closed: " + out))

    def wait(self, condition, what):
        """Until it holds; Gone if the server is gone before."""

        began = time.monotonic()

        def either():
            if self.is_failing():  # what cannot be done now is done when the disk has recovered
                return self.server.died() or condition() or time.monotonic() > max(began, self.injector.hit_at) + PATIENCE_S
            return self.server.died() or condition()

        try:
            wait_until(either, what, LIMIT_S)
        except Failed as e:
            raise Failed(f"{e}\n{self.command('queue')[1]}{self.server.log()[-1500:]}") from None
        if self.server.died():
            raise Gone

    def is_settled(self):
        """Nothing waits in the queue any more."""
        status, out = self.command("queue")
        return status == 0 and "id=" not in out and not re.search(r"^[0-9a-z]{13}\b", out, re.M)

    def end(self):
        """What a scenario ends with; a server whose disk has failed is left to the one who watches."""
        if not self.is_failing():
            self.stop()

    def outbox_is_empty(self):
        """But for what a sendmail that was killed or has failed has not finished."""
        if not os.path.exists(self.outbox):
            return True
        names = [n for n in os.listdir(self.outbox) if not n.startswith(".")]
        return not [n for n in names if num_links(os.path.join(self.outbox, n)) == 1]

    def stop(self):
        """SIGTERM, and whatever comes of it."""
        self.server.send_signal(signal.SIGTERM)
        try:
            status = self.server.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"the server ignored SIGTERM for {LIMIT_S} s") from None
        if status == -signal.SIGKILL:
            raise Gone
        check(status == 0, f"exit status {status}\n{self.server.log()[-2000:]}")

    def submit(self, rcpt):
        """postern sendmail, whose calls are looked at; True if it says that it took the message."""
        number = len(self.journal)
        entry = self.journal[number] = Entry(body_of(number, 800), [rcpt], f"root@{LOCAL}")
        preexec = self.injector.preexec if self.injector is not None else None
        done = subprocess.run(
            [POSTERN, "sendmail", "-C", self.server.conf_path, rcpt],
            input=entry.body.replace(b"\r\n", b"\n"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            preexec_fn=preexec,
            check=False,
        )
        entry.code = done.returncode
        entry.acknowledged = done.returncode == 0
        if done.returncode not in (0, -signal.SIGKILL):
            self.refusals.append(f"sendmail: {done.returncode} {done.stdout.decode()}")
            check(done.returncode == 75, f"sendmail: {done.returncode} {done.stdout.decode()}")
        return entry.acknowledged

    # What must hold.

    def restart(self):
        """Without anybody who interferes."""
        self.server.injector = None
        self.server.prefix = ()
        self.server.start()

    def settle(self):
        """Until all that can be delivered is, and the server has left in order."""
        self.wait(self.outbox_is_empty, "an empty outbox")
        for _ in range(3):  # what waits for its next try, and what came of that
            self.flush()
            end = time.monotonic() + 1
            while time.monotonic() < end:
                if self.is_settled():
                    return
                time.sleep(0.02)
        self.wait(self.is_settled, "an empty queue")

    def copies(self):
        """{(number, recipient): how many}, of what is in mailboxes and at the sink; all of it unchanged."""
        found = {}

        def count(message, rcpt):
            number = number_of(message)
            check(number in self.journal, f"a message that nobody sent: {message[:300]!r}")
            check(has_body(message, self.journal[number].body), f"message {number} to {rcpt} is not whole: {len(message)} bytes {message[:500]!r}")
            found[number, rcpt] = found.get((number, rcpt), 0) + 1

        for user in ("alice", "bob", "carol"):
            for path in self.server.files(user) + self.server.files(user, "cur"):
                message = content_of(path)
                if b"\nContent-Type: multipart/report" in message:
                    for rcpt in re.findall(rb"^Final-Recipient: rfc822; *(\S+)", message, re.M):
                        key = f"report to {user} of {rcpt.decode()}"
                        found[key] = found.get(key, 0) + 1
                else:
                    count(message, f"{user}@{LOCAL}")
        for rcpts, message in self.sink.got:
            for rcpt in rcpts:
                count(message, rcpt)
        return found

    def verify(self, log_from=0, allow_errors=False, allow_unfinished=False):
        """Nothing acknowledged is lost, nothing is in a Maildir twice, nothing is half, nothing is left lying about.
        allow_unfinished: a page of the last sync may be torn, and its messages be named (SPOOL.md, "Recovery")."""
        found = self.copies()
        reports = 0
        for number, entry in self.journal.items():
            for rcpt in entry.rcpts:
                num = found.get((number, rcpt), 0)
                if rcpt.endswith("@bad.example"):
                    reports += entry.acknowledged
                    continue
                if rcpt.endswith("@nowhere.example"):
                    continue  # discarded, and nobody is told
                what = f"message {number} to {rcpt} ({'acknowledged' if entry.acknowledged else entry.code})"
                check(num >= 1 or not entry.acknowledged, f"LOST: {what}")
                check(num <= 1 or not rcpt.endswith("@" + LOCAL), f"TWICE: {what}: {num} copies in a Maildir")
        told = found.get("report to alice of nobody@bad.example", 0)
        check(told >= min(reports, 1) and told >= reports, f"LOST: {reports} messages came back, {told} reports")
        self._check_files()
        log = self.server.log()[log_from:]
        if not allow_errors:
            bad = [l for l in log.splitlines() if re.match(r"\S+ (error .*|warning spool (?!segment=removed).*)", l)]
            bad = [l for l in bad if not (allow_unfinished and re.search(r" spool .*state=(unfinished-or-lost|damaged-page) ", l))]
            check(not bad, "a complaint after the restart: " + "\n".join(bad[:5]))

    def _check_files(self):
        for user in ("alice", "bob", "carol"):
            left = self.server.files(user, "tmp")
            check(not left, f"left in tmp: {left}")
        spool = self.server.options["spool_directory"]
        left = [n for n in os.listdir(spool) if not re.fullmatch(r"segment-[0-9a-f]{8}|lock|running-time|clock-floor|held-messages|ocsp-evicted|control", n)]
        check(not left, f"left in the spool's directory: {left}")
        for name in ("running-time", "clock-floor"):
            path = os.path.join(spool, name)
            if os.path.exists(path):
                check(re.fullmatch(rb"\d+\n", content_of(path)) or name != "running-time", f"{name}: {content_of(path)!r}")

    def clean(self):
        harness.end_all()
        shutil.rmtree(self.server.dir, ignore_errors=True)


def num_links(path):
    try:
        return os.stat(path).st_nlink
    except FileNotFoundError:
        return 0


def number_of(message):
    found = re.search(rb"^X-Number: (\d+)", message, re.M)
    if not found:
        raise Failed(f"a message without its number: {message[:400]!r}")
    return int(found.group(1))


def has_body(delivered, sent):
    """Whole, whatever header fields were added on top or by sendmail."""
    if same_body(delivered, sent):
        return True
    text = delivered.replace(b"\r\n", b"\n").split(b"\n\n", 1)
    return len(text) == 2 and text[1] == sent.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]
