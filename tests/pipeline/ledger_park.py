"""Parks for the ledger's tests: configurations in effective form, registers as they truly ran, energies by brute force.

The energies here are added up step by step from the configuration's own entries, without `contract.plan`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from contract.ledger import SlotValue
from contract.plan import Plan
from contract.records import Period, parse_slot, slot_instant

LOCAL_S = 8 * 3600
JULY = parse_slot("2026-06-30T16:00:00Z")  # 2026-07-01 00:00 in the park
HOUR = 3600
DAY = 24 * HOUR

# Zhejiang, July 2026 (settlement reference §4): local hours up to which a period lasts
_HOURS: tuple[tuple[int, Period], ...] = (
    (7, "valley"),
    (11, "flat"),
    (14, "valley"),
    (16, "flat"),
    (18, "peak"),
    (22, "sharp"),
    (23, "peak"),
    (24, "flat"),
)


def local(text: str) -> int:
    """UTC seconds of a park-local `2026-07-10 09:30`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) - LOCAL_S


def period_at(instant_s: int, schedule: str | None) -> tuple[Period, str]:
    hour = (instant_s + LOCAL_S) % DAY // HOUR
    return next(period for until, period in _HOURS if hour < until), f"{schedule or 'zj-2026'}@1"


def fitting(meter: str, from_s: int | None = None, to_s: int | None = None, multiplier: str = "1") -> dict[str, Any]:
    return {"meter": meter, "from": _instant(from_s), "to": _instant(to_s), "multiplier": multiplier}


def point(
    name: str,
    role: str = "tenant",
    meters: list[dict[str, Any]] | None = None,
    *,
    parent: str | None = None,
    register: str = "import",
    schedule: str | None = None,
) -> dict[str, Any]:
    """Without `meters`: one meter of the point's own name, for ever."""
    return {
        "id": name,
        "role": role,
        "parent": parent,
        "register": register,
        "account": None,
        "schedule": schedule,
        "meters": [fitting(name)] if meters is None else meters,
    }


def tenancy(
    place: str, tenant: str, share: str = "1", from_s: int | None = None, to_s: int | None = None
) -> dict[str, Any]:
    return {"point": place, "tenant": tenant, "share": share, "from": _instant(from_s), "to": _instant(to_s)}


def config(
    points: list[dict[str, Any]],
    tenancies: Iterable[dict[str, Any]] = (),
    *,
    interval_s: int = 900,
    closings: Iterable[str] = ("01 00:00",),
    digits: int | None = 6,
) -> dict[str, Any]:
    """The body of a `config` record, as far as a plan reads it."""
    meters = dict.fromkeys(entry["meter"] for place in points for entry in place["meters"])
    return {
        "settings": {
            "park": "xihu-01",
            "gateway": "gw-1",
            "utc_offset": "+08:00",
            "schedules": ["zj-2026"],
            "interval": f"{interval_s}s",
            "interval_s": interval_s,
            "closings": list(closings),
        },
        "meters": [{"id": meter, "digits": digits} for meter in meters],
        "points": points,
        "tenancies": list(tenancies),
    }


def plan(points: list[dict[str, Any]], tenancies: Iterable[dict[str, Any]] = (), **settings: Any) -> Plan:
    return Plan.from_config(config(points, tenancies, **settings), period_at)


@dataclass
class Values:
    """Registers at slots as the log would hold them; callable as the ledger wants it."""

    known: dict[tuple[str, int], SlotValue] = field(default_factory=dict)

    def set(self, meter: str, slot_s: int, quality: str = "measured", **registers: str) -> None:
        values = {name: Decimal(value) for name, value in registers.items()}
        self.known[meter, slot_s] = SlotValue(values, quality, len(self.known))

    def run(self, meter: str, from_s: int, step_s: int, readings: Iterable[str]) -> None:
        """Import registers at slots in a row."""
        for i, reading in enumerate(readings):
            self.set(meter, from_s + i * step_s, **{"import": reading})

    def __call__(self, meter: str, slot_s: int) -> SlotValue | None:
        return self.known.get((meter, slot_s))


