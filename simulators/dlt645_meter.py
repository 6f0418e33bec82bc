"""A DL/T 645 meter on the bus: hears bytes, answers bytes, as the 1997 or the 2007 edition has it.

    hear: … 68 address 68 C L DATA CS 16 …  →  delay Td, FE × n, 68 own address 68 C+80H … 16

Silent to other addresses, wrong checksums, replies of other meters and reads sent to 99…; answers AA and short
addresses with its own; refuses every write. Items come from dlt645_memory; wires and faults are the bus's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from drivers.dlt645.frame import BROADCAST, ERROR, FROM_METER, MORE, WAKE, Frame, Parser, encode
from simulators.dlt645_memory import Happening, Memory
from simulators.household import DAY_MS, drawn
from simulators.park import Truth

ERR_OTHER, ERR_NO_DATA, ERR_PASSWORD = 0x01, 0x02, 0x04
READ, READ_NEXT, READ_ADDRESS, BROADCAST_TIME, FREEZE = 0x11, 0x12, 0x13, 0x08, 0x16
REFUSED_2007 = frozenset((0x14, 0x15, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C))
READ_1997, READ_NEXT_1997, READ_AGAIN_1997 = 0x01, 0x02, 0x03
REFUSED_1997 = frozenset((0x04, 0x0A, 0x0C, 0x0F, 0x10))
LONGEST_DATA = 200  # L of a reply; the standard's limit
CLOCK_STEP_MS = 5 * 60_000  # a broadcast time further away than this is ignored


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes that a meter puts on the wire so long after the request's last character."""

    delay_s: float
    data: bytes


