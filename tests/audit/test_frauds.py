"""A played park with a fair operator and with cheats: each gets its colour, reason and amount.

Three virtual days stand for the months. The auditor's side sees MQTT messages (put into its store), the bill and the
charges, nothing else. Bill and charges are made from the simulator's truth: what grid and operator read themselves.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from played import demo_config, play

from agent.cli import cli
from audit.amounts import rounded, shown
from audit.periods import periods_from_texts
from audit.settle import settle
from audit.store import StoreFault
from audit.writer import Writer
from contract.note import parse_checkpoint, parse_note, parse_verifier_key
from contract.records import parse_instant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FIRST = date(2026, 7, 14)
START = "2026-07-13T15:59:30Z"  # half a minute before that day in the park
PRICES = {"sharp": "1.23155", "peak": "1.12655", "flat": "0.68030", "valley": "0.36530"}
STEP_MS = 900_000


@dataclass
class Park:
    """The store, and what everybody could read on the meters: kWh by period of meters over days."""

    store: Path
    key: str
    energy: Callable[[str, int, int], dict[str, Fraction]]
    register: Callable[[str, int], Fraction]
    points: dict[str, tuple[str, str, Fraction]]  # meter → role, holder, multiplier

    def fair(self, first: int, last: int) -> dict[str, Any]:
        """The settlement of so many days (from 0) as an honest operator does it: allowed amounts by tenant."""
        case = {
            "master_feeds": [{"id": "grid", "billed_kwh": _texts(self.energy("m-000", first, last))}],
            "pv": {"generation": _texts(self.energy("m-290", first, last))},
            "points": [
                {"id": holder, "role": role, "kwh": _texts(self.energy(meter, first, last))}
                for meter, (role, holder, _) in self.points.items()
                if role in ("tenant", "public")
            ],
            "bill_items": [
                {"period": period, "yuan": yuan} for period, (_, yuan) in self.bill_lines(first, last).items()
            ],
            "policy": {"common": "shared"},
            "charges": [],
        }
        return {row["tenant"]: Fraction(row["allowed_yuan"]) for row in settle(case)["tenants"]}

    def bill_lines(self, first: int, last: int) -> dict[str, tuple[str, str]]:
        energy = self.energy("m-000", first, last)
        return {p: (shown(kwh), shown(kwh * Fraction(PRICES[p]))) for p, kwh in energy.items()}

    def passable(self, first: int, last: int) -> Fraction:
        return sum((Fraction(yuan) for _, yuan in self.bill_lines(first, last).values()), Fraction())


def _texts(kwh: dict[str, Fraction]) -> dict[str, str]:
    return {period: shown(energy) for period, energy in kwh.items()}


@pytest.fixture(scope="module")
def park(tmp_path_factory: pytest.TempPathFactory) -> Park:
    config = demo_config(tmp_path_factory.mktemp("data"))
    config["settings"] |= {"interval": "1h", "interval_s": 3600}  # a quarter of the sweeps, the same energies
    played = play(config, hours=72.6, broker="iotcore", start=START)
    directory = tmp_path_factory.mktemp("audit") / "store"
    collect(played.messages, directory)
    begin_ms = parse_instant(START) + 30_000
    period_at = periods_from_texts(config)
    multipliers = {p["meters"][0]["meter"]: Fraction(p["meters"][0]["multiplier"]) for p in config["points"]}

    @cache
    def register(meter: str, step: int) -> Fraction:
        name = "export" if meter == "m-290" else "import"
        return Fraction(played.site.truth.registers(meter, begin_ms + step * STEP_MS)[name])

    @cache
    def energy(meter: str, first: int, last: int) -> dict[str, Fraction]:
        sums: dict[str, Fraction] = {}
        for step in range(first * 96, last * 96):
            period = period_at(begin_ms // 1000 + step * 900, None)[0]
            went = (register(meter, step + 1) - register(meter, step)) * multipliers[meter]
            sums[period] = sums.get(period, Fraction()) + went
        return sums

    holders = {entry["point"]: entry["tenant"] for entry in config["tenancies"]}
    points = {
        point["meters"][0]["meter"]: (
            point["role"],
            holders.get(point["id"], point["id"]),
            multipliers[point["meters"][0]["meter"]],
        )
        for point in config["points"]
    }
    key = parse_verifier_key(played.agent.log.epoch.vkey).key
    return Park(directory, base64.b64encode(key).decode(), energy, register, points)


def collect(messages: list[tuple[str, bytes]], directory: Path) -> None:
    """As a listener does it, without the broker in between."""
    writer = Writer(directory)
    which = None
    for topic, payload in messages:
        last = topic.rsplit("/", 1)[-1]
        if last in ("status", "live", "hashes"):
            continue
        if last == "checkpoint":
            assert which is not None
            assert parse_checkpoint(parse_note(payload.decode())[0]).size > 0
            writer.add_note(which, "checkpoints", payload.decode())
            continue
        try:
            which, _, outcome = writer.append(payload)
        except StoreFault as error:
            raise AssertionError(topic) from error
        assert outcome != "fork"
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
        self.loss = Fraction()
        self.fees: dict[str, str] = {}
        self.days = (self.first, self.last)

    def report(self, path: Path, *arguments: str) -> dict[str, Any]:
        bill, charges = path / "bill.csv", path / "charges.csv"
        span = [(FIRST + timedelta(days=day)).isoformat() for day in (self.first, self.last)]
        lines = [f"购电,电度电费,{p},{q},kWh,{PRICES[p]},{y},是" for p, (q, y) in self.lines().items()]
        rows = [f"{span[0]},{span[1]},{line}" for line in lines]
        bill.write_text("\n".join(["账期起,账期止,类别,项目,时段,数量,单位,单价,金额,含税", *rows]), encoding="utf-8")
        own = [(FIRST + timedelta(days=day)).isoformat() for day in self.days]
        rows = [self.row(meter, tenant, own) for meter, tenant in self.tenants() if tenant in self.yuan]
        head = "租户,起,止,上期示数,本期示数,倍率,加计线损,电量,电费,服务费,含税"
        charges.write_text("\n".join([head, *rows]), encoding="gb18030")
        words = ["--bill", str(bill), "--charges", str(charges), "--store", str(self.park.store), "--park", "demo-park"]
        words += ["--key", f"demo-park/gw-demo={self.park.key}", "--out", str(path / "r.html"), "--json"]
        words += arguments or ("--common", "shared", "--no-verify")
        result = CliRunner().invoke(cli, ["--lang", "zh", "audit", "report", *words])
        assert result.exit_code == 0, result.output
        made: dict[str, Any] = json.loads(result.stdout)
        assert "征求意见稿" in (path / "r.html").read_text(encoding="utf-8")
        return made

    def lines(self) -> dict[str, tuple[str, str]]:
        return self.park.bill_lines(self.first, self.last)

    def tenants(self) -> list[tuple[str, str]]:
        return [(meter, holder) for meter, (role, holder, _) in self.park.points.items() if role == "tenant"]

    def row(self, meter: str, tenant: str, own: list[str]) -> str:
        start, end = (self.park.register(meter, day * 96) for day in self.days)
        multiplier = self.multiplier.get(tenant, self.park.points[meter][2])
        kwh = rounded((end - start) * multiplier)
        loss = rounded(kwh * self.loss)
        figures = (shown(start), shown(end), shown(multiplier, 4), shown(loss), shown(kwh + loss))
        return ",".join([tenant, *own, *figures, shown(self.yuan[tenant]), self.fees.get(tenant, ""), "是"])


def tenants(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["tenant"]: row for row in made["tenants"]}


def test_a_fair_operator_is_green_and_everything_was_verified(park: Park, tmp_path: Path) -> None:
    made = Papers(park, 0, 2).report(tmp_path, "--common", "shared")
    assert made["evidence"]["verified"]["ok"], made["evidence"]["verified"]["findings"]
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("green", ["OK"])
    assert {row["colour"] for row in made["tenants"]} == {"green"}
    assert len(made["tenants"]) == 12
    assert all(row["records"] and row["registers"] for row in made["tenants"])


def test_a_fixed_price_above_the_grids_is_red_with_its_amount(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    for meter, tenant in papers.tenants():
        papers.yuan[tenant] = rounded(sum(park.energy(meter, 0, 2).values(), Fraction()) * Fraction("1.30"))
    made = papers.report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["CAP_EXCEEDED_LITERAL"])
    over = sum(papers.yuan.values(), Fraction()) - park.passable(0, 2)
    assert Fraction(made["figures"]["over_bill_yuan"]) == over
    assert over > 100


def test_a_multiplier_too_high_is_found_as_energy(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    papers.multiplier["t-anvil"] = Fraction(60)
    papers.yuan["t-anvil"] = rounded(papers.fair["t-anvil"] * Fraction(3, 2))
    made = papers.report(tmp_path)
    row = tenants(made)["t-anvil"]
    assert (row["colour"], row["reasons"]) == ("red", ["TENANT_OVER", "KWH_MISMATCH"])
    assert row["kwh_causes"] == ["multiplier 60, not 40"]
    assert abs(Fraction(row["over_yuan"]) - papers.fair["t-anvil"] / 2) < 1
    assert abs(Fraction(row["excess_energy_yuan"]) - papers.fair["t-anvil"] / 2) < 2
    assert {other["colour"] for name, other in tenants(made).items() if name != "t-anvil"} == {"green"}
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["CAP_EXCEEDED_LITERAL"])


def test_added_line_loss_is_found_as_energy(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    papers.loss = Fraction(8, 100)
    papers.yuan = {tenant: rounded(yuan * Fraction(108, 100)) for tenant, yuan in papers.fair.items()}
    made = papers.report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["CAP_EXCEEDED_LITERAL"])
    for tenant, row in tenants(made).items():
        assert row["colour"] in ("red", "yellow"), tenant  # a tenth of a percent over or under the limit of 5 %
        assert row["reasons"] == ["TENANT_OVER", "KWH_MISMATCH"], tenant
        assert row["kwh_causes"][0].startswith("added_loss")
        assert abs(Fraction(row["over_yuan"]) - papers.fair[tenant] * Fraction(8, 100)) < 1


def test_a_service_fee_is_red_whatever_the_rest(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    papers.fees["t-cedar"] = "15.00"
    made = papers.report(tmp_path)
    assert made["verdict"]["colour"] == "red"
    assert made["verdict"]["reasons"][0] == "EXTRA_FEE"
    assert made["figures"]["extra_fees_yuan"] == "15.00"
    assert tenants(made)["t-cedar"]["reasons"] == ["EXTRA_FEE"]
    assert tenants(made)["t-cedar"]["excess_fee_yuan"] == "15.00"


def test_common_use_that_the_property_fee_covers_is_charged_twice(park: Park, tmp_path: Path) -> None:
    made = Papers(park, 0, 2).report(tmp_path, "--common", "recovered_elsewhere", "--no-verify")
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("red", ["CAP_EXCEEDED"])
    over, allowed = (Fraction(made["figures"][key]) for key in ("over_allowed_yuan", "allowed_tenants_yuan"))
    passable = park.passable(0, 2)
    public = sum(park.energy("m-190", 0, 2).values(), Fraction()) / sum(park.energy("m-000", 0, 2).values(), Fraction())
    assert over == passable - allowed
    assert passable * public < over < passable * (public + Fraction(8, 100))  # public use, and a loss of some percent


def test_solar_power_sold_as_the_grids_is_never_red_on_that_alone(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    sun, grid = (sum(park.energy(meter, 0, 2).values(), Fraction()) for meter in ("m-290", "m-000"))
    papers.yuan = {tenant: rounded(yuan * (1 + sun / grid)) for tenant, yuan in papers.fair.items()}
    made = papers.report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == (
        "grey",
        ["PV_UNRESOLVED", "CAP_EXCEEDED_LITERAL"],
    )
    assert [reading["colour"] for reading in made["verdict"]["readings"]] == ["red", "green"]
    assert abs(Fraction(made["figures"]["over_bill_yuan"]) - park.passable(0, 2) * sun / grid) < 1


def test_ten_tenants_left_out_of_the_charges_are_named(park: Park, tmp_path: Path) -> None:
    papers = Papers(park, 0, 2)
    papers.yuan = {tenant: papers.fair[tenant] for tenant in ("t-anvil", "t-birch")}
    made = papers.report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("grey", ["CHARGE_MISSING"])
    missing = [name for name, row in tenants(made).items() if row["reasons"] == ["CHARGE_MISSING"]]
    assert len(missing) == 10


def test_a_fair_park_that_reads_its_tenants_on_other_days_is_not_red(park: Park, tmp_path: Path) -> None:
    """Bill of the first day, registers of the second and third: recomputed for the charge's own days."""
    papers = Papers(park, 0, 1)
    papers.days = (1, 3)
    whole = sum(papers.fair.values(), Fraction())
    assert whole == park.passable(0, 1)
    prices = {tenant: Fraction() for tenant in papers.fair}
    reference = Papers(park, 0, 1).report(tmp_path)
    assert reference["verdict"]["colour"] == "green"
    for meter, tenant in papers.tenants():
        own = park.energy(meter, 1, 3)
        prices[tenant] = sum((own[p] * _price(park, p) for p in own), Fraction())
    papers.yuan = {tenant: rounded(yuan) for tenant, yuan in prices.items()}
    made = papers.report(tmp_path)
    assert (made["verdict"]["colour"], made["verdict"]["reasons"]) == ("grey", ["PERIOD_MISMATCH"])
    rows = tenants(made)
    assert {row["colour"] for row in rows.values()} == {"green"}
    assert rows["t-anvil"]["from"] == "2026-07-15"
    papers.yuan["t-birch"] = rounded(papers.yuan["t-birch"] * Fraction(12, 10))
    row = tenants(papers.report(tmp_path))["t-birch"]
    assert (row["colour"], row["reasons"]) == ("red", ["TENANT_OVER"])


def _price(park: Park, period: str) -> Fraction:
    """What the first day's bill makes a kWh cost an end user, public use and loss borne by all."""
    _, yuan = park.bill_lines(0, 1)[period]
    users = [meter for meter, (role, _, _) in park.points.items() if role == "tenant"]
    return Fraction(yuan) / sum((park.energy(meter, 0, 1)[period] for meter in users), Fraction())
