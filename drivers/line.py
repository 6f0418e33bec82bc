"""Sole owner of one bus: one exchange at a time, in the order of asking, each from silence to answer.

    gate | wait for silence | change speed | preamble request | … | reply          → Answer
                                                              | … nothing …        → Silent
                                                              | … something else … → Garbled

Knows frames only through the exchange's reader. Reopening a lost port is the supervisor's work; asking again after a
fault is the caller's. A caller may be cancelled at any point: an exchange that has begun runs to its end, so the next
one finds a bus without a half conversation. Late answers are `late.py`'s concern.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from drivers import gate
from drivers.clock import Clock
from drivers.errors import DriverError, Garbled, PortGone, Silent
from drivers.exchange import Answer, Exchange, Noticed, ReplyReader
from drivers.late import LATE_FACTOR, OwedAnswers
from drivers.meter import Bus
from drivers.ports import Chunk, Foreseeing, Port, Settings

TIMER_MARGIN_S = 0.03  # a busy gateway wakes up to 30 ms late (reference/performance.md §6)
GAP_DLT645_S = 0.5  # Tb: the longest pause between two bytes of a frame (DL/T 645-2007)
GAP_MODBUS_S = 0.1  # the standard's 1.5 characters do not survive USB adapters, which bunch bytes every 16 ms
SHORT_S = 0.03  # a silence that is slept through: what came meanwhile is looked at behind it, and begins it anew
NEVER_QUIET_S = 3.0  # a bus that does not pause for so long belongs to another master or a broken device
LONGEST_REPLY = 271  # characters: four FE and a DL/T 645 frame with 255 bytes of data
FORGETS = 0.9  # a slow answer counts half after seven others: a hiccup shall not be waited for at each dead meter
MOST_EVIDENCE = 512  # bytes of a garbled reply that an error carries

Trace = Callable[[str, bytes, int], None]  # "tx", "rx" or "damaged" (a byte lost to parity), the bytes, boot_ms

log = logging.getLogger(__name__)


@dataclass(slots=True)
class LineStatistics:
    """What a line did since it was made. busy_s: from a request's first byte to answer or giving up."""

    exchanges: int = 0  # requests that were sent
    answered: int = 0
    silent: int = 0
    garbled: int = 0
    forbidden: int = 0
    late: int = 0  # answers that came after they were given up
    stale: int = 0  # bytes that arrived while no request was under way
    lost: int = 0  # times the port vanished
    busy_s: float = 0.0
    slowest_s: float = 0.0  # to an answer's first byte, of what was answered lately
    noticed: Noticed = field(default_factory=Noticed)  # sums over all exchanges
    last_error: str = ""
    last_forbidden: str = ""  # the frame that the gate refused last, hex

    def heard(self, latency_s: float) -> None:
        self.answered += 1
        self.slowest_s = max(latency_s, self.slowest_s * FORGETS)


class _Heard(NamedTuple):
    reply: bytes | None
    raw: bytes
    began: float  # loop time at which the reply's first byte was there


