#!/usr/bin/env python3
"""Reports of delivery (DSN) as Python's email package reads them: the files that tests/unit/dsn_test.c compares byte
for byte with what the server composes."""

import email
import email.policy
import glob
import os

import harness
from harness import check, check_equal

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
    check_equal(report.get_content_type(), "multipart/report", "type")
    is_global = report.get_param("report-type") == "global-delivery-status"
    check_equal(report.get_param("report-type"), "global-delivery-status" if is_global else "delivery-status", "report-type")
    for field in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"):
        check_equal(len(report.get_all(field, [])), 1, field)
    check_equal(report["From"], "Mailer-Daemon@mx.example.org", "From")
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


harness.main(globals())
