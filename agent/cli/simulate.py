"""`hubiao simulate`: plays every meter of a configuration until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

import config as config_package
from agent.cli import Failure
from agent.cli.output import notice
from agent.cli.slow_lines import say_slow
from agent.cli.words import language, t
from agent.schedule import predict_sweep
from config.compose import decode
from config.faults import Findings
from config.load import load
from drivers.errors import PortGone
from simulators.broker import BrokerMissing
from simulators.faults import GATEWAY_FAULTS, Fault
from simulators.scenario import read_exercise, read_scenario
from simulators.site import LOOPBACK, NotLoopback, NotPlayable, Site
from simulators.surroundings import NotFilled, play_broker, play_disk
from simulators.wires import LinkRefused

T = TypeVar("T")


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--link-dir", type=click.Path(path_type=Path, file_okay=False), default=None)
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--scenario", type=click.Path(path_type=Path), default=None)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--on",
    "devices",
    multiple=True,
    metavar="LINE=PORT",
    help=t("在本机串口上模拟此线", "play a line on a serial port"),
)
@click.option("--broker", "with_broker", is_flag=True, help=t("并在 mqtt.url 起代理", "also a broker at mqtt.url"))
@click.option("--anywhere", is_flag=True, help="TCP: listen on other addresses than loopback")
def simulate(
    path: Path,
    link_dir: Path | None,
    speed: float,
    scenario: Path | None,
    seed: int,
    devices: tuple[str, ...],
    with_broker: bool,
    anywhere: bool,
) -> None:
    """模拟配置中的全部电表 / play all meters of a configuration until SIGTERM or Ctrl-C."""
    config = _configuration(path)
    faults = _faults(_named(scenario), config) if scenario else []
    site = Site(config, now_ms=_truth_time(speed), seed=seed, faults=faults)
    opened = partial(site.open, _places(config, link_dir), anywhere=anywhere, devices=_devices(devices, config))
    asyncio.run(_play(site, opened, with_broker))


def _configuration(path: Path) -> dict[str, Any]:
    loaded = load(path)
    for said in loaded.notices:
        notice(said.text(language()))
    if loaded.config is None:
        raise Failure(loaded.fault_texts(language()), 78)
    for line in predict_sweep(loaded.config):
        if not line["fits"]:
            say_slow(line)
    return loaded.config


def _named(scenario: Path) -> Path:
    """A file, or one of the exercises that are shipped, by its name alone."""
    shipped = Path(config_package.__file__).parent / "samples" / "exercises" / f"{scenario}.yaml"
    return shipped if not scenario.suffix and not scenario.exists() and shipped.exists() else scenario


def _faults(path: Path, config: dict[str, Any]) -> list[Fault]:
    findings = Findings(str(path))
    try:
        text = decode(path.read_bytes(), findings)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 78) from error
    names = {key: [entry["id"] for entry in config[key]] for key in ("meters", "lines")}
    gateway = config["settings"]["gateway"]
    faults = read_scenario(text, findings, **names, gateway=gateway) if text is not None else []
    wrong = findings.result(None)
    if wrong.faults:
        raise Failure(wrong.fault_texts(language()), 78)
    told = read_exercise(text or "").get(language())
    if told:
        notice(t(f"练习:{told}", f"exercise: {told}"))
    return faults


def _truth_time(speed: float) -> Callable[[], int]:
    """The park's time, UTC ms: from now on, `speed` times as fast as the real one."""
    start_ms, began = time.time_ns() // 1_000_000, time.monotonic()
    return lambda: start_ms + round((time.monotonic() - began) * speed * 1000)


def _places(config: dict[str, Any], link_dir: Path | None) -> Callable[[str], Path]:
    """Where each configured device file is to appear."""
    if link_dir is None:
        return Path
    names = Counter(Path(line["port"]).name for line in config["lines"] if "://" not in line["port"])
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise Failure(t(f"--link-dir 中重名:{twice[0]}", f"two lines would share {twice[0]} in --link-dir"), 69)
    try:
        link_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{link_dir}: {error.strerror}", 69) from error
    return lambda port: link_dir / Path(port).name


def _devices(texts: tuple[str, ...], config: dict[str, Any]) -> dict[str, str]:
    """`east=/dev/ttyUSB1` as line and port. Exit 2."""
    lines = [line["id"] for line in config["lines"]]
    devices = {name: port for name, _, port in (text.partition("=") for text in texts)}
    for name, port in devices.items():
        if name not in lines or not port:
            raise click.UsageError(f"--on {name}={port}: LINE=PORT, {', '.join(lines)}")
    return devices


async def _play(site: Site, opened: Callable[[], Awaitable[None]], with_broker: bool) -> None:
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told.put_nowait, name)
    beside: list[asyncio.Task[None]] = []
    try:
        await _open(opened)
        beside = await _surround(site, with_broker)
        for line, port in site.ports.items():
            meters = len(site.buses[line].meters)
            notice(t(f"线路 {line}:{port},{meters} 块表", f"line {line}: {port}, {meters} meters"))
        click.echo("ready")
        if await _first(told.get(), beside) is signal.SIGINT:
            raise KeyboardInterrupt
    except (BrokerMissing, NotFilled) as error:
        raise Failure(str(error), 69) from error
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await site.close()


async def _first(awaited: Coroutine[Any, Any, T], beside: list[asyncio.Task[None]]) -> T:
    """What is awaited, unless one of the tasks beside it fails first: then its fault."""
    waiting = asyncio.create_task(awaited)
    try:
        await asyncio.wait([waiting, *beside], return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            if task.done():
                task.result()
        return await waiting
    finally:
        waiting.cancel()


async def _surround(site: Site, with_broker: bool) -> list[asyncio.Task[None]]:
    """The broker and the disk that the scenario speaks of, well until it says otherwise."""
    private, gateway = site.config["private"], site.config["settings"]["gateway"]
    kinds = {kind for kind in GATEWAY_FAULTS if site.faults.known(kind, gateway)}

    def active(kind: str) -> float | None:
        fault = site.faults.find(kind, gateway, site.now_ms())
        return None if fault is None else fault.amount

    tasks = []
    if with_broker or kinds:
        url = urlsplit((private["mqtt"] or {}).get("url", ""))
        if url.scheme != "mqtt" or url.hostname not in LOOPBACK:
            raise Failure(t("mqtt.url 不是本机 mqtt://", "mqtt.url is not mqtt:// on loopback"), 69)
        ready = asyncio.Event()
        tasks.append(asyncio.create_task(play_broker(url.port or 1883, active, ready)))
        await _first(ready.wait(), tasks)
        notice(t(f"代理:{url.geturl()}", f"broker: {url.geturl()}"))
    if "disk_full" in kinds:
        tasks.append(asyncio.create_task(play_disk(Path(private["data"]), active)))
        await _first(asyncio.sleep(0.01), tasks)  # it refuses a large disk at once
    return tasks


async def _open(opened: Callable[[], Awaitable[None]]) -> None:
    try:
        await opened()
    except LinkRefused as error:
        advice = t("可用 --link-dir DIR 把端口放到别处", "--link-dir DIR puts the ports elsewhere")
        raise Failure(f"{error}; {advice}", 69) from error
    except NotLoopback as error:
        advice = t("非本机地址须加 --anywhere", "other addresses than loopback need --anywhere")
        raise Failure(f"{error}; {advice}", 69) from error
    except (NotPlayable, PortGone, OSError) as error:
        raise Failure(str(error), 69) from error