class Dlt645Meter:
    """One meter. `delay_s`: bounds of Td (the standard allows 0.02 to 0.5); `wake`: FE before a reply."""

    def __init__(
        self,
        truth: Truth,
        meter: dict[str, Any],
        *,
        delay_s: tuple[float, float] = (0.02, 0.06),
        wake: int | None = None,
        longest_data: int = LONGEST_DATA,
    ) -> None:
        self.id: str = meter["id"]
        self.address: str = meter["address"]
        self.baud, self.framing = int(meter["baud"]), str(meter["framing"])
        self.edition = "1997" if meter["protocol"] == "dlt645-1997" else "2007"
        self.longest_data = longest_data
        self.delay_s = delay_s
        nature = drawn(truth.seed, self.id, "nature")
        self.wake = nature % 5 if wake is None else wake
        self.memory = Memory(truth, self.id, clock_ms=(nature >> 8) % 41_000 - 20_000)
        self.memory.closing_aa = bool(nature >> 32 & 1) and self.edition == "1997"
        self._random = Random(drawn(truth.seed, self.id, "delays"))
        self._parser = Parser()
        self._long: tuple[str, list[bytes]] = ("", [])  # item and parts of an answer longer than a frame
        self._last = b""  # the last answer of a 1997 meter
        self._clock_set_day = -1

    def hear(self, data: bytes, at_ms: int) -> Reply | None:
        """Takes the bytes of a request, complete at `at_ms` (UTC, the truth's time); gives the answer, if any."""
        answer = None
        self._take_address(at_ms)
        for frame in self._parser.feed(data):
            if not frame.is_reply:
                answer = self.answer(frame, at_ms)
        if answer is None:
            return None
        low, high = self.delay_s
        return Reply(low + (high - low) * self._random.random(), bytes((WAKE,)) * self.wake + answer)

    def _take_address(self, at_ms: int) -> None:
        """The address that it has now: a meter may have been set to other high digits than configured."""
        configured = str(self.memory.meter["address"])
        other = self.memory.truth.faults.find("address", self.id, at_ms)
        self.address = f"{int(other.amount):06d}{configured[6:]}" if other else configured

    def forget(self) -> None:
        """The bus was silent for long, or the bytes were damaged: half a frame is no frame any more."""
        self._parser.damage()

    def answer(self, frame: Frame, at_ms: int) -> bytes | None:
        """The reply to a request without FE, None for silence."""
        if frame.address == BROADCAST:
            self._broadcast(frame, at_ms)
            return None
        if not self._is_meant(frame.address):
            return None
        if self.edition == "1997":
            return self._answer_1997(frame, at_ms)
        return self._answer_2007(frame, at_ms)

    def _is_meant(self, address: str) -> bool:
        """Own address, AA…, or the low bytes of the own address behind AA bytes."""
        while address.startswith("AA"):
            address = address[2:]
        return self.address.endswith(address)

    def _reply(self, control: int, data: bytes = b"") -> bytes:
        self._last = encode(Frame(self.address, FROM_METER | control, data))
        return self._last

    def _error(self, function: int, code: int) -> bytes:
        return self._reply(ERROR | function, bytes((code,)))

    def _answer_2007(self, frame: Frame, at_ms: int) -> bytes | None:
        function, data = frame.function, frame.data
        if function == READ:
            return self._read(data, at_ms)
        if function == READ_NEXT:
            return self._read_next(data)
        if function == READ_ADDRESS and not data:
            return self._reply(READ_ADDRESS, bytes.fromhex(self.address)[::-1])
        if function == FREEZE and data == b"\x99" * 4:
            self.memory.frozen.append(at_ms)
            return self._reply(FREEZE)
        if function in REFUSED_2007 and frame.address == self.address:
            return self._error(function, ERR_PASSWORD)
        return None

    def _read(self, data: bytes, at_ms: int) -> bytes | None:
        if len(data) < 4:
            return None
        di = data[3::-1].hex().upper()
        value = (
            self._load_records(di, data[4:], at_ms)
            if di.startswith("06")
            else self.memory.item_2007(di, at_ms)
            if len(data) == 4
            else None
        )
        if value is None:
            return self._error(READ, ERR_NO_DATA)
        first, rest = value[: self.longest_data - 4], value[self.longest_data - 4 :]
        step = self.longest_data - 5
        self._long = (di, [rest[at : at + step] for at in range(0, len(rest), step)])
        return self._reply(READ | (MORE if rest else 0), data[:4] + first)

    def _load_records(self, di: str, extra: bytes, at_ms: int) -> bytes | None:
        if len(extra) != {"01": 6}.get(di[6:], min(len(extra), 1)):
            return None
        try:
            return self.memory.load_records(di, extra, at_ms)
        except ValueError:  # a time that is none
            return None

    def _read_next(self, data: bytes) -> bytes | None:
        """12H: SEQ counts from 01; the answer repeats it as its last byte."""
        if len(data) != 5:
            return None
        di, number = data[3::-1].hex().upper(), data[4]
        known, parts = self._long
        if di != known or not 1 <= number <= len(parts):
            return self._error(READ_NEXT, ERR_OTHER)
        more = MORE if number < len(parts) else 0
        return self._reply(READ_NEXT | more, data[:4] + parts[number - 1] + data[4:])

    def _answer_1997(self, frame: Frame, at_ms: int) -> bytes | None:
        function, data = frame.function, frame.data
        if function == READ_1997:
            value = self.memory.item_1997(data[1::-1].hex().upper(), at_ms) if len(data) == 2 else None
            return self._error(function, ERR_NO_DATA) if value is None else self._reply(function, data + value)
        if function == READ_NEXT_1997:
            return self._error(function, ERR_NO_DATA)
        if function == READ_AGAIN_1997 and not data:
            return self._last or None
        if function in REFUSED_1997 and frame.address == self.address:
            return self._error(function, ERR_OTHER)
        return None

    def _broadcast(self, frame: Frame, at_ms: int) -> None:
        """08H sets the clock and 16H freezes; nobody answers."""
        if frame.function == FREEZE and frame.data == b"\x99" * 4 and self.edition == "2007":
            self.memory.frozen.append(at_ms)
        if frame.function != BROADCAST_TIME or len(frame.data) != 6:
            return
        shown = self.memory.local(at_ms)
        try:
            second, minute, hour, day, month, year = (int(f"{byte:02x}") for byte in frame.data)
            asked = shown.replace(2000 + year, month, day, hour, minute, second, 0)
        except ValueError:
            return
        step_ms = round((asked - shown).total_seconds() * 1000)
        today = self.memory.truth.calendar.split(at_ms + self.memory.clock_ms)[0]
        near_midnight = not 5 * 60 <= (shown.hour * 60 + shown.minute) * 60 + shown.second <= DAY_MS // 1000 - 5 * 60
        if abs(step_ms) > CLOCK_STEP_MS or near_midnight or today == self._clock_set_day:
            return
        self._clock_set_day = today
        self.memory.clock_ms += step_ms
        self.memory.events.setdefault("033004", []).append(Happening(at_ms, at_ms + step_ms))
