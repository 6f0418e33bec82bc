"""`hubiao export`: records or intervals of a span, or the whole evidence of an epoch for an auditor.

A record belongs to the span in which it begins: a reading by its slot, what has bounds by the first of them, all else
by when it was written. So spans that follow one another give every record once.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice
from agent.cli.parquet import Column, parquet
from agent.cli.places import LOCAL_INSTANT, local_text, opened_store, store_options, utc_seconds
from agent.cli.words import t
from agent.evidence.store import Epoch, Reader
from agent.ledger.history import History
from contract.note import join_notes, parse_checkpoint, parse_note
from contract.records import (
    Balance,
    Body,
    Day,
    Event,
    Gap,
    Head,
    Interval,
    Reading,
    Statement,
    parse_instant,
    parse_slot,
    plain,
)

CSV_HEAD = (
    "tenant",
    "point",
    "role",
    "start",
    "end",
    "period",
    "schedule",
    "kwh",
    "quality",
    "revision",
    "seq",
    "epoch",
)


@click.command()
@store_options
@click.option("--from", "from_", type=LOCAL_INSTANT, default=None, help="2026-07-01")
@click.option("--to", type=LOCAL_INSTANT, default=None, help="2026-08-01")
@click.option("--csv", "form", flag_value="csv", help=t("区间电量表(本地时间)", "intervals, local time"))
@click.option("--ndjson", "form", flag_value="ndjson", help=t("原始记录", "records as they stand in the log"))
@click.option("--parquet", "form", flag_value="parquet", help=t("同上,UTC 时刻,写到标准输出", "the same, UTC"))
@click.option("--evidence", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--epoch", "epoch_id", default=None, help=t("证据的纪元,默认最新", "of the evidence; default the newest"))
@click.option("--json", "as_json", is_flag=True)
def export(
    config: Path | None,
    data: Path | None,
    from_: datetime | None,
    to: datetime | None,
    form: str | None,
    evidence: Path | None,
    epoch_id: str | None,
    as_json: bool,
) -> None:
    """导出记录、证据 / export records or evidence."""
    if form == "parquet" and (as_json or sys.stdout.isatty()):
        zh, en = "--parquet 是二进制:请转到文件(> 文件),不与 --json 并用", "--parquet is binary: > FILE, without --json"
        raise click.UsageError(t(zh, en))
    if evidence is not None and (form or from_ or to):
        zh, en = (
            "--evidence 总是整个纪元,不与其他选项并用",
            "--evidence is always a whole epoch: no span, no other form",
        )
        raise click.UsageError(t(zh, en))
    with opened_store(config, data) as store:
        if evidence is not None:
            _export_evidence(store.reader, evidence, epoch_id, as_json)
        elif form is None or from_ is None or to is None:
            zh, en = (
                "--evidence DIR,或 --from --to 加 --csv|--ndjson|--parquet",
                "--evidence DIR, or --from --to with --csv|--ndjson|--parquet",
            )
            raise click.UsageError(t(f"需要 {zh}", f"needs {en}"))
        else:
            history = History(store.reader)
            from_s, to_s = (utc_seconds(moment, history.plan.utc_offset_s) for moment in (from_, to))
            FORMS[form](history, from_s, to_s, as_json)


def begins_s(head: Head, body: Body) -> int | None:
    """The instant (UTC seconds) by which a record belongs to a span; None where it was written without a clock."""
    if isinstance(body, Reading) and body.slot is not None:
        return parse_slot(body.slot)
    if isinstance(body, Interval):
        return parse_slot(body.start)
    if isinstance(body, Gap):
        return parse_slot(body.from_slot)
    if isinstance(body, (Day, Statement, Balance)):
        return parse_slot(body.from_)
    if isinstance(body, Event) and body.from_ is not None:
        return parse_instant(body.from_) // 1000
    return None if head.at is None else parse_instant(head.at) // 1000


def _intervals(history: History, from_s: int, to_s: int) -> list[tuple[Head, Interval]]:
    """Intervals that start in the span, newest revision only, in order of time."""
    newest: dict[tuple[str, str, str], tuple[Head, Interval]] = {}
    for _, head, body in history.records(from_s, ("interval",)):
        if isinstance(body, Interval) and from_s <= parse_slot(body.start) < to_s:
            newest[body.start, body.tenant or "", body.point or ""] = head, body
    return [found for _, found in sorted(newest.items(), key=lambda item: item[0])]


def _csv(history: History, from_s: int, to_s: int, as_json: bool) -> None:
    offset_s = history.plan.utc_offset_s
    rows = (_interval_row(head, body, offset_s) for head, body in _intervals(history, from_s, to_s))
    if as_json:
        document([dict(zip(CSV_HEAD, row, strict=True)) for row in rows])
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(CSV_HEAD)
    writer.writerows(rows)


def _parquet(history: History, from_s: int, to_s: int, as_json: bool) -> None:
    """The columns of the table; bounds are instants, energy is an exact decimal."""
    assert not as_json
    kinds = {"start": "instant", "end": "instant", "kwh": "decimal", "revision": "number", "seq": "number"}
    columns = [Column(name, kinds.get(name, "text")) for name in CSV_HEAD]
    rows = []
    for head, body in _intervals(history, from_s, to_s):
        bounds = (parse_slot(bound) * 1000 for bound in (body.start, body.end))
        rows.append((*_about(body, *bounds), body.kwh, body.quality, body.revision, head.seq, head.epoch))
    sys.stdout.buffer.write(parquet(columns, rows))


def _interval_row(head: Head, body: Interval, offset_s: int) -> tuple[Any, ...]:
    bounds = (local_text(parse_slot(bound), offset_s) for bound in (body.start, body.end))
    return (*_about(body, *bounds), plain(body.kwh), body.quality, body.revision, head.seq, head.epoch)


def _about(body: Interval, start: Any, end: Any) -> tuple[Any, ...]:
    return (body.tenant, body.point, body.role, start, end, body.period, body.schedule)


def _ndjson(history: History, from_s: int, to_s: int, as_json: bool) -> None:
    """Records of the span in the order of the log, byte for byte."""
    records = (record.decode() for record in _records_of(history, from_s, to_s))
    if as_json:
        document([json.loads(record) for record in records])
        return
    for record in records:
        click.echo(record)


FORMS: dict[str, Callable[[History, int, int, bool], None]] = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet}


def _records_of(history: History, from_s: int, to_s: int) -> Iterator[bytes]:
    """What was written without a clock goes with the next record that has one, the last such with the one before."""
    undated: list[bytes] = []
    within = False
    for record, head, body in history.records(from_s - history.plan.interval_s):
        begins = begins_s(head, body)
        if begins is None:
            undated.append(record)
            continue
        within = from_s <= begins < to_s
        if within:
            yield from undated
            yield record
        undated.clear()
    if within:
        yield from undated


def _export_evidence(reader: Reader, directory: Path, epoch_id: str | None, as_json: bool) -> None:
    found = [epoch for epoch in reader.epochs if epoch_id in (None, epoch.id)]
    if not found:
        raise LookupError(
            t(f"没有纪元 {epoch_id}", f"no epoch {epoch_id}") if epoch_id else t("存储是空的", "it is empty")
        )
    try:
        written = _evidence(reader, found[-1], directory)
    except OSError as error:
        raise Failure(f"{error.filename or directory}: {error.strerror}", 74) from error
    if written["unsigned"]:
        zh = f"最新 {written['unsigned']} 条记录尚无已存的检查点,未导出"
        en = f"the newest {written['unsigned']} records have no checkpoint in the store yet: left out"
        notice(t(zh, en))
    if as_json:
        document(written)
    else:
        notice(t(f"已写入 {directory}: {written['records']} 条记录", f"{directory}: {written['records']} records"))


def _evidence(reader: Reader, epoch: Epoch, directory: Path) -> dict[str, int]:
    """The five files of the contract, §5. Ends where the newest signature does."""
    checkpoints, receipts = reader.checkpoints(epoch), reader.receipts(epoch)
    size = reader.size(epoch)
    signed = max((parse_checkpoint(parse_note(text)[0]).size for text in (*checkpoints, *receipts)), default=size)
    directory.mkdir(parents=True, exist_ok=True)
    kept = 0
    with (directory / "records.ndjson").open("wb") as records, (directory / "hashes.txt").open("w") as hashes:
        for seq, record, leaf in reader.records(epoch):
            if seq >= signed:
                break
            hashes.write(leaf.hex() + "\n")
            if record is not None:
                records.write(record + b"\n")
                kept += 1
    (directory / "checkpoints.txt").write_text(join_notes(checkpoints), encoding="utf-8")
    (directory / "receipts.txt").write_text(join_notes(receipts), encoding="utf-8")
    (directory / "key.txt").write_text(epoch.vkey + "\n", encoding="utf-8")
    return {
        "records": kept,
        "size": min(signed, size),
        "unsigned": max(0, size - signed),
        "checkpoints": len(checkpoints),
        "receipts": len(receipts),
    }
