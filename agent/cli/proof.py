"""`hubiao proof inclusion|consistency|check`: that a record stands in a signed log, or a log in a later one.

A proof is made from all leaf hashes: of a store, or of a directory with `hashes.txt` and `checkpoints.txt` such as an
export or what a tenant collected. Whoever checks it needs the proof, the record and the gateway's verifier key alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document
from agent.cli.verify import CHECKPOINTS, HASHES, leaves_of, notes_of, open_evidence, read_key
from agent.cli.words import t
from agent.evidence.store import StoreError
from contract.note import Checkpoint, NoteError, parse_checkpoint, parse_note, verifier_key, verify_checkpoint
from contract.tree import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

WHERE = click.argument("path", type=click.Path(path_type=Path))
SIZE = click.option(
    "--size", type=int, default=None, help=t("某个检查点的大小,默认最新", "of a checkpoint; the newest")
)
EPOCH = click.option("--epoch", default=None, help=t("存储中的纪元,默认最新", "an epoch of a store; the newest"))


@click.group()
def proof() -> None:
    """包含证明与一致性证明(RFC 9162)/ inclusion and consistency proofs."""


@proof.command()
@WHERE
@click.argument("seq", type=int)
@SIZE
@EPOCH
def inclusion(path: Path, seq: int, size: int | None, epoch: str | None) -> None:
    """某条记录在已签名的日志里 / that a record stands in a signed log: {seq, size, leaf, path, checkpoint}."""
    leaves, notes = _log(path, epoch)
    text, point = _checkpoint(path, notes, leaves, size)
    if not 0 <= seq < point.size:
        raise Failure(t(f"序号 {seq} 不在 {point.size} 条之内", f"{seq} is not below {point.size}"), 2)
    found = inclusion_proof(leaves[: point.size], seq)
    document(
        {"seq": seq, "size": point.size, "leaf": leaves[seq].hex(), "path": _hex(found), "checkpoint": text},
    )


@proof.command()
@WHERE
@click.argument("old", type=int)
@SIZE
@EPOCH
def consistency(path: Path, old: int, size: int | None, epoch: str | None) -> None:
    """旧检查点是新检查点的开头 / that a checkpoint is the beginning of a later one: {old, size, path, …}."""
    leaves, notes = _log(path, epoch)
    before, first = _checkpoint(path, notes, leaves, old)
    text, point = _checkpoint(path, notes, leaves, size)
    if first.size > point.size:
        raise Failure(t(f"{old} 大于 {point.size}", f"{old} is above {point.size}"), 2)
    found = consistency_proof(leaves[: point.size], first.size)
    document(
        {"old": first.size, "size": point.size, "path": _hex(found), "old_checkpoint": before, "checkpoint": text},
    )


@proof.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", "key", required=True, metavar="FILE|VKEY")
@click.option(
    "--record", "record", type=click.Path(path_type=Path), default=None, help=t("记录文件", "file of the record")
)
def check(file: Path, key: str, record: Path | None) -> None:
    """核对证明,只需公钥 / check a proof with nothing but the key; exit 3 if it does not hold."""
    name, public = read_key(key)
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        body = None if record is None else record.read_bytes().removesuffix(b"\n")
        holds = _holds(said, name, public, body)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", 78) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(f"{file}: " + t("不是证明", "no proof") + f": {error}", 78) from error
    if not holds:
        click.echo(t("不成立", "does not hold"))
        raise click.exceptions.Exit(3)
    what = f"{said['seq']} ∈ {said['size']}" if "seq" in said else f"{said['old']} ⊑ {said['size']}"
    click.echo(t("成立", "holds") + f": {what}")


def _holds(said: Mapping[str, Any], name: str | None, public: bytes, record: bytes | None) -> bool:
    """Signatures, and the path. Raises ValueError, KeyError and the like for what is no proof."""
    steps = [bytes.fromhex(step) for step in said["path"]]
    point = _signed(said["checkpoint"], name, public)
    if point is None or point.size != said["size"]:
        return False
    if "old" in said:
        before = _signed(said["old_checkpoint"], name, public)
        if before is None or before.size != said["old"] or before.origin != point.origin:
            return False
        return verify_consistency(before.size, before.root, point.size, point.root, steps)
    leaf = bytes.fromhex(said["leaf"]) if record is None else leaf_hash(record)
    return leaf.hex() == said["leaf"] and verify_inclusion(leaf, said["seq"], point.size, steps, point.root)


def _signed(text: str, name: str | None, public: bytes) -> Checkpoint | None:
    """The checkpoint under the gateway's signature, None if it is another's."""
    try:
        origin = parse_checkpoint(parse_note(text)[0]).origin
        point = verify_checkpoint(text, verifier_key(origin, public))
    except NoteError:
        return None
    return point if name in (None, origin) else None


def _log(path: Path, epoch: str | None) -> tuple[list[bytes], Sequence[str]]:
    """All leaf hashes and checkpoints. Exit 78."""
    try:
        if (path / HASHES).exists():
            return leaves_of(path / HASHES), notes_of(path / CHECKPOINTS)
        evidence = open_evidence(path, epoch)
    except OSError as error:
        raise Failure(f"{error.filename or path}: {error.strerror or error}", 78) from error
    except StoreError as error:
        raise Failure(str(error), 78) from error
    return list(evidence.leaves or ()), evidence.checkpoints


def _checkpoint(path: Path, notes: Sequence[str], leaves: Sequence[bytes], size: int | None) -> tuple[str, Checkpoint]:
    """The checkpoint of a size, the newest if none is named, if it is one of these leaves. Exit 78."""
    for text in reversed(notes):
        point = parse_checkpoint(parse_note(text)[0])
        if 0 < point.size <= len(leaves) and size in (None, point.size):
            if root_of(leaves[: point.size]) != point.root:
                wrong = t(f"检查点 {point.size} 与叶子不符", f"checkpoint {point.size} is not of these leaves")
                raise Failure(f"{path}: {wrong}", 78)
            return text, point
    sizes = t("没有这样的检查点", "there is no such checkpoint")
    raise Failure(f"{path}: {sizes}" + ("" if size is None else f": {size}"), 78)


def _hex(steps: Sequence[bytes]) -> list[str]:
    return [step.hex() for step in steps]
