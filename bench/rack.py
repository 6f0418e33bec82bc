"""A whole line of meters in one device: answers settlement questions of 32 addresses as fast as a microcontroller.

Knows three shapes of meter: DL/T 645-2007 blocks and totals, Modbus blocks (Acrel's registers). Registers grow by a
count now and then; what else is asked is refused. The simulators' own meters compute a household for each answer, which
costs more than the agent under measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from drivers.dlt645.frame import WAKE, Frame, Parser, encode
from drivers.modbus.adu import RequestParser, refusal_of, reply_to
from simulators.dlt645_meter import Reply

REFUSED = b"\x02"  # ERR: no such data
FIRST, WORDS = 0x000A, 0x40  # Acrel's import and its four tariffs; registers in all
ILLEGAL_ADDRESS = 2
TICK_MS = 60_000  # a count of each register
BASE = 300_000  # counts: registers of as many digits as after some years


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
        tariffs = [BASE + 1000 * number * n for n in range(1, 5)]
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
            return bytes((WAKE,)) * self.wake + encode(self._answer(frame, self.counts(number, at_ms)))
        return None

    def _answer(self, frame: Frame, counts: list[int]) -> Frame:
        wanted = {b"\x00\xff\x01\x00": counts, b"\x00\x00\x01\x00": counts[:1]}.get(frame.data)
        if frame.control != 0x11 or wanted is None:
            return Frame(frame.address, frame.control | 0xC0, REFUSED)
        values = b"".join(bytes.fromhex(f"{count:08d}")[::-1] for count in wanted)
        return Frame(frame.address, 0x91, frame.data + values)
