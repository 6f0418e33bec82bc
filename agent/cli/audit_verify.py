"""`hubiao audit verify`: what the evidence in the store is worth, on this machine or on a cluster."""

from __future__ import annotations

import gc
import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from agent.cli import Failure
from agent.cli.audit_store import KEYS, STORE, open_store, pin_keys
from agent.cli.output import document, notice, table
from agent.cli.words import t
from audit.store import Store
from audit.verify_store import verify_store
from contract.note import NoteError

SPARK = click.option(
    "--spark", default=None, metavar="spark://HOST:7077", help=t("在 Spark 集群上", "on a Spark cluster; hubiao[fleet]")
)


@click.command("verify")
@STORE
@KEYS
@click.option("--park", default=None)
@click.option("--auditor", "auditors", multiple=True, metavar="VKEY")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count, help=t("并行进程数", "parks verified at once"))
@SPARK
@click.option("--json", "as_json", is_flag=True, help="{ok, logs: [{park, …, findings, completeness}], alarms}")
def verify(
    store: pathlib.Path,
    keys: tuple[str, ...],
    park: str | None,
    auditors: tuple[str, ...],
    jobs: int,
    spark: str | None,
    as_json: bool,
) -> None:
    """核验全部证据：改动、分叉、空洞、回退、重算 / verify everything in the store; exit 3 if anything is found."""
    opened = open_store(store)
    pin_keys(opened, keys)
    gc.disable()  # millions of objects and no cycles
    try:
        if spark is None:
            result = verify_store(opened, park=park, auditors=auditors, jobs=jobs)
        else:
            with on_spark(spark, opened) as (fleet, session):
                result = fleet.verify_store(session, opened, park, auditors)
    except OSError as error:
        raise Failure(f"{error.filename or store}: {error.strerror or error}", 78) from error
    except NoteError as error:
        raise Failure(f"{store}: {error}", 78) from error
    finally:
        gc.enable()
    if as_json:
        document(result)
    else:
        _show(result)
    if not result["ok"]:
        raise click.exceptions.Exit(3)


@contextmanager
def on_spark(master: str, store: Store) -> Iterator[tuple[Any, Any]]:
    """audit.fleet and a session on the cluster, with everything folded. Needs hubiao[fleet]."""
    from audit import fleet
    from audit.fold import fold

    fold(store)
    session = fleet.session(master)
    try:
        yield fleet, session
    finally:
        session.stop()


def _show(result: dict[str, Any]) -> None:
    head = ("", t("记录", "records"), t("发现", "findings"), t("应答时刻", "slots"), t("缺失", "missing"))
    rows = []
    for log in result["logs"]:
        slots = sum(row["slots"] for row in log["completeness"])
        missing = sum(row["missing"] + row.get("gap", 0) for row in log["completeness"])
        name = f"{log['park']}/{log['gateway']}/{log['epoch'][:8]}"
        rows.append((name, f"{log['held']}/{log['size']}", len(log["findings"]), slots, missing))
    table(head, rows)
    for log in result["logs"]:
        for finding in log["findings"][:20]:
            click.echo(f"{log['park']}/{log['gateway']} {finding['seq']} {finding['code']}: {finding['text']}")
    for log in result["logs"]:
        if log["follows"] is not None and log["follows"]["previous"] is not None:
            _show_follows(log["epoch"], log["follows"])
    for alarm in result["alarms"]:
        notice(t("警报：", "alarm: ") + str(alarm))


def _show_follows(epoch: str, follows: dict[str, Any]) -> None:
    before, cause, meters = follows["previous"][:8], follows["cause"], follows["between"]
    held = "" if follows["held"] else t("（未持有）", " (not held)")
    click.echo(t(f"{epoch[:8]} 接 {before}{held}：{cause}", f"{epoch[:8]} follows {before}{held}: {cause}"))
    head = (
        t("电表", "meter"),
        t("前纪元末次", "last before"),
        t("新纪元首次", "first after"),
        t("其间 kWh", "kWh between"),
    )
    if meters:
        table(head, [(row["meter"], row["from"], row["to"], row["kwh"] or "-") for row in meters])
