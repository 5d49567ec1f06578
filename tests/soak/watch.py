"""What the soak tests look at: a server's memory and descriptors, what it says of itself, and curves of both."""

import os

from harness import POSTERN, Failed, check, run


def memory_kb(pid, key="VmHWM"):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise Failed(f"/proc/{pid}/status has no {key}")


def num_files(pid, under=""):
    """Open descriptors; only those of files whose path begins with that, if given."""
    number = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            number += os.readlink(f"/proc/{pid}/fd/{name}").startswith(under)
        except OSError:
            pass  # closed in the meantime
    return number


def ask(server, *words):
    """What `postern WORDS` says, as a dictionary of its `key: value` lines; None while no server answers."""
    status, out = run(POSTERN, *words, "-c", server.conf_path)
    if status != 0:
        return None
    return dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)


def budget_kb(server):
    """The figure of `postern budget`."""
    told = ask(server, "budget")
    check(told and "all" in told, f"postern budget: {told}")
    return int(told["all"].split()[0]) // 1024


class Curves:
    """Named series over time, drawn one above the other into an SVG file."""

    WIDTH, HEIGHT, LEFT, GAP = 900, 150, 90, 40

    def __init__(self, title):
        self.title = title
        self.times = []
        self.series = {}
        self.marks = []

    def add(self, time_s, **values):
        self.times.append(time_s)
        for name, value in values.items():
            self.series.setdefault(name, []).append(value)

    def mark(self, time_s, colour):
        """A line across all curves."""
        self.marks.append((time_s, colour))

    def _x(self, time_s):
        return self.LEFT + self.WIDTH * time_s / max(self.times[-1], 1)

    def _curve(self, name, values, top):
        most = max(max(values), 1)
        bottom = top + self.HEIGHT
        points = " ".join(f"{self._x(t):.1f},{bottom - self.HEIGHT * v / most:.1f}" for t, v in zip(self.times, values))
        lines = "".join(
            f'<line x1="{self._x(t):.1f}" x2="{self._x(t):.1f}" y1="{top}" y2="{bottom}" stroke="{colour}"/>'
            for t, colour in self.marks
        )
        return (
            f'<text x="{self.LEFT}" y="{top - 6}">{name}</text>'
            f'<text x="{self.LEFT - 6}" y="{top + 10}" text-anchor="end">{most}</text>'
            f'<text x="{self.LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
            f'<rect x="{self.LEFT}" y="{top}" width="{self.WIDTH}" height="{self.HEIGHT}" fill="none" stroke="#999"/>'
            f'{lines}<polyline points="{points}" fill="none" stroke="#036" stroke-width="1.5"/>'
        )

    def write(self, path):
        if not self.times:
            return
        height = 60 + len(self.series) * (self.HEIGHT + self.GAP)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.WIDTH + self.LEFT + 20}" height="{height}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
            f'<text x="{self.LEFT}" y="20" font-size="14">{self.title}; {self.times[-1] / 60:.0f} minutes from left to right</text>'
        ]
        top = 50
        for name, values in self.series.items():
            parts.append(self._curve(name, values, top))
            top += self.HEIGHT + self.GAP
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write("\n".join(parts) + "</svg>\n")
        os.rename(path + ".new", path)
