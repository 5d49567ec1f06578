"""Mail servers that others wrote, as next hops: Exim, Postfix, Dovecot's LMTP, and Postfix's smtp-sink.

Debian's packages, unpacked below build/ and never installed: a private mount namespace lays them over /usr for
that server alone, and lends it users in /etc/passwd and /etc/group. That needs root and overlayfs (`cannot_run`).
Each server has a directory of its own, listens on a free port of 127.0.0.1, keeps what it is given as files, and
is ended by the harness like any other.
"""

import glob
import os
import shutil
import signal
import socket
import subprocess
import threading

import harness
from harness import case_dir, check, content_of, die_with_parent, free_port, unpack, wait_until

USERS = (("Debian-exim", 64101), ("postfix", 64102), ("postdrop", 64103), ("dovecot", 64104), ("dovenull", 64105))
LMTP_USER = "nobody"


def cannot_run():
    """The reason why these servers cannot run here, or None."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return "they need root and unshare"
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr:/etc", "/mnt"],
        stderr=subprocess.PIPE,
        check=False,
    )
    return "they need overlayfs: " + done.stderr.decode().strip() if done.returncode else None


def lent_users(where):
    """Files for /etc/passwd and /etc/group with the users that the servers want."""
    paths = []
    for name, line in (("passwd", "{0}:x:{1}:{1}::/:/bin/false"), ("group", "{0}:x:{1}:")):
        path = os.path.join(where, name)
        with open("/etc/" + name, encoding="utf-8") as f:
            lines = f.read().splitlines()
        have = {one.split(":")[0] for one in lines}
        lines += [line.format(user, number) for user, number in USERS if user not in have]
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        paths.append(path)
    return paths


class Peer:
    """A program that runs until the case is over."""

    def __init__(self, name):
        self.dir = os.path.join(case_dir(), f"{name}-{len(harness.started())}")
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o755)
        self.log_path = os.path.join(self.dir, "log")
        self.port = free_port()
        self.process = None
        harness.started().append(self)

    def spawn(self, root, *command, **env):
        """Runs the command as root where the unpacked packages are installed."""
        passwd, group = lent_users(self.dir)
        script = (
            f"mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr && mount --bind {passwd} /etc/passwd && "
            f'mount --bind {group} /etc/group && cd {self.dir} && exec "$@"'
        )
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **env},
                preexec_fn=lambda: (os.setsid(), die_with_parent()),
            )

    def log(self):
        return content_of(self.log_path).decode("utf-8", "replace") if os.path.exists(self.log_path) else ""

    def wait_listening(self, speaks=True):
        """Until it greets, or only takes connections."""

        def answers():
            check(self.process.poll() is None, f"{self.dir} left: {self.process.poll()}\n{self.log()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                    s.settimeout(10)
                    return not speaks or s.recv(512).startswith(b"220")
            except OSError:
                return False

        wait_until(answers, f"the banner of {self.dir}\n{self.log()[-2000:]}")

    def stop(self):
        """In its own way, so that it ends its children; then for certain."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        self.end()

    def end(self):
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def messages(self, number=0, limit_s=harness.LIMIT_S):
        """What it was given, as bytes, once there are that many."""
        wait_until(
            lambda: len(self.files()) >= number,
            f"{number} messages in {self.dir}, {len(self.files())} there\n{self.log()[-2000:]}",
            limit_s,
        )
        return [content_of(path) for path in self.files()]


EXIM_CONF = """\
spool_directory = {dir}/spool
log_file_path = {dir}/%slog
pid_file_path = {dir}/pid
primary_hostname = exim.example
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
deliver_drop_privilege
tls_advertise_hosts = {advertise}
tls_certificate = {chain}
tls_privatekey = {key}
{proof}
{more}
tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-TLS{version}
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = {dir}/mail
  maildir_format
  create_directory
  mode_fail_narrower = false
begin retry
"""


