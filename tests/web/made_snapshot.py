"""Snapshots made by hand, and a looker that gives them: views without an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.ledger.kept import PARK
from agent.ledger.shelf import Row, Shelves
from agent.web.snapshot import LineNow, MeterNow, Snapshot
from contract.energy import SlotValue
from contract.grid import Closing
from contract.plan import Fitting, Plan, Point, Tenancy

NOW_S = 1_784_075_400  # 2026-07-15 08:30 in the park
STEP_S = 900


def values(n: int, steps: int = 96) -> dict[int, SlotValue]:
    """A register that grows by 0.5 kWh a step, now more, now less."""
    return {
        NOW_S - STEP_S * k: SlotValue(
            {"import": Decimal(1000 + n) - Decimal("0.5") * k - Decimal("0.2") * (k % 3)}, "measured", 10_000 - k
        )
        for k in range(steps)
    }


def meter(n: int, **more: Any) -> MeterNow:
    known = values(n)
    made = MeterNow(
        id=f"m-{n:04d}",
        line="east" if n % 2 else "west",
        protocol="dlt645-2007",
        room=f"{n // 100}-{n % 100:03d}",
        point=f"p-{n:04d}",
        role="tenant",
        tenants=(f"第 {n} 户",),
        register="import",
        multiplier=Decimal(40),
        state="ok",
        why="",
        silent=0,
        since_s=None,
        seen_s=NOW_S - 20,
        slot_s=NOW_S,
        value=known[NOW_S].registers["import"],
        quality="measured",
        kw=Decimal("40.00"),
        values=known,
    )
    return replace(made, **more)


def line(name: str, **more: Any) -> LineNow:
    made = LineNow(name, f"/dev/{name}", "2400 8E1", True, None, 500, 500, 61.2, 70.0, 320.0, 3600.0, 4000, 3990, 8, 2)
    return replace(made, **more)


def snapshot(meters: list[MeterNow], **more: Any) -> Snapshot:
    always = (-(2**62), 2**62)
    points = {
        one.point: Point(
            one.point,
            "tenant",
            None,
            "import",
            None,
            (Fitting(one.id, *always, Decimal(40)),),
            (Tenancy("t-1", *always, Decimal(1)),),
        )
        for one in meters
    }
    plan = Plan(STEP_S, 8 * 3600, (Closing(1, 0),), points, {}, lambda _at, _schedule: ("flat", "x@1"))
    made = Snapshot(
        park="p1",
        gateway="gw-1",
        title="试验园 <b>",
        version="0.1.0",
        epoch="0" * 32,
        now_s=NOW_S,
        clock="disciplined",
        clock_error_ms=4,
        interval_s=STEP_S,
        plan=plan,
        size=12_345,
        delivered=12_300,
        waiting=45,
        connected=True,
        sent_bytes=12_345_678,
        uplink_mb=Decimal("35.8"),
        life_s=86_400,
        witnessed={},
        meters={one.id: one for one in meters},
        lines={name: line(name) for name in ("east", "west")},
        names={"t-1": "甲 & 乙"},
        intervals={},
        balances=Row(Shelves(), PARK),
        data=Path("/nonexistent"),
        signs="1",
    )
    return replace(made, **more)


@dataclass
class StillLooker:
    """Gives the same snapshot, or whatever stands in `now`, again and again."""

    now: Snapshot

    @property
    def data(self) -> Path:
        return self.now.data

    def time(self) -> tuple[int, int]:
        return self.now.now_s, self.now.plan.utc_offset_s

    def signs(self) -> str:
        return self.now.signs

    def take(self, *, with_books: bool = False) -> Snapshot:
        return self.now


def thousand() -> Snapshot:
    meters: list[MeterNow] = [meter(n) for n in range(1000)]
    bad: Mapping[int, Any] = {
        17: {"state": "gone", "silent": 5, "why": "timeout"},
        400: {"state": "refused", "why": "fell"},
    }
    return snapshot([replace(one, **bad.get(n, {})) for n, one in enumerate(meters)])
