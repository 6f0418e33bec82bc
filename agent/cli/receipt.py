"""`hubiao receipt import F`: auditors' receipts that came on a stick, handed to the agent.

Checked here against the store and the pinned keys; the agent checks again, and writes the `witness` record, at once if
it is running, else at its next start.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import click

from agent.cli import Failure
from agent.cli.output import document, table
from agent.cli.places import effective, opened_store
from agent.cli.words import t
from agent.evidence.receipts import ReceiptRefused, RolledBack, Stick, check, pinned
from agent.evidence.store import Epoch, Reader
from contract.note import split_notes
from contract.tree import Frontier


@click.group()
def receipt() -> None:
    """审计回执 / auditors' receipts."""


@receipt.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--config", "config", required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def import_(files: tuple[Path, ...], config: Path, as_json: bool) -> None:
    """导入回执(U 盘)/ import receipts from a stick."""
    private = effective(config)["private"]
    auditors = pinned((private["mqtt"] or {}).get("auditors") or [])
    if not auditors:
        raise Failure(t("配置中没有审计方(mqtt.auditors)", "the configuration pins no auditors (mqtt.auditors)"), 78)
    rows = []
    with opened_store(config, None) as store:
        if not store.reader.epochs:
            raise Failure(t("存储是空的", "the store is empty"), 74)
        stick = Stick(Path(private["data"]))
        for file in files:
            for note in _notes(file):
                try:
                    found = asyncio.run(check(note.encode(), auditors, _Stored.of(store.reader, note)))
                    stick.leave(hashlib.sha256(note.encode()).hexdigest()[:16], note)
                    rows.append((str(file), found.auditor, found.size, ""))
                except (ReceiptRefused, RolledBack) as error:
                    rows.append((str(file), "", 0, str(error)))
                except OSError as error:
                    raise Failure(f"{error.filename}: {error.strerror}", 74) from error
    _show(rows, as_json)
    if any(why for *_, why in rows):
        raise click.exceptions.Exit(3)


class _Stored:
    """An epoch of a store as `check` wants to see a log."""

    def __init__(self, reader: Reader, epoch: Epoch) -> None:
        self._reader, self._epoch = reader, epoch
        self.size = reader.size(epoch)
        self.vkey = epoch.vkey

    @classmethod
    def of(cls, reader: Reader, note: str) -> _Stored:
        """The epoch that a note is of, the newest where it is of none here."""
        named = note.partition("\n")[0].rpartition("/")[2]
        return cls(reader, next((epoch for epoch in reader.epochs if epoch.id == named), reader.epochs[-1]))

    def last(self, auditor: str) -> int:
        return max((size for name, size, _ in self._reader.accepted(self._epoch) if name == auditor), default=0)

    async def root_at(self, size: int) -> bytes:
        frontier = Frontier()
        for _, _, leaf in self._reader.records(self._epoch):
            if frontier.size == size:
                break
            frontier.append(leaf)
        return frontier.root()


def _notes(file: Path) -> list[str]:
    """One note, or many as in `receipts.txt`."""
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", 78) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: {error}", 78) from error
    return split_notes(text) if "\n--\n" in text else [text]


def _show(rows: list[tuple[str, str, int, str]], as_json: bool) -> None:
    if as_json:
        document(
            [{"file": file, "auditor": name or None, "size": size, "error": why} for file, name, size, why in rows]
        )
        return
    head = (t("文件", "file"), t("审计方", "auditor"), t("记录数", "size"), t("拒收原因", "refused because"))
    table(head, rows)