@dataclass
class RandomPark:
    """A park of one to seven points over two days of hours, made from a seed."""

    body: dict[str, Any]
    registers: dict[tuple[str, int], Decimal]
    from_s: int = JULY
    to_s: int = JULY + 2 * DAY

    def gross(self, place: str, step_s: int) -> Decimal:
        """What the meter at the point counted over the step, kWh. There is one at all times."""
        meters = next(p["meters"] for p in self.body["points"] if p["id"] == place)
        entry = [m for m in meters if m["from"] is None or parse_slot(m["from"]) <= step_s][-1]
        run = self.registers[entry["meter"], step_s + HOUR] - self.registers[entry["meter"], step_s]
        return run * Decimal(entry["multiplier"])

    def children(self, place: str) -> list[str]:
        return [p["id"] for p in self.body["points"] if p["parent"] == place and p["role"] not in ("pv", "master")]

    def tenant_kwh(self, tenant: str, step_s: int) -> Decimal:
        """What the tenant used by its tenancies: of each point its share of what no sub-meter behind it took."""
        kwh = Decimal(0)
        for held in self.body["tenancies"]:
            if held["tenant"] == tenant and _holds(held, step_s):
                kwh += Decimal(held["share"]) * self.net(held["point"], step_s)
        return kwh

    def vacant_kwh(self, place: str, step_s: int) -> Decimal:
        held = [t for t in self.body["tenancies"] if t["point"] == place and _holds(t, step_s)]
        return (1 - sum(Decimal(t["share"]) for t in held)) * self.net(place, step_s)

    def net(self, place: str, step_s: int) -> Decimal:
        return self.gross(place, step_s) - sum(self.gross(child, step_s) for child in self.children(place))

    def value(self, meter: str, slot_s: int) -> SlotValue | None:
        register = self.registers.get((meter, slot_s))
        return None if register is None else SlotValue({"import": register}, "measured", slot_s // HOUR)


def random_park(seed: int) -> RandomPark:
    """Nested points, meters that follow one another, multipliers that change, shares that come and go."""
    rng = random.Random(seed)
    points, tenancies = [], []
    for number in range(rng.randint(1, 7)):
        name = f"p-{number}"
        role = rng.choice(["tenant", "tenant", "tenant", "operator", "public", "master", "pv"])
        parent = rng.choice([None, *[p["id"] for p in points]])
        points.append(point(name, role, _random_meters(rng, name), parent=parent))
        if role == "tenant" or rng.random() < 0.2:
            tenancies += _random_tenancies(rng, name)
    registers = {}
    for meter in {entry["meter"] for p in points for entry in p["meters"]}:
        count = rng.randint(0, 10**7)
        for hour in range(49):
            registers[meter, JULY + hour * HOUR] = Decimal(count).scaleb(-2)
            count += rng.choice([0, rng.randint(0, 50), rng.randint(0, 5000)])
    closings = rng.sample(["01 00:00", "03 00:00", "31 24:00"], rng.randint(1, 2))
    return RandomPark(config(points, tenancies, interval_s=HOUR, closings=closings), registers)


def _random_slots(rng: random.Random, count: int) -> list[int]:
    return sorted(JULY + hour * HOUR for hour in rng.sample(range(1, 48), count))


def _random_meters(rng: random.Random, name: str) -> list[dict[str, Any]]:
    """One to three entries without a hole between them; the same meter with another multiplier, or another meter."""
    bounds: list[int | None] = [None, *_random_slots(rng, rng.choice([0, 0, 1, 2]))]
    entries = []
    for i, start in enumerate(bounds):
        meter = f"m-{name}-{rng.choice([0, i])}"
        entries.append(fitting(meter, start, None, rng.choice(["1", "40", "0.5", "133.3333"])))
    return entries


def _random_tenancies(rng: random.Random, name: str) -> list[dict[str, Any]]:
    """In each of up to three terms nobody, one tenant, or several by share with or without a rest."""
    bounds = [None, *_random_slots(rng, rng.choice([0, 1, 2])), None]
    result = []
    for start, end in pairwise(bounds):
        shares = rng.choice([[], ["1"], ["0.375"], ["0.5", "0.5"], ["0.333333", "0.25", "0.1"]])
        for share, tenant in zip(shares, rng.sample(["acme", "bolt", "cord", "dune"], len(shares)), strict=True):
            result.append(tenancy(name, tenant, share, start, end))
    return result


def _holds(held: dict[str, Any], step_s: int) -> bool:
    begins = held["from"] is None or parse_slot(held["from"]) <= step_s
    return begins and (held["to"] is None or step_s < parse_slot(held["to"]))


def _instant(at_s: int | None) -> str | None:
    return None if at_s is None else slot_instant(at_s)
