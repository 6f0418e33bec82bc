"""`hubiao broadcast`: a person sets all clocks of a line, or freezes its registers, and the log says so.

Refused unless the line's configuration allows it (`broadcasts`), the person confirms, and nobody else holds the port:
the agent has to be stopped first. Nothing answers a broadcast; `hubiao read` shows afterwards who obeyed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document
from agent.cli.places import at_links, effective
from agent.cli.words import t
from agent.ledger.inbox import Note, WorkOrder, leave
from contract.grid import parse_utc_offset
from drivers.broadcast import MIDNIGHT_S, freeze_frame, time_frame
from drivers.broadcast import broadcast as send
from drivers.clock import RealClock
from drivers.errors import DriverError, PortGone
from drivers.ports import Settings
from drivers.ports.choose import port_for

EDITIONS = {"time": ("dlt645-2007", "dlt645-1997"), "freeze": ("dlt645-2007",)}
WORDS = {"time": ("校时", "the time"), "freeze": ("冻结", "a freeze")}


@click.command()
@click.argument("kind", type=click.Choice(["time", "freeze"]))
@click.option("--config", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--line", "name", required=True, metavar="LINE")
@click.option("--who", default=None, metavar="NAME")
@click.option("--yes", is_flag=True, help=t("不再询问", "do not ask again"))
@click.option("--data", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--link-dir", type=click.Path(path_type=Path), default=None, help="DIR")
@click.option("--json", "as_json", is_flag=True)
def broadcast(
    kind: str,
    path: Path,
    name: str,
    who: str | None,
    yes: bool,
    data: Path | None,
    link_dir: Path | None,
    as_json: bool,
) -> None:
    """人工广播 / broadcast KIND to every DL/T 645 meter of a line: `time` or `freeze`."""
    config = effective(path)
    line = _line(config, name)
    if kind not in line["broadcasts"]:
        raise Failure(
            t(
                f"{path}: lines[{name}].broadcasts 未允许 {kind};不写表是缺省,确需时由负责人加上",
                f"{path}: lines[{name}].broadcasts does not allow {kind}; sending nothing is the default",
            ),
            78,
        )
    meters = [m for m in config["meters"] if m["line"] == name and m["protocol"] in EDITIONS[kind]]
    if not meters:
        raise Failure(t(f"线路 {name} 上没有可广播的电表", f"no meter on line {name} hears this broadcast"), 78)
    frame = _frame(kind, config)
    zh, en = WORDS[kind]
    if not yes:
        question = t(
            f"将向线路 {name} 上的 {len(meters)} 块表广播{zh},不可撤回。输入线路编号确认",
            f"This broadcasts {en} to {len(meters)} meters of line {name} and cannot be undone. Type the line's id",
        )
        if click.prompt(question, default="", show_default=False, err=True) != name:
            raise Failure(t("未确认,未发送", "not confirmed, nothing sent"), 1)
    ways = sorted({(m["baud"], m["framing"]) for m in meters})
    sent = asyncio.run(_send(at_links(line, link_dir), ways, kind, frame))
    order = _logged(kind, name, who, sent, data or Path(config["private"]["data"]))
    if as_json:
        document({"kind": kind, "line": name, "frames": sent, "meters": len(meters), "order": str(order)})
        return
    click.echo(t(f"已向线路 {name} 广播{zh}:", f"broadcast {en} to line {name}:") + f" {sent[-1]}")
    click.echo(t("电表不应答广播;用 hubiao read 核对", "meters do not answer it; hubiao read shows who obeyed"))


def _line(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = next((line for line in config["lines"] if line["id"] == name), None)
    if found is None:
        known = ", ".join(line["id"] for line in config["lines"])
        raise Failure(t(f"没有线路 {name},有 {known}", f"there is no line {name} but {known}"), 78)
    return dict(found)


def _frame(kind: str, config: dict[str, Any]) -> Callable[[], bytes]:
    """Makes the frame when it is sent. Exit 1 where there is no time to set clocks by, or meters would refuse it."""
    if kind == "freeze":
        return freeze_frame
    if RealClock(trusted=config["private"]["clock"] == "trusted").sync()[0] == "none":
        raise Failure(t("本机时间未同步,不能给电表校时", "this machine's time is not synchronised: not sent"), 1)
    offset_s = parse_utc_offset(config["settings"]["utc_offset"])

    def now() -> bytes:
        return time_frame(datetime.fromtimestamp(time.time() + offset_s, UTC))

    try:
        now()
    except ValueError as error:
        minutes = MIDNIGHT_S // 60
        raise Failure(t(f"零点前后 {minutes} 分钟内电表不接受校时", f"meters refuse it: {error}"), 1) from error
    return now


async def _send(line: dict[str, Any], ways: list[tuple[int, str]], kind: str, frame: Callable[[], bytes]) -> list[str]:
    """Once at each speed and framing found among the meters; what was sent, as hex. Exit 69 for the port."""
    sent: list[str] = []
    for baud, framing in ways:
        try:
            port = port_for(line["port"], direction=line["direction"])
            sent.append((await send(port, Settings.parse(baud, framing), kind, frame)).hex())
        except (DriverError, ValueError) as error:
            busy = t("。采集代理在用此口时先停它", ". Stop the agent first if it holds the port")
            code = 69 if isinstance(error, PortGone) else 1
            done = t(f"(已发 {len(sent)} 次)", f" ({len(sent)} sent)") if sent else ""
            raise Failure(f"{error}{busy if code == 69 else ''}{done}", code) from error
    return sent


def _logged(kind: str, line: str, who: str | None, sent: list[str], data: Path) -> Path:
    details = {"frames": " ".join(sent)} | ({"who": who} if who else {})
    note = Note("line", line, f"broadcast_{kind}", time.time_ns() // 1_000_000, details)
    try:
        return leave(data, WorkOrder((note,), ()))
    except OSError as error:
        said = t(f"已发送,但未能记入 {data}", f"sent, but not noted in {data}")
        raise Failure(f"{said}: {error.strerror}", 74) from error
