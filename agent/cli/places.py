"""Finding the store and the configuration that a verb is about, and bounds as people type them."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.cli import Failure
from agent.cli.words import language, t
from agent.evidence.store import Reader, StoreError

F = TypeVar("F", bound=Callable[..., Any])


def store_options(command: F) -> F:
    """`--config F` or `--data DIR`: where the store is."""
    command = click.option("--data", "data", type=click.Path(path_type=Path), default=None, help="DIR")(command)
    return click.option("--config", "config", type=click.Path(path_type=Path), default=None)(command)


def effective(path: Path) -> dict[str, Any]:
    """The effective configuration of a file. Exit 78 with every fault."""
    from config.load import load  # pydantic and ruamel: only for verbs that read a configuration

    loaded = load(path)
    if loaded.faults or loaded.config is None:
        raise Failure(loaded.fault_texts(language()), 78)
    return loaded.config


def at_links(line: dict[str, Any], link_dir: Path | None) -> dict[str, Any]:
    """A configured line whose device file stands in `link_dir`, where `hubiao simulate --link-dir` put it."""
    if link_dir is None or "://" in line["port"]:
        return line
    return line | {"port": str(link_dir / Path(line["port"]).name)}


def data_directory(config: Path | None, data: Path | None) -> Path:
    return _place(config, data)[0]


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store open for reading; `private` is what only the gateway's file says, None where --config was not given."""

    reader: Reader
    directory: Path
    private: dict[str, Any] | None


@contextlib.contextmanager
def opened_store(config: Path | None, data: Path | None) -> Iterator[OpenStore]:
    """The store that a verb is about. Exit 74 where there is none or it cannot be read."""
    directory, private = _place(config, data)
    try:
        reader = Reader(directory)
    except StoreError as error:
        raise Failure(str(error), 74) from error
    try:
        yield OpenStore(reader, directory if directory.is_dir() else directory.parent, private)
    except (sqlite3.Error, zlib.error) as error:
        raise Failure(f"{directory}: {error}", 74) from error
    except LookupError as error:
        if isinstance(error, (KeyError, IndexError)):
            raise
        raise Failure(f"{directory}: {error}", 1) from error  # nothing in it to tell of yet
    finally:
        reader.close()


def _place(config: Path | None, data: Path | None) -> tuple[Path, dict[str, Any] | None]:
    if config is None:
        if data is None:
            raise click.UsageError(t("需要 --config 或 --data", "--config or --data is needed"))
        return data, None
    private = effective(config)["private"]
    return data or Path(private["data"]), private


class LocalInstant(click.ParamType[datetime]):
    """A park-local date and time (`2026-07-25 10:00`, `24:00` accepted, a date alone is its midnight) or one with an
    offset or `Z`; converts to a datetime, aware only if an offset was given."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip().replace("T", " ")
        midnight = re.fullmatch(r"(\d{4}-\d\d-\d\d) 24:00(:00)?", text)
        try:
            day = datetime.fromisoformat(midnight[1] if midnight else text.replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r}: 2026-07-25 10:00", param, ctx)
        if not 1970 < day.year < 9999:
            self.fail(f"{value!r}: 1971–9998", param, ctx)
        return day + timedelta(days=1) if midnight else day


LOCAL_INSTANT = LocalInstant()


def utc_seconds(moment: datetime, offset_s: int) -> int:
    """UTC in seconds; a moment without offset is park-local."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(seconds=offset_s)))
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def local_text(seconds: int, offset_s: int, form: str = "") -> str:
    """Park-local time for people; to the minute where it is a whole one, unless `form` says otherwise."""
    local = datetime.fromtimestamp(seconds, timezone(timedelta(seconds=offset_s)))
    return local.strftime(form or ("%Y-%m-%d %H:%M:%S" if local.second else "%Y-%m-%d %H:%M"))
