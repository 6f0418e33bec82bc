"""`hubiao doctor`: how each meter of a configuration answers, what is likely wrong, what to try next. Only reads."""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.check_online import made_line
from agent.cli.durations import DURATION
from agent.cli.output import document, notice, styled, table
from agent.cli.places import at_links, effective
from agent.cli.read_faults import Asked, explain
from agent.cli.words import t
from agent.field.causes import CERTAIN, LIKELY, Cause
from agent.field.diagnosis import gateway_causes, line_causes, meter_causes
from agent.field.doctoring import ROUNDS, Examination, ExaminedLine
from agent.field.seen import LineEvidence, MeterEvidence
from agent.field.surroundings import examine_gateway
from agent.schedule import predict_sweep
from drivers.clock import RealClock
from drivers.errors import PortGone
from drivers.exchange import Noticed
from drivers.ports.choose import port_for

FOUND, UNAVAILABLE = 3, 69
HARMLESS = frozenset({"echo"})
MOST_TRACE = 20_000  # lines of bytes in a bundle
SURE = {CERTAIN: ("确定", "certain"), LIKELY: ("很可能", "likely")}


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--line", "line_id", help=t("只查这条线", "this line alone"))
@click.option("--gateway", is_flag=True, help=t("只查代理和磁盘", "the broker and the disk instead of the lines"))
@click.option("--for", "seconds", type=DURATION, default=0.0, help=t("至少查多久", "at least for so long"))
@click.option("--rounds", type=click.IntRange(2, 1000), default=ROUNDS, help=t("每块表问几轮", "rounds of questions"))
@click.option(
    "--link-dir", type=click.Path(path_type=Path), help=t("simulate 的端口目录", "where simulate put its ports")
)
@click.option("--bundle", type=click.Path(path_type=Path), help=t("打包结果(不含密码)", "a .zip to send, no secrets"))
@click.option("--json", "as_json", is_flag=True)
def doctor(
    path: Path,
    line_id: str | None,
    gateway: bool,
    seconds: float,
    rounds: int,
    link_dir: Path | None,
    bundle: Path | None,
    as_json: bool,
) -> None:
    """通信诊断:可能的原因与下一步 / likely causes of bad communication, what to try next.

    The agent must be stopped: a line has one owner. With --gateway it may run.
    """
    logging.getLogger("drivers").addHandler(logging.NullHandler())  # its faults are told below, for people
    config = effective(path)
    if gateway:
        _gateway(config, as_json=as_json)
        return
    entries = [at_links(entry, link_dir) for entry in config["lines"] if line_id in (None, entry["id"])]
    if not entries:
        raise click.UsageError(t(f"没有线路 {line_id}", f"there is no line {line_id}"))
    trace: list[str] = []
    found = asyncio.run(_examine_all(config, entries, rounds, seconds, trace))
    report = as_object(config, found)
    if as_json:
        document(report)
    else:
        _show(report, found)
    if bundle is not None:
        _pack(bundle, report, config, trace)
    if any(cause.code not in HARMLESS for line in found for cause in _all_causes(line)):
        raise click.exceptions.Exit(FOUND)


def _gateway(config: dict[str, Any], *, as_json: bool) -> None:
    """What the gateway needs beside its lines. Exit 3 where something is wrong."""
    found = asyncio.run(examine_gateway(config))
    causes = gateway_causes(found)
    if as_json:
        document({"gateway": {**asdict(found), "causes": [_cause_object(cause) for cause in causes]}})
    else:
        for cause in causes:
            _say(found.id, cause)
        if not causes:
            click.echo(t("没有发现问题", "nothing wrong found"))
    if causes:
        raise click.exceptions.Exit(FOUND)


async def _examine_all(
    config: dict[str, Any], entries: list[dict[str, Any]], rounds: int, seconds: float, trace: list[str]
) -> list[LineEvidence]:
    # gather, not a group: the first failure is to be told as it is
    return await asyncio.gather(*(_examine(config, entry, rounds, seconds, trace) for entry in entries))


async def _examine(
    config: dict[str, Any], entry: dict[str, Any], rounds: int, seconds: float, trace: list[str]
) -> LineEvidence:
    port, clock = port_for(entry["port"], direction=entry["direction"]), RealClock()
    line = made_line(ExaminedLine, config, entry, port, clock)

    def keep(direction: str, data: bytes, boot_ms: int) -> None:
        if len(trace) < MOST_TRACE:
            trace.append(f"{boot_ms} {entry['id']} {direction} {data.hex(' ')}")

    line.trace = keep
    examination = Examination(config, entry, line, port, clock)
    try:
        await examination.run(rounds=rounds, seconds=seconds, tell=_tell)
    except PortGone as gone:
        raise Failure(t(*explain(gone, Noticed(), Asked("", "", entry["port"], ""))), UNAVAILABLE) from gone
    return examination.evidence


