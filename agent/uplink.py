"""How many megabytes a month the records of a configuration take on the uplink (pure).

Every figure is the length of a record encoded by `contract.records` with values of usual length, so a field added
there is counted here; what MQTT, TLS, TCP and IP add was measured (`python -m bench.uplink`). Backlog and repetitions
are not foreseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agent.delivery.mqtt import keepalive_s
from agent.schedule import Questions
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
PING_BYTES = 250  # PINGREQ and PINGRESP in TLS, four segments
CHECKPOINT_BYTES = 330
HASH_BYTES = 67  # 64 hex digits with quotes and comma in `hashes`
SLOT = "2026-07-25T02:00:00Z"
AT = "2026-07-25T02:00:00.000Z"
KWH = Decimal("12345.67")
REGISTERS = ("import", *(f"import_t{n}" for n in range(1, 5)))


def predict_uplink(config: Mapping[str, Any]) -> Decimal:
    """MB (10^6 bytes) a month of 30 days, one decimal."""
    slots = DAY_S // config["settings"]["interval_s"]
    subjects = _subjects(config)
    questions = Questions(config)
    a_slot: list[Body] = [_reading(meter, questions) for meter in config["meters"] if meter["line"]]
    a_slot += [_interval(tenant, points) for tenant, points in subjects]
    a_slot.append(_balance(1))
    records = slots * len(a_slot) + len(subjects) + 1
    total = sum(slots * _bytes(config, body) for body in a_slot) + day_bytes(config)
    total += slots * (CHECKPOINT_BYTES + 2 * MESSAGE_BYTES) + records * HASH_BYTES
    metered = bool((config["private"].get("mqtt") or {}).get("metered"))
    total += DAY_S // keepalive_s(metered=metered) * PING_BYTES
    if not metered:
        total += slots * _live_bytes(config)
    return (Decimal(total) * MONTH_DAYS / 10**6).quantize(Decimal("0.1"))


def _live_bytes(config: Mapping[str, Any]) -> int:
    """Of the latest values after a sweep."""
    registers = {name: str(KWH) for name in REGISTERS}
    meters = {meter["id"]: {"read_at": AT, "registers": registers} for meter in config["meters"] if meter["line"]}
    return len(canonical({"at": AT, "meters": meters})) + len(CONTENT_TYPE) + MESSAGE_BYTES


def day_bytes(config: Mapping[str, Any]) -> int:
    """Of the records that a day ends with."""
    bodies: list[Body] = [_day(tenant, points) for tenant, points in _subjects(config)]
    return sum(_bytes(config, body) for body in [*bodies, _balance(5)])


def _bytes(config: Mapping[str, Any], body: Body) -> int:
    settings = config["settings"]
    head = Head(
        kind=body.kind,
        park=settings["park"],
        gateway=settings["gateway"],
        epoch="0" * 32,
        seq=1_234_567,
        boot="0" * 32,
        boot_ms=1_234_567_890,
        at=AT,
        clock="disciplined",
        clock_error_ms=12,
        config="0" * 64,
        salt="0" * 32,
    )
    name = topic(head, body, interval_s=settings["interval_s"])
    return len(encode(head, body)) + len(name) + len(CONTENT_TYPE) + MESSAGE_BYTES


def _subjects(config: Mapping[str, Any]) -> list[tuple[str | None, list[str]]]:
    """Tenants with the points they ever hold, then each point that no tenant holds."""
    held: dict[str, list[str]] = {}
    for tenancy in config["tenancies"]:
        held.setdefault(tenancy["tenant"], []).append(tenancy["point"])
    taken = {point for points in held.values() for point in points}
    tenants: list[tuple[str | None, list[str]]] = [(tenant, sorted(set(points))) for tenant, points in held.items()]
    return tenants + [(None, [point["id"]]) for point in config["points"] if point["id"] not in taken]


def _reading(meter: Mapping[str, Any], questions: Questions) -> Reading:
    look, confirmation = (
        [Exchanged("00" * part.request, "00" * part.reply, 1_234_567_890) for part in parts]
        for parts in questions.of(meter)
    )
    registers = dict.fromkeys(REGISTERS, KWH)
    source = Source(AT, 1_234_567_890, registers, None, look, confirmation)
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


def _interval(tenant: str | None, points: list[str]) -> Interval:
    segments = [
        Segment(point, point, "import", Decimal(40), Decimal(1), KWH, KWH, KWH, "measured", 1_234_567, 1_234_567)
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
        kwh=KWH,
        quality="measured",
        segments=segments,
    )


def _day(tenant: str | None, points: list[str]) -> Day:
    segments = [
        Span(point, point, "import", Decimal(40), Decimal(1), SLOT, SLOT, KWH, KWH, KWH, 1_234_567, 1_234_567)
        for point in points
    ]
    return Day(
        tenant=tenant,
        point=None if tenant else points[0],
        role="tenant",
        from_=SLOT,
        to=SLOT,
        periods={"peak": KWH, "flat": KWH, "valley": KWH},
        total=KWH,
        quality_kwh={"measured": KWH},
        uncertain_kwh=Decimal(0),
        segments=segments,
        complete=True,
        missing=[],
        max_demand_kw=KWH,
        max_demand_at=SLOT,
        own_meter=True,
    )


def _balance(periods: int) -> Balance:
    flow = Flow(KWH, KWH, KWH, KWH, KWH, KWH)
    names = ("sharp", "peak", "flat", "valley", "deep_valley")[:periods]
    return Balance(SLOT, SLOT, dict.fromkeys(names, flow), Decimal("0.0123"), Decimal("1.5"), "measured")
