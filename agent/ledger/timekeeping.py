"""What the agent knows of time: when wall and boot clock part, when time becomes trusted, and what was read before.

    none ──▶ held | disciplined : `anchor`, and every reading of this boot gets its date     clock_back
    held | disciplined ──▶ none : readings are kept undated                                  clock_lost
    wall clock steps by more than a second : `anchor`                                        clock_step
    the host was suspended : what it slept through is a gap                                  power_off

The boot clock never steps, so an anchor dates all of a boot, what lies before it too (reliability reference, §5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.evidence.reader import Epoch, Reader
from agent.ledger.slots import Known
from contract.records import Anchor, Reading, decode, instant
from drivers.clock import DRIFT_PPM, Clock

SUSPENDED_MS = 1000  # the boot clock's lead over the one that stands still while the host sleeps
STEP_MS = 1000  # between wall and boot clock since the last look at them: more than any slewing


@dataclass(frozen=True, slots=True)
class Undated:
    """A reading that was written while no time was to be trusted."""

    seq: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Turn:
    """What changed since the last look, which was at `since_ms` of the wall clock.

    stepped_ms: 0 if the clock did not step. suspended_ms: how long the host slept, 0 if it did not.
    """

    since_ms: int
    came: bool = False
    went: bool = False
    stepped_ms: int = 0
    suspended_ms: int = 0
    anchor: Anchor | None = None


@dataclass(slots=True)
class Timekeeper:
    """Watches one boot's clocks. `undated`: readings that wait for a date."""

    clock: Clock
    undated: list[Undated] = field(default_factory=list)
    trusted: bool = field(init=False)
    began_boot_ms: int = field(init=False)
    _offset_ms: int = field(init=False)
    _asleep_ms: int = field(init=False)  # of this boot so far
    _looked_ms: int = field(init=False)  # wall clock

    def __post_init__(self) -> None:
        self.trusted = self.clock.sync()[0] != "none"
        self.began_boot_ms = self.clock.boot_ms()
        self._offset_ms = self._offset()
        self._asleep_ms, self._looked_ms = self._asleep(), self.clock.wall_ms()

    def look(self) -> Turn:
        """To be called at least once an interval, before anything is dated."""
        state, error_ms = self.clock.sync()
        offset_ms = self._offset()
        before, self.trusted = self.trusted, state != "none"
        stepped_ms, self._offset_ms = offset_ms - self._offset_ms, offset_ms
        asleep_ms, since_ms = self._asleep(), self._looked_ms
        suspended_ms, self._asleep_ms = asleep_ms - self._asleep_ms, asleep_ms
        suspended_ms = suspended_ms if suspended_ms >= SUSPENDED_MS else 0
        self._looked_ms = self.clock.wall_ms()
        if not self.trusted:
            return Turn(since_ms, went=before, suspended_ms=suspended_ms)
        stepped = before and abs(stepped_ms) >= STEP_MS
        if before and not stepped:
            return Turn(since_ms, suspended_ms=suspended_ms)
        source = "site" if error_ms is None else "kernel"
        anchor = Anchor(instant(self.clock.wall_ms()), error_ms, source)
        return Turn(
            since_ms,
            came=not before,
            stepped_ms=stepped_ms if stepped else 0,
            suspended_ms=suspended_ms,
            anchor=anchor,
        )

    def began_ms(self) -> int:
        """UTC at which this began, by the present anchor."""
        return self.began_boot_ms + self._offset_ms

    def dated(self, undated: Undated, interval_s: int) -> Known:
        """A look with its date by the present anchor. Its error is put so high that it never counts as on its slot:
        `measured` is only what had a clock when it was read."""
        source = undated.reading.sources[0]
        at_ms = source.boot_ms + self._offset_ms
        drift_ms = abs(self.clock.boot_ms() - source.boot_ms) * DRIFT_PPM // 1_000_000
        return Known(
            at_ms,
            interval_s * 1000 + drift_ms,
            undated.reading.registers,
            replace(source, read_at=instant(at_ms)),
            undated.reading.checks,
            undated.reading.attempts,
        )

    def _asleep(self) -> int:
        return self.clock.boot_ms() - self.clock.awake_ms()

    def _offset(self) -> int:
        return self.clock.wall_ms() - self.clock.boot_ms()


def undated_of_boot(data: Path, epoch: Epoch, boot: str) -> list[Undated]:
    """Readings without date at the end of the log that a former life of the agent wrote in this very boot."""
    reader = Reader(data)
    try:
        return list(_undated(reader, epoch, boot))[::-1]
    finally:
        reader.close()


def _undated(reader: Reader, epoch: Epoch, boot: str) -> Iterator[Undated]:
    for seq, record, _ in reader.backwards(epoch):
        if record is None:
            continue
        if b'"boot":"%s"' % boot.encode() not in record or b'"kind":"anchor"' in record:
            return  # another boot, or dated already
        if b'"slot":null' in record and b'"kind":"reading"' in record:
            body = decode(record)[1]
            if isinstance(body, Reading):
                yield Undated(seq, body)
