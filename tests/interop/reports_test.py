#!/usr/bin/env python3
"""Reports of delivery (DSN) as Python's email package reads them: the files that tests/unit/dsn_test.c compares byte
for byte with what the server composes, and those that a server sends."""

import email
import email.policy
import email.utils
import glob
import os

import harness
from harness import Server, check, check_equal, hello, wait_until

REPORTS = os.path.join(os.path.dirname(__file__), "..", "tables", "reports")


def parse(name):
    with open(os.path.join(REPORTS, name + ".eml"), "rb") as f:
        raw = f.read().replace(b"\n", b"\r\n")
    return raw, email.message_from_bytes(raw, policy=email.policy.SMTPUTF8.clone(raise_on_defect=True))


def blocks_of(part):
    """The fields of a status part: of the message, and of each recipient."""
    if part.get_content_type() == "message/delivery-status":
        return part.get_payload()
    text = part.get_payload() if isinstance(part.get_payload(), str) else part.get_payload()[0].as_string()
    return [email.message_from_string(block) for block in text.replace("\r\n", "\n").strip().split("\n\n")]


def check_form(name):
    raw, report = parse(name)
    check_equal(report["From"], "Mailer-Daemon <postmaster@mx.example.org>", "From")
    return check_report(raw, report)


def check_report(raw, report):
    check_equal(report.get_content_type(), "multipart/report", "type")
    is_global = report.get_param("report-type") == "global-delivery-status"
    check_equal(report.get_param("report-type"), "global-delivery-status" if is_global else "delivery-status", "report-type")
    for field in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"):
        check_equal(len(report.get_all(field, [])), 1, field)
    check_equal(report["Auto-Submitted"], "auto-replied", "Auto-Submitted")
    check(report.get_all("Bcc") is None, "a field came from outside")
    parts = report.get_payload()
    check_equal(len(parts), 3, "parts")
    check_equal(parts[0].get_content_type(), "text/plain", "first part")
    prefix = "message/global-" if is_global else "message/"
    check_equal(parts[1].get_content_type(), prefix + "delivery-status", "second part")
    third = {"message/global-headers", "message/global"} if is_global else {"text/rfc822-headers", "message/rfc822"}
    check(parts[2].get_content_type() in third, f"third part is {parts[2].get_content_type()}")
    for line in raw.split(b"\r\n"):
        check(len(line) <= 998 and b"\r" not in line and b"\n" not in line, f"line {line!r}")
    if any(c > 127 for c in raw):
        check_equal(report["Content-Transfer-Encoding"], "8bit", "encoding of the whole")
    for part in parts:
        is_8bit = part["Content-Transfer-Encoding"] == "8bit"
        content = part.as_bytes() if not part.is_multipart() else b"".join(p.as_bytes() for p in part.get_payload())
        check(is_8bit or all(c < 128 for c in content), f"{part.get_content_type()} says 7bit and is not")
    blocks = blocks_of(parts[1])
    check(blocks[0]["Reporting-MTA"].startswith("dns; "), "Reporting-MTA")
    for block in blocks[1:]:
        check(block["Action"] in ("failed", "delayed", "delivered", "relayed", "expanded"), "Action")
        check(block["Status"][0] in "245" and block["Status"].count(".") == 2, "Status")
        for field in ("Final-Recipient", "Action", "Status"):
            check_equal(len(block.get_all(field)), 1, field)
    return report, parts, blocks


def test_all_have_the_form():
    names = [os.path.basename(path)[:-4] for path in glob.glob(os.path.join(REPORTS, "*.eml"))]
    check(len(names) >= 6, "reports are missing")
    for name in names:
        try:
            check_form(name)
        except Exception as e:
            raise harness.Failed(f"{name}: {e}") from e


