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


harness.main(globals())
