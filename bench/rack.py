"""A whole line of meters in one device: answers settlement questions of 32 addresses as fast as a microcontroller.

Knows three shapes of meter: DL/T 645-2007 blocks and totals, Modbus blocks (Acrel's registers); DL/T 645 meters also
tell the time and keep load records or hourly freezes (Keeps). Registers grow by a count now and then; what else is
asked is refused. The simulators' own meters compute a household for each answer, which
costs more than the agent under measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from drivers.dlt645 import load_record
from drivers.dlt645.frame import WAKE, Frame, Parser, encode
from drivers.dlt645.requests import ENERGY_CLASS
from drivers.modbus.adu import RequestParser, refusal_of, reply_to
from simulators.dlt645_meter import Reply

REFUSED = b"\x02"  # ERR: no such data
FIRST, WORDS = 0x000A, 0x40  # Acrel's import and its four tariffs; registers in all
ILLEGAL_ADDRESS = 2
TICK_MS = 60_000  # a count of each register
UTC_OFFSET_MS = 28_800_000  # of the meters' clocks
MOST_KEPT = 4  # load records in one answer, which is one frame then
BASE = 300_000  # counts: registers of as many digits as after some years
SPREAD, MOST_SPREAD = 7_919_731, 900_000


@dataclass(slots=True)
class Keeps:
    """What a DL/T 645 meter keeps of its registers.

    kind: `load_profile`, `freeze` (hourly ones, which may have another step), `timed` (freezes with tariffs), "" for
    nothing. late_ms: how long after the instant it is there. off_ms: the meter's clock minus true time.
    """

    kind: str = ""
    step_ms: int = 900_000
    late_ms: int = 3_000
    off_ms: int = 0
    filler: bool = False  # FF instead of what it kept


@dataclass(slots=True)
class Rack:
    """meters: numbers 1…N, as unit or as the last digits of the address. silent: those that do not answer now."""

    protocol: str
    meters: Iterable[int]
    delay_s: float
    baud: int
    framing: str
    wake: int = 4
    id: str = "rack"
    silent: set[int] = field(default_factory=set)
    slow: dict[int, float] = field(default_factory=dict)  # number → delay of its own
    asked: int = 0  # number of the meter asked last, 0: none of ours
    tick_ms: int = TICK_MS
    keeps: Keeps = field(default_factory=Keeps)
    others: dict[int, Keeps] = field(default_factory=dict)  # number → what it keeps instead
    spread: int = 0  # makes registers differ from those of the same numbers on other lines
    _frames: Parser = field(default_factory=Parser)
    _requests: RequestParser = field(default_factory=RequestParser)

    def hear(self, data: bytes, at_ms: int) -> Reply | None:
        self.asked = 0
        answer = self._modbus(data, at_ms) if self.protocol == "modbus" else self._dlt645(data, at_ms)
        if answer is None:
            return None
        return Reply(self.slow.get(self.asked, self.delay_s), answer)

    def forget(self) -> None:
        self._frames.damage()
        self._requests.damage()

    def counts(self, number: int, at_ms: int) -> list[int]:
        """Total and four tariffs in 0.01 kWh; the fourth runs."""
        running = at_ms // self.tick_ms % 10_000_000
        tariffs = [BASE + 1000 * number * n + SPREAD * self.spread * number * n % MOST_SPREAD for n in range(1, 5)]
        tariffs[3] += running
        return [sum(tariffs), *tariffs]

    def _modbus(self, data: bytes, at_ms: int) -> bytes | None:
        for request in self._requests.feed(data):
            self.asked = request.unit
            if request.unit in self.silent or request.unit not in self.meters:
                return None
            if request.address + request.quantity > WORDS:
                return refusal_of(request, ILLEGAL_ADDRESS)
            words = [0] * WORDS
            for n, count in enumerate(self.counts(request.unit, at_ms)):
                words[FIRST + 2 * n : FIRST + 2 * n + 2] = count >> 16, count & 0xFFFF
            return reply_to(request, words[request.address : request.address + request.quantity])
        return None

    def _dlt645(self, data: bytes, at_ms: int) -> bytes | None:
        for frame in self._frames.feed(data):
            if frame.is_reply:
                continue
            number = self.asked = int(frame.address[-6:])
            if number in self.silent or number not in self.meters:
                return None
            data = self._data(frame.data[3::-1].hex().upper(), frame.data[4:], number, at_ms)
            if frame.control != 0x11 or data is None:
                answer = Frame(frame.address, frame.control | 0xC0, REFUSED)
            else:
                answer = Frame(frame.address, 0x91, frame.data[:4] + data)
            return bytes((WAKE,)) * self.wake + encode(answer)
        return None

    def _data(self, di: str, parameters: bytes, number: int, at_ms: int) -> bytes | None:
        if di == "0001FF00":
            return b"".join(_bcd(count) for count in self.counts(number, at_ms))
        if di == "00010000":
            return _bcd(self.counts(number, at_ms)[0])
        keeps = self.others.get(number, self.keeps)
        if di == "04000102":
            shown = _shown(at_ms + keeps.off_ms)
            return bytes.fromhex(f"{shown:%S%M%H}")
        newest = (at_ms - keeps.late_ms + UTC_OFFSET_MS + keeps.off_ms) // keeps.step_ms
        if di in ("06040001", "06040002") and keeps.kind == "load_profile":
            return self._records(di, parameters, number, keeps, newest)
        if di[:4] == "0504" and di[4:6] in ("FF", "00", "01") and keeps.kind == "freeze":
            at, counts = self._kept(number, keeps, newest + 1 - int(di[6:], 16))
            stamp = load_record.AT.encode(at)
            return {"FF": stamp + counts[:4] + _bcd(0), "00": stamp, "01": counts[:4]}[di[4:6]]
        if di[:6] in ("050000", "050001") and keeps.kind == "timed":
            at, counts = self._kept(number, keeps, newest + 1 - int(di[6:], 16))
            return load_record.AT.encode(at) if di[4:6] == "00" else counts
        return None

    def _records(self, di: str, parameters: bytes, number: int, keeps: Keeps, newest: int) -> bytes | None:
        first, most = newest, 1
        if di == "06040001":
            minute, hour, day, month, year = (int(f"{byte:02x}") for byte in parameters[1:6])
            since = datetime(2000 + year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000
            first, most = -(-int(since) // keeps.step_ms), min(parameters[0], MOST_KEPT)
        records = b""
        for place in range(first, min(first + most, newest + 1)):
            at, counts = self._kept(number, keeps, place)
            records += load_record.build(at, {ENERGY_CLASS: counts[:4] + _bcd(0) * 3})
        return records or None

    def _kept(self, number: int, keeps: Keeps, place: int) -> tuple[str, bytes]:
        """Date of the record at a step of the meter's clock; import then, total and tariffs."""
        shown_ms = place * keeps.step_ms - UTC_OFFSET_MS
        counts = b"".join(_bcd(count) for count in self.counts(number, shown_ms - keeps.off_ms))
        return f"{_shown(shown_ms):%Y-%m-%d %H:%M}", b"\xff" * len(counts) if keeps.filler else counts


def _bcd(count: int) -> bytes:
    return bytes.fromhex(f"{count:08d}")[::-1]


def _shown(at_ms: int) -> datetime:
    return datetime.fromtimestamp((at_ms + UTC_OFFSET_MS) / 1000, UTC)
