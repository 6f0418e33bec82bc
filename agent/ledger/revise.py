"""What a better value changes among slots that were answered already (pure).

    look ●───?───?───?───● look        estimated on one line
    look ●───?───◆───?───● look        a witness comes: its slot takes its value, the others lie on two lines

Works on what the log says of one meter's slots, however old, and gives readings of the next revision; the ledger
follows by itself. Live readings at their slot yield only to the meter's own memory and to hand-over readings.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.ledger.shape import Shape
from agent.ledger.slots import Bridge, Known, SlotReading, tolerance_ms
from agent.reading import Witness
from agent.validation import Limits, faults_between
from contract.records import Reading, Why, parse_instant

OWN_MEMORY = ("freeze", "load_profile")
SETTLED = ("import", "export")  # registers that points are settled on: none may be lost by a revision


@dataclass(frozen=True, slots=True)
class Stood:
    """What the log says of a meter's slot: its newest record. `reading` is None for a gap, `why` that of the gap."""

    seq: int
    revision: int
    reading: Reading | None
    why: Why | None = None


class Revised(NamedTuple):
    """A slot's new value; `instead` is None where nothing answered the slot before."""

    value: SlotReading
    instead: Stood | None


class Refused(NamedTuple):
    """A witness that contradicts its neighbours: register → event code."""

    witness: Witness
    faults: dict[str, str]


@dataclass(frozen=True, slots=True)
class Meter:
    """What is needed of the meter whose past is revised. `due`: whether it measured at a slot."""

    interval_s: int
    floor: Callable[[int], int]  # UTC seconds → the slot at or before
    due: Callable[[int], bool]
    limits: Limits
    shape: Shape | None = None


@dataclass(slots=True)
class Revision:
    """The outcome: new values by slot, steps that a register passed through zero in, witnesses that were not used."""

    values: list[Revised]
    rolled: list[tuple[int, int]]  # UTC ms from, to
    refused: list[Refused]


def revise(meter: Meter, past: Mapping[int, Stood], witnesses: Iterable[Witness]) -> Revision:
    """Puts witnesses among the looks that the past rests on, and values every slot that they touch again."""
    looks = _Looks(meter, past)
    refused = [found for witness in sorted(witnesses, key=lambda w: w.at_ms) if (found := looks.add(witness))]
    values = []
    for slot_s in looks.touched():
        stood = past.get(slot_s)
        value = looks.value(slot_s, stood)
        if value is not None and not _same(value, stood):
            values.append(Revised(value, stood))
    return Revision(values, looks.rolled(), refused)


