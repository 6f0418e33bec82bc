"""Bill and charges of a park made from the truth, as an honest operator has them, to be cheated with by a test.

The truth is what grid and operator read on the meters themselves; the auditor's side sees the store and these papers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from agent.cli import cli
from audit.amounts import rounded, shown
from audit.settle import settle
from audit.writer import Taken, Writer
from contract.note import parse_checkpoint, parse_note

PRICES = {"sharp": "1.23155", "peak": "1.12655", "flat": "0.68030", "valley": "0.36530", "deep_valley": "0.26530"}


@dataclass
class Park:
    """The store, and what everybody could read on the meters: kWh by period of meters over days."""

    id: str
    first: date  # day 0
    store: Path | None  # None: papers alone
    key: str
    energy: Callable[[str, int, int], dict[str, Fraction]]
    register: Callable[[str, int], Fraction]
    points: dict[str, tuple[str, str, Fraction]]  # meter → role, holder, multiplier
    fixed: Fraction = Fraction()  # capacity, yuan in every bill

    def fair(self, first: int, last: int) -> dict[str, Any]:
        """The settlement of so many days (from 0) as an honest operator does it: allowed amounts by tenant."""
        case = {
            "master_feeds": [{"id": "grid", "billed_kwh": _texts(self.energy("m-000", first, last))}],
            "pv": {"generation": _texts(self.energy("m-290", first, last)) if "m-290" in self.points else {}},
            "points": [
                {"id": holder, "role": role, "kwh": _texts(self.energy(meter, first, last))}
                for meter, (role, holder, _) in self.points.items()
                if role in ("tenant", "operator", "public")
            ],
            "bill_items": [
                *({"period": period, "yuan": yuan} for period, (_, yuan) in self.bill_lines(first, last).items()),
                {"period": None, "yuan": shown(self.fixed)},
            ],
            "policy": {"common": "shared"},
            "charges": [],
        }
        return {row["tenant"]: Fraction(row["allowed_yuan"]) for row in settle(case)["tenants"]}

    def bill_lines(self, first: int, last: int) -> dict[str, tuple[str, str]]:
        energy = self.energy("m-000", first, last)
        return {p: (shown(kwh), shown(kwh * Fraction(PRICES[p]))) for p, kwh in energy.items()}

    def passable(self, first: int, last: int) -> Fraction:
        return sum((Fraction(yuan) for _, yuan in self.bill_lines(first, last).values()), self.fixed)

    def report(self, papers: list[str], path: Path, *arguments: str) -> dict[str, Any]:
        """What the command says in JSON; the page is in r.html."""
        words = [*papers, "--park", self.id, "--out", str(path / "r.html"), "--json", *arguments]
        if self.store is not None:
            words += ["--store", str(self.store), "--key", self.key]
        result = CliRunner().invoke(cli, ["--lang", "zh", "audit", "report", *words])
        assert result.exit_code == 0, result.output
        made: dict[str, Any] = json.loads(result.stdout)
        return made


def _texts(kwh: dict[str, Fraction]) -> dict[str, str]:
    return {period: shown(energy) for period, energy in kwh.items()}


def collect(messages: list[tuple[str, bytes]], directory: Path) -> None:
    """As a listener does it, without the broker in between."""
    writer = Writer(directory)
    sent = [(topic.rsplit("/", 1)[-1], payload) for topic, payload in messages]
    records = [payload for last, payload in sent if last not in ("status", "live", "hashes", "checkpoint")]
    for taken in writer.take(records):
        assert isinstance(taken, Taken), taken
        assert taken.outcome != "fork"
    for last, payload in sent:
        if last == "checkpoint":
            assert parse_checkpoint(parse_note(payload.decode())[0]).size > 0
            writer.add_note(taken.log, "checkpoints", payload.decode())
    writer.close()


@dataclass
class Papers:
    """Bill and charges of some days, to be cheated with; `extra` columns by tenant."""

    park: Park
    first: int
    last: int

    def __post_init__(self) -> None:
        self.fair = self.park.fair(self.first, self.last)
        self.yuan = dict(self.fair)
        self.factor = dict.fromkeys(self.fair, Fraction(1))
        self.multiplier: dict[str, Fraction] = {}
        self.claims: dict[str, Fraction] = {}  # tenant → end register as written
        self.loss = Fraction()
        self.fees: dict[str, str] = {}
        self.days = (self.first, self.last)

    def write(self, path: Path, name: str = "") -> list[str]:
        """Both papers as files; the options that name them."""
        bill, charges = path / f"bill{name}.csv", path / f"charges{name}.csv"
        span = ",".join((self.park.first + timedelta(days=day)).isoformat() for day in (self.first, self.last))
        rows = [f"{span},购电,电度电费,{p},{q},kWh,{PRICES[p]},{y},是" for p, (q, y) in self.lines().items()]
        if self.park.fixed:
            rows.append(f"{span},容量,容量电费,,{shown(self.park.fixed / 30)},kVA,30.00,{shown(self.park.fixed)},是")
        bill.write_text("\n".join(["账期起,账期止,类别,项目,时段,数量,单位,单价,金额,含税", *rows]), encoding="utf-8")
        own = [(self.park.first + timedelta(days=day)).isoformat() for day in self.days]
        rows = [self.row(meter, tenant, own) for meter, tenant in self.tenants() if tenant in self.yuan]
        head = "租户,起,止,上期示数,本期示数,倍率,加计线损,电量,电费,服务费,含税"
        charges.write_text("\n".join([head, *rows]), encoding="gb18030")
        return ["--bill", str(bill), "--charges", str(charges)]

    def report(self, path: Path, *arguments: str) -> dict[str, Any]:
        made = self.park.report(self.write(path), path, *(arguments or ("--common", "shared", "--no-verify")))
        assert "征求意见稿" in (path / "r.html").read_text(encoding="utf-8")
        return made

    def lines(self) -> dict[str, tuple[str, str]]:
        return self.park.bill_lines(self.first, self.last)

    def tenants(self) -> list[tuple[str, str]]:
        return [(meter, holder) for meter, (role, holder, _) in self.park.points.items() if role == "tenant"]

    def row(self, meter: str, tenant: str, own: list[str]) -> str:
        start, end = (self.park.register(meter, day * 96) for day in self.days)
        end = self.claims.get(tenant, end)
        multiplier = self.multiplier.get(tenant, self.park.points[meter][2])
        kwh = rounded((end - start) * multiplier)
        loss = rounded(kwh * self.loss)
        figures = (shown(start), shown(end), shown(multiplier, 4), shown(loss), shown(kwh + loss))
        return ",".join([tenant, *own, *figures, shown(self.yuan[tenant]), self.fees.get(tenant, ""), "是"])


def tenants(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["tenant"]: row for row in made["tenants"]}
