"""`hubiao audit sheet`: the meter-reading sheet from the auditor's store, as on the gateway."""

from __future__ import annotations

import pathlib
from datetime import datetime, timedelta

import click

from agent.cli import Failure
from agent.cli.audit_store import STORE, open_store
from agent.cli.output import document, table
from agent.cli.places import LOCAL_INSTANT, utc_seconds
from agent.cli.words import t
from audit.park_evidence import ParkEvidence
from contract.records import plain
from contract.sheet import Row, row_document

MARGIN = timedelta(days=2)


@click.command()
@STORE
@click.option("--park", required=True)
@click.option("--at", type=LOCAL_INSTANT, default=None)
@click.option("--from", "from_", type=LOCAL_INSTANT, default=None)
@click.option("--to", type=LOCAL_INSTANT, default=None)
@click.option("--json", "as_json", is_flag=True)
def sheet(
    store: pathlib.Path,
    park: str,
    at: datetime | None,
    from_: datetime | None,
    to: datetime | None,
    as_json: bool,
) -> None:
    """抄表单 / the meter-reading sheet: --at, or --from and --to, park-local."""
    last = at or to
    if last is None or (at is None) == (from_ is None):
        raise click.UsageError("--at | --from --to")
    first = from_ or last
    try:
        evidence = ParkEvidence(open_store(store), park, ((first - MARGIN).date(), (last + MARGIN).date()))
        start_s = None if from_ is None else utc_seconds(from_, evidence.offset_s)
        rows = evidence.sheet(start_s, utc_seconds(last, evidence.offset_s))
    except (LookupError, ValueError) as error:
        raise Failure(str(error), 78) from error
    if as_json:
        document([row_document(row) for row in rows])
        return
    head = (
        *(t("房号", "room"), t("租户", "tenant"), t("电表", "meter"), t("起示数", "start"), t("示数", "reading")),
        *(t("倍率", "multiplier"), t("电量", "kWh"), t("质量", "quality")),
    )
    table(head, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str | None]:
    figures = row.figures()
    numbers = [
        plain(figures[name]) if name in figures else None for name in ("start_total", "total", "multiplier", "kwh")
    ]
    return [row.room, " ".join(tenant or "-" for tenant, _ in row.holders), row.meter, *numbers, _quality(row)]


def _quality(row: Row) -> str:
    return row.quality if row.settles else row.quality + t(",未验收,不作结算", ", not accepted: not to be settled")