def test_failed():
    _, parts, blocks = check_form("failed")
    check_equal(len(blocks), 2, "blocks")
    check_equal(blocks[1]["Final-Recipient"], "rfc822; bob@example.net", "Final-Recipient")
    check_equal(blocks[1]["Diagnostic-Code"], "smtp; 550 5.1.1 No such user", "Diagnostic-Code")
    check("550 5.1.1 No such user" in parts[0].get_content(), "the reply is told to people")
    check_equal(email.message_from_string(parts[2].get_payload())["Subject"], "hello", "Subject of the original")


def test_mixed():
    _, parts, blocks = check_form("mixed")
    check_equal([b["Action"] for b in blocks[1:]], ["failed", "delayed", "delivered", "relayed", "expanded"], "actions")
    check_equal(blocks[0]["Original-Envelope-Id"], "QQ314159 <x>", "ENVID")
    check_equal(blocks[2]["Original-Recipient"], "rfc822; sales@example.net", "ORCPT")
    check(blocks[2]["Will-Retry-Until"] is not None and blocks[1]["Will-Retry-Until"] is None, "Will-Retry-Until")
    original = parts[2].get_payload()[0]
    check_equal(original["Subject"], "hello", "Subject of the original")
    check("--x" in original.get_payload(), "its body")


def test_folding():
    _, _, blocks = check_form("delayed")
    text = " ".join(blocks[1]["Diagnostic-Code"].split())
    check_equal(
        text,
        "smtp; 450 4.2.0 Greylisted, see https://mail.example.net/help/greylisting "
        "and be so kind as to try again in five minutes",
        "unfolded",
    )


def test_hostile():
    _, parts, blocks = check_form("hostile")
    check_equal(len(blocks), 2, "blocks")
    wanted = {"Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code"}
    check_equal(set(blocks[1].keys()), wanted, "fields")
    check(parts[0].get_content().isascii(), "ASCII")


# --- Of a server ---

SUBJECT = b"Subject: lost\r\nX-Number: 7\r\n\r\n"


def bouncing(**options):
    return Server(
        relay_from_hosts="127.0.0.1",
        route_list="*.old.example discard-with-bounce ; * mx",
        **options,
    )


def write(name, text):
    path = os.path.join(harness.case_dir(), name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def report_to_alice(s, num=1):
    """The report that came last, and its parts."""
    wait_until(lambda: len(s.files("alice")) == num, "the report")
    newest = max(s.files("alice"), key=os.path.getmtime)
    with open(newest, "rb") as f:
        content = f.read()
    check(content.startswith(b"Return-Path: <>\n"), "a report comes from nobody")
    raw = content.replace(b"\n", b"\r\n")
    report = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8.clone(raise_on_defect=True))
    check_equal(report["From"], "Mailer-Daemon <postmaster@mail.test.example>", "From")
    return check_report(raw, report)


def send(s, sender, rcpts, content, params=""):
    c = hello(s)
    c.send(f"MAIL FROM:<{sender}>{params}\r\n".encode())
    c.expect(250)
    for rcpt in rcpts:
        c.send(f"RCPT TO:{rcpt}\r\n".encode())
        c.expect(250)
    c.cmd("DATA", 354)
    c.send(content + b"\r\n.\r\n")
    c.expect(250)
    c.quit()


def test_one_report_says_all():
    s = bouncing()
    rcpts = (
        "<a@x.old.example> ORCPT=rfc822;first+2Ba@c.example",
        "<b@y.old.example> NOTIFY=FAILURE,DELAY",
        "<c@x.old.example> NOTIFY=NEVER",
        "<d@x.old.example> NOTIFY=SUCCESS",
        "<bob@test.example>",
    )
    send(s, "alice@test.example", rcpts, SUBJECT + b"hello", " RET=HDRS ENVID=id+20one")
    _, parts, blocks = report_to_alice(s)
    check_equal(len(blocks), 3, "blocks")
    check_equal(blocks[0]["Original-Envelope-Id"], "id one", "ENVID")
    check(email.utils.parsedate_to_datetime(blocks[0]["Arrival-Date"]) is not None, "Arrival-Date")
    finals = {b["Final-Recipient"]: b for b in blocks[1:]}
    check_equal(set(finals), {"rfc822; a@x.old.example", "rfc822; b@y.old.example"}, "recipients")
    check_equal(finals["rfc822; a@x.old.example"]["Original-Recipient"], "rfc822; first+a@c.example", "ORCPT")
    check_equal({b["Action"] for b in blocks[1:]}, {"failed"}, "actions")
    check(all(b["Status"].startswith("5.") for b in blocks[1:]), "statuses")
    check_equal(parts[2].get_content_type(), "text/rfc822-headers", "third part")
    original = parts[2].get_payload()
    check("X-Number: 7" in original and "hello" not in original, original)
    check("Received: from client.example" in original, "with our own Received field")
    wait_until(lambda: len(s.files("bob")) == 1, "the message for bob")
    s.stop()


