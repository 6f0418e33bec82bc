"""`hubiao verify`: an export or a store against the gateway's public key, offline, with nothing but the files.

Reads the files of `hubiao export --evidence` (contract §5) or an epoch of a store. Schedules are read from the texts
in the log, readings are decoded again from their raw frames.
"""

from __future__ import annotations

import base64
import binascii
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice, table
from agent.cli.words import t
from agent.evidence.store import DATABASE, Epoch, Reader, StoreError
from agent.ledger.history import is_of
from audit.periods import periods_from_texts
from contract.note import ED25519, KEY_BYTES, NoteError, parse_checkpoint, parse_note, parse_verifier_key, split_notes
from contract.tree import HASH_BYTES
from contract.verify import Evidence, pruned_of
from contract.verify import verify as verify_log
from drivers.redecode import Redecoder

RECORDS, HASHES, CHECKPOINTS, RECEIPTS = "records.ndjson", "hashes.txt", "checkpoints.txt", "receipts.txt"


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--key", "key", required=True, metavar="FILE|VKEY")
@click.option("--auditor", "auditors", multiple=True, metavar="VKEY")
@click.option("--epoch", default=None, help=t("存储中的纪元,默认最新", "an epoch of a store; the newest if not given"))
@click.option("--json", "as_json", is_flag=True)
def verify(path: Path, key: str, auditors: tuple[str, ...], epoch: str | None, as_json: bool) -> None:
    """离线核验存储或证据 / verify a store or evidence files offline."""
    name, public = read_key(key)
    try:
        for auditor in auditors:
            parse_verifier_key(auditor)
    except NoteError as error:
        raise Failure(f"--auditor: {error}", 78) from error
    gc.disable()  # a log makes millions of objects and no cycles: looking for some would cost a third of the time
    try:
        result = verify_log(
            open_evidence(path, epoch),
            public,
            name=name,
            auditors=auditors,
            decode_reading=Redecoder(),
            periods_of=periods_from_texts,
        )
    except OSError as error:
        raise Failure(f"{error.filename or path}: {error.strerror or error}", 78) from error
    except StoreError as error:
        raise Failure(str(error), 78) from error
    finally:
        gc.enable()
    _show(result, as_json)
    if not result["ok"]:
        raise click.exceptions.Exit(3)


def read_key(text: str) -> tuple[str | None, bytes]:
    """Origin (None: any) and raw public key, from a verifier key, a raw key in base64, or a file with one. Exit 78."""
    where = "--key"
    try:
        if Path(text).is_file():
            where, text = text, Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{where}: {error}", 78) from error
    text = text.strip()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) == KEY_BYTES:
        return None, raw
    try:
        key = parse_verifier_key(text)
    except NoteError as error:
        raise Failure(f"{where}: {error}", 78) from error
    if key.algorithm != ED25519:
        raise Failure(f"{where}: " + t("这是审计方的密钥,不是网关的", "an auditor's key, not a gateway's"), 78)
    return key.name, key.key


def open_evidence(path: Path, epoch: str | None = None) -> Evidence:
    """The files of an export, or an epoch of a store. Raises OSError, StoreError where something cannot be read."""
    if (path / RECORDS).exists():
        return _of_files(path)
    if path.suffix == ".db" or (path / DATABASE).exists():
        return _of_store(path, epoch)
    missing = t(f"没有 {RECORDS},也没有 {DATABASE}", f"neither {RECORDS} nor {DATABASE}")
    raise Failure(f"{path}: {missing}", 78)


def _of_files(directory: Path) -> Evidence:
    leaves = leaves_of(directory / HASHES)
    receipts = directory / RECEIPTS
    return Evidence(
        records=_lines(directory / RECORDS),
        leaves=leaves,
        checkpoints=notes_of(directory / CHECKPOINTS),
        receipts=notes_of(receipts) if receipts.exists() else [],
    )


def leaves_of(path: Path) -> list[bytes]:
    """The leaf hashes of `hashes.txt`. Raises OSError."""
    return [_leaf(line) for line in path.read_bytes().split()]


def _leaf(line: bytes) -> bytes:
    """32 bytes; zeros, which no record hashes to, for a line that is no hash as it was written, in small letters."""
    try:
        leaf = bytes.fromhex(line.decode("ascii"))
    except ValueError:
        leaf = b""
    return leaf if len(leaf) == HASH_BYTES and leaf.hex().encode() == line else bytes(HASH_BYTES)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            record = line.removesuffix(b"\n")
            if record:
                yield record


def notes_of(path: Path) -> list[str]:
    """The notes of `checkpoints.txt` or `receipts.txt`. Raises OSError."""
    return split_notes(path.read_bytes().decode("utf-8", errors="replace"))


def _of_store(path: Path, wanted: str | None) -> Evidence:
    reader = Reader(path)
    found = [epoch for epoch in reader.epochs if wanted in (None, epoch.id)]
    if not found:
        raise StoreError(f"{path}: no epoch {wanted or ''}")
    rows = list(reader.records(found[-1]))
    checkpoints, receipts = reader.checkpoints(found[-1]), reader.receipts(found[-1])
    pruned = _named_later(reader, found[-1])
    reader.close()
    signed = _size(checkpoints[-1]) if checkpoints else 0
    if 0 < signed < len(rows):  # a batch's checkpoint is stored with the batch after it
        tail = len(rows) - signed
        notice(
            t(f"最后 {tail} 条记录的检查点尚未存盘,未核验", f"the last {tail} records have no stored checkpoint yet")
        )
        rows = rows[:signed]
    bodies, leaves = [record for _, record, _ in rows], [leaf for _, _, leaf in rows]
    return Evidence(bodies, leaves, checkpoints, receipts, pruned=pruned)


def _named_later(reader: Reader, epoch: Epoch) -> list[tuple[int, int]]:
    """What later epochs of the store say was given up of this one."""
    later = (record for after in reader.epochs if after.number > epoch.number for _, record, _ in reader.records(after))
    named = (json.loads(record) for record in later if record is not None and is_of(("pruned",), record))
    return [found for raw in named for found in pruned_of(raw, epoch.id)]


def _size(checkpoint: str) -> int:
    """How many records a stored checkpoint says it covers; 0 if it says nothing."""
    try:
        return parse_checkpoint(parse_note(checkpoint)[0]).size
    except NoteError:
        return 0


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        document(result)
        return
    if result["ok"]:
        size = result["size"]
        click.echo(t(f"核验通过:{size} 条记录,未见改动", f"verified: {size} records, nothing was found"))
        return
    head = (t("序号", "seq"), t("代码", "code"), t("说明", "what"))
    table(head, [(finding["seq"], finding["code"], finding["text"]) for finding in result["findings"]])
    first = result["first_bad"]
    notice(t(f"未通过:首个问题序号 {first}", f"not verified: first bad index {first}"))
