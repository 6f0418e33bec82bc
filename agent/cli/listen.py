"""`hubiao listen`: what others say on a bus. Never transmits: the port is opened for reading only."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import click

from agent.cli import Failure
from agent.cli.durations import DURATION
from agent.cli.output import document, notice, table
from agent.cli.words import language, t
from agent.field.listening import USUAL, Listener, report
from drivers.clock import RealClock
from drivers.errors import PortGone
from drivers.ports import Settings
from drivers.ports.tap import Tap
from drivers.ports.tcp import TcpPort


@click.command(help=t("只听不发:总线上的速率、协议、主站和电表", "Listen to a bus of others, never transmit"))
@click.option("--port", required=True, help="/dev/… | socket://host:port")
@click.option("--for", "seconds", type=DURATION, default="30s", help=t("听多久", "how long"))
@click.option("--baud", type=int, help=t("只听这个速率", "this speed only"))
@click.option("--framing", help=t("只听这种字符格式,如 8E1", "this framing only, such as 8E1"))
@click.option("--json", "as_json", is_flag=True, help=t("输出 JSON", "print JSON"))
def listen(port: str, seconds: float, baud: int | None, framing: str | None, as_json: bool) -> None:
    settings = _settings(baud, framing)
    zh = language() == "zh" and not as_json
    try:
        found = asyncio.run(_listen(port, seconds, settings, zh))
    except PortGone as error:
        raise Failure(str(error), 69) from error
    if as_json:
        document(found)
    else:
        _show(found)


def _settings(baud: int | None, framing: str | None) -> list[Settings]:
    if framing is not None and baud is None:
        try:
            return [Settings.parse(rate, framing) for rate in sorted({one.baud for one in USUAL})]
        except ValueError as error:
            raise click.UsageError(f"--framing {framing}: 8E1, 8N1, 7E1 …") from error
    if baud is None:
        return list(USUAL)
    try:
        return [Settings.parse(baud, one) for one in ([framing] if framing else ["8E1", "8N1"])]
    except ValueError as error:
        raise click.UsageError(f"--framing {framing}: 8E1, 8N1, 7E1 …") from error


async def _listen(name: str, seconds: float, settings: list[Settings], zh: bool) -> dict[str, Any]:
    if "://" not in name:
        ear: Tap | TcpPort = Tap(name)
    else:
        try:
            parts = urlsplit(name)
            host, number = parts.hostname, parts.port
        except ValueError as error:
            raise click.UsageError(f"--port {name}: {error}") from error
        if parts.scheme != "socket" or not host or not number:
            raise click.UsageError(f"--port {name}: /dev/… | socket://host:port")
        ear = TcpPort(host, number)
        settings = settings[:1]  # the converter's own setting is the only one there is
    await ear.open(settings[0])
    listener = Listener(ear, RealClock(), settings)
    try:
        await listener.listen(seconds)
    finally:
        await ear.close()
    return report(name, seconds, listener, zh=zh)


def _show(found: dict[str, Any]) -> None:
    if not found["settings"]:
        if found["characters"]:
            text = t(
                "听到 {n} 个字符,但没有认识的报文:速率或格式可能不在所试之列",
                "heard {n} characters and no frame: perhaps a speed or framing that was not tried",
            )
        else:
            text = t("总线上没有声音", "nobody spoke")
        notice(text.format(n=found["characters"]))
        return
    for one in found["settings"]:
        counts = t("{frames} 个报文,{noise} 个杂散字节", "{frames} frames, {noise} stray bytes").format(**one)
        notice(f"{one['baud']} {one['framing']}: {counts}")
    if found["other_master"]:
        notice(t("总线上另有主站", "another master asks on this bus"))
    for protocol in ("dlt698.45", "cjt188"):
        if protocol in found["protocols"]:
            text = t("有 {p} 报文,户表不读这种协议", "there are frames of {p}, which hubiao does not read")
            notice(text.format(p={"dlt698.45": "DL/T 698.45", "cjt188": "CJ/T 188"}[protocol]))
    head = (t("协议", "protocol"), t("地址", "address"), t("被问", "asked"), t("应答", "answered"))
    table(head, [(one["protocol"], one["address"], one["asked"], one["answered"]) for one in found["meters"]])
