"""Months of a small park in an auditor's store within seconds: registers handed to the gateway's own recorder.

    m-000 master   m-101 t-acme (×40)   m-102 t-bolt   m-103 t-cord (night)   m-190 public   m-191 the operator's own

Every meter runs through the same day again and again, so sums can be told beforehand. Steps of an hour.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from audit_logs import KEY
from paper_park import Park

from agent.reading import Stated
from audit.periods import periods_from_texts
from audit.writer import Taken, Writer
from bench.fed import Fed, configuration
from contract import note
from contract.records import Event, encode, instant, parse_instant
from contract.tree import Frontier, leaf_hash

YAML = """
park: {{id: fed-park, schedules: [zj-2024, zj-2026], interval: 1h}}
gateway: {{id: gw-1}}
lines: [{{id: east, port: /dev/ttyRS485-1, baud: 2400, framing: 8E1}}]
meters:
{meters}
tenants: [{{id: t-acme}}, {{id: t-bolt}}, {{id: t-cord}}]
"""
# meter → what else the configuration says, multiplier, kW of the load from 0, 7, 11, 17 and 22 h on
METERS = {
    "m-101": ("tenant: t-acme, ct: 200/5, multiplier: 40, room: 1-101", 40, ("8", "40", "24", "16", "8")),
    "m-102": ("tenant: t-bolt, room: 1-102", 1, ("1", "12", "10", "9", "1")),
    "m-103": ("tenant: t-cord, room: 1-103, serial: '000000000103'", 1, ("20", "2", "2", "2", "20")),
    "m-190": ("role: public", 1, ("2", "1", "1", "2", "2")),
    "m-191": ("role: operator", 1, ("1", "3", "3", "1", "1")),
}
HOURS = (0, 7, 11, 17, 22, 24)
LOSS = Fraction(102, 100)
STEP_S = 3600


def load(meter: str) -> list[Fraction]:
    """kWh of each hour of the day, before the multiplier."""
    if meter == "m-000":
        whole = (sum((load(m)[h] * multiplier(m) for m in METERS), Fraction()) for h in range(24))
        return [kwh * LOSS / 40 for kwh in whole]
    _, _, powers = METERS[meter]
    spans = zip(powers, HOURS, HOURS[1:], strict=False)
    return [Fraction(kw) / multiplier(meter) for kw, low, high in spans for _ in range(low, high)]


def multiplier(meter: str) -> int:
    return 40 if meter == "m-000" else METERS[meter][1]


def make(
    directory: Path,
    first: date,
    days: int,
    *,
    serials: dict[int, tuple[str, str]] | None = None,
    silent: Collection[tuple[str, int]] = (),
    model: str = "",
    accepted: bool = False,
    fixed: str = "0",
) -> Park:
    """A store of so many days.

    serials: day → (meter, what it says it is at noon). silent: (meter, day), all of it but midnight.
    model: of the Modbus meter that t-bolt has instead. accepted: as `hubiao commission` does it, after the first hour.
    """
    begin_s = parse_instant(f"{first}T00:00:00.000Z") // 1000 - 8 * 3600
    names = {"m-000": "role: master, ct: 200/5, multiplier: 40", **{m: said for m, (said, _, _) in METERS.items()}}
    common = "line: east, max_a: 60, phases: 3"
    wires = {name: f'protocol: dlt645-2007, address: "{n:012d}", digits: 6' for n, name in enumerate(names, 1)}
    if model:
        wires["m-102"] = f"protocol: modbus, unit: 2, model: {model}"
    meters = "\n".join(f"  - {{id: {name}, {common}, {wires[name]}, {said}}}" for name, said in names.items())
    config_ = configuration(YAML.format(meters=meters))

    @cache
    def day_sums(meter: str) -> list[Fraction]:
        sums = [Fraction()]
        for kwh in load(meter):
            sums.append(sums[-1] + kwh)
        return sums

    def shown(meter: str, at_ms: int) -> Fraction:
        day, rest_ms = divmod(at_ms - begin_s * 1000, 86_400_000)
        hour, part_ms = divmod(rest_ms, 3_600_000)
        sums = day_sums(meter)
        exact = 1000 + day * sums[24] + sums[hour] + (sums[min(hour + 1, 24)] - sums[hour]) * part_ms / 3_600_000
        return Fraction(int(exact * 100), 100)

    def registers(meter: str, at_ms: int) -> dict[str, Decimal]:
        value = Decimal(int(shown(meter, at_ms) * 100)).scaleb(-2)
        return {"import": value.quantize(Decimal("0.01"), ROUND_DOWN)}

    fed = Fed(config_, registers, f"{first - timedelta(days=1)}T15:50:00.000Z")
    for step in range(days * 24 + 1):
        day, hour = divmod(step, 24)
        if hour == 12 and serials and day in serials:
            fed.take(Stated(serials[day][0], fed.clock.wall_ms(), serials[day][1], {}))
        dumb = [meter for meter, when in silent if when == day and hour]
        fed.sweep(begin_s + step * STEP_S, silent=dumb, late_ms=500, each_ms=0)
        if accepted and not step:
            at = instant(fed.clock.wall_ms())
            fed.log.add(Event("meter", "m-102", "accepted", at, at, {"act": "commission", "model": model}))
    fed.sweep(begin_s + (days * 24 + 1) * STEP_S)
    keep([encode(head, body) for head, body in fed.log.records], directory)

    period_at = periods_from_texts(config_)

    def register(meter: str, quarter: int) -> Fraction:
        return shown(meter, (begin_s + quarter * 900) * 1000)

    @cache
    def energy(meter: str, from_day: int, to_day: int) -> dict[str, Fraction]:
        sums: dict[str, Fraction] = {}
        for step in range(from_day * 24, to_day * 24):
            period = period_at(begin_s + step * STEP_S, None)[0]
            went = register(meter, step * 4 + 4) - register(meter, step * 4)
            sums[period] = sums.get(period, Fraction()) + went * multiplier(meter)
        return sums

    holders = {entry["point"]: entry["tenant"] for entry in config_["tenancies"]}
    points: dict[str, Any] = {
        p["meters"][0]["meter"]: (p["role"], holders.get(p["id"], p["id"]), Fraction(p["meters"][0]["multiplier"]))
        for p in config_["points"]
    }
    key = base64.b64encode(note.public_raw(KEY)).decode()
    return Park("fed-park", first, directory, f"fed-park/gw-1={key}", energy, register, points, Fraction(fixed))


def keep(records: list[bytes], directory: Path) -> None:
    """As an import does it, with a checkpoint over all of them."""
    writer, tree = Writer(directory), Frontier()
    for taken, record in zip(writer.take(records), records, strict=True):
        assert isinstance(taken, Taken)
        assert taken.outcome == "new"
        tree.append(leaf_hash(record))
    body = note.Checkpoint(note.origin(*taken.log), tree.size, tree.root())
    writer.add_note(taken.log, "checkpoints", note.sign_checkpoint(KEY, body))
    writer.close()