class _Looks:
    """All that was ever seen of a meter around the witnesses, in order of time."""

    def __init__(self, meter: Meter, past: Mapping[int, Stood]) -> None:
        self._meter = meter
        self._direct: dict[int, Witness] = {}  # slot → the witness that is its value
        self._new: list[int] = []  # instants of the witnesses, ms
        known: dict[int, Known] = {}
        for stood in past.values():
            if stood.reading is not None:
                for look in _looks_of(stood.reading):
                    known[look.at_ms] = look
        self._known = known
        self._times = sorted(known)

    def add(self, witness: Witness) -> Refused | None:
        """Takes a witness unless it cannot lie between what was seen before and after it."""
        before, after = self._neighbours(witness.at_ms)
        look = Known(witness.at_ms, 0, witness.registers, witness.source, list(witness.checks), witness.attempts)
        for first, last in ((before, look), (look, after)):
            if first is None or last is None or first.at_ms == last.at_ms:
                continue
            faults = faults_between(self._meter.limits, first.registers, last.registers, last.at_ms - first.at_ms)
            if any(code != "rollover" for code in faults.values()):
                return Refused(witness, faults)
        if witness.at_ms not in self._known:
            self._times.insert(bisect_left(self._times, witness.at_ms), witness.at_ms)
        self._known[witness.at_ms] = look
        self._new.append(witness.at_ms)
        slot_s = self._slot_of(witness)
        if slot_s is not None:
            self._direct[slot_s] = witness
        return None

    def touched(self) -> list[int]:
        """Slots whose value may rest on a witness: from the look before it to the look after it."""
        slots = set(self._direct)
        step_s = self._meter.interval_s
        for at_ms in self._new:
            place = bisect_left(self._times, at_ms)
            first_ms = self._times[max(0, place - 1)]
            last_ms = self._times[min(len(self._times) - 1, place + 1)]
            slots |= set(range(self._meter.floor(first_ms // 1000), last_ms // 1000 + 1, step_s))
        return sorted(slot_s for slot_s in slots if self._meter.due(slot_s))

    def value(self, slot_s: int, stood: Stood | None) -> SlotReading | None:
        """What the slot's value should be now; None to leave it as it is."""
        witness = self._direct.get(slot_s)
        if witness is not None and _beats(witness, stood):
            checks, attempts = list(witness.checks), witness.attempts
            return SlotReading(
                slot_s, witness.method, "measured", None, witness.registers, [witness.source], checks, attempts, None
            )
        if not _soft(stood):
            return None
        before, after = self._neighbours(slot_s * 1000)
        if before is None or after is None or before.at_ms == after.at_ms:
            return None
        bridge = Bridge(before, after, self._meter.interval_s, self._meter.limits.modulus, self._meter.shape)
        return bridge.at(slot_s) if bridge.holds() else None

    def rolled(self) -> list[tuple[int, int]]:
        """Stretches between neighbouring looks, one of them new, in which a register fell."""
        stretches = []
        for at_ms in self._new:
            place = bisect_left(self._times, at_ms)
            for first_ms, last_ms in zip(
                self._times[max(0, place - 1) :], self._times[place : place + 2], strict=False
            ):
                first, last = self._known[first_ms].registers, self._known[last_ms].registers
                if any(last[name] < first[name] for name in first.keys() & last.keys()):
                    stretches.append((first_ms, last_ms))
        return stretches

    def _neighbours(self, at_ms: int) -> tuple[Known | None, Known | None]:
        """The newest look at or before an instant and the oldest at or after it."""
        below, above = bisect_right(self._times, at_ms), bisect_left(self._times, at_ms)
        before = self._known[self._times[below - 1]] if below else None
        after = self._known[self._times[above]] if above < len(self._times) else None
        return before, after

    def _slot_of(self, witness: Witness) -> int | None:
        if witness.slot_s is not None:
            return witness.slot_s
        step_s = self._meter.interval_s
        nearest_s = self._meter.floor((witness.at_ms + step_s * 500) // 1000)
        near = abs(witness.at_ms - nearest_s * 1000) <= tolerance_ms(step_s)
        return nearest_s if near else None


def _looks_of(reading: Reading) -> Sequence[Known]:
    """The dated looks that a reading rests on."""
    return [
        Known(parse_instant(source.read_at), 0, source.registers, source, reading.checks, reading.attempts)
        for source in reading.sources
        if source.read_at is not None
    ]


def _beats(witness: Witness, stood: Stood | None) -> bool:
    """Whether a witness is better than what the slot has."""
    if stood is None or stood.reading is None:
        return True
    had = stood.reading
    if any(name in had.registers and name not in witness.registers for name in SETTLED):
        return False
    if had.quality != "measured" or witness.binding:
        return True
    differs = any(had.registers.get(name) != value for name, value in witness.registers.items())
    return witness.method in OWN_MEMORY and had.method not in OWN_MEMORY and differs


def _soft(stood: Stood | None) -> bool:
    """Whether the slot's value may follow its neighbours: open, a gap that a register's break did not cause, a line."""
    if stood is None or stood.reading is None:
        return stood is None or stood.why != "refused"
    return stood.reading.method == "interpolated"


def _same(value: SlotReading, stood: Stood | None) -> bool:
    if stood is None or stood.reading is None:
        return False
    had = stood.reading
    return (had.method, had.quality, had.estimate, had.registers) == (
        value.method,
        value.quality,
        value.estimate,
        value.registers,
    )
