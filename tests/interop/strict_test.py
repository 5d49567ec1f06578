#!/usr/bin/env python3
"""What must be refused: smuggling, plaintext behind STARTTLS, nonsense, and more than the limits allow."""

import os
import re
import socket
import time

import harness
from harness import Failed, Pki, Server, Smtp, body_of, check, check_equal, check_same_body, hello, run, stuffed, wait_until

LENIENT = {"smtp_max_synprot_errors": "0", "smtp_max_unknown_commands": "0"}

END_OF_DATA = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
)


class Refusals:
    """Connections that are to be refused and closed. They are looked at together: a server may linger a while."""

    def __init__(self):
        self.closing = []

    def add(self, c, what):
        """Reads the reply: a 5xx, a 421, or the end alone; never a 250."""
        try:
            code, text = c.reply()
        except (Failed, OSError):
            c.close()
            return
        check(500 <= code < 600 or code == 421, f"{what!r}: {code} {text}")
        self.closing.append((c, what))

    def finish(self):
        for c, what in self.closing:
            try:
                c.closed()
            except (Failed, OSError) as e:
                raise Failed(f"{what!r}: {e}") from None
            c.close()


# --- Framing ---


def test_smuggling_in_data():
    s = Server()
    refusals = Refusals()
    hidden = b"MAIL FROM:<smuggled@client.example>\r\nRCPT TO:<bob@test.example>\r\nDATA\r\nSubject: hidden\r\n\r\nx\r\n.\r\n"
    for end in END_OF_DATA:
        for tail in (hidden, b"more\r\n.\r\n"):
            c = hello(s)
            c.envelope()
            c.cmd("DATA", 354)
            c.send(b"Subject: seen\r\n\r\ntext" + end + tail)
            refusals.add(c, end + tail)
    refusals.finish()
    s.wait_log("connection", number=2 * len(END_OF_DATA))
    check_equal((s.files("alice"), s.files("bob")), ([], []), "messages")


def test_smuggling_split():
    """The same, with every split of the end over two writes."""
    s = Server(smtp_accept_max_per_host="100")
    refusals = Refusals()
    for end in (b"\r\n.\n", b"\n.\r\n", b"\r.\r\n"):
        for cut in range(1, len(end)):
            c = hello(s)
            c.envelope()
            c.cmd("DATA", 354)
            c.send(b"Subject: seen\r\n\r\ntext" + end[:cut])
            time.sleep(0.02)
            c.send(end[cut:] + b"RSET\r\n.\r\n")
            refusals.add(c, end)
    refusals.finish()
    check_equal(s.files("alice"), [], "messages")


def test_smuggling_in_bdat():
    """Bare CR, LF and NUL are refused in chunks too, and across their borders."""
    s = Server()
    for chunks in (
        [b"a\nb\r\n"],
        [b"a\rb\r\n"],
        [b"a\0b\r\n"],
        [b"a\r", b"b\r\n"],
        [b"a", b"\nb\r\n"],
        [b"a\r\n", b"\nb\r\n"],
        [b"a\r", b"\rb\r\n"],
    ):
        c = hello(s)
        c.envelope()
        for i, chunk in enumerate(chunks):
            last = i + 1 == len(chunks)
            c.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
            code, text = c.reply()
            if 500 <= code < 600:
                break
            check(not last, f"{chunks}: {code} {text}")
        c.close()
    # A chunked body that does not end in CRLF is refused, or is ended.
    c = hello(s)
    c.envelope()
    c.send(b"BDAT 5 LAST\r\nabcde")
    code, text = c.reply()
    time.sleep(0.3)
    found = s.messages("alice")
    check(500 <= code < 600 or (code == 250 and len(found) <= 1), f"{code} {text} {found}")
    for message in found:
        check(message.endswith(b"abcde\n") or message.endswith(b"abcde\r\n"), f"{message!r}")


def test_bare_line_ends_in_commands():
    s = Server()
    refusals = Refusals()
    for line in (b"NOOP\n", b"NOOP\nNOOP\r\n", b"NOOP\rNOOP\r\n", b"NO\0OP\r\n", b"NOOP\r\r\n", b"\n", b"NOOP a\nRSET\r\n"):
        c = hello(s)
        c.send(line)
        refusals.add(c, line)
    refusals.finish()


