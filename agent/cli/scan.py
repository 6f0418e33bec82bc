"""`hubiao scan`: which meters answer on a bus, at which speed, of which model. Listens first; only ever reads."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.durations import DURATION
from agent.cli.output import document, notice, table
from agent.cli.read_faults import Asked, explain
from agent.cli.scan_labels import Label, match, read_labels
from agent.cli.scan_sheet import write_sheet
from agent.cli.scan_write import NotWritten, append
from agent.cli.words import t
from agent.field.scanning import Found, OtherMaster, Scanner, listen_first
from agent.field.search import PROTOCOLS, Search, Step, first_steps
from drivers.clock import Clock, RealClock
from drivers.dlt645.frame import WILDCARD
from drivers.errors import PortGone
from drivers.exchange import Noticed
from drivers.line import Line
from drivers.modbus.model import MeterModel, parse
from drivers.ports import Port, Settings
from drivers.ports.choose import latency_s, port_for
from drivers.ports.terminal import is_pty

FOUND_SOMETHING, UNAVAILABLE, INTERRUPTED = 3, 69, 130
LISTEN_S = 5.0


class _Numbers(click.ParamType[tuple[int, ...]]):
    """`1-32,101` as numbers in the order given."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        numbers: list[int] = []
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                self.fail(f"{value!r}: 1-32,101", param, ctx)
            numbers += range(int(first), int(last or first) + 1)
        return tuple(dict.fromkeys(numbers))


NUMBERS = _Numbers()


class _Words(click.ParamType[tuple[str, ...]]):
    """Words of a list, separated by commas."""

    name = "words"

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        words = value if isinstance(value, tuple) else tuple(word.strip() for word in str(value).split(","))
        for word in words:
            if self._allowed and word not in self._allowed:
                self.fail(f"{word!r}: {', '.join(self._allowed)}", param, ctx)
        return words


@dataclass(slots=True)
class Outcome:
    """What a scan ended with. stopped: None when everything was asked, else why not (zh, en)."""

    found: list[Found] = field(default_factory=list)
    unsplit: list[Step] = field(default_factory=list)
    questions: int = 0
    seconds: float = 0.0
    minimum_s: float = 0.0
    stopped: tuple[str, str] | None = None
    interrupted: bool = False
    other_master: str | None = None


