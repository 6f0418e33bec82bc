"""`hubiao`, with a probe in its event loop: `python -m bench.probed run --config …` as `hubiao run --config …`.

due ──lag──▶ called, due again in 10 ms        written at the end to the file named by PROBE_FILE: [monotonic s, lag s]
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from pathlib import Path

from agent.cli import cli
from agent.cli import run as run_verb
from drivers.loop import precise_loop

STEP_S = 0.01


class Probe:
    """Measures how late a loop is, over and over, as long as it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lags: list[tuple[float, float]] = []
        self._loop = loop
        self._set(loop.time() + STEP_S)

    def _set(self, due: float) -> None:
        self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now = self._loop.time()
        self.lags.append((round(now, 4), round(now - due, 5)))
        self._set(now + STEP_S)


def _probed_loop() -> asyncio.AbstractEventLoop:
    loop = precise_loop()
    probe = Probe(loop)
    atexit.register(lambda: Path(os.environ["PROBE_FILE"]).write_text(json.dumps(probe.lags)))
    return loop


if __name__ == "__main__":
    run_verb.precise_loop = _probed_loop  # type: ignore[attr-defined]  # the module, not the verb of the same name
    cli()