def test_early_talker_pipelines():
    """Commands before the banner may be answered or refused, but in order and not lost halfway."""
    s = Server()
    c = Smtp(s, banner=False)
    c.send(b"EHLO client.example\r\nNOOP\r\nQUIT\r\n")
    code = c.reply()[0]
    check(code in (220, 554, 421), f"{code}")
    if code == 220:
        c.expect(250)
        c.expect(250)
        c.expect(221)
    c.closed()


# --- STARTTLS ---


def test_starttls_with_plaintext_behind():
    s = Server(Pki())
    for behind in (b"NOOP\r\n", b"EHLO evil.example\r\nMAIL FROM:<evil@client.example>\r\n", b"\r\n", b"x"):
        c = hello(s)
        c.send(b"STARTTLS\r\n" + behind)
        try:
            code, text = c.reply()
            check(code == 220 or 400 <= code < 600, f"{code} {text}")
            if code == 220:
                try:
                    c.wrap()
                except (OSError, Failed):
                    continue
                raise Failed(f"a handshake went on behind {behind!r}")
        except (ConnectionError, Failed) as e:
            if "a handshake" in str(e):
                raise
        c.close()


def test_starttls_forgets():
    s = Server(Pki(), **LENIENT)
    c = hello(s)
    c.cmd("MAIL FROM:<sender@client.example>", 250)
    c.cmd("RCPT TO:<alice@test.example>", 250)
    code = c.cmd("STARTTLS")[0]
    if code == 220:
        c.wrap()
    else:  # within a transaction it may also be out of order
        check_equal(code, 503, "STARTTLS in a transaction")
        c.cmd("RSET", 250)
        c.starttls()
    check_equal(c.cmd("DATA")[0], 503, "DATA with the envelope from before")
    check_equal(c.cmd("MAIL FROM:<sender@client.example>")[0], 503, "MAIL without a new EHLO")
    c.cmd("EHLO client.example", 250)
    check(500 <= c.cmd("STARTTLS")[0] < 600, "STARTTLS twice")
    c.message(body_of(1, 500))
    c.quit()
    check_equal(len(s.messages("alice", 1)), 1, "messages")


def test_handshake_garbage():
    """What is no handshake ends that connection and no other."""
    s = Server(Pki(), smtp_accept_max_per_host="100")
    quiet = hello(s)
    for garbage in (b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"EHLO x\r\n", b"\x16\x03\x01\x00\x00", b"\0" * 5, b"\x80" * 100):
        for implicit in (True, False):
            c = Smtp(s, banner=False) if not implicit else None
            if implicit:
                c = object.__new__(Smtp)
                c.socket = socket.create_connection(("127.0.0.1", s.tls_port), 10)
                c.pending = b""
            else:
                c.expect(220)
                c.cmd("EHLO client.example", 250)
                c.cmd("STARTTLS", 220)
            try:
                c.send(garbage)
                c.socket.shutdown(socket.SHUT_WR)
                while c.socket.recv(4096):
                    pass
            except OSError:
                pass
            c.close()
    c = hello(s, tls=True)
    c.quit()
    quiet.cmd("NOOP", 250)
    quiet.quit()


def test_silent_handshakes():
    """Clients that begin a handshake and fall silent hold its places, but not against those that go on."""
    s = Server(Pki(), smtp_accept_max_per_host="0", tls_max_handshakes="5")
    silent = [before_the_handshake(s) for _ in range(10)]
    for c in silent[:5]:
        c.send(b"\x16\x03\x01\x02\x00\x01\x00")
    hello(s, tls=True).quit()
    c = hello(s)
    c.starttls()
    c.cmd("EHLO client.example", 250)
    c.quit()


# --- Commands ---


