"""Closes billing periods beside everything else: which are due, across restarts too, and the work, one at a time.

    books ──ripe──▶ want ──▶ due ──note──▶ closings.json ──commit──▶ work (a child process) ──Closed──▶ recorder ──▶ log
                                                                                           commit ──▶ due no more

What is due stands on disk before the records that made it due, and goes after the records that close it are durable: a
stop in between costs the work, never a statement. Reading a month back may take minutes on a small box.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.ledger.kept import Bounds
from config.child import ChildFailed
from contract.records import Balance, Statement, parse_slot, slot_instant
from drivers.clock import Clock

logger = logging.getLogger(__name__)
AGAIN_S = 3600  # after work that failed
Close = Callable[[Mapping[Bounds, str]], Awaitable[list[Statement | Balance]]]  # bounds → why, as `periods.closed`


@dataclass(frozen=True, slots=True)
class Closed:
    """What is to be written for the periods that were worked on."""

    bodies: list[Statement | Balance]


@dataclass(slots=True)
class Closings:
    """The recorder's side of it. close: does the work. path: where what is due is kept, None for nowhere."""

    clock: Clock
    close: Close
    path: Path | None = None
    due: dict[Bounds, str] = field(init=False)
    _at_work: dict[Bounds, str] = field(default_factory=dict)  # until what follows is durable
    _task: asyncio.Task[None] | None = None
    _is_taken: bool = False  # what follows is in the commit to come
    _noted: dict[Bounds, str] = field(init=False)

    def __post_init__(self) -> None:
        self._noted = {} if self.path is None else _read(self.path)
        self.due = dict(self._noted)

    def want(self, periods: Mapping[Bounds, str]) -> None:
        """Periods that are over, or were and have changed."""
        self.due |= periods

    def note(self) -> None:
        """Before the commit of what made them due."""
        wanted = self._at_work | self.due
        if wanted != self._noted and self.path is not None:
            _write(self.path, wanted)
            self._noted = wanted

    def committed(self, put: Callable[[Closed], Awaitable[None]]) -> None:
        """After a commit that is durable: what it closed is done, and what is due begins."""
        if self._is_taken:
            self._is_taken, self._at_work, self._task = False, {}, None
            self.note()
        if self.due and self._task is None:
            self._at_work, self.due = self.due, {}
            self._task = asyncio.create_task(self._work(put), name="closings")

    def taken(self) -> None:
        """What `put` was given will be in the next commit."""
        self._is_taken = True

    async def worked(self) -> bool:
        """Waits until what is worked on is handed over; False if nothing is."""
        if self._task is None:
            return False
        await asyncio.wait([self._task])
        return True

    async def stop(self) -> None:
        """Ends the work. What was due is due at the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self, put: Callable[[Closed], Awaitable[None]]) -> None:
        try:
            with self.clock.hold():
                bodies = await self.close(self._at_work)
        except ChildFailed as error:
            logger.error("billing periods wait: %s", error)
            await self.clock.sleep(AGAIN_S)
            self.due, self._at_work, self._task = self._at_work | self.due, {}, None
            return
        await put(Closed(bodies))


def _read(path: Path) -> dict[Bounds, str]:
    """What was due; nothing if the file is not there or says nothing of use, which a torn write may leave."""
    try:
        return {(parse_slot(from_), parse_slot(to)): str(why) for from_, to, why in json.loads(path.read_bytes())}
    except (OSError, ValueError, TypeError):
        return {}


def _write(path: Path, due: Mapping[Bounds, str]) -> None:
    """A disk that refuses takes no records either: then they are due once more."""
    rows = [[slot_instant(from_s), slot_instant(to_s), why] for (from_s, to_s), why in sorted(due.items())]
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        logger.warning("%s: %s", path, error)