def test_full_and_8bit():
    s = bouncing()
    body = b"\xff\xfe" * 30 + b"\r\n--=_x\r\n..\r\nend"
    send(s, "alice@test.example", ["<a@x.old.example>"], SUBJECT + body.replace(b"\r\n..", b"\r\n..."), " RET=FULL BODY=8BITMIME")
    report, parts, _ = report_to_alice(s)
    check_equal(report["Content-Transfer-Encoding"], "8bit", "encoding")
    check_equal(parts[2].get_content_type(), "message/rfc822", "third part")
    original = parts[2].get_payload()[0]
    check_equal(original["X-Number"], "7", "a field of the original")
    check(original.get_payload(decode=True).replace(b"\r\n", b"\n").startswith(body.replace(b"\r\n", b"\n")), "its body")
    # Over the limit it is the header alone.
    send(s, "alice@test.example", ["<a@x.old.example>"], SUBJECT + b"x" * 70 + (b"\r\n" + b"y" * 70) * 2000, " RET=FULL")
    _, parts, _ = report_to_alice(s, 2)
    check_equal(parts[2].get_content_type(), "text/rfc822-headers", "third part of the large one")
    s.stop()


def test_utf8():
    s = bouncing()
    send(
        s,
        "alice@test.example",
        ["<b\u00fccher@x.old.example> ORCPT=utf-8;\u03b1@c.example", "<x@x.old.example> ORCPT=utf-8;\\x{3B1}\\x{2B}@c.example"],
        "Subject: \u03b1\r\n\r\nx".encode(),
        " SMTPUTF8",
    )
    report, parts, blocks = report_to_alice(s)
    check_equal(report.get_param("report-type"), "global-delivery-status", "report-type")
    check_equal(parts[1].get_content_type(), "message/global-delivery-status", "second part")
    check_equal(parts[2].get_content_type(), "message/global-headers", "third part")
    raw = parts[1].as_bytes().decode()
    for field in (
        "Final-Recipient: utf-8; b\u00fccher@x.old.example",
        "Original-Recipient: utf-8; \u03b1@c.example",
        "Original-Recipient: utf-8; \u03b1\\x{2B}@c.example",
    ):
        check(field in raw, f"no {field!r} in\n{raw}")
    check_equal(len(blocks), 3, "blocks")
    s.stop()


def test_nobody_is_told():
    """Nothing comes of a message without sender, nor of NOTIFY=NEVER; what an alias stands for is told beside the name that was written to."""
    s = bouncing(aliases_file=write("aliases", "secret: hidden@x.old.example\n"))
    send(s, "", ["<a@x.old.example>"], SUBJECT + b"x")
    send(s, "alice@test.example", ["<a@x.old.example> NOTIFY=NEVER"], SUBJECT + b"x")
    send(s, "alice@test.example", ["<secret@test.example>"], SUBJECT + b"x")
    _, _, blocks = report_to_alice(s)
    check_equal(len(blocks), 2, "blocks")
    check_equal(blocks[1]["Original-Recipient"], "rfc822; secret@test.example", "ORCPT")
    wait_until(lambda: "null-sender" in s.log(), "the log line")
    check_equal(len(s.files("alice")), 1, "reports")
    s.stop()


