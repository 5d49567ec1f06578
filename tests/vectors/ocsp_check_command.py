#!/usr/bin/env python3
"""`postern ocsp-check` over the rows of DIR/manifest.tsv:  ocsp_check_command.py POSTERN DIR

The columns are those that ocsp_vectors_test reads. Beside each row's answer: certificates and responses in
PEM and DER give the same, the exit status fits the lines, and wrong usage is told from a bad proof. Ends
with 'N passed, N failed'.
"""

import base64
import csv
import os
import re
import subprocess
import sys
import tempfile

POSTERN, DIR = os.path.abspath(sys.argv[1]), sys.argv[2]
EXITS = {"accept": 0, "reject": 1, "malformed": 2}
# What Postern answers where the source leaves it to the verifier; as in ocsp_vectors_test.c.
POLICIES = {
    "bssl:old_response": "no-next-update",
    "bssl:produced_early_response": "no-next-update",
}
passed = failed = 0


def count(ok, what):
    global passed, failed
    passed += ok
    failed += not ok
    if not ok:
        print("FAILED:", what)


def ask(*arguments):
    """(exit status, {key: value}, stderr)"""
    done = subprocess.run([POSTERN, "ocsp-check", *arguments], capture_output=True, text=True, timeout=60, check=False)
    lines = [line.split(": ", 1) for line in done.stdout.splitlines()]
    if "--help" in arguments or any(len(line) != 2 for line in lines):
        return done.returncode, {}, done.stdout + done.stderr
    return done.returncode, dict(lines), done.stderr


def agrees(row, answer):
    want, reason = row["verdict"], answer.get("reason")
    if want == "accept":
        return reason == "good"
    if want == "reject":
        return reason != "good"
    if want.startswith("reject:"):
        return reason == want[7:]
    if want == "accept-unless-nextUpdate-required":
        return reason == "no-next-update"
    if row["id"] in POLICIES:
        return reason == POLICIES[row["id"]]
    return want == "-"


def arguments_of(row):
    who = ("--serial", row["serial"]) if row["subject"] == "-" else ("--cert", os.path.join(DIR, row["subject"]))
    when = () if row["at"] == "-" else ("--at", row["at"])
    return ["--issuer", os.path.join(DIR, row["issuer"]), *who, *when, "--allow-sha1"]


def judge_rows(rows):
    for row in rows:
        if row["id"] == "bssl:good_response_invalid_serial":
            # The certificate itself has that serial: it is refused before any proof is looked at.
            count(ask(*arguments_of(row), os.path.join(DIR, row["response"]))[0] == 3, row["id"])
            continue
        path = os.path.join(DIR, row["response"])
        if row["issuer"] == "-" or (row["subject"] == "-" and row["serial"] == "-"):
            continue
        status, answer, errors = ask(*arguments_of(row), path)
        good = agrees(row, answer) and status == EXITS.get(answer.get("verdict"), -1) and errors == ""
        count(good, f"{row['id']}: {status} {answer} {errors}, not {row['verdict']}")


def times_hold(row):
    """What `begin` and `end` say is what the same command answers there."""
    path = os.path.join(DIR, row["response"])
    answer = ask(*arguments_of(row), path)[1]
    base = [a for a in arguments_of(row) if a != "--at" and not re.fullmatch(r"\d{4}-.*Z", a)]
    count(ask(*base, "--at", answer["begin"], path)[0] == 0, "accepted where it begins")
    count(ask(*base, "--at", answer["end"], path)[1].get("reason") == answer["reason-at-end"], "refused where it ends")
    late = ask(*base, "--at", answer["end"], "--proof", path)
    count(late[0] == 1, "the margin of --proof")
    early = answer["end"].replace("Z", "-00:01")  # a minute later, written with an offset
    count(ask(*base, "--at", early, path)[0] == 1, "a time with an offset")
    count(ask(*base, "--at", answer["end"], "--margin", "0", "--skew", "5m", path)[0] == 1, "no margin, and it has ended")
    hour = ask(*base, "--at", answer["begin"], "--max-age", "1h", path)
    count(hour[0] == 0, "within --max-age")


