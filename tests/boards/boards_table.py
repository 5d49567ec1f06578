"""What each board's program and machine take, in one table (make boards).

A row a board: what the stripped program takes of the flash, what of it is resident when idle, the fewest MiB
of RAM in which the machine boots and serves, and the seconds to its banner with the RAM that it is to have;
each beside its goal. BOARDS names them; their images' parts must have been built. It takes some minutes a
board: the RAM is searched by bisection, and what is too little shows in nothing but silence.

Resident is VmRSS of the serving process in the machine, code included, with a certificate, a proof and one
listener, before the first connection but that for the banner, SETTLE_S seconds after it.
"""

import os
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boot_test  # noqa: E402
import machine as m  # noqa: E402

h = m.h
BOARDS = os.environ.get("BOARDS", "").split()
TOO_LITTLE_MIB, ENOUGH_MIB = 4, 128
SILENCE_S, SILENCE_CPU_S = int(os.environ.get("SILENCE_S", "60")), 20  # from the start to the banner, at most
SETTLE_S = 3
HEAD = ("board", "text", "data", "bss", "text+data", "of", "resident", "of", "stack of", "least RAM", "of", "banner", "CPU time")
ROW = "{:<16}{:>8}{:>7}{:>7}{:>11}{:>8}{:>10}{:>9}{:>10}{:>11}{:>5}{:>9}{:>10}"


def made_with(board, name):
    """What boards/BOARD/board.mk says."""
    path = os.path.join(h.TOP, "boards", board, "board.mk")
    found = re.search(rf"^{name} *= *(.*)$", h.content_of(path).decode(), re.M)
    return found.group(1).strip() if found else ""


def sizes(board):
    """Bytes of text, data and bss of the stripped program."""
    program = os.path.join(m.IMAGES, board, "image/postern")
    said = subprocess.run([made_with(board, "CROSS_COMPILE") + "size", program], stdout=subprocess.PIPE, check=True)
    return [int(word) for word in said.stdout.split(b"\n")[1].split()[:3]]


class Tried:
    """One board's image, booted as often as wanted, each time as it was when it was new."""

    def __init__(self, board, pki, loader):
        self.pki, self.loader = pki, loader
        self.machine = m.Machine(board, pki, pki.proof("good"))
        self.images = [p for p in (os.path.join(self.machine.dir, n) for n in ("nor", "disk")) if os.path.exists(p)]
        for path in self.images:
            os.rename(path, path + ".new")

    def boot(self, ram, **limits):
        self.machine.cut()
        for path in self.images:
            subprocess.run(["cp", "--sparse=always", path + ".new", path], check=True)
        return self.machine.boot(ram=ram, loader=self.loader, **limits)

    def resident(self):
        """Bytes of the server that are in memory."""
        time.sleep(SETTLE_S)
        return int(re.search(rb"^postern VmRSS:\s+(\d+) kB", self.machine.ask("memory"), re.M)[1]) * 1024

    def serves(self, ram):
        """Boots, serves a session in TLS with its proof, and takes a message of 1 MiB."""
        try:
            self.boot(ram, limit_s=SILENCE_S, limit_cpu_s=SILENCE_CPU_S)
            boot_test.check_staple(self.machine, self.pki, "-tls1_3")
            client = h.hello(self.machine)
            client.message(h.body_of(1, 1 << 20))
            client.quit()
            self.machine.wait_messages("alice", 1)
            said = "serves"
        except (h.Failed, OSError, subprocess.TimeoutExpired) as e:
            said = str(e).splitlines()[0]
        print(f"# {self.machine.board}: {ram} MiB: {said}", flush=True)
        return said == "serves"

    def least(self):
        """The fewest MiB in which it serves: one fewer does not."""
        low, high = TOO_LITTLE_MIB, TOO_LITTLE_MIB * 2
        while not self.serves(high):
            low, high = high, high * 2
            h.check(high <= ENOUGH_MIB, f"{self.machine.board} does not serve with {low} MiB")
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.serves(middle) else (middle, high)
        return high


def row(board, loader):
    pki = h.Pki("ec")
    tried = Tried(board, pki, loader)
    seconds, cpu_s = tried.boot(None), tried.machine.cpu_s()
    resident = tried.resident()
    text, data, bss = sizes(board)
    return (
        *(board + (", cold" if loader else ""), text, data, bss, text + data, made_with(board, "BUDGET_FLASH")),
        *(resident, made_with(board, "BUDGET_RSS"), made_with(board, "BUDGET_STACK")),
        *(tried.least(), boot_test.least_mib(board, loader), f"{seconds:.1f} s", f"{cpu_s:.1f} s"),
    )


def main():
    rows, failed = [], []
    os.makedirs(h.WORK, exist_ok=True)
    for number, (board, loader) in enumerate((b, l) for b in BOARDS for l in boot_test.ways(b)):
        try:
            h.set_case(f"{number}")
            shutil.rmtree(h.case_dir(), ignore_errors=True)
            rows.append(ROW.format(*row(board, loader)))
            print("# " + rows[-1], flush=True)
        except (h.Failed, OSError, subprocess.SubprocessError) as e:  # the other boards still count
            failed.append(f"{board}{', cold' if loader else ''}: {e}")
        finally:
            h.end_all()
    print("\n".join(["bytes; RAM in MiB", ROW.format(*HEAD), *rows, *failed]))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