@click.command()
@click.option("--port", required=True, help="/dev/… | socket://host:port | rfc2217://host:port")
@click.option("--protocols", type=_Words(*PROTOCOLS), default=PROTOCOLS, help=", ".join(PROTOCOLS))
@click.option("--bauds", type=NUMBERS, default=(), help="2400,9600")
@click.option("--framings", type=_Words(), default=(), help="8E1,8N1")
@click.option("--units", type=NUMBERS, default=tuple(range(1, 248)), help=t("Modbus 站号,如 1-32", "Modbus: 1-32"))
@click.option("--listen", "listen_s", type=DURATION, default=LISTEN_S, help=t("先听多久", "listen first for so long"))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=t("用该配置的 site_files(缺省:--write 的 .yaml)", "with its site_files; else those of the .yaml to write"),
)
@click.option("--labels", type=click.Path(path_type=Path), help=t("表号清单(csv/xlsx),按末几位对应", "labels, matched"))
@click.option(
    "--write", "write_to", type=click.Path(path_type=Path), help=t("追加到配置", "append to") + " .yaml | .csv"
)
@click.option("--line", "line_id", help=t("写入时的线路编号", "id of the line when writing"))
@click.option("--sheet", type=click.Path(path_type=Path), help=t("走表单", "walk-round sheet") + " .html | .csv")
@click.option("--json", "as_json", is_flag=True)
def scan(
    port: str,
    protocols: tuple[str, ...],
    bauds: tuple[int, ...],
    framings: tuple[str, ...],
    units: tuple[int, ...],
    listen_s: float,
    config: Path | None,
    labels: Path | None,
    write_to: Path | None,
    line_id: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """查找总线上的电表(只读) / find the meters on a bus (reads only).

    Listens first and refuses a bus that another master uses. Ctrl-C keeps what was found.
    """
    if port.startswith("tcp://"):
        raise click.UsageError(
            t("tcp:// 是 Modbus TCP,无总线可扫;转换器用 socket://", "tcp:// has no bus; use socket://")
        )
    if not all(1 <= unit <= 247 for unit in units):
        raise click.UsageError(t("站号是 1–247", "units are 1–247"))
    known = read_labels(labels) if labels else []
    try:
        opened = port_for(port)
        steps = first_steps(
            protocols,
            bauds=bauds,
            framings=framings,
            units=units,
            one_framing=is_pty(port),
            one_setting=port.startswith("socket://"),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if config is None and write_to is not None and write_to.suffix.lower() in (".yaml", ".yml") and write_to.exists():
        config = write_to
    search, clock = Search(steps), RealClock()
    outcome = asyncio.run(scanned(port, opened, search, clock, listen_s, _Progress(search), meter_models(config)))
    silent = match(known, outcome.found)
    if as_json:
        document(as_object(port, outcome, silent))
    else:
        _show(outcome, silent)
    if write_to:
        _write(write_to, port, line_id, outcome.found)
    if sheet:
        write_sheet(sheet, port, outcome.found, silent)
        notice(t(f"走表单写到 {sheet}", f"walk-round sheet written to {sheet}"))
    if outcome.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
    if outcome.other_master is not None or outcome.unsplit or any(one.count > 1 for one in outcome.found):
        raise click.exceptions.Exit(FOUND_SOMETHING)


async def scanned(
    name: str,
    port: Port,
    search: Search,
    clock: Clock,
    listen_s: float,
    tell: Callable[[Step | Found], None],
    models: list[MeterModel],
) -> Outcome:
    """Listens, then searches. Exit 69 where the port is unavailable before anything was found."""
    outcome, loop = Outcome(), asyncio.get_running_loop()
    settings = search.steps[0].settings if search.steps else Settings()
    line = Line("scan", port, settings, clock, latency_s=latency_s(name))
    scanner = Scanner(line, search, models, tell)
    began = loop.time()
    try:
        await listen_first(port, settings, listen_s)
        await line.open()
        await scanner.run()
    except OtherMaster as other:
        outcome.other_master = other.request
        outcome.stopped = (
            f"线上另有主站在说话({other.request or '没有整帧'}):先断开它(hubiao listen 可看),不再发送",
            f"another master talks on this bus ({other.request or 'no whole frame'}): disconnect it first "
            "(hubiao listen shows it); nothing more was sent",
        )
    except asyncio.CancelledError:
        outcome.interrupted = True
        outcome.stopped = ("中断,保留已找到的", "interrupted; what was found is kept")
    except PortGone as gone:
        said = explain(gone, Noticed(), Asked("", "", name, ""))
        if not scanner.found:
            raise Failure(t(*said), UNAVAILABLE) from gone
        outcome.stopped = said
    finally:
        await line.close()
    outcome.found, outcome.unsplit = scanner.found, scanner.unsplit
    outcome.questions, outcome.minimum_s = scanner.questions, scanner.minimum_s
    outcome.seconds = loop.time() - began
    return outcome


@cache
def meter_models(config: Path | None = None) -> list[MeterModel]:
    """The Modbus models shipped with the program, and the site's own. Exit 78 where those are faulty."""
    from agent.cli.site_files import site_models  # ruamel: only for verbs that need it

    models = {file.data["id"]: file.data for file in site_models(config).values() if file.data["protocol"] == "modbus"}
    return [parse(data) for data in models.values()]


class _Progress:
    """Tells of each meter when it is found and how long the rest takes; on a terminal in one line that moves."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._tty = sys.stderr.isatty()
        self._told = 0.0
        self._count = 0

    def __call__(self, what: Step | Found) -> None:
        if isinstance(what, Found):
            self._clear()
            self._count += 1
            notice(f"{self._count:3}  {_line_of(what)}")
            return
        left = self._search.left_s + what.seconds
        at = f"{what.protocol} {what.settings.baud} {what.settings.framing}"
        if what.kind == "split":
            at += f" {WILDCARD[: 10 - len(what.suffix)]}··{what.suffix}"
        elif what.units:
            at += f" {t('站号', 'units')} {what.units[0]}–{what.units[-1]}"
        text = t(f"还需 {_minutes(left)}  正在问 {at}", f"{_minutes(left)} left, asking {at}")
        if self._tty:
            self._clear()
            click.echo(text, err=True, nl=False)
        elif time.monotonic() - self._told > 10:  # a log wants a line now and then
            self._told = time.monotonic()
            notice(text)

    def _clear(self) -> None:
        if self._tty:
            click.echo("\r\x1b[2K", err=True, nl=False)


def _minutes(seconds: float) -> str:
    return (
        t(f"{seconds:.0f} 秒", f"{seconds:.0f} s")
        if seconds < 100
        else t(f"{seconds / 60:.0f} 分", f"{seconds / 60:.0f} min")
    )


def _line_of(one: Found) -> str:
    several = t("  两块表同址!", "  TWO METERS!") if one.count > 1 else ""
    number = "" if one.register is None else f"  {one.register} kWh"
    how = f"{one.settings.baud} {one.settings.framing}"
    return f"{one.name}  {one.protocol} {how}  {one.model or t('型号不明', 'model unknown')}{number}{several}"


def _show(outcome: Outcome, silent: list[Label]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", err=True, nl=False)
    head = (
        t("地址/站号", "address/unit"),
        t("协议", "protocol"),
        t("速率", "speed"),
        t("型号", "model"),
        t("示数 kWh", "kWh"),
        t("房号", "room"),
        t("依据", "evidence"),
    )
    rows = [
        (
            one.name,
            one.protocol,
            f"{one.settings.baud} {one.settings.framing}",
            _model(one),
            one.register,
            one.room,
            t(";", "; ").join(t(*said) for said in one.evidence),
        )
        for one in outcome.found
    ]
    if rows:
        table(head, rows)
    for one in outcome.found:
        if one.count > 1:
            notice(
                t(
                    f"{one.name}:至少两块表用这个地址({one.settings.baud} {one.settings.framing}),先改其中一块的地址",
                    f"{one.name}: at least two meters have this address ({one.settings.baud} {one.settings.framing}); "
                    "change one of them first",
                )
            )
    for step in outcome.unsplit:
        notice(
            t(
                f"{step.protocol} {step.settings.baud} {step.settings.framing}:有多块表应答,但不认缩位地址;"
                "按标牌地址逐块读(--labels 清单)",
                f"{step.protocol} {step.settings.baud} {step.settings.framing}: several meters answer, none to a "
                "shortened address; read them by their labels",
            )
        )
    for label in silent:
        notice(t(f"没有应答:{label.number} {label.room or ''}", f"no answer: {label.number} {label.room or ''}"))
    if outcome.stopped:
        notice(t(*outcome.stopped))
    notice(
        t(
            f"找到 {len(outcome.found)} 块,{outcome.questions} 问,{outcome.seconds:.0f} 秒"
            f"(同样的问答在理想线路上至少 {outcome.minimum_s:.0f} 秒)",
            f"{len(outcome.found)} meters, {outcome.questions} questions, {outcome.seconds:.0f} s "
            f"(an ideal line takes at least {outcome.minimum_s:.0f} s for the same)",
        )
    )


def _model(one: Found) -> str | None:
    if one.model is None:
        return None
    mark = "" if one.certain else t("(待核对)", " (to be checked)")
    others = f" | {' | '.join(one.others)}" if one.others else ""
    return f"{one.model}{others}{mark}"


def as_object(port: str, outcome: Outcome, silent: list[Label]) -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "port": port,
        "complete": outcome.stopped is None,
        "stopped": outcome.stopped and t(*outcome.stopped),
        "other_master": outcome.other_master,
        "found": [
            {
                "protocol": one.protocol,
                "address": one.address,
                "unit": one.unit,
                "baud": one.settings.baud,
                "framing": one.settings.framing,
                "duplicate": one.count > 1,
                "model": one.model,
                "model_certain": one.certain,
                "other_models": list(one.others),
                "evidence": [t(*said) for said in one.evidence],
                "import_kwh": None if one.register is None else f"{one.register:f}",
                "serial": one.serial,
                "room": one.room,
            }
            for one in outcome.found
        ],
        "silent_labels": [{"number": label.number, "room": label.room} for label in silent],
        "unsplit": [
            {"protocol": step.protocol, "baud": step.settings.baud, "framing": step.settings.framing}
            for step in outcome.unsplit
        ],
        "questions": outcome.questions,
        "seconds": round(outcome.seconds, 1),
        "minimum_s": round(outcome.minimum_s, 1),
    }


def _write(path: Path, port: str, line_id: str | None, found: list[Found]) -> None:
    try:
        written, left_out = append(path, port, line_id, found)
    except NotWritten as error:
        raise Failure(t(*error.words), 78) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error
    notice(t(f"{path}:追加 {written} 块表", f"{path}: {written} meters appended"))
    for one, why in left_out:
        notice(t(f"  未写 {one.name}:{why[0]}", f"  {one.name} left out: {why[1]}"))
