#!/usr/bin/env python3
"""kill -9 at the system calls of a real server, and ENOSPC and EIO at those of its storage.

For each point (the n-th call of a scenario, see scenarios.py) the scenario runs from the begin, the server is
killed there or the call fails, and then a server that nobody interferes with has to put everything right: what was
acknowledged is there, in a Maildir once, nothing is half, nothing lies about, and refusals were temporary.

`make test` takes some points of each scenario, the same ones each time; `make test-crash` (CRASH=all) takes each.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../interop"))

import harness
import inject
import scenarios
import world as worlds
from harness import Failed, check

ALL = os.environ.get("CRASH") == "all"
SHARDS = int(os.environ.get("SHARDS", "3"))
SPACE = [n for n in inject.CHANGES if n not in ("fchmod", "fchmodat", "chmod", "fchown", "chown")]
FAULTS = {"no-space": (errno.ENOSPC, SPACE), "io-error": (errno.EIO, inject.CHANGES + inject.READS)}
RECOVERS_S = 40


class Point:
    """The n-th call of a scenario, and what becomes of it."""

    def __init__(self, scenario, at, action="kill", number=1, names=None, again=0):
        self.scenario, self.at, self.action, self.number, self.names, self.again = scenario, at, action, number, names, again

    def __str__(self):
        what = self.action if isinstance(self.action, str) else errno.errorcode[self.action[1]]
        return f"{self.scenario} {what} {'all calls ' if self.names is None else ''}at {self.at}{'' if self.number == 1 else ' and on'}{f' and at {self.again} of the restart' if self.again else ''}"


def want_storage(server):
    """Calls about what the server keeps: not its log, its configuration, its certificates."""
    apart = (server.log_path, server.conf_path)

    def want(call):
        return call.creates() and call.path not in apart and not call.path.endswith((".pem", ".put"))

    return want


def want_fault(server):
    """The same, and files that are only opened; only a file's own content can be read wrongly."""
    apart = (server.log_path, server.conf_path)
    return lambda call: call.path not in apart and not call.path.endswith((".pem", ".put"))


def make(point, at):
    """(world, injector, its scenario) with that plan."""
    make_world, run = scenarios.SCENARIOS[point.scenario]
    injector = inject.Injector(inject.Plan(names=point.names, at=at, number=point.number, action=point.action))
    world = make_world(injector)
    if point.names is not None:
        injector.plan.under = world.server.dir + "/"
        injector.plan.want = (want_storage if point.action == "kill" else want_fault)(world.server)
    return world, injector, run


def count(scenario):
    """How many calls the scenario has, of each kind that is interfered with; none is touched."""
    world, injector, run = make(Point(scenario, 0), 0)
    kinds = {"storage": (inject.CHANGES, want_storage(world.server)), "any": (None, lambda call: True)}
    for what, (_, names) in FAULTS.items():
        kinds[what] = names, want_fault(world.server)
    numbers = dict.fromkeys(kinds, 0)

    def tally(call):
        is_ours = (call.path or "").startswith(world.server.dir + "/")
        for kind, (names, want) in kinds.items():
            numbers[kind] += names is None or (is_ours and call.name in names and want(call))
        return True

    injector.plan.want = tally
    run(world)
    finish(world)
    world.verify()
    injector.end()
    check(injector.broken is None, f"the injector: {injector.broken}")
    check(not world.refusals, f"{scenario} refuses mail when nothing is interfered with: {world.refusals[:1]}")
    world.clean()
    return numbers


def finish(world):
    """All that can be delivered is, and the server has left in order."""
    if world.server.died() or world.server.process is None:
        world.restart()
    world.settle()
    world.server.stop()


# --- kill -9 ---


def killed(point):
    """One run: killed there, perhaps killed again while it recovers, then left alone. True if it came to that."""
    world, injector, run = make(point, point.at)
    try:
        run(world)
    except worlds.Gone:
        log = world.server.log()
        if not injector.hits and log.endswith(": in-use\n"):  # whoever has the port gave the banner
            raise worlds.PortTaken from None
        check(injector.hits, f"the server left by itself: {world.server.process.returncode}\n{log[-2000:]}")
    injector.end()
    check(injector.broken is None, f"the injector: {injector.broken}")
    log_from = len(world.server.log())
    if point.again and world.server.died():
        kill_again(world, point)
    finish(world)
    world.verify(log_from)
    hits = injector.hits
    world.clean()
    return hits[0] if hits else None


def kill_again(world, point):
    injector = inject.Injector(inject.Plan(names=point.names, at=point.again, under=world.server.dir + "/", want=want_storage(world.server)))
    world.injector = injector
    try:
        world.start()
        world.settle()
        world.server.kill()
    except worlds.Gone:
        pass
    injector.end()
    check(injector.broken is None, f"the injector: {injector.broken}")


