"""The power is cut at the Nth write while mail comes in, again and again: nothing acknowledged is lost.

BOARDS names the boards (armv7: NOR flash with UBIFS; mips24kc: a disk with ext4), CUTS how many cuts each
(10 unless given), SEED where their lot begins. The same with a server whose sync does nothing must fail."""

import os
import random
import re
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk as d  # noqa: E402
import machine as m  # noqa: E402

h = m.h
BOARDS = os.environ.get("BOARDS", "armv7 mips24kc").split()
CUTS = int(os.environ.get("CUTS", "10"))
SEED = int(os.environ.get("SEED", "1"))
NOSYNC = os.environ.get("NOSYNC", os.path.join(m.IMAGES, "mips24kc/image/nosync"))
RAM_MIB = 32
CLIENTS = 3
READ_EACH = 300  # mail is removed once there is so much of it
WRITES_MAX = {"armv7": 1500, "mips24kc": 150}  # about as many as the mail of some seconds takes


class Cutter:
    """One board's machine, cut again and again."""

    def __init__(self, board, **options):
        self.board = board
        self.machine = m.Machine(board, **options)
        self.is_nor = m.value_of(board, "storage") == "nor"
        self.disk = None
        self.number = 0
        self.lock = threading.Lock()
        self.acknowledged = {}  # number -> its text
        self.seen = {}  # number -> the name of its file
        self.read = set()  # the numbers of those that were seen and then removed
        self.repeated = 0

    def power_on(self, cut_after=None, seed=0):
        """True if it came up before the power was cut."""
        address = os.path.join(self.machine.dir, f"{self.machine.boots}.sock")
        image = os.path.join(self.machine.dir, "nor" if self.is_nor else "disk")
        self.disk = d.Disk(image, address, self.machine.cut, self.is_nor)
        h._started.append(self.disk)
        if cut_after:
            self.disk.cut_after(cut_after, seed)
        try:
            self.machine.boot(ram=RAM_MIB, storage={"NOR" if self.is_nor else "DISK": f"nbd:unix:{address}"})
            return True
        except h.Failed:
            if not self.disk.is_off:
                raise
            return False

    def power_off(self):
        self.disk.end()
        h._started.remove(self.disk)

    def send_one(self, client):
        with self.lock:
            self.number += 1
            number = self.number
        body = h.body_of(number, 500 + number * 37 % 6000)
        client.message(body)
        with self.lock:
            self.acknowledged[number] = body

    def send(self):
        """Sends until the power fails."""
        try:
            client = h.hello(self.machine)
            while True:
                self.send_one(client)
        except (OSError, h.Failed):
            if not self.disk.is_off:
                self.disk.cut()

    def send_until_cut(self):
        threads = [threading.Thread(target=self.send) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(600)
        h.check(self.disk.is_off, "the power was not cut")

    def take_up(self):
        """Looks at files that have not been seen yet; what was seen once must still be there."""
        names = self.machine.names("alice")
        for number, name in self.seen.items():
            h.check(name in names, f"message {number} had been delivered and is gone")
        for name in set(names) - set(self.seen.values()):
            text = self.machine.ask(f"file {m.MAIL}/alice/new/{name}")
            found = re.search(rb"^X-Number: (\d+)", text, re.M)
            h.check(found, f"{name}: {len(text)} bytes without a number")
            number = int(found.group(1))
            if number in self.seen or number in self.read:
                self.repeated += 1  # a copy of a message whose client was never told
            if number in self.acknowledged:
                h.check_same_body(text, self.acknowledged[number], f"message {number}")
            self.seen[number] = name
        return [n for n in self.acknowledged if n not in self.seen and n not in self.read]

    def missing(self, limit_s=60):
        """The numbers of messages that were acknowledged and do not arrive."""
        try:
            h.wait_until(lambda: not self.take_up(), "what was acknowledged", limit_s)
            return []
        except h.Failed:
            return self.take_up()


    def read_all(self):
        """As a user's mail program would: else flash is full after a while, and nothing more would be acknowledged."""
        if len(self.seen) >= READ_EACH:
            h.check_equal(self.machine.ask(f"empty {m.MAIL}/alice/new"), b"ok", "removing mail")
            self.read.update(self.seen)
            self.seen.clear()


def check_cuts(board):
    lot = random.Random(SEED)
    cutter = Cutter(board)
    cuts = early = 0
    while cuts < CUTS:
        writes, at_boot = 1 + lot.randrange(WRITES_MAX[board]), lot.random() < 0.2
        if not cutter.power_on(writes if at_boot else None, lot.random()):
            early += 1
        else:
            left = cutter.missing() if not at_boot else []
            h.check(not left, f"{len(left)} of {len(cutter.acknowledged)} acknowledged messages are lost after {cuts} cuts: {left[:5]}")
            if not at_boot:
                cutter.read_all()
                cutter.disk.cut_after(writes, lot.random())
            cutter.send_until_cut()
        cutter.power_off()
        cuts += 1
        if cuts % 10 == 0:
            print(f"# {board}: {cuts} cuts, {early} of them while it came up; {len(cutter.acknowledged)} messages acknowledged", flush=True)
    h.check(cutter.power_on(), "it does not come up")
    cutter.send_one(h.hello(cutter.machine))
    left = cutter.missing()
    h.check(not left, f"{len(left)} of {len(cutter.acknowledged)} acknowledged messages are lost: {left[:5]}")
    h.check(len(cutter.acknowledged) >= cuts - early, f"only {len(cutter.acknowledged)} messages were acknowledged")
    print(f"{board}: {cuts} cuts, {early} of them while it came up; {len(cutter.acknowledged)} messages acknowledged, none lost")


def what_is_wrong(cutter):
    """After a cut: what is lost or spoilt, in words; empty if nothing is."""
    try:
        cutter.power_on()
        left = cutter.missing(limit_s=8)
    except h.Failed as e:
        return str(e).splitlines()[0]
    return f"{len(left)} of {len(cutter.acknowledged)} acknowledged messages are lost" if left else ""


def test_without_sync():
    """A server whose sync does nothing is found out."""
    cutter = Cutter("mips24kc", postern=NOSYNC)
    cutter.power_on()
    for cut in range(6):
        cutter.disk.cut_after(60, cut)
        cutter.send_until_cut()
        cutter.power_off()
        h.check(cutter.acknowledged, "nothing was acknowledged")
        wrong = what_is_wrong(cutter)
        if wrong:
            print(f"without sync: after {cut + 1} cuts: {wrong}")
            return
    raise h.Failed(f"none of {len(cutter.acknowledged)} messages is lost after 6 cuts, with a server that never syncs")


CASES = {"test_" + one: (lambda b=one: check_cuts(b)) for one in BOARDS}
if os.path.exists(NOSYNC):
    CASES["test_without_sync"] = test_without_sync

if __name__ == "__main__":
    h.main(CASES)
