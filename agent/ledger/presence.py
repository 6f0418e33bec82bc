"""Who is there: meters and lines that fall silent and come back, and what a meter says of itself.

Tells it in events, and to `metered` what a gap's reason will be. Whether a value is believed is the validator's matter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from agent.ledger.journal import Journal
from agent.ledger.metered import Metered, states_another
from agent.reading import LineState, Missed, Stated
from contract.records import plain

logger = logging.getLogger(__name__)
SILENT_SWEEPS = 3  # without an answer before a meter is said to be gone


class Presence:
    """lines_down: line → since when, wall ms."""

    def __init__(self, meters: Mapping[str, Metered], journal: Journal) -> None:
        self._meters, self._journal = meters, journal
        self.lines_down: dict[str, int] = {}

    def missed(self, metered: Metered, missed: Missed) -> None:
        """A meter that was asked and did not answer."""
        metered.silent += 1
        metered.slots.why = missed.why
        if metered.silent == 1:
            logger.warning("no reading line=%s meter=%s why=%s %s", metered.line, metered.id, missed.why, missed.detail)
        if metered.silent == SILENT_SWEEPS:
            metered.gone_since_ms = missed.wall_ms
            details = {"why": missed.why, "detail": missed.detail}
            self._journal.event("meter", metered.id, "meter_gone", details, at_ms=missed.wall_ms)

    def answered(self, metered: Metered, at_ms: int) -> None:
        """A meter that was silent may be back."""
        if metered.gone_since_ms is not None:
            self._journal.event("meter", metered.id, "meter_back", {}, at_ms=metered.gone_since_ms, to_ms=at_ms)
        if metered.silent:
            logger.info("meter answers again line=%s meter=%s", metered.line, metered.id)
        metered.silent, metered.gone_since_ms = 0, None

    def line(self, state: LineState) -> None:
        """A port that is lost takes all its meters along."""
        if state.up:
            since_ms = self.lines_down.pop(state.line, None)
            if since_ms is not None:
                self._journal.event("line", state.line, "line_back", {}, at_ms=since_ms, to_ms=state.wall_ms)
        else:
            self.lines_down[state.line] = state.wall_ms
            for metered in self._meters.values():
                if metered.line == state.line:
                    metered.slots.why = "port"
            self._journal.event("line", state.line, "line_gone", {"detail": state.detail}, at_ms=state.wall_ms)

    def stated(self, metered: Metered, stated: Stated) -> None:
        """Another serial number, or ratios set otherwise, than the configuration says."""
        if stated.serial is not None:
            self._identity(metered, stated.serial, stated.wall_ms)
        for name, value in stated.ratios.items():
            expected = metered.ratios.get(name)
            if expected is None or value == expected or metered.told.get(name) == value:
                continue
            metered.told[name] = value
            details = {"ratio": name, "configured": plain(expected), "meter": plain(value)}
            self._journal.event("meter", metered.id, "ratio_mismatch", details, at_ms=stated.wall_ms)

    def _identity(self, metered: Metered, serial: str, at_ms: int) -> None:
        stranger = serial if states_another(metered.serial, serial) else None
        if stranger is not None and stranger != metered.stranger:
            details = {"configured": metered.serial, "meter": serial}
            logger.warning("serial_changed line=%s meter=%s %s", metered.line, metered.id, details)
            self._journal.event("meter", metered.id, "serial_changed", details, at_ms=at_ms)
            metered.slots.why = "refused"
        if metered.serial is None:
            metered.serial = serial
        metered.stranger = stranger
