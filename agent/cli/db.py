"""`hubiao db info|check|prepare`: the store itself: what it holds, whether it is whole, room reserved for it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

import click

from agent.cli import Failure
from agent.cli.output import document, table
from agent.cli.places import data_directory, opened_store, store_options
from agent.cli.words import t
from agent.evidence import ring
from agent.evidence.schema import migrate
from agent.evidence.store import DATABASE
from contract.tree import leaf_hash


@click.group()
def db() -> None:
    """存储维护 / look after the store."""


@db.command()
@store_options
@click.option("--json", "as_json", is_flag=True)
def info(config: Path | None, data: Path | None, as_json: bool) -> None:
    """各纪元、记录数、回执 / epochs, records, receipts."""
    with opened_store(config, data) as store:
        path = store.directory / DATABASE
        epochs = [
            {
                "epoch": epoch.id,
                "cause": epoch.cause,
                "size": store.reader.size(epoch),
                "delivered": epoch.delivered,
                "receipts": {name: size for name, size, _ in store.reader.accepted(epoch)},
                "set_aside": store.reader.aside(epoch),
            }
            for epoch in store.reader.epochs
        ]
    found = {"path": str(path), "bytes": path.stat().st_size, "ring_mb": ring.prepared_mb(path), "epochs": epochs}
    if as_json:
        document(found)
        return
    click.echo(f"{path}: {found['bytes']} B, ring {found['ring_mb'] or '-'} MB")
    head = (
        t("纪元", "epoch"),
        t("起因", "cause"),
        t("记录", "records"),
        t("已送达", "delivered"),
        t("回执", "receipts"),
    )
    table(head, [(e["epoch"], e["cause"], e["size"], e["delivered"], e["receipts"] or "-") for e in epochs])


@db.command()
@store_options
@click.option("--json", "as_json", is_flag=True)
def check(config: Path | None, data: Path | None, as_json: bool) -> None:
    """数据库页、记录与哈希 / pages, and every record against its hash."""
    with opened_store(config, data) as store:
        faults = [str(row) for row in store.reader.quick_check()]
        for epoch in store.reader.epochs:
            for seq, record, leaf in store.reader.records(epoch):
                if record is not None and leaf_hash(record) != leaf:
                    faults.append(f"epoch {epoch.id}: record {seq} is not what its hash says")
    if as_json:
        document({"ok": not faults, "faults": faults})
    else:
        click.echo("\n".join(faults) or t("完好", "whole"))
    if faults:
        raise click.exceptions.Exit(3)


@db.command()
@store_options
@click.option("--size", type=click.IntRange(min=8, max=65536), default=ring.RING_MB, show_default=True, help="MB")
def prepare(config: Path | None, data: Path | None, size: int) -> None:
    """预留磁盘空间(安装时)/ reserve the disk for the log, at installation; no agent may be running."""
    directory = data_directory(config, data)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            migrate(directory / DATABASE)
            ring.prepare(directory / DATABASE, size)
            ring.take_ballast(directory)
        finally:
            os.close(handle)
    except BlockingIOError as error:
        raise Failure(f"{directory}: " + t("代理正在运行", "an agent is running"), 74) from error
    except (OSError, sqlite3.Error) as error:
        raise Failure(f"{directory}: {error}", 74) from error
    click.echo(t(f"已预留 {size} MB", f"{size} MB reserved"))