def _tell(what: str, whom: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{whom}: {what}", err=True, nl=False)


def as_object(config: Mapping[str, Any], found: list[LineEvidence]) -> dict[str, Any]:
    """The document of `--json`, and the report in a bundle."""
    predicted = {line["id"]: line for line in predict_sweep(config)}
    interval_s = config["settings"]["interval_s"]
    return {
        "lines": [
            {
                "id": line.id,
                "sweep_predicted_s": predicted[line.id]["sweep_s"],
                "sweep_measured_s": round(sum(meter.busy_s for meter in line.meters), 2),
                "unasked_bytes": line.spontaneous,
                "causes": [_cause_object(cause) for cause in line_causes(line)],
                "meters": [_meter_object(meter, line, interval_s) for meter in line.meters],
            }
            for line in found
        ]
    }


def _meter_object(meter: MeterEvidence, line: LineEvidence, interval_s: int) -> dict[str, Any]:
    return {
        "id": meter.id,
        "asked": meter.asked,
        "answered": meter.answered,
        "silent": meter.count("s"),
        "garbled": meter.count("g"),
        "refused": meter.count("r"),
        "no_value": meter.count("u"),
        "late": meter.late,
        "checksum": meter.checksum,
        "parity": meter.parity,
        "echo": meter.echo,
        "foreign": meter.foreign,
        "history": meter.history,
        "latency_ms": _latencies(meter.latencies),
        "busy_s": round(meter.busy_s, 3),
        "occupancy": round(meter.busy_s / interval_s, 5),
        "causes": [_cause_object(cause) for cause in meter_causes(meter, line)],
    }


def _latencies(seconds: list[float]) -> dict[str, int] | None:
    """Median, 95 % and longest in ms."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    at95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"p50": _ms(statistics.median(ordered)), "p95": _ms(at95), "max": _ms(ordered[-1])}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _cause_object(cause: Cause) -> dict[str, str]:
    return {
        "code": cause.code,
        "certainty": cause.certainty,
        "what": t(*cause.words),
        "seen": t(*cause.detail),
        "next": t(*cause.next),
    }


def _all_causes(line: LineEvidence) -> list[Cause]:
    return [*line_causes(line), *(cause for meter in line.meters for cause in meter_causes(meter, line))]


def _show(report: dict[str, Any], found: list[LineEvidence]) -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", err=True, nl=False)
    head = (
        t("电表", "meter"),
        t("问/答", "asked/answered"),
        t("无应答", "silent"),
        t("乱码", "garbled"),
        t("拒绝", "refused"),
        t("晚到", "late"),
        t("校验和", "checksum"),
        t("校验位", "parity"),
        t("回声", "echo"),
        t("他表", "foreign"),
        t("延迟 ms 中/95%/最长", "latency ms p50/p95/max"),
        t("占用", "occupancy"),
    )
    rows = []
    for line in report["lines"]:
        for one in line["meters"]:
            latency = one["latency_ms"]
            shown = latency and f"{latency['p50']}/{latency['p95']}/{latency['max']}"
            counts = (one["silent"], one["garbled"], one["refused"] + one["no_value"], one["late"])
            marks = (one["checksum"], one["parity"], one["echo"], one["foreign"])
            rows.append(
                (one["id"], f"{one['asked']}/{one['answered']}", *counts, *marks, shown, f"{one['occupancy']:.2%}")
            )
    table(head, rows)
    for line in report["lines"]:
        measured, predicted = line["sweep_measured_s"], line["sweep_predicted_s"]
        click.echo(
            t(
                f"线路 {line['id']}:一轮实测 {measured} 秒,预测 {predicted} 秒",
                f"line {line['id']}: a sweep took {measured} s, predicted {predicted} s",
            )
        )
    healthy = True
    for evidence in found:
        for name, causes in ((evidence.id, line_causes(evidence)), *_of_meters(evidence)):
            for cause in causes:
                healthy = False
                _say(name, cause)
    if healthy:
        click.echo(t("没有发现问题", "nothing wrong found"))


def _of_meters(line: LineEvidence) -> list[tuple[str, list[Cause]]]:
    return [(meter.id, meter_causes(meter, line)) for meter in line.meters]


def _say(name: str, cause: Cause) -> None:
    sure = t(*SURE.get(cause.certainty, ("可能", "possible")))
    click.echo(f"{styled(name, bold=True)}  [{sure}] {t(*cause.words)}: {t(*cause.detail)}")
    click.echo(f"    → {t(*cause.next)}")


def _pack(path: Path, report: dict[str, Any], config: Mapping[str, Any], trace: list[str]) -> None:
    """What a helper far away needs: no tenant names, no broker, no password, no key."""
    from agent.cli.ports import serial_devices

    kept = {key: config[key] for key in ("settings", "lines", "meters", "points")}
    ports = [{"device": one.device, "stable": one.stable, "what": one.what} for one in serial_devices()]
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, value in (("report.json", report), ("configuration.json", kept), ("ports.json", ports)):
                archive.writestr(name, json.dumps(value, ensure_ascii=False, indent=1))
            archive.writestr("bytes.txt", "\n".join(trace) + "\n")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error
    notice(t(f"已打包 {path}", f"packed into {path}"))
