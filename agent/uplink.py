"""How many megabytes a month the records of a configuration take on the uplink (pure).

Every figure is the length of a record encoded by `contract.records` with values of usual length, so a field added
there is counted here; what MQTT, TLS, TCP and IP add was measured (`python -m bench.uplink`). For ws:// and wss:// the
messages of a slot are deflated as the uplink does it: their values differ from meter to meter and from slot to slot as
a park's do. Backlog and repetitions are not foreseen.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from agent.delivery.mqtt import WINDOW, keepalive_s
from agent.schedule import Questions, Traffic
from contract.records import (
    Balance,
    Body,
    Day,
    Exchanged,
    Flow,
    Head,
    Interval,
    Reading,
    Segment,
    Source,
    Span,
    canonical,
    encode,
)
from contract.topics import CONTENT_TYPE, topic

DAY_S = 86_400
MONTH_DAYS = 30
MESSAGE_BYTES = 80  # PUBLISH and PUBACK 16, TLS 24, somewhat less than a TCP segment of 52
WINDOW_BYTES = 280  # of a deflated window: WebSocket, TLS, TCP and IP, and its answers
SLOT_BYTES = 1000  # the same of what is sent between full windows, as a slot is committed in several goes
PING_BYTES = 250  # PINGREQ and PINGRESP in TLS, four segments
CHECKPOINT_BYTES = 330
CHECKPOINT_NEW = 200  # hex digits for what of it is new each time, root and signature
SLOT = "2026-07-25T02:00:00Z"
REGISTERS = ("import", *(f"import_t{n}" for n in range(1, 5)))
CODED = "3456789abc"  # decimal digits as DL/T 645 sends them, each plus three
REPLY_HEAD = {"modbus": 3}  # bytes before the values
DLT645_HEAD = 14


def predict_uplink(config: Mapping[str, Any]) -> Decimal:
    """MB (10^6 bytes) a month of 30 days, one decimal; over ws:// and wss:// with a broker that agrees to compress."""
    slot, day = slot_and_day_bytes(config)
    total = DAY_S // config["settings"]["interval_s"] * slot + day
    total += DAY_S // keepalive_s(metered=_is_metered(config)) * PING_BYTES
    return (Decimal(total) * MONTH_DAYS / 10**6).quantize(Decimal("0.1"))


def slot_and_day_bytes(config: Mapping[str, Any]) -> tuple[int, int]:
    """Of what is sent at each slot, and besides when a day ends."""
    stream = _Stream(config)
    before, slot, day = stream.slot(), stream.slot(), stream.day()
    if not _mqtt(config).get("url", "").startswith("ws"):
        return _plain(slot), _plain(day)
    context = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    _deflated(context, before)
    return _deflated(context, slot), _deflated(context, day)


def _plain(messages: Sequence[bytes]) -> int:
    return sum(map(len, messages)) + len(messages) * MESSAGE_BYTES


def _deflated(context: Any, messages: Sequence[bytes]) -> int:
    total = SLOT_BYTES
    for first in range(0, len(messages), WINDOW):
        data = context.compress(b"".join(messages[first : first + WINDOW])) + context.flush(zlib.Z_SYNC_FLUSH)
        total += len(data) + WINDOW_BYTES
    return total


