"""What a line does between its sweeps: chores in the order of their worth, one step at a time.

    sweep │ step │ step │ step │ …waits… │ sweep        a step that is under way when the sweep is due is broken off

Breaking off is safe: the line hears the exchange out by itself, and a chore does the step again later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from agent.polling.airtime import Airtime, Work
from agent.reading import Finding
from drivers.errors import DriverError, PortGone

logger = logging.getLogger(__name__)
LEAST_S = 8.0  # of idle time for a step to begin: some exchanges, each with its silences
MARGIN_S = 4.0  # before the sweep: an exchange that was broken off is heard out meanwhile


class Chore(Protocol):
    """Something to be done for the meters of a line when nothing else is."""

    work: Work

    def saw(self, finding: Finding) -> None:
        """What the sweep just found."""
        ...

    async def step(self) -> bool:
        """Does the next few exchanges of what is due; False if nothing is. Raises DriverError; may be cancelled."""
        ...


class Idle:
    """The chores of one line, the most worthy first."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores

    def saw(self, finding: Finding) -> None:
        for chore in self._chores:
            chore.saw(finding)

    async def work(self, wait_s: float, airtime: Airtime) -> bool:
        """One step, if the time until the next sweep allows one and any chore has one. Raises PortGone."""
        if wait_s < LEAST_S:
            return False
        try:
            async with asyncio.timeout(wait_s - MARGIN_S):
                for chore in self._chores:
                    with airtime.on(chore.work):
                        if await self._step(chore):
                            return True
        except TimeoutError:
            return True
        return False

    async def _step(self, chore: Chore) -> bool:
        try:
            return await chore.step()
        except PortGone:
            raise
        except DriverError as error:
            logger.info("put off: %s", error)
            return True
