"""The search for the least RAM of boards_table.py, against machines that serve from a known size on."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import boards_table as t  # noqa: E402
import machine as m  # noqa: E402

h = m.h


class Known(t.Tried):
    """Serves with that many MiB and more; counts what it is asked."""

    def __init__(self, least):
        self.machine = type("Board", (), {"board": "known"})
        self.known, self.asked = least, []

    def serves(self, ram):
        self.asked.append(ram)
        return ram >= self.known


def test_least():
    for least in range(t.TOO_LITTLE_MIB + 1, t.ENOUGH_MIB + 1):
        known = Known(least)
        h.check_equal(known.least(), least, "least MiB")
        h.check(least in known.asked and (least == t.TOO_LITTLE_MIB + 1 or least - 1 in known.asked), f"{least}: asked {known.asked}")
        h.check(len(known.asked) <= 12, f"{least}: booted {len(known.asked)} times")


def test_never():
    try:
        Known(t.ENOUGH_MIB + 1).least()
    except h.Failed as e:
        h.check("does not serve with 128 MiB" in str(e), str(e))
        return
    raise h.Failed("it was found")


def test_goals():
    """Each board that boots has them, as figures."""
    for board in ("armv7", "mips24kc", "vm-amd64", "arm64", "i386"):
        for name in ("BUDGET_FLASH", "BUDGET_RSS", "BUDGET_STACK"):
            h.check(t.made_with(board, name).isdigit(), f"{board} has no {name}")
        for way in t.boot_test.ways(board):
            h.check(t.boot_test.least_mib(board, way) > t.TOO_LITTLE_MIB, board)


if __name__ == "__main__":
    h.main(globals())