# --- A failing disk ---


def failed(point):
    """One run: that call fails, or from there on each, until the disk recovers; then so does the server."""
    world, injector, run = make(point, point.at)
    log_from = 0
    try:
        run(world)
    except worlds.Gone:
        left_at_start(world)
    else:
        if injector.hits and world.server.running():
            log_from = recover(world, injector)
    injector.over = True
    if world.server.running() and not world.outbox_is_empty():
        world.server.stop()  # a start looks into the outbox at once
    finish(world)
    injector.end()  # not before: without a listener each of the calls would fail
    check(injector.broken is None, f"the injector: {injector.broken}")
    world.verify(log_from, allow_errors=True)
    hits = injector.hits
    world.clean()
    return hits[0] if hits else None


def left_at_start(world):
    """Only a server that has not begun yet may leave, and it says why."""
    log = world.server.log()
    status = world.server.process.returncode
    check(status > 0, f"the server died: {status}\n{log[-2000:]}")
    check(" start version=" not in log, f"a running server left: {status}\n{log[-2000:]}")
    check("io-error" in log or "no-space" in log, f"it left without a reason: {status}\n{log[-2000:]}")


def recover(world, injector):
    """Asked to leave while the disk fails, or the disk recovers and mail is taken again."""
    if injector.plan.number > 1 and injector.plan.at % 2:
        world.server.send_signal(signal.SIGTERM)
        status = world.server.process.wait(worlds.LIMIT_S)
        check(status >= 0, f"it died when it was to leave: {status}\n{world.server.log()[-2000:]}")
        return len(world.server.log())
    injector.over = True
    end = time.monotonic() + RECOVERS_S
    while time.monotonic() < end:
        try:
            if world.hand_over(world.connect(), [f"carol@{worlds.LOCAL}"]):
                return len(world.server.log())
        except worlds.Gone:
            log = world.server.log()
            check(world.server.process.returncode > 0 and "to be started anew" in log, f"the server left: {world.server.process.returncode}\n{log[-2000:]}")
            return len(log)
        time.sleep(0.2)
    raise Failed(f"it takes no mail {RECOVERS_S} s after the disk has recovered: {world.refusals[-1:]}\n{world.server.log()[-3000:]}")


def test_maildirs_cannot_be_opened_at_start():
    """While the fence around the server's directories is made: mail is delivered once the disk is back, without a restart."""
    for code, _ in FAULTS.values():
        world, injector, run = make(Point("mail", 0, ("error", code), names=["open", "openat"]), 2)  # the first is of a sync
        injector.plan.want = lambda call, path=world.server.mail: call.path == path
        run(world)
        check(injector.hits == ["openat mail"], f"hit: {injector.hits}")
        recover(world, injector)
        finish(world)
        injector.end()
        world.verify(allow_errors=True)
        world.clean()


# --- The same by strace ---

# Its counts are those of one thread and one name each; see inject.py.
STRACE_CALLS = "pwrite64 fdatasync fsync rename openat write mkdir recvfrom sendto epoll_wait close pread64".split()