class Line:
    """One bus. `settings` are those of the line; an exchange may bring its own (`at`).

    forbid_unit: see `gate.permit`. latency_s: allowance for a way over a network, on top of every reply timeout.
    trace: told of every byte sent and received.
    """

    def __init__(
        self,
        id: str,
        port: Port,
        settings: Settings,
        clock: Clock,
        *,
        forbid_unit: int | None = None,
        latency_s: float = 0.0,
        trace: Trace | None = None,
    ) -> None:
        self.id = id
        self.settings = settings
        self.statistics = LineStatistics()
        self.trace = trace
        self._port = port
        self._foreseeing = port if isinstance(port, Foreseeing) else None
        self._clock = clock
        self._forbid_unit = forbid_unit
        self._latency_s = latency_s
        self._turn = asyncio.Lock()
        self._current = settings  # what the port is set to
        self._last_byte_at = 0.0
        self._owed = OwedAnswers()
        self._asked = b""  # the request that was sent last
        self._is_open = False

    @property
    def is_open(self) -> bool:
        return self._is_open

    async def open(self) -> None:
        """Opens the port, again after it was lost. Raises PortBusy or PortGone."""
        async with self._turn:
            if self._is_open:
                return
            try:
                await self._port.open(self.settings)
            except PortGone as error:
                self.statistics.last_error = str(error)
                raise
            self._current = self.settings
            self._last_byte_at = asyncio.get_running_loop().time()  # nobody knows what was on the bus a moment ago
            self._is_open = True
        log.info("line open: line=%s port=%s", self.id, self._port.name)

    async def close(self) -> None:
        """Closes the port at once; an exchange under way ends with PortGone."""
        self._is_open = False
        await self._port.close()

    def at(self, settings: Settings) -> Bus:
        """This line for a meter with a speed or framing of its own."""
        return _LineAt(self, settings)

    async def exchange(self, exchange: Exchange, settings: Settings | None = None) -> Answer:
        """Asks and hears the answer, alone on the bus, at `settings` or else those of the line.

        Raises Silent (no byte, or only our echo), Garbled (bytes, but no answer; carries them), PortGone (the line is
        then closed) or ForbiddenRequest (nothing was sent). Cancelled while it waits its turn: nothing is sent.
        Cancelled later: the exchange goes on without its caller, and its answer is dropped.
        """
        await self._turn.acquire()
        conversation = asyncio.get_running_loop().create_task(
            self._converse(exchange, settings or self.settings), name=f"exchange on {self.id}"
        )
        conversation.add_done_callback(self._end_turn)
        return await asyncio.shield(conversation)

    def _end_turn(self, conversation: asyncio.Task[Answer]) -> None:
        self._turn.release()
        if not conversation.cancelled():
            conversation.exception()  # its caller may be gone: nobody else would look at it

    async def _converse(self, exchange: Exchange, settings: Settings) -> Answer:
        try:
            if not self._is_open:
                raise PortGone(f"line {self.id} is closed")
            request = self._permitted(exchange)
            await self._fall_silent(exchange)
            if settings != self._current:
                await self._port.configure(settings)
                self._current = settings
            return await self._ask(exchange, request)
        except PortGone as error:
            await self._lose(error)
            raise
        except DriverError as error:
            self.statistics.last_error = str(error)
            raise

    async def _lose(self, error: PortGone) -> None:
        if not self._is_open:
            return
        self.statistics.lost += 1
        self.statistics.last_error = str(error)
        log.warning("line lost: %s line=%s", error, self.id)
        await self.close()

    async def _fall_silent(self, exchange: Exchange) -> None:
        """Waits until the bus was silent as long as the exchange asks and no answer is owed that could fool it."""
        loop = asyncio.get_running_loop()
        give_up = self._owed.until(exchange, loop.time()) + exchange.quiet_before_s + NEVER_QUIET_S
        overheard: ReplyReader | None = None
        while True:
            quiet_at = max(self._last_byte_at + exchange.quiet_before_s, self._owed.until(exchange, loop.time()))
            if loop.time() > give_up:
                self.statistics.garbled += 1
                raise Garbled(f"line {self.id} never falls silent: another master, or a device that talks without end")
            if 0 < (wait_s := quiet_at - loop.time()) <= SHORT_S:
                await asyncio.sleep(wait_s)  # half the work of a read with a deadline, at the moment that counts
            chunk = await self._read(quiet_at)
            if chunk is None:
                self._owed.forget(loop.time())
                if overheard is not None:
                    self.statistics.noticed.requests += overheard.noticed.requests
                return
            self.statistics.stale += len(chunk.data) + chunk.damaged
            overheard = overheard or exchange.reader()
            overheard.feed(chunk.data.replace(self._asked, b""))  # our own late echo is nobody else's question
            if chunk.damaged:
                overheard.damage()

    async def _ask(self, exchange: Exchange, request: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        reader = exchange.reader()
        began, began_ms = loop.time(), self._clock.boot_ms()
        sent_at = began + self._wire_s(exchange, len(request))
        is_repeated = self._owed.is_repeated(exchange, began)
        heard = _Heard(None, b"", began)
        try:
            if self._foreseeing is not None:
                self._foreseeing.foresee(exchange.reply_bytes)
            self.statistics.exchanges += 1
            if self.trace is not None:
                self.trace("tx", request, began_ms)
            self._asked = exchange.request
            await self._port.write(request)
            sent_at = self._last_byte_at = max(loop.time(), sent_at)
            heard = await self._listen(exchange, reader, sent_at)
        finally:
            self._note(reader.noticed, loop.time() - began)
            if heard.reply is None or is_repeated:  # also if the port vanished: it may be back before the answer
                late_s = exchange.late_s or LATE_FACTOR * exchange.reply_timeout_s
                window_s = late_s + LATE_FACTOR * self._latency_s
                listener = reader if heard.reply is None else exchange.reader()
                self._owed.owe(exchange, listener, sent_at + window_s + self._reply_s(exchange))
        if heard.reply is None:
            raise self._fault(exchange, heard.raw, reader.noticed)
        latency_s = max(0.0, heard.began - sent_at)
        self.statistics.heard(latency_s)
        now_ms = self._clock.boot_ms()
        middle_ms = (began_ms + now_ms) // 2
        return Answer(
            request=exchange.request,
            reply=heard.reply,
            boot_ms=middle_ms,
            wall_ms=self._clock.wall_ms() - (now_ms - middle_ms),
            latency_s=latency_s,
            noticed=reader.noticed,
        )

    def _permitted(self, exchange: Exchange) -> bytes:
        """The bytes to be sent, once the gate has seen them. Nothing else is ever written to the port."""
        data = exchange.preamble + exchange.request
        try:
            gate.permit(exchange.protocol, data, commissioning=exchange.commissioning, forbid_unit=self._forbid_unit)
        except DriverError:
            self.statistics.forbidden += 1
            self.statistics.last_forbidden = data.hex()
            log.error("request refused: line=%s frame=%s", self.id, data.hex())
            raise
        return data

    async def _listen(self, exchange: Exchange, reader: ReplyReader, sent_at: float) -> _Heard:
        """Feeds the reader until it answers or the time is over, which endless bytes cannot put off for ever."""
        loop = asyncio.get_running_loop()
        first_by = sent_at + exchange.reply_timeout_s + self._latency_s + TIMER_MARGIN_S
        gap_s = (GAP_MODBUS_S if exchange.protocol.startswith("modbus") else GAP_DLT645_S) + self._latency_s
        reply_s = self._reply_s(exchange)
        at_latest = first_by + 2 * (reply_s + gap_s)
        raw = bytearray()
        arrivals: list[tuple[int, float]] = []  # bytes heard so far, and when
        deadline = first_by
        while (chunk := await self._read(min(deadline, at_latest))) is not None:
            now = loop.time()
            raw += chunk.data
            arrivals.append((len(raw), now))
            reply = reader.feed(chunk.data) if chunk.data else None
            if reply is not None:
                first = len(raw) - len(reply) + 1
                # a port that naps hands over the rest at once: the reply began its own time on the wire ago
                at_least = max(arrivals[0][1], now - self._wire_s(exchange, len(reply)))
                began = min(at_least, next(when for heard, when in arrivals if heard >= first))
                return _Heard(reply, bytes(raw), began)
            if chunk.damaged:
                reader.damage()
            deadline = max(first_by, arrivals[0][1] + reply_s + gap_s, now + gap_s)
            if now >= at_latest:
                break
        return _Heard(None, bytes(raw), 0.0)

    async def _read(self, until: float) -> Chunk | None:
        """What comes next, None if nothing came by `until` (loop time). What waits already is given even after that."""
        loop = asyncio.get_running_loop()
        chunk = self._port.take()
        if chunk is not None:
            await asyncio.sleep(0)  # a device that talks without end must not keep the loop from the rest
        elif until > loop.time():
            try:
                async with asyncio.timeout_at(until):
                    chunk = await self._port.read()
            except TimeoutError:
                chunk = self._port.take()  # the loop itself may have woken late: what came meanwhile counts
        if chunk is None:
            return None
        self._last_byte_at = loop.time()
        self.statistics.late += self._owed.hear(chunk.data, chunk.damaged)
        if self.trace is not None:
            now_ms = self._clock.boot_ms()
            if chunk.data:
                self.trace("rx", chunk.data, now_ms)
            if chunk.damaged:
                self.trace("damaged", b"", now_ms)
        return chunk

    def _fault(self, exchange: Exchange, raw: bytes, noticed: Noticed) -> Silent | Garbled:
        rest = raw.replace(exchange.request, b"", 1)
        if not rest.strip(b"\xfe") and not noticed.parity:
            self.statistics.silent += 1
            echo = ", only our own echo" if rest != raw else ""
            return Silent(f"no answer within {exchange.reply_timeout_s + self._latency_s:g} s{echo}")
        self.statistics.garbled += 1
        counts = ", ".join(f"{name} {count}" for name, count in _counts(noticed).items() if count)
        return Garbled(f"{len(raw)} bytes but no answer ({counts or 'cut off'})", frame=raw[:MOST_EVIDENCE])

    def _note(self, noticed: Noticed, busy_s: float) -> None:
        self.statistics.busy_s += busy_s
        for name, count in _counts(noticed).items():
            setattr(self.statistics.noticed, name, getattr(self.statistics.noticed, name) + count)

    def _wire_s(self, exchange: Exchange, characters: int) -> float:
        """Time on the wire; Modbus TCP has none that we know."""
        return 0.0 if exchange.protocol == "modbus-tcp" else self._current.seconds(characters)

    def _reply_s(self, exchange: Exchange) -> float:
        return self._wire_s(exchange, exchange.reply_bytes + 4 if exchange.reply_bytes else LONGEST_REPLY)


class _LineAt:
    """A line at other settings, as a meter's `Bus`."""

    def __init__(self, line: Line, settings: Settings) -> None:
        self._line = line
        self._settings = settings

    async def exchange(self, exchange: Exchange) -> Answer:
        return await self._line.exchange(exchange, self._settings)


def _counts(noticed: Noticed) -> dict[str, int]:
    return {entry.name: getattr(noticed, entry.name) for entry in fields(Noticed)}
