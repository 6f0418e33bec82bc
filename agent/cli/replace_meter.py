"""`hubiao replace-meter`: the work order of a meter change: configuration, event, and both hand-over readings.

    old … final │ initial … new        the point stays, two segments meet at the slot of the change

Between two slots the change holds from the next one: there the old meter's value is its final reading and the new one's
its initial reading, so no energy is lost and what the new meter counted until then falls into the step after it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.edit_config import edit, entry_of, flow, section
from agent.cli.words import t
from agent.cli.work_order import REGISTER, Act, act_options
from agent.ledger.inbox import ManualReading, Note, WorkOrder
from contract.records import plain

SAME = ("line", "protocol", "model", "baud", "framing", "ct", "pt", "max_a", "phases", "digits", "room")
OWN = (
    "address",
    "unit",
    "serial",
    "certificate",
    "seal",
    "accepted",
)  # of the new device; never taken from the old one


@click.command(name="replace-meter")
@act_options
@click.option("--meter", "old", required=True, help=t("旧表", "the old meter"))
@click.option("--new", required=True, help=t("新表编号", "id of the new meter"))
@click.option("--final", type=REGISTER, required=True, help=t("旧表止码", "the old meter's last register"))
@click.option("--initial", type=REGISTER, required=True, help=t("新表起码", "the new meter's first register"))
@click.option("--address", default=None)
@click.option("--unit", default=None)
@click.option("--serial", default=None)
@click.option(
    "--multiplier", type=REGISTER, metavar="N", default=None, help=t("默认同旧表", "the old one's if not told")
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="digits=6")
def replace_meter(
    path: Path,
    at: datetime,
    who: str | None,
    photo: Path | None,
    data: Path | None,
    as_json: bool,
    old: str,
    new: str,
    final: Decimal,
    initial: Decimal,
    address: str | None,
    unit: str | None,
    serial: str | None,
    multiplier: Decimal | None,
    settings: tuple[str, ...],
) -> None:
    """换表 / replace a meter: writes the configuration, an event and both hand-over readings."""
    act = Act.of(path, at, who, photo, data)
    known = {meter["id"]: meter for meter in act.config["meters"]}
    if old not in known:
        raise Failure(t(f"没有电表 {old}", f"there is no meter {old}"), 78)
    point = act.plan.point_of(old, act.bound_s)
    if point is None:
        raise Failure(t(f"{old} 此时不在任何计量点", f"{old} measures no point then"), 78)
    given = {"address": address, "unit": unit, "serial": serial, **_settings(settings)}
    before = act.plan.points[point].fitting_at(act.bound_s)
    assert before is not None
    seat = {"meter": new, "from": act.bound(), "multiplier": multiplier or before.multiplier}

    def change(content: Any) -> None:
        written = entry_of(content, "meters", old) or known[old]  # without the defaults, if it stands in this file
        device = {key: written[key] for key in SAME if written.get(key) is not None}
        device |= {key: value for key, value in given.items() if value is not None}
        section(content, "meters").append(flow({"id": new, **device}))
        entry = _point_entry(content, act, point)
        for other in entry["meters"]:
            if str(other["meter"]) == old and not other.get("to"):
                other["to"] = act.bound()
        entry["meters"].append(flow(seat))

    edit(path, change)
    details = act.details(old=old, new=new, final=plain(final), initial=plain(initial), new_serial=serial)
    readings = (
        ManualReading(old, act.at_s * 1000, {"import": final}, act.bound_s, True),
        ManualReading(new, act.at_s * 1000, {"import": initial}, act.bound_s, True),
    )
    order = WorkOrder((Note("point", point, "meter_replaced", act.at_s * 1000, details),), readings)
    act.leave(order, as_json, t(f"{point}: {old} 换为 {new}", f"{point}: {old} replaced by {new}"))


def _settings(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise click.UsageError(f"--set {pair}: KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _point_entry(content: Any, act: Act, point: str) -> Any:
    """The point as it is written out in the file; a short form is written out first."""
    entry = entry_of(content, "points", point)
    seats = [
        {"meter": f["meter"], "from": f["from"], "to": f["to"], "multiplier": Decimal(f["multiplier"])}
        for f in next(p for p in act.config["points"] if p["id"] == point)["meters"]
    ]
    if entry is None:
        role = act.plan.points[point].role
        from ruamel.yaml.comments import CommentedMap

        entry = CommentedMap(id=point, role=role)
        section(content, "points").append(entry)
    if not entry.get("meters"):
        entry["meters"] = [flow(seat) for seat in seats]
    return entry
