"""`hubiao audit survey`: the parks of a store in figures, by SQL alone; fast where `verify` is thorough."""

from __future__ import annotations

import pathlib
from collections import defaultdict
from decimal import Decimal
from typing import Any

import click

from agent.cli import Failure
from agent.cli.audit_store import STORE, open_store
from agent.cli.audit_verify import SPARK, on_spark
from agent.cli.output import document, table
from agent.cli.words import t
from contract.records import plain


@click.command()
@STORE
@click.option("--park", default=None)
@SPARK
@click.option("--json", "as_json", is_flag=True, help="{logs: […], meters: […], energy: […]}")
def survey(store: pathlib.Path, park: str | None, spark: str | None, as_json: bool) -> None:
    """各园区概览：记录、空洞、缺口、示数倒走、电量 / parks in figures: records, holes, gaps, falls, energy."""
    opened = open_store(store)
    try:
        if spark is not None:
            with on_spark(spark, opened) as (fleet, session):
                found = fleet.survey(session, opened, park)
        else:
            from audit.fold import fold
            from audit.survey import survey as on_this_machine

            fold(opened)
            found = on_this_machine(opened, park)
    except OSError as error:
        raise Failure(f"{error.filename or store}: {error.strerror or error}", 74) from error
    if as_json:
        document(found)
    else:
        _show(found)


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    head = (
        *(t("园区", "park"), t("记录", "records"), t("空洞", "holes"), t("分叉", "forks"), t("缺口", "gaps")),
        *(t("电表", "meters"), t("时刻", "slots"), t("估算", "estimated"), t("示数倒走", "falls")),
        t("租户 kWh", "tenants kWh"),
    )
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    energy: dict[str, Decimal] = defaultdict(Decimal)
    for row in found["logs"]:
        for name in ("records", "holes", "forks", "gaps"):
            sums[row["park"]][name] += row[name]
    for row in found["meters"]:
        sums[row["park"]]["meters"] += 1
        for name in ("slots", "estimated", "falls"):
            sums[row["park"]][name] += row[name]
    for row in found["energy"]:
        if row["role"] == "tenant" and row["kwh"] is not None:
            energy[row["park"]] += Decimal(row["kwh"])
    names = ("records", "holes", "forks", "gaps", "meters", "slots", "estimated", "falls")
    table(head, [(park, *(sums[park][name] for name in names), plain(energy[park])) for park in sorted(sums)])
