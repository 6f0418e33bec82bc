"""`make bench`: every measurement once, one line each, as docs/performance.md keeps them. About an hour.

Each part is a program of its own (`python -m bench.line`, `bench.slots` …) that prints JSON; this runs them one after
the other, so that none disturbs another, and shows what they said.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bytes on the wire of a confirmed tariff reading", ("bench.bytes",)),
    ("efficiency of lines, healthy and with dead meters", ("bench.line",)),
    ("slots of a slow line, 2400 baud, 32 meters", ("bench.slots",)),
    ("the same with 64 that keep load records", ("bench.slots", "--meters", "64", "--memory", "load_profile")),
    ("64 lines behind TCP converters, 2,048 meters", ("bench.many",)),
    ("the event loop while the disk hangs", ("bench.stall",)),
    ("a month on a metered uplink, 60 meters", ("bench.uplink",)),
    ("process start to first request, 32 meters", ("bench.agent", "--start-only", "--lines", "1", "--runs", "3")),
    ("the whole agent, 256 meters on 8 lines", ("bench.agent", "--minutes", "3")),
    ("drain of a backlog against paho alone", ("bench.drain",)),
    ("a day with all faults", ("bench.soak", "--days", "1", "--minutes", "3")),
)


def main() -> int:
    """Runs all parts; the first that fails ends it, with what it said on stderr and its return code."""
    argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n\n")[0]).parse_args()
    for title, (module, *arguments) in PARTS:
        sys.stdout.write(f"\n# {title}: python -m {module} {' '.join(arguments)}\n")
        sys.stdout.flush()
        part = subprocess.run([sys.executable, "-m", module, *arguments], stderr=subprocess.PIPE, text=True)
        if part.returncode:
            sys.stderr.write(f"{part.stderr}python -m {module} failed with {part.returncode}\n")
            return part.returncode if part.returncode > 0 else 128 - part.returncode  # by a signal
    return 0


if __name__ == "__main__":
    sys.exit(main())
