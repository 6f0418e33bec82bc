"""`hubiao watch`: what every meter shows, live; --changed: only those whose power moved when a load was switched."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.check_online import line_of, port_of
from agent.cli.durations import DURATION
from agent.cli.output import notice
from agent.cli.places import at_links, effective
from agent.cli.read_faults import Asked, explain
from agent.cli.words import t
from agent.field.watching import Seen, watch_line
from drivers.clock import RealClock
from drivers.errors import PortGone
from drivers.exchange import Noticed

UNAVAILABLE = 69
SETTLING = 2  # rounds before a change means something


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--line", "line_id", help=t("只看这条线", "this line alone"))
@click.option("--changed", is_flag=True, help=t("只显示功率有变化的表", "only meters whose power moved"))
@click.option("--for", "seconds", type=DURATION, help=t("看多久", "for so long"))
@click.option("--rounds", type=click.IntRange(1), help=t("看几轮", "so many rounds"))
@click.option(
    "--link-dir", type=click.Path(path_type=Path), help=t("simulate 的端口目录", "where simulate put its ports")
)
def watch(
    path: Path, line_id: str | None, changed: bool, seconds: float | None, rounds: int | None, link_dir: Path | None
) -> None:
    """实时表格 / live grid. The agent must be stopped: a line has one owner."""
    logging.getLogger("drivers").addHandler(logging.NullHandler())  # its faults are told below, for people
    config = effective(path)
    entries = [at_links(entry, link_dir) for entry in config["lines"] if line_id in (None, entry["id"])]
    if not entries:
        raise click.UsageError(t(f"没有线路 {line_id}", f"there is no line {line_id}"))
    names = {entry["id"] for entry in entries}
    seen = {m["id"]: Seen(m["id"], m["line"]) for m in config["meters"] if m["line"] in names}
    multipliers = {seat["meter"]: Decimal(seat["multiplier"]) for p in config["points"] for seat in p["meters"]}
    screen = _screen(seen, multipliers, changed)
    with screen:
        asyncio.run(_watch_all(config, entries, seen, screen, seconds, rounds))


async def _watch_all(
    config: dict[str, Any],
    entries: list[dict[str, Any]],
    seen: dict[str, Seen],
    screen: _Lines,
    seconds: float | None,
    rounds: int | None,
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # gather, not a group: the first failure is to be told as it is
            await asyncio.gather(*(_one_line(config, entry, seen, screen, rounds) for entry in entries))


async def _one_line(
    config: dict[str, Any], entry: dict[str, Any], seen: dict[str, Seen], screen: _Lines, rounds: int | None
) -> None:
    line = line_of(config, entry, port_of(entry), RealClock())
    try:
        await line.open()
        await watch_line(config, line, seen, screen.tell, rounds)
    except PortGone as gone:
        raise Failure(t(*explain(gone, Noticed(), Asked("", "", entry["port"], ""))), UNAVAILABLE) from gone
    finally:
        await line.close()


class _Lines(contextlib.AbstractContextManager["_Lines"]):
    """A plain line for each reading, or for each meter that moved: for logs and pipes."""

    def __init__(self, seen: dict[str, Seen], multipliers: dict[str, Decimal], changed: bool) -> None:
        self.seen, self.multipliers, self.changed = seen, multipliers, changed

    def __exit__(self, *error: object) -> None:
        return None

    def tell(self, one: Seen) -> None:
        if self.changed and (one.rounds <= SETTLING or not one.moved):
            return
        click.echo("\t".join((time.strftime("%H:%M:%S"), *self.cells(one))))

    def cells(self, one: Seen) -> tuple[str, ...]:
        """Meter, kWh as on its display, kW behind its CT, change of that since the last round."""
        if one.fault:
            return (one.id, t("无应答", "no answer"), one.fault, "")
        times = self.multipliers.get(one.id, Decimal(1))
        power = "-" if one.power is None else f"{one.power * times:.3f} kW"
        change = one.change
        shown = "" if change is None or not change else f"{change * times:+.3f}"
        return (one.id, "-" if one.total is None else f"{one.total:f} kWh", power, shown)


class _Grid(_Lines):
    """The same as one table that stays in place; those that moved stand out."""

    def __enter__(self) -> _Grid:
        from rich.live import Live  # 20 ms, and only for a terminal

        self._live = Live(self._table(), refresh_per_second=4)
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def tell(self, one: Seen) -> None:
        self._live.update(self._table())

    def _table(self) -> Any:
        from rich.table import Table

        table = Table()
        for title in (
            t("电表", "meter"),
            t("示数", "register"),
            t("功率(一次)", "power, primary"),
            t("变化", "change"),
        ):
            table.add_column(title, justify="left" if title in ("电表", "meter") else "right")
        for one in self.seen.values():
            if self.changed and not one.moved:
                continue
            table.add_row(*self.cells(one), style="bold reverse" if one.moved else "dim" if one.fault else "")
        return table


def _screen(seen: dict[str, Seen], multipliers: dict[str, Decimal], changed: bool) -> _Lines:
    if sys.stdout.isatty():
        if importlib.util.find_spec("rich") is not None:
            return _Grid(seen, multipliers, changed)
        notice(t("装上 rich 可看表格:pip install 'hubiao[rich]'", "for a grid: pip install 'hubiao[rich]'"))
    return _Lines(seen, multipliers, changed)
