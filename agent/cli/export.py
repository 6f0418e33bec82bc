"""`hubiao export`: records or intervals of a span, or the whole evidence of an epoch for an auditor."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path

import click

from agent.cli import Failure
from agent.cli.output import document, notice
from agent.cli.places import LOCAL_INSTANT, local_text, open_reader, store_options, utc_seconds
from agent.cli.words import t
from agent.history import History
from agent.store import Epoch, Reader
from contract.note import join_notes
from contract.records import Interval, decode, parse_instant, parse_slot, plain

CSV_HEAD = ("tenant", "point", "role", "start", "end", "period", "schedule", "kwh", "quality", "revision", "seq")


@click.command()
@store_options
@click.option("--from", "from_", type=LOCAL_INSTANT, default=None)
@click.option("--to", type=LOCAL_INSTANT, default=None)
@click.option("--csv", "form", flag_value="csv", help=t("区间电量表(本地时间)", "intervals, local time"))
@click.option("--ndjson", "form", flag_value="ndjson", help=t("原始记录", "records as they stand in the log"))
@click.option("--evidence", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--json", "as_json", is_flag=True)
def export(
    config: Path | None,
    data: Path | None,
    from_: datetime | None,
    to: datetime | None,
    form: str | None,
    evidence: Path | None,
    as_json: bool,
) -> None:
    """导出记录、证据 / export records or evidence."""
    if evidence is None and (form is None or from_ is None or to is None):
        wanted = t(
            "--evidence DIR,或 --from --to 加 --csv|--ndjson", "--evidence DIR, or --from --to with --csv|--ndjson"
        )
        raise click.UsageError(t("需要 ", "needs ") + wanted)
    reader = open_reader(config, data)
    try:
        if evidence is not None:
            written = _evidence(reader, evidence)
            if as_json:
                document(written)
            else:
                notice(
                    t(f"已写入 {evidence}: {written['records']} 条记录", f"{evidence}: {written['records']} records")
                )
            return
        history = History(reader)
        assert from_ is not None
        assert to is not None
        offset_s = history.plan.utc_offset_s
        bounds = utc_seconds(from_, offset_s), utc_seconds(to, offset_s)
        (_csv if form == "csv" else _ndjson)(history, *bounds)
    except LookupError as error:
        raise Failure(str(error), 1) from error
    finally:
        reader.close()


def _csv(history: History, from_s: int, to_s: int) -> None:
    """Intervals that start in the span, newest revision only, in order of time."""
    newest: dict[tuple[str, str, str], tuple[int, Interval]] = {}
    for head, body in history.bodies(from_s):
        if isinstance(body, Interval) and from_s <= parse_slot(body.start) < to_s:
            newest[body.start, body.tenant or "", body.point or ""] = head.seq, body
    offset_s = history.plan.utc_offset_s
    writer = csv.writer(sys.stdout)
    writer.writerow(CSV_HEAD)
    for _, (seq, body) in sorted(newest.items()):
        start, end = (local_text(parse_slot(bound), offset_s) for bound in (body.start, body.end))
        row = [body.tenant, body.point, body.role, start, end, body.period, body.schedule]
        writer.writerow([*row, plain(body.kwh), body.quality, body.revision, seq])


def _ndjson(history: History, from_s: int, to_s: int) -> None:
    """Records committed from the span's start on whose own time lies before its end, byte for byte."""
    first = history.reader.first_since(history.epoch, from_s * 1000)
    for _, record, _ in history.reader.records(history.epoch, first):
        if record is None:
            continue
        head, _ = decode(record)
        if head.at is None or from_s * 1000 <= parse_instant(head.at) < to_s * 1000:
            click.echo(record.decode())


def _evidence(reader: Reader, directory: Path) -> dict[str, int]:
    """The five files of the contract, §5, of the newest epoch."""
    if not reader.epochs:
        raise LookupError("the store is empty")
    epoch: Epoch = reader.epochs[-1]
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    with (directory / "records.ndjson").open("wb") as records, (directory / "hashes.txt").open("w") as hashes:
        for _, record, leaf in reader.records(epoch):
            hashes.write(leaf.hex() + "\n")
            if record is not None:
                records.write(record + b"\n")
            count += 1
    checkpoints, receipts = reader.checkpoints(epoch), reader.receipts(epoch)
    (directory / "checkpoints.txt").write_text(join_notes(checkpoints), encoding="utf-8")
    (directory / "receipts.txt").write_text(join_notes(receipts), encoding="utf-8")
    (directory / "key.txt").write_text(epoch.vkey + "\n", encoding="utf-8")
    return {"records": count, "checkpoints": len(checkpoints), "receipts": len(receipts)}
