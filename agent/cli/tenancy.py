"""`hubiao tenancy`: somebody moves out of a point, somebody moves in, at a hand-over reading."""

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
from contract.records import plain, slot_instant


@click.command()
@act_options
@click.option("--point", required=True, help=t("计量点", "the point"))
@click.option("--out", "leaving", multiple=True, metavar="TENANT", help=t("默认全部", "everybody if not told"))
@click.option("--in", "coming", default=None, metavar="TENANT")
@click.option("--name", default=None, help=t("新租户名称", "name of a new tenant; stays in the file"))
@click.option("--share", type=REGISTER, metavar="SHARE", default=None, help="0.375")
@click.option("--import", "register", type=REGISTER, default=None, help=t("交接示数", "the register at hand-over"))
def tenancy(
    path: Path,
    at: datetime,
    who: str | None,
    photo: Path | None,
    data: Path | None,
    as_json: bool,
    point: str,
    leaving: tuple[str, ...],
    coming: str | None,
    name: str | None,
    share: Decimal | None,
    register: Decimal | None,
) -> None:
    """租户进出 / move-out and move-in: writes the configuration, an event and the hand-over reading."""
    act = Act.of(path, at, who, photo, data)
    if point not in act.plan.points:
        raise Failure(t(f"没有计量点 {point}", f"there is no point {point}"), 78)
    bound = slot_instant(act.bound_s)
    held = [x for x in act.config["tenancies"] if x["point"] == point]
    open_ = [x for x in held if (x["from"] or "") < bound and (x["to"] is None or x["to"] > bound)]
    for tenant in leaving:
        if tenant not in {x["tenant"] for x in open_}:
            raise Failure(t(f"{tenant} 此时不在 {point}", f"{tenant} does not hold {point} then"), 78)
    going = [x["tenant"] for x in open_ if not leaving or x["tenant"] in leaving]
    if not going and coming is None:
        raise Failure(t(f"{point} 此时无租户", f"nobody holds {point} then"), 78)

    def change(content: Any) -> None:
        tenancies = section(content, "tenancies")
        if not any(str(entry.get("point")) == point for entry in tenancies):
            for entry in held:  # the short form, written out before it is ended
                tenancies.append(flow({"point": point, "tenant": entry["tenant"]}))
        for entry in tenancies:
            if str(entry.get("point")) == point and str(entry["tenant"]) in going and _is_open(entry):
                entry["to"] = act.bound()
        if coming is not None:
            tenancies.append(flow({"point": point, "tenant": coming, "from": act.bound(), "share": share}))
            if entry_of(content, "tenants", coming) is None:
                section(content, "tenants").append(flow({"id": coming, "name": name}))

    edit(path, change)
    details = act.details(
        out=" ".join(going) or None,
        into=coming,
        share=None if share is None else plain(share),
        register=None if register is None else plain(register),
    )
    fitting = act.plan.points[point].fitting_at(act.bound_s - act.plan.interval_s)
    readings = []
    if register is not None and fitting is not None:
        name_ = act.plan.points[point].register
        readings = [ManualReading(fitting.meter, act.at_s * 1000, {name_: register})]
    order = WorkOrder((Note("point", point, "tenancy_changed", act.at_s * 1000, details),), tuple(readings))
    gone, came = " ".join(going) or "-", coming or "-"
    act.leave(order, as_json, t(f"{point}: {gone} 迁出,{came} 迁入", f"{point}: {gone} out, {came} in"))


def _is_open(entry: Any) -> bool:
    return not entry.get("to")
