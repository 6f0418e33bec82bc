"""`periods.closed` in a short-lived child process of low priority: what it reads back never is in the agent's memory.

    agent ──store, epoch, configuration, periods (pickle)──▶ child ──records of the store──▶ bodies (pickle) ──▶ agent

Lines keep their timing meanwhile: a thread would share the interpreter with them.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.evidence.reader import Epoch
from agent.ledger.kept import Bounds
from agent.ledger.periods import closed
from agent.ledger.restore import recent
from config.child import run_child
from contract.plan import Plan
from contract.records import Balance, Statement
from contract.tariff import period_finder

NICE = 10
OOM_SCORE = 500  # of 1000: where memory is short, this process goes and not the agent


async def close_in_child(
    data: Path, epoch: Epoch, config: dict[str, Any], periods: Mapping[Bounds, str]
) -> list[Statement | Balance]:
    """What is new for the periods, as an epoch's records have it. Raises ChildFailed; a cancelled child has ended."""
    said = await run_child("agent.ledger.closing_child", given=pickle.dumps((data, epoch, config, dict(periods))))
    bodies: list[Statement | Balance] = pickle.loads(said)
    return bodies


def main() -> None:
    with contextlib.suppress(OSError):  # a sandbox may forbid either
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    data, epoch, config, periods = pickle.load(sys.stdin.buffer)
    plan = Plan.from_config(config, period_finder(config))
    bodies = list(closed(plan, lambda from_s, to_s, *which: recent(data, epoch, from_s, to_s, *which), periods))
    pickle.dump(bodies, sys.stdout.buffer)


if __name__ == "__main__":
    main()
