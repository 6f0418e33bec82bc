"""Finding the store and the configuration that a verb is about, and bounds as people type them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.cli import Failure
from agent.cli.words import t
from agent.store import Reader, StoreError

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
        raise Failure("\n".join(map(str, loaded.faults)), 78)
    return loaded.config


def data_directory(config: Path | None, data: Path | None) -> Path:
    if data is not None:
        return data
    if config is None:
        raise click.UsageError(t("需要 --config 或 --data", "--config or --data is needed"))
    return Path(effective(config)["private"]["data"])


def open_reader(config: Path | None, data: Path | None) -> Reader:
    """The store, for reading. Exit 74 where there is none."""
    try:
        return Reader(data_directory(config, data))
    except StoreError as error:
        raise Failure(str(error), 74) from error


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
            if midnight:
                return datetime.fromisoformat(midnight[1]) + timedelta(days=1)
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r}: 2026-07-25 10:00", param, ctx)


LOCAL_INSTANT = LocalInstant()


def utc_seconds(moment: datetime, offset_s: int) -> int:
    """UTC in seconds; a moment without offset is park-local."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(seconds=offset_s)))
    return round(moment.astimezone(UTC).timestamp())


def local_text(seconds: int, offset_s: int, form: str = "%Y-%m-%d %H:%M") -> str:
    """Park-local time for people."""
    return datetime.fromtimestamp(seconds, timezone(timedelta(seconds=offset_s))).strftime(form)
