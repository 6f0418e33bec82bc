"""`hubiao read`: one reading of one meter, with the agent's own line, gate and drivers. Reads only, retries once."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice, table
from agent.cli.read_faults import FAILED, exit_code, explain
from agent.cli.read_line import TraceWriter
from agent.cli.read_names import bits_in_words, in_words
from agent.cli.read_rows import Reading, Row, read_meter
from agent.cli.read_target import Options, Target, target_of
from agent.cli.words import t
from agent.meters import METER_PROTOCOLS
from drivers.errors import DriverError
from drivers.exchange import Noticed

REFERENCE = {3: 4, 4: 3}  # function → first digit of the number that manuals give a register


@click.command(
    epilog=t(
        "缺省:dlt645-2007 2400 8E1;dlt645-1997 1200 8E1;modbus 9600 8N1(有 --model 时按型号)。"
        "--address AAAAAAAAAAAA 用于线上只有一块表时。寄存器地址从 0 起算。失败时标准输出为空,退出码 1;端口不可用 69。",
        "Defaults: dlt645-2007 2400 8E1, dlt645-1997 1200 8E1, modbus 9600 8N1 (with --model as delivered). "
        "--address AAAAAAAAAAAA is for a meter alone on its line. Registers count from 0. On failure nothing is "
        "printed on standard output and the exit code is 1, or 69 where the port is unavailable.",
    )
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=t("与 --meter 同用;与 --model 同用时取其 site_files", "with --meter; with --model its site_files"),
)
@click.option("--meter", metavar="ID")
@click.option("--port", help="/dev/… | socket://host:port | tcp://host:port (Modbus TCP) | rfc2217://host:port")
@click.option("--protocol", type=click.Choice(METER_PROTOCOLS))
@click.option("--address", help=t("12 位表号,短的补零", "12 digits, a shorter one is padded"))
@click.option("--unit", type=click.IntRange(1, 247))
@click.option("--model", help=t("表型,如 acrel-dtsd1352", "meter model, such as acrel-dtsd1352"))
@click.option("--baud", type=click.IntRange(50, 4_000_000))
@click.option("--framing", help="8E1 | 8N1 | 7E1 | …")
@click.option("--di", multiple=True, metavar="DI", help="00010000 (2007), 9010 (1997)")
@click.option("--register", multiple=True, metavar="R", help="0x0048, 72, 0x0048:f32:little")
@click.option("--type", help="u16 u32 u64 i16 i32 i64 f32 f64 bcd32 …")
@click.option("--order", type=click.Choice(["big", "little"]), help=t("字序", "word order"))
@click.option("--function", type=click.Choice(["3", "4"]), help=t("功能码", "Modbus function"))
@click.option("--all", "everything", is_flag=True, help=t("加读电压、电流、功率", "voltages, currents, powers too"))
@click.option("--as", "forms", is_flag=True, help=t("并列全部解码", "all decodings side by side"))
@click.option("--trace", is_flag=True, help=t("显示收发字节和时间", "bytes both ways with times"))
@click.option("--json", "as_json", is_flag=True)
@click.argument("more", metavar="[DI|R]…", nargs=-1)
def read(**given: Any) -> None:
    """读一次电表 / read a meter once.

    MORE items may follow the first: --di 00010000 00020000.
    """
    given["items"] = (*given.pop("di"), *given.pop("register"), *given.pop("more"))
    given["function"] = int(given["function"]) if given["function"] else None
    options = Options(**{name: given[name] for name in (one.name for one in fields(Options))})
    target = target_of(options)
    trace = TraceWriter(sys.stderr) if given["trace"] else None
    logging.getLogger("drivers").addHandler(logging.NullHandler())  # its faults are told below, for people
    reading = asyncio.run(_read(target, trace, given["everything"], given["forms"]))
    for note in reading.notes:
        notice(t(*note))
    for item, fault in reading.missed:
        notice(t(f"{in_words(item)}未读到:{fault}", f"{in_words(item)} could not be read: {fault}"))
    if given["as_json"]:
        document([_object(row, target, reading) for row in reading.rows])
    else:
        _show(reading, target)
    if reading.faults:
        raise Failure("\n".join(_said(item, fault, target) for item, fault in reading.faults), FAILED)


async def _read(target: Target, trace: TraceWriter | None, everything: bool, forms: bool) -> Reading:
    line = target.person_line(target.port())
    line.trace = trace
    if trace is not None:
        asked = target.asked
        notice(f"{asked.port}{asked.how} {asked.protocol}")
    try:
        await line.open()
        return await read_meter(target, line, everything=everything, forms=forms)
    except DriverError as error:
        raise Failure(t(*explain(error, line.noticed, target.asked)), exit_code(error)) from error
    finally:
        await line.close()


def _said(item: str, fault: DriverError, target: Target) -> str:
    text = t(*explain(fault, Noticed(), target.asked))
    return text if target.edition else f"{item}: {text}"  # DL/T 645 drivers name the DI themselves


def _object(row: Row, target: Target, reading: Reading) -> dict[str, Any]:
    """One entry of the document; contract.md §1. `as` and `invalid` only where there is something to say."""
    one: dict[str, Any] = {
        "name": row.name,
        "di" if target.edition else "register": row.item,
        "value": _value(row.value),
        "unit": row.unit,
        "read_at": _utc(row.wall_ms),
        "meter_clock": reading.meter_clock,
    }
    if row.value is None:
        one["invalid"] = row.invalid
    if row.forms:
        one["as"] = dict(row.forms)
    return one


def _show(reading: Reading, target: Target) -> None:
    item = "DI" if target.edition else t("寄存器", "register")
    head = (t("名称", "name"), item, t("示数", "value"), t("单位", "unit"), t("读取时刻", "read at"))
    rows: list[tuple[Any, ...]] = [
        (in_words(row.name, row.item), _item(row, target), _shown(row), row.unit, _local(row.wall_ms))
        for row in reading.rows
    ]
    if reading.meter_clock is not None:
        rows.append((t("电表时钟", "meter clock"), None, reading.meter_clock, None, None))
    table(head, rows)
    for row in reading.rows:
        if row.forms:
            click.echo()
            click.echo(f"{in_words(row.name, row.item)} {_item(row, target)}")
            table((t("解码", "decoding"), t("值", "value")), list(row.forms.items()))


def _item(row: Row, target: Target) -> str:
    """A register with the number that manuals give it, 3xxxx or 4xxxx counted from 1."""
    if target.edition or not row.item.startswith("0x"):
        return row.item
    return f"{row.item} ({REFERENCE[target.read_function]}{int(row.item, 16) + 1:04d})"


def _shown(row: Row) -> str:
    if row.value is None:
        return t("无效", "invalid") + f" {row.invalid}"
    return bits_in_words(row.value) if isinstance(row.value, str) else f"{row.value:f}"


def _value(value: Decimal | str | None) -> str | None:
    return f"{value:f}" if isinstance(value, Decimal) else value


def _utc(wall_ms: int) -> str:
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"


def _local(wall_ms: int) -> str:
    moment = datetime.fromtimestamp(wall_ms // 1000).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{wall_ms % 1000:03d}"