def test_order():
    s = Server(**LENIENT)
    c = Smtp(s)
    for line in ("MAIL FROM:<a@client.example>", "RCPT TO:<alice@test.example>", "DATA"):
        check_equal(c.cmd(line)[0], 503, line + " before EHLO")
    c.cmd("NOOP", 250)
    c.cmd("RSET", 250)
    c.cmd("EHLO client.example", 250)
    check_equal(c.cmd("RCPT TO:<alice@test.example>")[0], 503, "RCPT before MAIL")
    check_equal(c.cmd("DATA")[0], 503, "DATA before MAIL")
    c.cmd("MAIL FROM:<a@client.example>", 250)
    check_equal(c.cmd("MAIL FROM:<a@client.example>")[0], 503, "MAIL twice")
    check(c.cmd("DATA")[0] in (503, 554), "DATA without a recipient")
    c.cmd("EHLO again.example", 250)
    check_equal(c.cmd("RCPT TO:<alice@test.example>")[0], 503, "RCPT after EHLO dropped the transaction")
    c.quit()


def test_codes():
    s = Server(**LENIENT)
    c = hello(s)
    for line, code, enhanced in (
        ("BREW coffee", 500, "5.5."),
        ("MAIL", 501, "5.5."),
        ("MAIL FROM:", 501, "5."),
        ("MAIL FROM:a@b>", 501, "5."),
        ("MAIL FROM:<a@b", 501, "5."),
        ("MAIL FROM:<a@b> UNHEARD=1", 555, "5.5.4"),
        ("NOOP", 250, "2.0.0"),
        ("RSET", 250, "2.0.0"),
        ("HELP", 214, "2.0.0"),
        ("VRFY alice", 252, "2."),
    ):
        text = c.cmd(line, code)
        check(text.startswith(enhanced), f"{line}: {code} {text!r}, not {enhanced}")
    c.quit()


def test_too_many_errors():
    s = Server()
    c = hello(s)
    for _ in range(1000):
        code = c.cmd("BREW coffee")[0]
        if code == 421:
            c.closed()
            return
        check(500 <= code < 600, f"{code}")
    raise Failed("a thousand unknown commands were answered")


def test_too_many_messages():
    """What is pipelined behind the last message of a connection must not cost its client the reply to that."""
    s = Server(smtp_accept_max_per_connection="1")
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(b"Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<a@client.example>\r\n" + b"RCPT TO:<alice@test.example>\r\n" * 10000)
    time.sleep(0.5)
    c.expect(250)
    c.expect(421)
    check_equal(c.pending + c.socket.recv(4096), b"", "what follows, and no reset")


def test_long_lines():
    s = Server()
    c = hello(s)
    code, text = c.cmd("NOOP " + "x" * 100000)
    check(code in (500, 421), f"{code} {text}")
    if code == 500:
        c.cmd("NOOP", 250)
    c.close()
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(b"Subject: x\r\n\r\n" + b"y" * 100000 + b"\r\n.\r\n")
    code, text = c.reply()
    check(500 <= code < 600, f"a text line of 100,000 octets: {code} {text}")
    c.close()
    c = hello(s)
    check(c.cmd("MAIL FROM:<" + "a" * 300 + "@client.example>")[0] in (500, 501, 553), "a long local part")
    c.close()
    check_equal(s.files("alice"), [], "messages")


# --- Limits ---


def test_message_size():
    s = Server(message_size_limit="70000")
    c = hello(s)
    check(c.cmd("MAIL FROM:<sender@client.example> SIZE=70001", 552).startswith("5.3.4"), "SIZE")
    fits = body_of(1, 69000) + b"x"
    fits += b"x" * (70000 - 2 - len(fits)) + b"\r\n"
    c.message(fits, params=" SIZE=70000")
    large = fits[:-2] + b"x\r\n"
    c.envelope()
    c.cmd("DATA", 354)
    c.send(stuffed(large) + b".\r\n")
    check(c.expect(552).startswith("5.3.4"), "DATA over the limit")
    c.envelope()
    c.send(b"BDAT %d LAST\r\n" % len(large) + large)
    check(c.expect(552).startswith("5.3.4"), "BDAT over the limit")
    c.cmd("RSET", 250)
    c.message(fits)
    for message in s.messages("alice", 2):
        check_same_body(message, fits)
    c.quit()


