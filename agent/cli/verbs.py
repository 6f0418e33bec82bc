"""A group of verbs, each loaded only when it is asked for, and how a verb ends that cannot do its work."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from agent.cli.words import t

# verb → (where, zh, en). where: a module in agent.cli, which holds a click command named like the verb (`_` for `-`),
# or `module:name`
Table = Mapping[str, tuple[str, str, str]]

# the extra that brings a library; `fleet` holds `audit`, and `audit` holds `xlsx`
EXTRAS = {
    "openpyxl": "xlsx",
    "segno": "audit",
    "duckdb": "audit",
    "pyarrow": "audit",
    "pyspark": "fleet",
}


class Failure(click.ClickException):
    """Ends a verb with a message and one of the exit codes of `agent.cli`."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


class ReaderLeft(Exception):
    """Whoever read standard output has enough; click itself would end with 1."""


class Verbs(click.Group):
    """Shows each verb's help without loading it; a library that is not there ends it with its extra's name, exit 1."""

    def __init__(self, *arguments: Any, verbs: Table, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.verbs = verbs

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            extra = EXTRAS.get(library)
            if extra is None:
                raise
            said = t(f"缺少 {library}:请安装 hubiao[{extra}]", f"no {library}: install hubiao[{extra}]")
            raise Failure(said, 1) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.verbs:
            return None
        module, _, attribute = self.verbs[name][0].partition(":")
        command = getattr(importlib.import_module(f"agent.cli.{module}"), attribute or name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(verb, t(zh, en)) for verb, (_, zh, en) in self.verbs.items()]
        with formatter.section(t("命令", "Commands")):
            formatter.write_dl(rows)
