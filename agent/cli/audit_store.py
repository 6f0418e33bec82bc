"""The auditor's store as the verbs open it, and the keys that go with it: `hubiao audit key|rekey`."""

from __future__ import annotations

import base64
import binascii
import pathlib

import click

from agent.cli import Failure
from agent.cli.words import t
from audit.cosign import KeyFault, create_key, load_key
from audit.rows import LogId
from audit.store import Store, StoreFault
from contract.note import KEY_BYTES, NoteError, parse_verifier_key

PATH = click.Path(path_type=pathlib.Path)
STORE = click.option("--store", "store", required=True, type=PATH, metavar="DIR")
KEYS = click.option("--key", "keys", multiple=True, metavar="VKEY|PARK/GATEWAY=BASE64")


@click.command("key")
@click.argument("file", metavar="F", type=PATH)
@click.option(
    "--name", default=None, metavar="audit.example/zj-1", help=t("生成新密钥时的名称", "make a key of this name")
)
def key(file: pathlib.Path, name: str | None) -> None:
    """审计方见证密钥：生成或显示 / the auditor's cosigning key: made with --name, else shown, as gateways pin it."""
    try:
        made = load_key(file) if name is None else create_key(file, name)
    except KeyFault as error:
        raise Failure(f"{file}: {error}", 78) from error
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", 74 if name else 78) from error
    click.echo(made.verifier)


@click.command()
@click.argument("vkey", metavar="VKEY")
@STORE
def rekey(vkey: str, store: pathlib.Path) -> None:
    """网关换了密钥:从此纪元起用新钥,旧纪元仍用旧钥 / a gateway has a new key: from the epoch that VKEY names on.

    Only with a VKEY that came by another way than the evidence did.
    """
    opened = open_store(store)
    try:
        parsed = parse_verifier_key(vkey)
        hubiao, *place = parsed.name.split("/")
        if hubiao != "hubiao" or len(place) != 3:
            raise NoteError(f"{vkey!r} names no epoch of a gateway")
    except NoteError as error:
        raise Failure(str(error), 78) from error
    before = opened.accept_key(LogId(*place), base64.b64encode(parsed.key).decode())
    old = before or t("(没有)", "(none)")
    click.echo(t(f"{'/'.join(place)}:此前 {old}", f"{'/'.join(place)}: before it {old}"))


def open_store(directory: pathlib.Path) -> Store:
    """Exit 78 without one."""
    try:
        return Store(directory)
    except StoreFault as error:
        raise Failure(str(error), 78) from error


def pin_keys(store: Store, keys: tuple[str, ...]) -> None:
    """Keeps gateways' keys given as verifier keys or PARK/GATEWAY=BASE64. Exit 78."""
    for text in keys:
        path = pathlib.Path(text)
        text = path.read_text(encoding="utf-8").strip() if "+" not in text and path.is_file() else text
        place, equals, raw = text.partition("=")
        try:
            if equals and "+" not in place:
                if len(base64.b64decode(raw, validate=True)) != KEY_BYTES:
                    raise NoteError("no key of 32 bytes")
                park, _, gateway = place.partition("/")
            else:
                parsed = parse_verifier_key(text)
                _, park, gateway, *_ = [*parsed.name.split("/"), "", "", ""]
                raw = base64.b64encode(parsed.key).decode()
            if not (park and gateway):
                raise NoteError(f"{text!r} names no park and gateway")
        except (NoteError, binascii.Error) as error:
            raise Failure(f"--key: {error}", 78) from error
        if not store.pin_key(park, gateway, raw):
            raise Failure(f"--key: {park}/{gateway}: " + t("已固定的是另一把密钥", "another key is pinned"), 78)