def test_recipients_max():
    path = os.path.join(harness.case_dir(), "aliases")
    with open(path, "w", encoding="ascii") as f:
        f.write("*: alice\n")
    s = Server(recipients_max="100", aliases_file=path)
    c = hello(s)
    c.cmd("MAIL FROM:<sender@client.example>", 250)
    for number in range(100):
        c.cmd(f"RCPT TO:<user{number}@test.example>", 250)
    check(c.cmd("RCPT TO:<user100@test.example>", 452).startswith("4.5.3"), "one recipient too many")
    c.cmd("DATA", 354)
    c.send(b"x\r\n.\r\n")
    c.expect(250)
    c.quit()


def refused_connection(s):
    """The reply that a connection one too many gets."""
    c = Smtp(s, banner=False)
    code, text = c.reply()
    check_equal(code, 421, "reply to a connection too many")
    c.closed()
    c.close()
    return text


def test_connections_max():
    s = Server(smtp_accept_max="5", smtp_accept_max_per_host="100")
    held = [hello(s) for _ in range(5)]
    refused_connection(s)
    held.pop().quit()
    wait_until(lambda: accepted(s), "a free place")
    for c in held:
        c.cmd("NOOP", 250)


def test_connections_per_host():
    s = Server(smtp_accept_max="100", smtp_accept_max_per_host="3")
    held = [hello(s) for _ in range(3)]
    refused_connection(s)
    other = hello(s, source=("127.0.0.2", 0))
    other.cmd("NOOP", 250)
    held.pop().quit()
    wait_until(lambda: accepted(s), "a free place")


def accepted(s):
    c = Smtp(s, banner=False)
    code = c.reply()[0]
    c.close()
    return code == 220


def test_larger_than_the_spool():
    """What the spool can never hold is refused for good; SIZE, the log and postern check say how much it can."""
    s = Server(spool_size="8M", message_size_limit="4M")
    c = hello(s)
    size = int(re.search(r"SIZE (\d+)", c.ehlo).group(1))
    check(900000 < size < 4 << 20, f"SIZE {size}")
    check("5.3.4" in c.cmd(f"MAIL FROM:<a@client.example> SIZE={size + 1}", 552), "the enhanced code")
    c.message(body_of(1, size - 1000), params=f" SIZE={size}")
    c.quit()
    s.messages("alice", 1)
    s.wait_log("limit", "what=message-size", f"have={size}", f"want={4 << 20}")
    status, out = run(harness.POSTERN, "check", "-c", s.conf_path)
    check_equal(status, 0, out)
    check("message_size_limit" in out and f" {size} bytes" in out, out)
    s.configure(message_size_limit="500K")
    check("message_size_limit" not in run(harness.POSTERN, "check", "-c", s.conf_path)[1], "a limit that fits")


def test_spool_is_full():
    """Over the spool's size: 452, not a crash; and once there is room again, mail is taken again."""
    s = Server(spool_size="8M", message_size_limit="4M")
    blocker = os.path.join(s.mail, "alice")
    with open(blocker, "w", encoding="ascii"):
        pass  # deliveries fail, so the spool fills
    c = hello(s)
    taken = 0
    for number in range(100):
        c.envelope()
        code, text = c.cmd("DATA")
        if code == 354:
            c.send(stuffed(body_of(number, 500000)) + b".\r\n")
            code, text = c.reply()
        if code != 250:
            break
        taken += 1
    check(code == 452 and text.startswith("4.3.1"), f"after {taken} messages: {code} {text}")
    check(taken > 0, "none was taken")
    c.cmd("RSET", 250)
    c.cmd("NOOP", 250)
    c.quit()
    s.stop()
    os.remove(blocker)
    s.start()
    s.messages("alice", taken)
    s.wait_delivered()
    check_equal(len(s.files("alice")), taken, "messages")
    c = hello(s)
    wait_until(lambda: room_again(c), "room in the spool")
    c.quit()


def room_again(c):
    c.envelope()
    code = c.cmd("DATA")[0]
    if code == 354:
        c.send(stuffed(body_of(1000, 500000)) + b".\r\n")
        code = c.reply()[0]
    if code != 250:
        c.cmd("RSET", 250)
    return code == 250


