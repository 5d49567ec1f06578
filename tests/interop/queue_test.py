#!/usr/bin/env python3
"""The queue on a real machine: a destination that hangs, one that is away, kill -9 among reports, and the file that
counts running time. What takes hours or days is in tests/sim/queue_*_test.c."""

import os
import re
import socket
import time

import harness
from harness import Server, check, check_equal, hello, wait_until


def send(server, number, to, sender="alice@test.example"):
    client = hello(server)
    for i in range(number):
        client.cmd(f"MAIL FROM:<{sender}>", 250)
        client.cmd(f"RCPT TO:<{to.format(i)}>", 250)
        client.cmd("DATA", 354)
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        client.expect(250)
    client.quit()


def far():
    return Server(primary_hostname="far.example", local_domains="good.example", local_users="bob")


def near(**options):
    return Server(**{"relay_from_hosts": "127.0.0.1", "retry_min": "1s", "retry_max": "2s", **options})


def test_hung_destination():
    """It takes connections and says nothing; others' mail and local mail do not wait for it."""
    there = far()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        port = silent.getsockname()[1]
        here = near(route_list=f"hung.example smtp:127.0.0.1:{port} ; good.example smtp:127.0.0.1:{there.port}")
        send(here, 60, "x@hung.example")
        send(here, 30, "bob@good.example")
        send(here, 30, "bob@test.example")
        there.messages("bob", 30)
        here.messages("bob", 30)
        check_equal(len(here.log_lines("delivery", "result=deferred")), 0, "deliveries that have been given up for now")
        here.kill()


def test_away_and_back():
    """The next server is down, ours is killed and started anew: each message arrives once."""
    there = far()
    there.stop()
    here = near(route_list=f"* smtp:127.0.0.1:{there.port}")
    send(here, 20, "bob@good.example")
    here.wait_log("delivery", "result=deferred", number=20)
    for _ in range(2):
        here.kill()
        here.start()
    there.start()
    if str(there.port) not in here.options["route_list"]:
        return  # somebody took its port meanwhile: nothing to be seen here
    status, out = harness.run(harness.POSTERN, "flush", "-c", here.conf_path)
    check_equal(status, 0, out)
    there.messages("bob", 20)
    wait_until(lambda: len(here.log_lines("delivery", "result=relayed")) >= 20, "all to be recorded")
    time.sleep(0.5)
    check_equal(len(there.files("bob")), 20, "messages there")


def test_killed_among_reports():
    """A hundred messages that come back, and kill -9 meanwhile: everyone is told of, hardly anyone twice."""
    here = near(route_list="nowhere.example discard-with-bounce")
    number = 0
    for _ in range(4):
        client = hello(here)
        for _ in range(25):
            client.cmd("MAIL FROM:<alice@test.example>", 250)
            client.cmd(f"RCPT TO:<x{number:03}@nowhere.example>", 250)
            client.cmd("DATA", 354)
            client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            client.expect(250)
            number += 1
        here.kill()
        here.start()

    def told():
        texts = b"".join(here.messages("alice"))
        return [texts.count(f"Final-Recipient: rfc822; x{i:03}@nowhere.example".encode()) for i in range(number)]

    wait_until(lambda: all(told()), "a report about each")
    here.stop()
    counts = told()
    check(sum(counts) <= number + 40, f"{sum(counts) - number} of {number} were told of twice")


def test_running_time():
    here = near()
    path = os.path.join(here.options["spool_directory"], "running-time")
    time.sleep(2.2)
    here.stop()
    first = int(harness.content_of(path))
    check(2 <= first <= 60, f"seconds of the first run: {first}")
    here.start()
    here.kill()
    check_equal(int(harness.content_of(path)), first, "seconds, after kill -9")
    with open(path, "w", encoding="ascii") as f:
        f.write("many\n")
    here.start()
    here.stop()
    check(len(here.log_lines("running-time", "result=unknown", "reason=malformed")) == 1, here.log())
    check(re.fullmatch(rb"\d+\n", harness.content_of(path)), "the file is whole again")


def rot(server, text):
    """A bit of each place of the spool where that stands, as a bad device gives it back. How many."""
    spool, number = server.options["spool_directory"], 0
    for name in os.listdir(spool):
        if not name.startswith("segment-"):
            continue
        path = os.path.join(spool, name)
        for found in re.finditer(re.escape(text), harness.content_of(path)):
            number += 1
            with open(path, "r+b") as f:
                f.seek(found.start())
                f.write(bytes([text[0] ^ 1]))
    return number


def queue(server, *words, want=0):
    status, out = harness.run(harness.POSTERN, "queue", *words, "-c", server.conf_path)
    check_equal(status, want, f"queue {words}: {out}")
    return out


def waits_with_rotted_envelope(**options):
    """A server, and the id of a message to bob, who has it, and to two who are far away; nobody can read where."""
    there = far()
    there.stop()
    here = near(route_list=f"* smtp:127.0.0.1:{there.port}", **options)
    client = hello(here)
    name = client.message(b"Subject: x\r\n\r\nx\r\n", ["bob@test.example", "rot@far.example", "y@far.example"], "alice@test.example")
    here.messages("bob", 1)
    here.wait_log("delivery", f"id={name}", "result=deferred", number=2)
    check(rot(here, b"rot@far.example") > 0, "the address stands nowhere in the spool")
    for number in range(3):  # so that other pages are at hand
        client.message(harness.body_of(number, 9000), "bob@test.example")
    client.quit()
    here.messages("bob", 4)
    queue(here, "retry", name)
    here.wait_log("delivery", f"id={name}", "result=deferred", "reason=damaged")
    return here, name


def test_removal_of_a_rotted_envelope():
    """It waits until a person gives it up, and is gone then, over a restart too; nobody gets anything of it again."""
    for words in ((), ("--report",)):
        here, name = waits_with_rotted_envelope()
        check(name in queue(here, "list"), "not listed")
        queue(here, "show", name, want=65)
        check_equal(queue(here, "remove", *words, name), "", "what remove says")
        here.wait_log("delivery", f"id={name}", "result=lost", "reason=damaged")
        wait_until(lambda: "messages: 0" in queue(here, "list"), "an empty queue")
        queue(here, "remove", name, want=65)
        here.stop()
        here.start()
        check("messages: 0" in queue(here, "list"), "it has come back")
        check_equal((len(here.files("alice")), len(here.files("bob"))), (0, 4), "mail of alice and bob")
        here.stop()


harness.main(globals())
