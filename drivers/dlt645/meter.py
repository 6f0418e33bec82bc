"""A DL/T 645 meter on a bus: asks, checks, answers register values. Knows no tenant, no slot, no site ratio.

    look          0001FF00 (0002FF00 …): total and tariffs in one frame        1997: 901F (902F …)
    second look   00010000: the total alone, a request of another shape              9010

A meter that refuses the block, or is silent to it and answers the single total, is asked single totals from then on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from drivers.dlt645.frame import Frame, decode
from drivers.dlt645.identifiers import decode_1997, decode_2007, is_absent
from drivers.dlt645.plan import CLOCK, REGISTERS, SERIAL, TELEMETRY, tariffs_add_up
from drivers.dlt645.replies import error_text
from drivers.dlt645.requests import Manners, next_seq, read, read_on
from drivers.errors import Refused, Silent, Unexpected
from drivers.exchange import Answer, Exchange
from drivers.meter import Bus, Look
from drivers.quantities import RegisterValue

FRAME_CHECKS = frozenset({"checksum", "address", "identifier", "length", "bcd"})

ASK_AGAIN_AFTER = 96  # a refused item is tried again after so many times, a day at 15 min
SILENT_AGAIN_AFTER = 8  # silence says less than a refusal
MOST_PARTS = 64  # of one answer: the longest record known takes 4
_TARIFF = re.compile(r"_t\d+$")


class PartOfMore(Unexpected):
    """An answer that goes on in further frames, where one frame was expected."""


class Dlt645Meter:
    """Implements drivers.meter.Meter.

    address: 12 digits. edition: "2007" or "1997". wanted: registers to read, such as {"import", "export"}; their
    tariffs come along with a block. wished: registers to read where the meter has them; refused, they are left out
    instead of failing the look. model: a meter model's data, all keys optional:
    {"blocks": false (never ask blocks), "wake": 4, "reply_timeout_s": "1.0", "quiet_before_s": "0.02",
    "items": {"B61": {"bytes": 2, "decimals": 1, "signed": false}} (1997 live values, see identifiers.lookup_1997)}.
    Raises ValueError on an unknown edition or register.
    """

    def __init__(
        self,
        id: str,
        address: str,
        edition: str,
        bus: Bus,
        wanted: frozenset[str],
        model: Mapping[str, Any] | None = None,
        *,
        wished: frozenset[str] = frozenset(),
    ) -> None:
        model = model or {}
        self.id = id
        self.address = address
        self.edition = edition
        self._bus = bus
        if edition not in REGISTERS:
            raise ValueError(f"edition {edition!r} is neither 1997 nor 2007")
        needed = {_TARIFF.sub("", name) for name in wanted}
        names = needed | {_TARIFF.sub("", name) for name in wished}
        if unknown := names - REGISTERS[edition].keys():
            raise ValueError(f"DL/T 645-{edition} has no register {', '.join(sorted(unknown))}")
        self._wanted = {name: name in needed for name in REGISTERS[edition] if name in names}
        usual = Manners()
        self.manners = Manners(
            wake=int(model.get("wake", usual.wake)),
            reply_timeout_s=float(model.get("reply_timeout_s", usual.reply_timeout_s)),
            quiet_before_s=float(model.get("quiet_before_s", usual.quiet_before_s)),
        )
        self._blocks = str(model.get("blocks", True)).lower() != "false"
        self._items: Mapping[str, Mapping[str, Any]] = model.get("items") or {}
        self._answered: set[str] = set()  # what it gave once, it has: silence then means silence
        self._resting = _Resting()

    @property
    def needed(self) -> frozenset[str]:
        """Registers without which a look fails."""
        return frozenset(name for name, needed in self._wanted.items() if needed)

    async def look(self, *, second: bool = False) -> Look:
        """Reads the wanted registers. `tariff_sum` stands in the checks only if every block's tariffs add up.

        Raises LineError, Refused (with the ERR text), Unexpected (no BCD, filler for a total, wrong length).
        """
        registers: dict[str, Decimal] = {}
        answers: list[Answer] = []
        sums = []
        for name, needed in self._wanted.items():
            said = await self._register(name, needed=needed, second=second)
            if said is None:
                continue
            found = _registers(*said)
            registers |= found
            answers.append(said[1])
            sums.append(tariffs_add_up(name, found))
        agreed = frozenset({"tariff_sum"}) if sums and all(sums) else frozenset[str]()
        return Look(registers, answers, FRAME_CHECKS | agreed)

    async def clock(self) -> str | None:
        shown = await self.clock_at()
        return None if shown is None else shown[0]

    async def clock_at(self) -> tuple[str, int] | None:
        """The meter's clock with the instant at which it was read, UTC in ms; it shows whole seconds."""
        date_di, time_di = CLOCK[self.edition]
        try:
            date, _ = await self._text(date_di)
            time, answer = await self._text(time_di)
            if time.startswith("0000"):  # midnight may have passed between the two questions
                date, _ = await self._text(date_di)
        except Refused:
            return None
        moment = f"20{date[:2]}-{date[2:4]}-{date[4:6]} {time[:2]}:{time[2:4]}:{time[4:]}"
        try:
            datetime.fromisoformat(moment)
        except ValueError as error:
            raise Unexpected(f"{self.id}: clock says {moment}") from error
        return moment, answer.wall_ms

    async def ask(self, exchange: Exchange) -> Answer:
        """One exchange with this meter. Raises LineError, or Refused for an error answer."""
        answer = await self._bus.exchange(exchange)
        self._accepted(answer, exchange.request.hex())
        return answer

    async def serial(self) -> str | None:
        try:
            values, _ = await self._single(SERIAL[self.edition])
        except Refused:
            return None
        [value] = values
        if is_absent(value):
            return None
        if not isinstance(value.value, str):
            raise Unexpected(f"{self.id}: meter number {value.invalid} is no BCD")
        return value.value

    async def telemetry(self) -> list[RegisterValue]:
        found: list[RegisterValue] = []
        for block, singles in TELEMETRY[self.edition]:
            values = await self._if_it_has(block)
            if values is None:
                for single in singles:
                    found += await self._if_it_has(single) or []
            else:
                found += values
        return [value for value in found if value.value is not None]

    async def read_item(self, item: str) -> tuple[list[RegisterValue], Answer]:
        """Reads any DI; an answer in several parts is joined. The Answer is that of the first part, which names the
        DI. An unknown DI gives one value `data`, the bytes as hex. Raises ValueError on a malformed DI."""
        di = item.upper()
        answer = await self._ask(di)
        frame = decode(answer.reply)
        data = self._data(frame, di)
        seq, parts = 1, 1
        while frame.more_follows:
            if parts == MOST_PARTS:
                raise Unexpected(f"{self.id}: {di} has no end after {parts} parts", frame=frame.raw)
            part = await self._bus.exchange(read_on(self.edition, self.address, di, seq, self.manners))
            frame = self._accepted(part, di)
            data += self._data(frame, di)[: -1 if self.edition == "2007" else None]  # SEQ stands last
            seq, parts = next_seq(seq), parts + 1
        values = self._decode(di, data)
        return values or [RegisterValue("data", data.hex().upper(), "", di)], answer

    async def _register(self, name: str, *, needed: bool, second: bool) -> tuple[list[RegisterValue], Answer] | None:
        """One register's block or total; None where the meter has not what is only wished."""
        block, single = REGISTERS[self.edition][name]
        if not needed and self._resting.passes_over(single):
            return None
        try:
            return await (self._single(single) if second else self._block_or_single(block, single))
        except (Refused, Silent) as absent:
            if needed or not self._answered or self._answered & {block, single}:
                raise
            self._resting.add(single, ASK_AGAIN_AFTER if isinstance(absent, Refused) else SILENT_AGAIN_AFTER)
            return None

    async def _block_or_single(self, block: str, single: str) -> tuple[list[RegisterValue], Answer]:
        if not self._blocks or self._resting.passes_over(block):
            return await self._single(single)
        try:
            return await self._single(block)
        except (Refused, PartOfMore, Silent) as no_block:
            # some meters are silent to what they do not have; not those that gave a block before
            if isinstance(no_block, Silent) and block in self._answered:
                raise
            found = await self._single(single)
            self._resting.add(block, ASK_AGAIN_AFTER)
            return found

    async def _single(self, di: str) -> tuple[list[RegisterValue], Answer]:
        """One exchange, one frame."""
        answer = await self._ask(di)
        frame = decode(answer.reply)
        if frame.more_follows:
            raise PartOfMore(f"{self.id}: {di} came as a part of more", frame=answer.reply)
        self._answered.add(di)
        return self._decode(di, self._data(frame, di)), answer

    async def _if_it_has(self, di: str) -> list[RegisterValue] | None:
        if self._resting.passes_over(di):
            return None
        try:
            values, _ = await self._single(di)
        except Refused:
            self._resting.add(di, ASK_AGAIN_AFTER)
            return None
        except Silent:
            self._resting.add(di, SILENT_AGAIN_AFTER)
            raise
        return values

    async def _text(self, di: str) -> tuple[str, Answer]:
        [value], answer = await self._single(di)
        if not isinstance(value.value, str):
            raise Unexpected(f"{self.id}: {di} says {value.invalid}, no digits", frame=answer.reply)
        return value.value, answer

    async def _ask(self, di: str) -> Answer:
        answer = await self._bus.exchange(read(self.edition, self.address, di, self.manners))
        self._accepted(answer, di)
        return answer

    def _accepted(self, answer: Answer, di: str) -> Frame:
        frame = decode(answer.reply)
        if frame.is_error:
            err = frame.data[0]
            raise Refused(f"{self.id}: {di} refused, {error_text(err)[1]}", code=err, frame=answer.reply)
        return frame

    def _data(self, frame: Frame, di: str) -> bytes:
        return frame.data[len(di) // 2 :]

    def _decode(self, di: str, data: bytes) -> list[RegisterValue]:
        return decode_1997(di, data, self._items) if self.edition == "1997" else decode_2007(di, data)


class _Resting:
    """Items that the meter has not, and how often each is still passed over before it is asked again."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def add(self, di: str, times: int) -> None:
        self._left[di] = times

    def passes_over(self, di: str) -> bool:
        left = self._left.pop(di, 0)
        if left > 1:
            self._left[di] = left - 1
        return left > 0


def _registers(values: list[RegisterValue], answer: Answer) -> dict[str, Decimal]:
    """The numbers in an answer. A tariff that is filler does not exist; anything else that is no number is a fault."""
    found: dict[str, Decimal] = {}
    for value in values:
        if isinstance(value.value, Decimal):
            found[value.name] = value.value
        elif not (is_absent(value) and _TARIFF.search(value.name)):
            raise Unexpected(f"{value.item}: {value.name} is no number: {value.invalid}", frame=answer.reply)
    return found
