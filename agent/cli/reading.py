"""`hubiao reading add`: registers that people read off meters, one or a whole spreadsheet, handed to the agent."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice
from agent.cli.places import LOCAL_INSTANT, effective, local_text, utc_seconds
from agent.cli.words import t
from agent.cli.work_order import REGISTER
from agent.ledger.inbox import ManualReading, Note, WorkOrder, leave
from contract.grid import parse_utc_offset
from contract.records import plain

# what a column may be called → what it holds
COLUMNS = {
    "meter": "meter",
    "表编号": "meter",
    "电表": "meter",
    "表号": "meter",
    "room": "room",
    "房号": "room",
    "at": "at",
    "时间": "at",
    "抄表时间": "at",
    "import": "import",
    "示数": "import",
    "止码": "import",
    "本期示数": "import",
    "总": "import",
    "export": "export",
    "反向": "export",
    "反向示数": "export",
    "who": "who",
    "抄表人": "who",
}


@click.group()
def reading() -> None:
    """人工抄表 / readings by people."""


@reading.command()
@click.option("--config", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--meter", default=None)
@click.option(
    "--at", type=LOCAL_INSTANT, default=None, help="'2026-07-25 10:00'; " + t("表格默认", "of a sheet's rows")
)
@click.option("--import", "register", type=REGISTER, default=None, help=t("正向有功示数", "kWh on the register"))
@click.option("--export", "export", type=REGISTER, default=None, help=t("反向有功示数", "kWh on the export register"))
@click.option("--sheet", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None, metavar="F")
@click.option("--photo", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=None)
@click.option("--who", default=None, metavar="NAME")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--json", "as_json", is_flag=True)
def add(
    path: Path,
    meter: str | None,
    at: datetime | None,
    register: Decimal | None,
    export: Decimal | None,
    sheet: Path | None,
    photo: Path | None,
    who: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """一块表,或一整张表格(表号或房号、示数、时间)/ one meter, or a sheet of meter or room, register and time."""
    if (sheet is None) == (meter is None or register is None or at is None):
        raise click.UsageError(t("需要 --meter --at --import,或 --sheet", "--meter --at --import, or --sheet"))
    config = effective(path)
    offset_s = parse_utc_offset(config["settings"]["utc_offset"])
    if sheet is not None:
        found = list(_rows(sheet, config, at, who))
    else:
        assert meter is not None
        assert register is not None
        assert at is not None
        registers = {"import": register} | ({} if export is None else {"export": export})
        try:
            _check(meter, registers, config)
        except ValueError as error:
            raise Failure(str(error), 78) from error
        found = [(meter, at, registers, who)]
    evidence = photo or sheet
    digest = None if evidence is None else hashlib.sha256(evidence.read_bytes()).hexdigest()
    events, readings = [], []
    for name, moment, registers, person in found:
        at_ms = utc_seconds(moment, offset_s) * 1000
        details: dict[str, Any] = {key: plain(value) for key, value in registers.items()}
        if digest is not None:
            details["photo_sha256" if photo is not None else "sheet_sha256"] = digest
        if person is not None:
            details["who"] = person
        events.append(Note("meter", name, "manual_reading", at_ms, details))
        readings.append(ManualReading(name, at_ms, registers))
    directory = data or Path(config["private"]["data"])
    newest_s = max((reading.at_ms for reading in readings), default=0) // 1000
    if newest_s > time.time():
        local = local_text(newest_s, offset_s)
        notice(
            t(f"{local} 还没有到:代理等到那时才取", f"{local} lies ahead: the agent takes the readings up only then")
        )
    try:
        left = leave(directory, WorkOrder(tuple(events), tuple(readings)))
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror}", 74) from error
    if as_json:
        document({"order": str(left), "readings": len(readings)})
    else:
        click.echo(t(f"{len(readings)} 条示数已交给采集代理", f"{len(readings)} readings left for the agent"))


Found = tuple[str, datetime, dict[str, Decimal], str | None]


def _rows(sheet: Path, config: dict[str, Any], at: datetime | None, who: str | None) -> Iterator[Found]:
    """Exit 78 with every row that cannot be taken: then none of the sheet is."""
    from config.faults import Wrong
    from config.tables import TableError, cell_text, table_rows

    faults: list[str] = []
    found: list[Found] = []
    columns: dict[int, str] = {}
    try:
        for number, cells in table_rows(sheet):
            if not columns:
                columns = {n: COLUMNS[key] for n, cell in cells if (key := str(cell).strip().lower()) in COLUMNS}
                if "import" not in columns.values() or not {"meter", "room"} & set(columns.values()):
                    columns = {}
                continue
            try:
                row = {columns[n]: _moment(cell) or cell_text(columns[n], cell) for n, cell in cells if n in columns}
                found.append(_row(row, config, at, who))
            except (Wrong, click.BadParameter, ValueError) as error:
                text = t(error.zh, error.en) if isinstance(error, Wrong) else str(getattr(error, "message", error))
                faults.append(f"{sheet}:{number}: {text}")
    except TableError as error:
        raise Failure(f"{sheet}:{error.row}: {t(error.zh, error.en)}", 78) from error
    if not columns:
        faults.append(f"{sheet}: " + t("没有表头 表号(或房号)、示数", "no header with meter (or room) and import"))
    if faults:
        raise Failure("\n".join(faults), 78)
    yield from found


def _row(row: dict[str, Any], config: dict[str, Any], at: datetime | None, who: str | None) -> Found:
    registers = {name: REGISTER.convert(row[name], None, None) for name in ("import", "export") if row.get(name)}
    if "import" not in registers:
        raise ValueError(t("没有示数", "no register"))
    moment = row["at"] if row.get("at") else at
    if moment is None:
        raise ValueError(t("没有抄表时间,请加 --at", "no time: --at for the whole sheet"))
    meter = _meter_of(row, config)
    _check(meter, registers, config)
    return meter, LOCAL_INSTANT.convert(moment, None, None), registers, row.get("who") or who


def _meter_of(row: dict[str, Any], config: dict[str, Any]) -> str:
    """By id, address or serial under 表号, else by room where one meter alone stands there."""
    text = row.get("meter")
    if text:
        for meter in config["meters"]:
            if text in (meter["id"], meter["serial"]) or (meter["address"] and text.zfill(12) == meter["address"]):
                return str(meter["id"])
        raise ValueError(t(f"没有电表 {text}", f"there is no meter {text}"))
    in_room = [meter["id"] for meter in config["meters"] if row.get("room") and meter["room"] == row["room"]]
    if len(in_room) != 1:
        room = row.get("room")
        raise ValueError(t(f"房号 {room} 有 {len(in_room)} 块表", f"{len(in_room)} meters in room {room}"))
    return str(in_room[0])


def _check(name: str, registers: dict[str, Decimal], config: dict[str, Any]) -> None:
    """Raises ValueError for a meter that is not there, or a register that it has not the digits to show."""
    meter = next((meter for meter in config["meters"] if meter["id"] == name), None)
    if meter is None:
        raise ValueError(t(f"没有电表 {name}", f"there is no meter {name}"))
    digits = meter["digits"]
    for value in registers.values():
        if digits is not None and value >= Decimal(10) ** int(digits):
            raise ValueError(
                t(f"电表 {name} 只有 {digits} 位整数,{value} 读错了", f"{name} shows {digits} digits, never {value}")
            )


def _moment(cell: Any) -> datetime | None:
    return cell if isinstance(cell, datetime) else None