def _mqtt(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config["private"].get("mqtt") or {}


def _is_metered(config: Mapping[str, Any]) -> bool:
    return bool(_mqtt(config).get("metered"))


class _Stream:
    """The messages of a park, topic and all; each call of `slot` is another one."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._meters = [meter for meter in config["meters"] if meter["line"]]
        self._subjects = _subjects(config)
        self._questions = Questions(config)
        self._random = random.Random(1)
        self._count = 1_234_567  # of what is counted: records, milliseconds
        self._epoch, self._boot, self._hash = self._hex(32), self._hex(32), self._hex(64)

    def slot(self) -> list[bytes]:
        bodies: list[Body] = [self._reading(meter) for meter in self._meters]
        bodies += [self._interval(tenant, points) for tenant, points in self._subjects]
        messages = self._with_hashes([*bodies, self._balance(1)])
        messages.append(b"0" * (CHECKPOINT_BYTES - CHECKPOINT_NEW) + self._hex(CHECKPOINT_NEW).encode())
        return messages if _is_metered(self._config) else [*messages, self._live()]

    def day(self) -> list[bytes]:
        """Of the records that a day ends with."""
        bodies: list[Body] = [self._day(tenant, points) for tenant, points in self._subjects]
        return self._with_hashes([*bodies, self._balance(5)])

    def _with_hashes(self, bodies: Sequence[Body]) -> list[bytes]:
        leaves = canonical({"hashes": [self._hex(64) for _ in bodies]})
        return [*map(self._message, bodies), leaves]

    def _message(self, body: Body) -> bytes:
        settings = self._config["settings"]
        head = Head(
            kind=body.kind,
            park=settings["park"],
            gateway=settings["gateway"],
            epoch=self._epoch,
            seq=self._next(),
            boot=self._boot,
            boot_ms=self._boot_ms(),
            at=self._at(),
            clock="disciplined",
            clock_error_ms=12,
            config=self._hash,
            salt=self._hex(32),
        )
        name = topic(head, body, interval_s=settings["interval_s"])
        return name.encode() + CONTENT_TYPE.encode() + encode(head, body)

    def _live(self) -> bytes:
        """The latest values after a sweep."""
        meters = {
            meter["id"]: {"read_at": self._at(), "registers": {name: str(self._kwh()) for name in REGISTERS}}
            for meter in self._meters
        }
        return CONTENT_TYPE.encode() + canonical({"at": self._at(), "meters": meters})

    def _reading(self, meter: Mapping[str, Any]) -> Reading:
        registers = {name: self._kwh() for name in REGISTERS}
        look, confirmation = ([self._exchanged(meter, part) for part in parts] for parts in self._questions.of(meter))
        source = Source(self._at(), self._boot_ms(), registers, None, look, confirmation)
        return Reading(
            meter=meter["id"],
            serial=meter["serial"] or "20220831000003",
            point=meter["id"],
            slot=SLOT,
            method="live",
            quality="measured",
            estimate=None,
            registers=registers,
            sources=[source],
            checks=["checksum", "address", "identifier", "length", "bcd", "plausible", "confirmed"],
            attempts=1,
        )

    def _exchanged(self, meter: Mapping[str, Any], part: Traffic) -> Exchanged:
        """A question and what answers it: address and the like are the same each time, so is a value's highest byte."""
        same = str(meter["address"] or meter["id"]).encode().hex() * part.reply
        head = REPLY_HEAD.get(meter["protocol"], DLT645_HEAD)
        values = "".join(f"{''.join(self._random.choices(CODED, k=6))}33" for _ in range(part.reply))
        reply = same[: 2 * head] + values[: 2 * (part.reply - head)]
        return Exchanged(same[: 2 * part.request], reply, self._boot_ms())

    def _interval(self, tenant: str | None, points: list[str]) -> Interval:
        segments = [
            Segment(point, point, "import", Decimal(40), Decimal(1), *self._energy(), "measured", *self._seqs())
            for point in points
        ]
        return Interval(
            tenant=tenant,
            point=None if tenant else points[0],
            role="tenant",
            start=SLOT,
            end=SLOT,
            period="valley",
            schedule="zj-2026@1",
            kwh=sum((segment.kwh for segment in segments), Decimal(0)),
            quality="measured",
            segments=segments,
        )

    def _day(self, tenant: str | None, points: list[str]) -> Day:
        return Day(
            tenant=tenant,
            point=None if tenant else points[0],
            role="tenant",
            from_=SLOT,
            to=SLOT,
            periods={name: self._kwh() for name in ("peak", "flat", "valley")},
            total=self._kwh(),
            quality_kwh={"measured": self._kwh()},
            uncertain_kwh=Decimal(0),
            segments=[
                Span(point, point, "import", Decimal(40), Decimal(1), SLOT, SLOT, *self._energy(), *self._seqs())
                for point in points
            ],
            complete=True,
            missing=[],
            max_demand_kw=self._kwh(),
            max_demand_at=SLOT,
            own_meter=True,
        )

    def _balance(self, periods: int) -> Balance:
        names = ("sharp", "peak", "flat", "valley", "deep_valley")[:periods]
        flows = {name: Flow(*(self._kwh() for _ in range(6))) for name in names}
        return Balance(SLOT, SLOT, flows, Decimal("0.0123"), Decimal("1.5"), "measured")

    # values of usual length

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def _kwh(self) -> Decimal:
        return Decimal(self._random.randrange(10**6, 10**7)).scaleb(-2)

    def _energy(self) -> tuple[Decimal, Decimal, Decimal]:
        """Registers at the start and at the end, and the energy of a slot."""
        start, counts = self._kwh(), self._random.randrange(10, 100)
        return start, start + Decimal(counts).scaleb(-2), Decimal(40 * counts).scaleb(-2)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _seqs(self) -> tuple[int, int]:
        return self._next(), self._next()

    def _boot_ms(self) -> int:
        return 1_230_000_000 + self._next()

    def _at(self) -> str:
        return f"2026-07-25T02:00:0{self._count // 1000 % 10}.{self._next() % 1000:03}Z"


def _subjects(config: Mapping[str, Any]) -> list[tuple[str | None, list[str]]]:
    """Tenants with the points they ever hold, then each point that no tenant holds."""
    held: dict[str, list[str]] = {}
    for tenancy in config["tenancies"]:
        held.setdefault(tenancy["tenant"], []).append(tenancy["point"])
    taken = {point for points in held.values() for point in points}
    tenants: list[tuple[str | None, list[str]]] = [(tenant, sorted(set(points))) for tenant, points in held.items()]
    return tenants + [(None, [point["id"]]) for point in config["points"] if point["id"] not in taken]