class Exim(Peer):
    """Takes everything into one Maildir. proof: what it staples, if anything; version: the only one of TLS."""

    def __init__(self, pki=None, proof=None, version="1.3", **more):
        super().__init__("exim")
        root = unpack("exim4-daemon-light", "exim4-base")
        os.chmod(os.path.join(root, "usr/sbin/exim4"), 0o755)  # no set-user-id program stays behind
        mail = os.path.join(self.dir, "mail")
        for path in (mail, os.path.join(self.dir, "spool")):
            os.makedirs(path)
            os.chmod(path, 0o777)
        os.chmod(self.dir, 0o777)
        conf = os.path.join(self.dir, "exim.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(
                EXIM_CONF.format(
                    dir=self.dir,
                    port=self.port,
                    advertise="*" if pki else "",
                    chain=self._readable(pki.chain) if pki else "",
                    key=self._readable(pki.key) if pki else "",
                    proof=f"tls_ocsp_file = {self._readable(proof)}" if proof else "",
                    more="\n".join(f"{name} = {value}" for name, value in more.items()),
                    version=version,
                )
            )
        os.chmod(conf, 0o644)
        self.spawn(root, "exim4", "-bdf", "-C", conf)
        self.wait_listening()

    def _readable(self, path):
        """A copy that Exim's user may read; the keys are throwaways."""
        copy = os.path.join(self.dir, os.path.basename(path))
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o644)
        return copy

    def main_log(self):
        path = os.path.join(self.dir, "mainlog")
        return content_of(path).decode() if os.path.exists(path) else ""

    def log(self):
        return super().log() + self.main_log()

    def files(self):
        return sorted(glob.glob(os.path.join(self.dir, "mail/new/*")))


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
meta_directory = {dir}/conf
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
local_recipient_maps =
virtual_mailbox_domains = remote.example
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
mynetworks = 127.0.0.0/8
smtpd_tls_security_level = {level}
smtpd_tls_chain_files = {key}, {chain}
smtpd_tls_mandatory_protocols = {protocols}
smtpd_tls_protocols = {protocols}
smtpd_tls_loglevel = 1
smtputf8_enable = {smtputf8}
{more}
"""

POSTFIX_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Peer):
    """Takes mail for remote.example into one Maildir."""

    def __init__(self, pki=None, version="1.3", **more):
        super().__init__("postfix")
        root = unpack("postfix")
        conf = os.path.join(self.dir, "conf")
        for name in ("conf", "data", "mail", "queue"):
            os.makedirs(os.path.join(self.dir, name))
        os.chown(os.path.join(self.dir, "data"), dict(USERS)["postfix"], -1)
        os.chown(os.path.join(self.dir, "mail"), 65534, 65534)
        wanted = "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1, !TLSv" + {"1.2": "1.3", "1.3": "1.2"}[version]
        with open(os.path.join(conf, "main.cf"), "w", encoding="ascii") as f:
            f.write(
                POSTFIX_MAIN.format(
                    dir=self.dir,
                    level="may" if pki else "none",
                    key=pki.key if pki else "",
                    chain=pki.chain if pki else "",
                    protocols=wanted,
                    smtputf8="no",
                    more="\n".join(f"{name} = {value}" for name, value in more.items()),
                )
            )
        with open(os.path.join(conf, "master.cf"), "w", encoding="ascii") as f:
            f.write(POSTFIX_MASTER.format(port=self.port))
        with open(os.path.join(conf, "dynamicmaps.cf"), "w", encoding="ascii"):
            pass
        self._make_queue()
        self.spawn(root, "/usr/lib/postfix/sbin/master", "-c", conf, "-d", MAIL_CONFIG=conf)
        self.wait_listening()

    def _make_queue(self):
        number = dict(USERS)["postfix"]
        queue = os.path.join(self.dir, "queue")
        for name in "active bounce corrupt defer deferred flush hold incoming private saved trace".split():
            os.makedirs(os.path.join(queue, name))
            os.chown(os.path.join(queue, name), number, 0)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            os.makedirs(os.path.join(queue, name))
            os.chown(os.path.join(queue, name), number, dict(USERS)["postdrop"])
            os.chmod(os.path.join(queue, name), mode)
        os.makedirs(os.path.join(queue, "pid"))

    def files(self):
        return sorted(glob.glob(os.path.join(self.dir, "mail/all/new/*")))


DOVECOT_CONF = """\
base_dir = {dir}/run
state_dir = {dir}/run
log_path = {dir}/log
protocols = lmtp
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovenull
ssl = no
mail_location = maildir:{dir}/mail/%n
lmtp_rcpt_check_quota = no
auth_username_format = %n
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot(Peer):
    """An LMTP server on a port and on a socket; mailboxes for the users named, and for nobody else."""

    def __init__(self, users=("alice", "bob")):
        super().__init__("dovecot")
        root = unpack("dovecot-core", "dovecot-lmtpd")
        self.socket = os.path.join(self.dir, "lmtp.sock")
        for name in ("run", "mail"):
            os.makedirs(os.path.join(self.dir, name))
        os.chown(os.path.join(self.dir, "mail"), 65534, 65534)
        with open(os.path.join(self.dir, "users"), "w", encoding="ascii") as f:
            for user in users:
                f.write(f"{user}:{{PLAIN}}secret:65534:65534::{self.dir}/mail/{user}::\n")
        os.chmod(os.path.join(self.dir, "users"), 0o644)
        conf = os.path.join(self.dir, "dovecot.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(DOVECOT_CONF.format(dir=self.dir, port=self.port))
        self.spawn(root, "dovecot", "-F", "-c", conf)
        self.wait_listening()

    def files(self):
        return sorted(glob.glob(os.path.join(self.dir, "mail/*/new/*")))


class SmtpSink(Peer):
    """Postfix's smtp-sink: options as in its manual page; -d keeps each message as a file."""

    def __init__(self, *options, lmtp=False):
        super().__init__("sink")
        root = unpack("postfix")
        os.makedirs(os.path.join(self.dir, "mail"))
        os.chmod(os.path.join(self.dir, "mail"), 0o777)
        kind = ("-L",) if lmtp else ()
        self.spawn(
            root, "smtp-sink", "-u", "nobody", *kind, *options, "-d", "mail/m.", f"127.0.0.1:{self.port}", "64"
        )
        self.wait_listening("CONNECT" not in options)

    def files(self):
        return sorted(glob.glob(os.path.join(self.dir, "mail/m.*")))


class FastSink(Peer):
    """smtp-sink that throws away what it is given; for the benchmarks."""

    def __init__(self, start=True):
        super().__init__("fast-sink")
        self.root = unpack("postfix")
        if start:
            self.start()

    def start(self):
        self.spawn(self.root, "smtp-sink", "-u", "nobody", f"127.0.0.1:{self.port}", "64")
        self.wait_listening()


class Stapler(Peer):
    """An SMTP server behind `openssl s_server`, TLS from the begin, that staples whatever file it is given.

    s_server is a pipe that serves one connection; what comes out of it is answered here, and then it is started
    again. It needs no root."""

    def __init__(self, pki, proof=None, version="1.3"):
        super().__init__("stapler")
        self.command = ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", "-naccept", "1", "-quiet"]
        self.command += ["-tls" + version.replace(".", "_"), "-cert", pki.chain, "-cert_chain", pki.chain, "-key", pki.key]
        if proof:
            self.command += ["-status_file", proof]
        self.got = []
        self.num_connections = 0
        self.ended = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.ended and self.num_connections < 50:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=die_with_parent
                )
            try:
                self._talk(self.process.stdin, self.process.stdout)
            except OSError:
                pass  # the client has gone
            self.process.wait()
            self.num_connections += 1

    def listens(self):
        """Looked up, as a connection that tries would be the one that it serves."""
        with open("/proc/net/tcp", encoding="ascii") as f:
            return any(w[1].endswith(f":{self.port:04X}") and w[3] == "0A" for w in map(str.split, f))

    def _talk(self, to, source):
        def say(text):
            to.write(text)
            to.flush()

        say(b"220 stapler.example ESMTP\r\n")
        message = None
        for line in source:
            word = line[:4].upper()
            if message is not None:
                if line == b".\r\n":
                    self.got.append(b"".join(message))
                    message = None
                    say(b"250 2.0.0 Ok\r\n")
                else:
                    message.append(line)
            elif word == b"DATA":
                message = []
                say(b"354 Go on\r\n")
            elif word == b"QUIT":
                say(b"221 2.0.0 Bye\r\n")
                return
            else:
                say(b"250 2.0.0 Ok\r\n")

    def end(self):
        self.ended = True
        if self.process is not None:
            self.process.kill()
        self.thread.join(5)