def test_slow_clients_are_cut():
    s = Server(smtp_receive_timeout="2s", smtp_data_timeout="2s")
    c = hello(s)
    code = c.reply()[0]  # nothing was asked: this is the time-out's 421
    check_equal(code, 421, "reply to a silent client")
    c.closed()
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(b"Subject: never finished\r\n")
    code = c.reply()[0]
    check_equal(code, 421, "reply to a client that stopped within a message")
    c.closed()
    s.wait_log("connection", number=2)
    check_equal(s.files("alice"), [], "messages")


def test_reader_that_does_not_read():
    """A client that sends commands and never reads their replies holds up nobody else."""
    s = Server()
    stuck = hello(s)
    stuck.socket.settimeout(0.5)
    try:
        for _ in range(2000):
            stuck.send(b"NOOP " + b"x" * 400 + b"\r\n")
    except OSError:
        pass
    c = hello(s)
    c.message(body_of(1, 2000))
    c.quit()
    s.messages("alice", 1)


# --- Clients that vanish ---


def after_connect(s):
    return Smtp(s, banner=False)


def in_command(s):
    c = hello(s)
    c.send(b"MAIL FROM:<sender@cli")
    return c


def in_body(s):
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(b"Subject: cut\r\n\r\n" + b"x" * 500 + b"\r\n")
    return c


def in_large_body(s):
    c = hello(s)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(stuffed(body_of(1, 300000)))
    return c


def before_the_250(s):
    c = hello(s)
    c.envelope("bob@test.example")
    c.cmd("DATA", 354)
    c.send(b"Subject: gone at once\r\n\r\n.\r\n")
    return c


def with_replies_unread(c):
    c.socket.settimeout(0.3)
    try:
        for _ in range(300):
            c.send(b"NOOP " + b"x" * 400 + b"\r\n" + b"BREW\r\n" * 20)
    except OSError:
        pass
    return c


def replies_unread(s):
    return with_replies_unread(hello(s))


def replies_unread_in_tls(s):
    return with_replies_unread(hello(s, tls=True))


def before_the_handshake(s):
    c = hello(s)
    c.cmd("STARTTLS", 220)
    return c


def in_the_handshake(s):
    c = before_the_handshake(s)
    c.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    return c


def in_tls_body(s):
    c = hello(s, tls=True)
    c.envelope()
    c.cmd("DATA", 354)
    c.send(b"Subject: cut\r\n\r\n" + b"x" * 50 + b"\r\n")
    return c


STAGES = (
    *(after_connect, in_command, in_body, in_large_body, before_the_250, replies_unread, replies_unread_in_tls),
    *(before_the_handshake, in_the_handshake, in_tls_body),
)


def vanish(stages, end):
    """Each stage 15 times, ended that way; then nothing of them is left: no place taken, no work done, no mail kept."""
    s = Server(Pki(), smtp_accept_max="30", smtp_accept_max_per_host="0", **LENIENT, smtp_accept_max_nonmail="0")
    for stage in stages:
        for _ in range(15):
            end(stage(s))
        held = []

        def all_free():
            while len(held) < 30:
                c = Smtp(s, banner=False)
                if c.reply()[0] != 220:
                    c.close()
                    return False
                held.append(c)
            return True

        wait_until(all_free, f"30 free places after {stage.__name__}")
        for c in held:
            c.close()
        time.sleep(0.2)
        begin, used = time.monotonic(), s.cpu_s()
        time.sleep(0.3)
        share = (s.cpu_s() - used) / (time.monotonic() - begin)
        check(share < 0.5, f"after {stage.__name__} the idle server uses {share:.0%} of a processor")
    s.wait_delivered()
    check_equal(s.files("alice"), [], "messages")


def test_vanish_by_reset():
    vanish(STAGES, Smtp.reset)


def test_vanish_by_close():
    vanish(STAGES, Smtp.close)


def test_vanish_with_half_close():
    """Only the client's sending side is closed; the server may finish, and then has to close."""

    def half(c):
        c.socket.shutdown(socket.SHUT_WR)
        try:
            while c.socket.recv(65536):
                pass
        except OSError:
            pass
        c.close()

    vanish([x for x in STAGES if "tls" not in x.__name__ and x is not before_the_250], half)


harness.main(globals())