def cannot_trace():
    try:
        done = subprocess.run(["strace", "-D", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.PIPE, check=False)
    except FileNotFoundError:
        return "there is no strace"
    return None if done.returncode == 0 else "ptrace is not allowed here: " + done.stderr.decode().strip()


def strace_kill(name, at):
    """True if it came to that."""
    world = worlds.World(None)
    trace = os.path.join(world.server.dir, "strace.out")
    world.server.prefix = ("strace", "-D", "-f", "-qq", "-o", trace, "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={at}")
    try:
        scenarios.mail(world)
        hit = False
    except worlds.Gone:
        check(world.server.killed(), f"the server left by itself: {world.server.process.returncode}")
        hit = True
    log_from = len(world.server.log())
    finish(world)
    world.verify(log_from)
    world.clean()
    return hit


def test_strace():
    """kill -9 by strace: of each call every one (in make test the 2nd and the 11th of some)."""
    number = 0
    for name in STRACE_CALLS if ALL else ("pwrite64", "fdatasync", "rename"):
        for at in range(1, 400) if ALL else (2, 5):
            if not strace_kill(name, at):
                break
            number += 1
    print(f"        killed {number} times")
    check(number > 0, "it never came to that")


# --- Teeth ---


def must_fail(world, word):
    try:
        world.verify(allow_errors=True)
    except Failed as e:
        check(word in str(e), f"it failed for another reason: {e}")
        return
    raise Failed(f"nobody saw that something is {word}")


def test_teeth():
    """A server that says 250 and has not written: seen. So are a copy, a half message and one left in tmp."""
    world, injector, _ = make(Point("mail", 0, "fake", 1 << 30, ["pwrite64"]), 0)
    injector.plan.want = lambda call: "/segment-" in call.path
    world.start()
    client = world.connect()
    check(world.hand_over(client, ["y@away.example"]), "a message that is really written")
    injector.plan.at = len(injector.calls) + 1
    check(world.hand_over(client, ["y@away.example"]), "a message that is not written")
    check(injector.hits, "nothing was faked")
    world.server.kill()
    injector.end()
    finish(world)
    must_fail(world, "LOST: message 1 ")
    world.journal[1].acknowledged = False
    world.verify(allow_errors=True)

    world.restart()
    world.hand_over(world.connect(), [f"bob@{worlds.LOCAL}"])
    finish(world)
    world.verify(allow_errors=True)
    path = world.server.files("bob")[0]
    shutil.copy(path, path + ".copy")
    must_fail(world, "TWICE")
    os.remove(path + ".copy")
    shutil.copy(path, path.replace("/new/", "/tmp/"))
    must_fail(world, "left in tmp")
    os.remove(path.replace("/new/", "/tmp/"))
    os.truncate(path, os.path.getsize(path) - 10)
    must_fail(world, "not whole")


# --- Which points ---


def spread(number, wanted):
    """`wanted` of the points 1 to number, evenly."""
    if wanted >= number:
        return list(range(1, number + 1))
    return sorted({1 + (i * number + number // 2) // wanted for i in range(wanted)})


def judge_anew(judge, point):
    for _ in range(3):
        try:
            return judge(point)
        except worlds.PortTaken:
            harness.end_all()
    raise Failed("each port was taken")


def sweep(points, judge):
    """All of the points; fails with those that failed, tells how many calls of which kind were hit."""
    hits, problems = {}, []
    for point in points:
        try:
            hit = judge_anew(judge, point)
        except Exception as e:  # the others still count
            where = harness.case_dir()
            problems.append(f"{point}: {e if isinstance(e, Failed) else repr(e)}\n        in {where}")
            harness.end_all()
            if len(problems) > 4:
                break
            continue
        name = hit.split()[0] if hit else "not reached"
        hits[name] = hits.get(name, 0) + 1
    print("        hit: " + " ".join(f"{n}={k}" for n, k in sorted(hits.items())))
    sys.stdout.flush()
    if problems:
        raise Failed("\n".join(problems))


# (scenario, storage calls killed at, other calls killed at, faults of each kind) in make test
PARTS = {
    "mail": (16, 8, 3),
    "compact": (4, 2, 1),
    "proof": (4, 2, 1),
    "outbox-put": (4, 3, 1),
    "outbox-take": (5, 3, 1),
}


def cases():
    """{name: function}: each sweep in as many cases as run at once."""
    found = {"test_teeth": test_teeth, "test_maildirs_cannot_be_opened_at_start": test_maildirs_cannot_be_opened_at_start}

    def add(name, points, judge):
        shards = min(SHARDS, max(1, len(points) // 4)) if not ALL else SHARDS
        for i in range(shards):
            mine = points[i::shards]
            found[f"test_{name.replace('-', '_')}_{i + 1}"] = lambda mine=mine: sweep(mine, judge)

    for name, (storage, others, faults) in PARTS.items():
        numbers = count(name)
        number = numbers["storage"]
        at = spread(number, number if ALL else storage)
        add("kill-" + name, [Point(name, n, names=inject.CHANGES) for n in at], killed)
        again = spread(number, number // 3 if ALL else storage // 4)
        add("kill-again-" + name, [Point(name, n, names=inject.CHANGES, again=1 + n * 7 % 40) for n in again], killed)
        at = spread(numbers["any"], 2000 if ALL else others)
        add("kill-any-" + name, [Point(name, n) for n in at], killed)
        for what, (code, names) in FAULTS.items():
            for forever in (1, 1 << 30):
                at = spread(numbers[what], numbers[what] if ALL else faults)
                add(f"{what}{'-on' if forever > 1 else ''}-{name}", [Point(name, n, ("error", code), forever, names) for n in at], failed)
        print(f"        {name}: " + ", ".join(f"{n} {kind}" for kind, n in numbers.items()))
    return found


def main():
    reason = inject.cannot_run()
    if reason:
        print(f"skipped: {reason}\n0 passed, 0 failed, 1 skipped")
        return
    harness.set_case("counting")
    found = cases()
    untraceable = cannot_trace()
    if untraceable:
        print(f"skipped strace: {untraceable}")
    else:
        found["test_strace"] = test_strace
    harness.main(found, int(bool(untraceable)))


main()