def test_through_two_servers():
    """The next server's refusal is in our report; what it delivers it reports on itself, to whom we told it."""
    near = Server(start=False, relay_from_hosts="127.0.0.1")
    far = Server(primary_hostname="mail.far.example", local_domains="far.example", route_list=f"* smtp:127.0.0.1:{near.port}")
    near.configure(route_list=f"far.example smtp:127.0.0.1:{far.port}")
    near.start()
    far.configure(route_list=f"* smtp:127.0.0.1:{near.port}")  # start() may have changed the port
    far.send_signal(1)
    rcpts = (
        "<bob@far.example> NOTIFY=SUCCESS ORCPT=rfc822;first+2Bb@c.example",
        "<nobody@far.example> ORCPT=utf-8;\\x{3B1}@c.example",
        "<postmaster@far.example>",
    )
    send(near, "alice@test.example", rcpts, SUBJECT + b"x", " ENVID=a+2Bb RET=HDRS")
    wait_until(lambda: len(near.files("alice")) == 2, "two reports")
    found = {}
    for path in near.files("alice"):
        with open(path, "rb") as f:
            raw = f.read().replace(b"\n", b"\r\n")
        _, _, blocks = check_report(raw, email.message_from_bytes(raw, policy=email.policy.SMTPUTF8))
        check_equal(len(blocks), 2, "blocks")
        check_equal(blocks[0]["Original-Envelope-Id"], "a+b", "ENVID")
        found[blocks[0]["Reporting-MTA"]] = blocks[1]
    failed, delivered = found["dns; mail.test.example"], found["dns; mail.far.example"]
    check_equal((failed["Action"], failed["Status"]), ("failed", "5.1.1"), "ours")
    check_equal(failed["Final-Recipient"], "rfc822; nobody@far.example", "ours")
    check_equal(failed["Original-Recipient"], "utf-8; \\x{3B1}@c.example", "ours")
    check(failed["Diagnostic-Code"].startswith("smtp; 550 5.1.1 "), failed["Diagnostic-Code"])
    check(failed["Remote-MTA"].startswith("dns; "), failed["Remote-MTA"])
    check_equal((delivered["Action"], delivered["Status"]), ("delivered", "2.0.0"), "the other's")
    check_equal(delivered["Original-Recipient"], "rfc822; first+b@c.example", "the other's")
    check_equal(len(far.files("postmaster")), 1, "messages for postmaster")
    near.stop()
    far.stop()


def test_aliases_that_lead_to_each_other():
    """On two machines, where neither can see it: the Received fields end it, and the sender hears of it once. It is far
    that refuses it, so near that tells."""
    near = Server(start=False, aliases_file=write("near", "loop: loop@far.example, bob\n"), received_headers_max="14")
    far = Server(
        primary_hostname="mail.far.example",
        local_domains="far.example",
        aliases_file=write("far", "loop: loop@test.example\n"),
        route_list=f"* smtp:127.0.0.1:{near.port}",
        received_headers_max="12",
    )
    near.configure(route_list=f"far.example smtp:127.0.0.1:{far.port}")
    near.start()
    far.configure(route_list=f"* smtp:127.0.0.1:{near.port}")
    far.send_signal(1)
    send(near, "alice@test.example", ["<loop@test.example>"], SUBJECT + b"x")
    wait_until(lambda: len(near.files("alice")) == 1, "the report")
    _, _, blocks = report_to_alice(near)
    for block in blocks[1:]:
        check_equal((block["Action"], block["Status"]), ("failed", "5.4.6"), "the fate")
        check_equal(block["Original-Recipient"], "rfc822; loop@test.example", "ORCPT through all of it")
    check(4 <= len(near.files("bob")) <= 8, f"{len(near.files('bob'))} messages for bob")
    check_equal(len(near.files("alice")), 1, "reports")
    near.stop()
    far.stop()


harness.main(globals())
