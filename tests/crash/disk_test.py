#!/usr/bin/env python3
"""Real file systems in images, ext4 and xfs: full ones, and ones that go down under a server as in a power cut.

FS_IOC_SHUTDOWN stops a file system at once: what was not synced is lost, all further calls fail with EIO, and the
next mount finds what a power cut would have left. Needs root and loop devices; else it is skipped.
"""

import ctypes
import fcntl
import os
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop"))

import harness
import world as worlds
from harness import Failed, case_dir, check

ALL = os.environ.get("CRASH") == "all"
IMAGE_LEN = 400 << 20  # xfs wants 300 MiB
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}


class Disk:
    """An image with a file system, mounted."""

    def __init__(self, kind):
        self.image = os.path.join(case_dir(), kind + ".img")
        self.path = os.path.join(case_dir(), kind)
        os.makedirs(self.path, exist_ok=True)
        with open(self.image, "wb") as f:
            f.truncate(IMAGE_LEN)
        self.mounted = False
        subprocess.run([*MAKE[kind], self.image], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.mount()
        harness.started().insert(0, self)  # ended last

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", self.image, self.path], stderr=subprocess.PIPE, check=False)
        check(done.returncode == 0, "mount: " + done.stderr.decode())
        self.mounted = True

    def unmount(self):
        done = subprocess.run(["umount", self.path], stderr=subprocess.PIPE, check=False)
        check(done.returncode == 0, "umount: " + done.stderr.decode())
        self.mounted = False
        worlds.wait_until(self.is_let_go, "the image is let go, also by programs that have mounts of their own", 60)

    def is_let_go(self):
        """Else the next mount would find the file system that has gone down, not what is in the image."""
        return subprocess.run(["losetup", "-j", self.image], stdout=subprocess.PIPE, check=True).stdout == b""

    def power_cut(self):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, ctypes.c_uint32(NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def fill(self):
        """No block is left free."""
        fd = os.open(os.path.join(self.path, "ballast"), os.O_WRONLY | os.O_CREAT, 0o600)
        size, at = 64 << 20, 0
        while size >= 4096:
            try:
                os.posix_fallocate(fd, at, size)
                at += size
            except OSError:
                size //= 2
        os.close(fd)

    def end(self):
        if self.mounted:
            subprocess.run(["umount", self.path], check=False)
        try:
            os.remove(self.image)
        except FileNotFoundError:
            pass


def cannot_mount(kind):
    """The reason why there can be no such disk here, or None."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which(MAKE[kind][0]) is None:
        return f"there is no {MAKE[kind][0]}"
    try:
        disk = Disk(kind)
        disk.unmount()
        return None
    except (Failed, subprocess.CalledProcessError) as e:
        return str(e).strip()
    finally:
        harness.end_all()


def written_len(server):
    with open(f"/proc/{server.pid}/io", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("write_bytes:")).split()[1])


def full(kind):
    """A full disk: 452, nothing lost, deliveries wait; with room again all goes on."""
    disk = Disk(kind)
    world = worlds.World(None, storage=disk.path, spool_size="64M", message_size_limit="4M")
    world.server.start()
    client = world.connect()
    world.to_all_kinds(client)
    disk.fill()
    for _ in range(40):
        if not world.hand_over(client, ["y@away.example"], 1 << 20):
            break
    check(world.refusals and world.refusals[0].startswith("452 "), f"refusals with a full disk: {world.refusals[:2]}")
    world.server.wait_log("spool", "segment=not-created", "reason=no-space")
    world.hand_over(client, [f"carol@{worlds.LOCAL}"], 3000)
    check(world.server.running(), "the server left")
    if any(entry.acknowledged and f"carol@{worlds.LOCAL}" in entry.rcpts and n > 5 for n, entry in world.journal.items()):
        world.server.wait_log("delivery", "result=deferred", "reason=no-space")
    os.remove(os.path.join(disk.path, "ballast"))
    worlds.wait_until(lambda: world.hand_over(client, [f"alice@{worlds.LOCAL}"], 1 << 20), "mail is taken again", 30)
    world.settle()
    world.server.stop()
    world.verify(allow_errors=True)
    print(f"        {len(world.journal)} messages, {len(world.refusals)} refusals: {world.refusals[0]}")


def nearly_full(kind):
    """Too little room for a segment: that one is wanted all the time writes nothing, and is said once."""
    disk = Disk(kind)
    world = worlds.World(None, storage=disk.path, spool_size="64M", message_size_limit="4M")
    world.server.start()
    disk.fill()
    ballast = os.path.join(disk.path, "ballast")
    os.truncate(ballast, os.path.getsize(ballast) - 900 * 1024)
    world.hand_over(world.connect(), ["y@away.example"], 1 << 20)
    world.server.wait_log("spool", "segment=not-created", "reason=no-space")
    before = written_len(world.server)
    time.sleep(11)
    written = written_len(world.server) - before
    check(written < 900 * 1024, f"{written} bytes were written in vain")
    check(world.server.log().count("segment=not-created") == 1, world.server.log())


def power_cuts(kind, rounds):
    """The file system goes down under load: errors are 4xx, and whatever was acknowledged is there afterwards."""
    disk = Disk(kind)
    world = worlds.World(None, storage=disk.path, spool_size="16M", message_size_limit="1M")
    lots = random.Random(1)
    for _ in range(rounds):
        world.server.injector = None
        log_from = len(world.server.log())
        world.server.start()
        for _ in range(lots.randrange(1, 4)):
            hand_over_some(world, lots)
        cut = threading.Timer(lots.uniform(0, 0.1), disk.power_cut)
        cut.start()
        before = len(world.refusals)
        end = time.monotonic() + 20
        while len(world.refusals) < before + 3 and time.monotonic() < end and world.server.running():
            hand_over_some(world, lots)
        cut.join()
        check(world.server.running() or "to be started anew" in world.server.log()[log_from:], "the server left")
        world.server.kill()
        disk.unmount()
        disk.mount()
    check(any("io-error" in line for line in world.server.log().splitlines()), "no io-error in the log")
    log_from = len(world.server.log())
    finish(world)
    world.verify(log_from, allow_unfinished=True)
    acknowledged = sum(entry.acknowledged for entry in world.journal.values())
    print(f"        {rounds} cuts, {acknowledged} acknowledged, {len(world.refusals)} refused")
    check(acknowledged >= rounds, "hardly anything was acknowledged")


def hand_over_some(world, lots):
    try:
        client = world.connect()
        world.hand_over(client, [f"alice@{worlds.LOCAL}", "x@far.example"], lots.choice((500, 5000, 70000)))
        world.hand_over(client, ["y@away.example", f"bob@{worlds.LOCAL}"], 700)
        client.close()
    except worlds.Gone:
        pass


def finish(world):
    world.restart()
    world.settle()
    world.server.stop()


def cases():
    found, num_skipped = {}, 0
    for kind in MAKE:
        harness.set_case("probe-" + kind)
        reason = cannot_mount(kind)
        if reason:
            print(f"skipped {kind}: {reason}")
            num_skipped += 3
            continue
        found[f"test_full_{kind}"] = lambda kind=kind: full(kind)
        found[f"test_nearly_full_{kind}"] = lambda kind=kind: nearly_full(kind)
        found[f"test_power_cuts_{kind}"] = lambda kind=kind: power_cuts(kind, 60 if ALL else 4)
    return found, num_skipped


def main():
    found, num_skipped = cases()
    if not found:
        print(f"0 passed, 0 failed, {num_skipped} skipped")
        return
    harness.main(found, num_skipped)


main()