def forms(row, work):
    """PEM and DER, both of certificates and of the response."""
    path = os.path.join(DIR, row["response"])
    with open(path, "rb") as f:
        der = f.read()
    armour = b"-----BEGIN OCSP RESPONSE-----\n" + base64.encodebytes(der) + b"-----END OCSP RESPONSE-----\n"
    other = b"-----BEGIN OCSP RESPONSE-----\nMAMKAQM=\n-----END OCSP RESPONSE-----\n"
    pem, der_cert, late = (os.path.join(work, n) for n in ("proof.pem", "cert.der", "late.pem"))
    with open(pem, "wb") as f:
        f.write(armour)
    with open(late, "wb") as f:
        f.write(other + armour)
    subprocess.run(
        ["openssl", "x509", "-in", os.path.join(DIR, row["subject"]), "-outform", "DER", "-out", der_cert], check=True
    )
    arguments = arguments_of(row)
    want = ask(*arguments, path)
    count(want[0] == 0, f"the first good row: {want}")
    count(ask(*arguments, pem) == want, "the response in PEM")
    count(ask(*[der_cert if a.endswith(row["subject"]) else a for a in arguments], path) == want, "the certificate in DER")
    count(ask(*arguments, late)[1].get("reason") == "good", "a good block behind one that says nothing")
    several(arguments, armour, late)
    with open(path + ".cut", "wb") as f:
        f.write(der[:-1])
    count(ask(*arguments, path + ".cut")[0] == 2, "cut short")
    big = os.path.join(work, "big.der")
    with open(big, "wb") as f:
        f.write(der + bytes(300000))
    answer = ask(*arguments, big)
    count(answer[0] == 1 and answer[1]["reason"] == "too-big", f"too big: {answer}")
    serial = subprocess.run(
        ["openssl", "x509", "-in", os.path.join(DIR, row["subject"]), "-noout", "-serial"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().split("=")[1]
    issuer = ["--issuer", os.path.join(DIR, row["issuer"])]
    colons = ":".join(re.findall("..", serial.lower()))
    count(ask(*issuer, "--serial", colons, path)[0] == 0, "a serial with colons")
    count(ask(*issuer, "--serial", "77", path)[1].get("reason") == "wrong-certificate", "another serial")
    wrong_usage(issuer, arguments, path)


def several(arguments, armour, path):
    """Of all blocks for the certificate the one that the server would go by, in whatever order they stand."""
    with open(os.path.join(DIR, "bad-signature.der"), "rb") as f:
        bad = b"-----BEGIN OCSP RESPONSE-----\n" + base64.encodebytes(f.read()) + b"-----END OCSP RESPONSE-----\n"
    for blocks, reason in ((armour + bad, "good"), (bad + armour, "good"), (bad, "bad-signature")):
        with open(path, "wb") as f:
            f.write(blocks)
        count(ask(*arguments, path)[1].get("reason") == reason, f"several blocks: {reason}")


def wrong_usage(issuer, arguments, path):
    for wrong in (
        [], [path], arguments, [*arguments, path, path], [*issuer, path], [*arguments, "--serial", "1", path],
        [*issuer, "--serial", "xyz", path], [*issuer, "--serial", "", path], [*arguments, "--at", "yesterday", path],
        [*arguments, "--at"], [*arguments, "--nonsense", path], [*arguments, path + ".absent"],
        ["--issuer", path, *arguments[2:], path], [*arguments, "--skew", "-1", path],
    ):  # fmt: skip
        status, answer, errors = ask(*wrong)
        count(status == 3 and not answer and errors != "", f"wrong usage {wrong}: {status} {answer} {errors}")
    count(ask("--help")[0] == 0, "--help")


def wrong_issuer():
    """A certificate of a namesake of the issuer, with the serial of another one's good proof."""
    base = ["--issuer", os.path.join(DIR, "issuer.pem"), "--cert", os.path.join(DIR, "namesake.pem")]
    status, answer, _ = ask(*base, os.path.join(DIR, "good-direct.der"))
    count(status == 1 and answer.get("reason") == "wrong-issuer", f"namesake: {status} {answer}")


def main():
    with open(os.path.join(DIR, "manifest.tsv"), encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    judge_rows(rows)
    if os.path.exists(os.path.join(DIR, "good-direct.der")):
        good = next(r for r in rows if r["verdict"] == "accept")
        with tempfile.TemporaryDirectory() as work:
            forms(good, work)
        times_hold(good)
        wrong_issuer()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
