"""`hubiao status`: what the store says of the agent and its meters, beside a running agent or without one.

The delivery mark becomes durable with the next commit: beside a running agent it is up to a sweep old.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from agent.cli.output import document, table
from agent.cli.places import OpenStore, local_text, opened_store, store_options
from agent.cli.words import t
from agent.evidence.store import DATABASE, Reader
from agent.ledger.history import History
from contract.note import parse_checkpoint, parse_note
from contract.records import Event, Gap, Head, Reading, decode, parse_instant, parse_slot, plain, slot_instant

LOOK_BACK_S = 36 * 86_400  # as far back as the agent itself looks for a meter's last reading
RATE_MS = 7 * 86_400_000  # the present rate is that of the last week,
LEAST_MS = 3_600_000  # and nothing is said of it before an hour
MIB = 1 << 20


@dataclass(slots=True)
class MeterState:
    """A meter as the log has it. `gap`: since when it has none (first slot), why, and whether that is still so."""

    id: str
    line: str | None
    protocol: str
    slot: str | None = None
    age_s: int | None = None
    registers: dict[str, str] = field(default_factory=dict)
    quality: str | None = None
    gap: dict[str, str] | None = None


@dataclass(slots=True)
class LineState:
    """A line: its meters, how many of them answered their last slot, and since when the port is gone."""

    id: str
    meters: int
    answering: int
    gone_since: str | None


@dataclass(slots=True)
class _Looked:
    """What was found so far, going backwards through the log."""

    readings: dict[str, Reading] = field(default_factory=dict)  # the newest slot of each meter
    filled: set[tuple[str, int]] = field(default_factory=set)  # slots that have a reading
    gaps: dict[str, list[Gap]] = field(default_factory=dict)  # newest first, those behind the newest first answer
    answered: set[str] = field(default_factory=set)  # meters whose newest reading of revision 0 was seen
    lines: dict[str, Event] = field(default_factory=dict)


@click.command()
@store_options
@click.option("--json", "as_json", is_flag=True)
def status(config: Path | None, data: Path | None, as_json: bool) -> None:
    """当前状态 / what the agent is doing."""
    with opened_store(config, data) as store:
        history = History(store.reader)
        found = status_of(store, history, time.time_ns() // 1_000_000)
    if as_json:
        document(found)
    else:
        _show(found, history.plan.utc_offset_s)


def status_of(store: OpenStore, history: History, now_ms: int) -> dict[str, Any]:
    """The JSON document of the verb. Ages in seconds, as the host's clock has it."""
    reader, epoch = store.reader, history.epoch
    size = reader.size(epoch)
    last = _head_at(reader, history, size - 1)
    meters, lines = _look(history, now_ms)
    grown = reader.growth(1)
    note = reader.newest_checkpoint(epoch)
    return {
        "park": history.config["settings"].get("park") or (last and last.park),
        "gateway": history.config["settings"].get("gateway") or (last and last.gateway),
        "epoch": epoch.id,
        "size": size,
        "committed_at": None if grown is None else slot_instant(grown[2] // 1000),
        "committed_age_s": None if grown is None else (now_ms - grown[2]) // 1000,
        "clock": last and last.clock,
        "clock_error_ms": last and last.clock_error_ms,
        "outbox": _outbox(store, history, size, now_ms),
        "checkpoint": None if note is None else {"size": parse_checkpoint(parse_note(note)[0]).size, "note": note},
        "disk": _disk(store),
        "lines": [asdict(line) for line in lines],
        "meters": [asdict(meter) for meter in meters],
    }


def _head_at(reader: Reader, history: History, seq: int) -> Head | None:
    """None where the body was given up or never was."""
    _, record, _ = next(reader.records(history.epoch, seq), (0, None, b""))
    return None if record is None else decode(record)[0]


def _outbox(store: OpenStore, history: History, size: int, now_ms: int) -> dict[str, Any]:
    """`waiting` is null where the configuration names no broker; without --config that is not known."""
    delivered = history.epoch.delivered
    uplink = None if store.private is None else store.private.get("mqtt") is not None
    oldest = _head_at(store.reader, history, delivered) if delivered < size else None
    at_ms = None if oldest is None or oldest.at is None else parse_instant(oldest.at)
    return {
        "uplink": uplink,
        "delivered": delivered,
        "waiting": None if uplink is False else size - delivered,
        "oldest_age_s": None if uplink is False or at_ms is None else (now_ms - at_ms) // 1000,
        "set_aside": store.reader.aside(history.epoch),
    }


def _disk(store: OpenStore) -> dict[str, Any]:
    """Bytes on disk, and for how many days there is room at the rate of the last week."""
    parts = [store.directory / f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")]
    free = shutil.disk_usage(store.directory).free
    newest = store.reader.growth(1)
    grown = None if newest is None else store.reader.growth(newest[2] - RATE_MS)
    rate = None
    if grown is not None and grown[2] - grown[1] >= LEAST_MS:
        rate = grown[0] * 86_400_000 // (grown[2] - grown[1])
    return {
        "bytes": sum(part.stat().st_size for part in parts if part.exists()),
        "free_bytes": free,
        "bytes_a_day": rate,
        "room_days": free // rate if rate else None,
    }


def _look(history: History, now_ms: int) -> tuple[list[MeterState], list[LineState]]:
    """Goes backwards through the log until every meter was seen to answer."""
    wanted = {meter["id"] for meter in history.config["meters"]}
    looked = _Looked()
    since_s = now_ms // 1000 - LOOK_BACK_S
    newest = history.reader.growth(1)
    if newest is not None:
        since_s = min(now_ms, newest[2]) // 1000 - LOOK_BACK_S
    for record in history.newest_first(since_s, ("reading", "gap", "event")):
        body = decode(record)[1]
        if isinstance(body, Reading) and body.slot is not None:
            _see_reading(looked, body, parse_slot(body.slot))
        elif isinstance(body, Gap) and body.meter not in looked.answered:
            looked.gaps.setdefault(body.meter, []).append(body)
        elif isinstance(body, Event) and body.code in ("line_gone", "line_back"):
            looked.lines.setdefault(body.id, body)
        if wanted <= looked.answered:
            break
    meters = [_meter_state(entry, looked, history.plan.interval_s, now_ms) for entry in history.config["meters"]]
    return meters, [_line_state(line["id"], meters, looked) for line in history.config["lines"]]


def _see_reading(looked: _Looked, body: Reading, slot_s: int) -> None:
    known = looked.readings.get(body.meter)
    if known is None or known.slot is None or parse_slot(known.slot) < slot_s:
        looked.readings[body.meter] = body
    looked.filled.add((body.meter, slot_s))
    if body.revision == 0:
        looked.answered.add(body.meter)  # first answers stand in order of slots: none before is newer


def _meter_state(entry: dict[str, Any], looked: _Looked, interval_s: int, now_ms: int) -> MeterState:
    state = MeterState(entry["id"], entry.get("line"), entry.get("protocol", ""))
    reading = looked.readings.get(state.id)
    slot_s = -1
    if reading is not None and reading.slot is not None:
        slot_s = parse_slot(reading.slot)
        state.slot, state.quality, state.age_s = reading.slot, reading.quality, now_ms // 1000 - slot_s
        state.registers = {name: plain(value) for name, value in reading.registers.items()}
    missing = [
        (gap_s, gap.why)
        for gap in reversed(looked.gaps.get(state.id, []))
        for gap_s in range(parse_slot(gap.from_slot), parse_slot(gap.to_slot) + 1, interval_s)
        if gap_s > slot_s and (state.id, gap_s) not in looked.filled
    ]
    if missing:
        state.gap = {"from": slot_instant(missing[0][0]), "to": slot_instant(missing[-1][0]), "why": missing[-1][1]}
    return state


def _line_state(line: str, meters: list[MeterState], looked: _Looked) -> LineState:
    """A port is gone if nothing later says that it is back: neither an event nor a meter that answers."""
    mine = [meter for meter in meters if meter.line == line]
    answering = [meter for meter in mine if meter.slot is not None and meter.gap is None]
    event = looked.lines.get(line)
    gone = None
    if event is not None and event.code == "line_gone" and event.from_ is not None:
        since_s = parse_instant(event.from_) // 1000
        if all(parse_slot(meter.slot or "1970-01-01T00:00:00Z") <= since_s for meter in mine):
            gone = event.from_
    return LineState(line, len(mine), len(answering), gone)


def _show(found: dict[str, Any], offset_s: int) -> None:
    for label, text in _facts(found, offset_s):
        click.echo(f"{label}: {text}")
    if found["lines"]:
        rows = [[line["id"], f"{line['answering']}/{line['meters']}", line["gone_since"]] for line in found["lines"]]
        table([t("线路", "line"), t("应答", "answering"), t("端口断开", "port gone since")], rows)
    head = [t("电表", "meter"), t("线路", "line"), t("最近时格", "last slot"), t("距今", "age")]
    head += [t("示数", "registers"), t("质量", "quality"), t("缺数", "gap since"), t("原因", "why")]
    table(head, [_meter_row(meter, offset_s) for meter in found["meters"]])


def _facts(found: dict[str, Any], offset_s: int) -> list[tuple[str, str]]:
    outbox, disk, checkpoint = found["outbox"], found["disk"], found["checkpoint"]
    committed = _local(found["committed_at"], offset_s)
    error = "" if found["clock_error_ms"] is None else f" ±{found['clock_error_ms']} ms"
    waiting = t("未配置上行", "no uplink") if outbox["waiting"] is None else str(outbox["waiting"])
    if outbox["oldest_age_s"] is not None:
        waiting += t(f"(最早 {_age(outbox['oldest_age_s'])} 前)", f" (oldest {_age(outbox['oldest_age_s'])} ago)")
    room = "?" if disk["room_days"] is None else str(disk["room_days"])
    used, free = disk["bytes"] / MIB, disk["free_bytes"] / MIB
    return [
        (t("园区/网关", "park/gateway"), f"{found['park']}/{found['gateway']}"),
        (t("纪元", "epoch"), found["epoch"]),
        (t("记录", "records"), str(found["size"])),
        (t("最近提交", "last commit"), f"{committed} ({_age(found['committed_age_s'])})"),
        (t("时钟", "clock"), f"{found['clock']}{error}"),
        (t("已送达", "delivered"), str(outbox["delivered"])),
        (t("待送", "waiting"), waiting),
        (t("被拒收", "set aside"), str(outbox["set_aside"])),
        (t("检查点", "checkpoint"), "-" if checkpoint is None else str(checkpoint["size"])),
        (
            t("磁盘", "disk"),
            t(f"{used:.1f} MiB,剩余 {free:.0f} MiB,约 {room} 天", f"{used:.1f} MiB, {free:.0f} MiB free, {room} days"),
        ),
    ]


def _meter_row(meter: dict[str, Any], offset_s: int) -> list[str | None]:
    gap = meter["gap"] or {}
    registers = " ".join(
        f"{name}={meter['registers'][name]}" for name in ("import", "export") if name in meter["registers"]
    )
    row = [meter["id"], meter["line"], _local(meter["slot"], offset_s), _age(meter["age_s"]), registers]
    return [*row, meter["quality"], _local(gap.get("from"), offset_s), gap.get("why")]


def _local(slot: str | None, offset_s: int) -> str:
    return "-" if slot is None else local_text(parse_slot(slot), offset_s)


def _age(seconds: int | None) -> str:
    """Two units: 3 d 4 h, 12 min 5 s."""
    if seconds is None:
        return "-"
    if seconds < 0:
        return f"{seconds} s"
    for unit, size, smaller, part in (("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part} {smaller}"
    return f"{seconds} s"
