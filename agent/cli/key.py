"""`hubiao key init|show|renew|known`: the gateway's signing key, its change, what auditors and tenants need to check
its signatures, and what the key is known to have signed last.
"""

from __future__ import annotations

import base64
from pathlib import Path

import click

from agent.cli import Failure
from agent.cli.output import document, notice
from agent.cli.places import data_directory, store_options
from agent.cli.words import t
from agent.evidence.epochs import Known
from agent.evidence.keys import KeyFault, create_key, fingerprint, load_key, renew_key
from agent.evidence.lock import held
from agent.evidence.store import DATABASE, Reader, StoreError
from contract.note import (
    NoteError,
    parse_checkpoint,
    parse_note,
    parse_verifier_key,
    public_raw,
    verifier_key,
    verify_checkpoint,
)


@click.group()
def key() -> None:
    """网关签名密钥 / the gateway's signing key."""


@key.command()
@store_options
@click.option("--json", "as_json", is_flag=True)
def init(config: Path | None, data: Path | None, as_json: bool) -> None:
    """生成密钥(已有的不覆盖)/ make the key; one that exists is never replaced."""
    directory = data_directory(config, data)
    try:
        made = create_key(directory)
    except KeyFault as error:
        raise Failure(str(error), 74) from error
    _show(public_raw(made), _verifier_key(directory), as_json)


@key.command()
@store_options
@click.option("--json", "as_json", is_flag=True)
def show(config: Path | None, data: Path | None, as_json: bool) -> None:
    """显示公钥、指纹、本纪元的验证密钥 / public key, fingerprint, verifier key of the current epoch."""
    directory = data_directory(config, data)
    try:
        public = public_raw(load_key(directory))
    except KeyFault as error:
        raise Failure(str(error), 74) from error
    _show(public, _verifier_key(directory), as_json)


@key.command()
@store_options
@click.option("--json", "as_json", is_flag=True, help="{public_key, fingerprint, note, undelivered}")
def renew(config: Path | None, data: Path | None, as_json: bool) -> None:
    """换新密钥:新旧两钥共同签名,旧钥随即删除 / a new key, signed by both; the old one is gone afterwards.

    The agent must be stopped. Its next start begins a new epoch that names the old one and carries the note.
    """
    directory = data_directory(config, data)
    vkey = _verifier_key(directory)
    if vkey is None:
        none = t("尚无记录,无需换钥", "nothing was signed yet, so there is nothing to renew")
        raise Failure(f"{directory}: {none}", 74)
    park, gateway = parse_verifier_key(vkey).name.split("/")[1:3]
    try:
        with held(directory):
            note = renew_key(directory, park, gateway)
            public = public_raw(load_key(directory))
            undelivered = _undelivered(directory)
    except (KeyFault, StoreError) as error:
        raise Failure(str(error), 74) from error
    if undelivered:
        told = t(
            f"旧纪元还有 {undelivered} 条记录未送达:代理启动后继续补发",
            f"{undelivered} records of the old epoch are not delivered yet: the agent sends them after its start",
        )
        notice(told)
    if as_json:
        raw = base64.b64encode(public).decode()
        document({"public_key": raw, "fingerprint": fingerprint(public), "note": note, "undelivered": undelivered})
        return
    _show(public, None, as_json=False)
    click.echo(note, nl=False)


@key.command()
@click.argument("note", metavar="F", type=click.Path(path_type=Path))
@store_options
def known(note: Path, config: Path | None, data: Path | None) -> None:
    """换新机前:告知此密钥最后签过的检查点(审核方的回执文件)/ before a dead gateway's successor starts: the newest
    checkpoint that this key signed, from an auditor's receipt file, so that the new epoch names the right one.
    """
    directory = data_directory(config, data)
    if (directory / DATABASE).exists():
        text = t("已有存储,它自己知道签过什么", "there is a store, which knows by itself what was signed")
        raise Failure(f"{directory}: {text}", 78)
    try:
        public = public_raw(load_key(directory))
        text = note.read_text(encoding="utf-8")
        name = parse_checkpoint(parse_note(text)[0]).origin
        checkpoint = verify_checkpoint(text, verifier_key(name, public))
    except KeyFault as error:
        raise Failure(str(error), 74) from error
    except (OSError, UnicodeDecodeError, NoteError) as error:
        raise Failure(f"{note}: {error}", 78) from error
    Known(directory).write(text)
    click.echo(f"{checkpoint.origin} {checkpoint.size}")


def _verifier_key(directory: Path) -> str | None:
    """Of the newest epoch; None while the store has none."""
    if not (directory / DATABASE).exists():
        return None
    try:
        reader = Reader(directory)
    except StoreError as error:
        raise Failure(str(error), 74) from error
    try:
        return reader.epochs[-1].vkey if reader.epochs else None
    finally:
        reader.close()


def _undelivered(directory: Path) -> int:
    """Records of the newest epoch that no auditor (no broker, where none is pinned) has yet."""
    reader = Reader(directory)
    try:
        return reader.size(reader.epochs[-1]) - reader.epochs[-1].delivered
    finally:
        reader.close()


def _show(public: bytes, vkey: str | None, as_json: bool) -> None:
    raw = base64.b64encode(public).decode()
    if as_json:
        document({"public_key": raw, "fingerprint": fingerprint(public), "verifier_key": vkey})
        return
    none = t("(尚无记录:首次运行后才有)", "(no records yet: there is one after the first run)")
    click.echo(f"{t('公钥', 'public key')}: {raw}")
    click.echo(f"{t('指纹', 'fingerprint')}: {fingerprint(public)}")
    click.echo(f"{t('验证密钥', 'verifier key')}: {vkey or none}")
