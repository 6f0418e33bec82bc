"""`hubiao run`: the agent, as systemd starts it. SIGTERM stops cleanly, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli import Failure
from agent.cli.durations import DURATION
from agent.cli.output import notice
from agent.cli.slow_lines import say_slow
from agent.cli.words import t
from agent.lean import give_back, one_heap, put_off
from agent.logs import set_up
from agent.supervise import notify, watch
from config.child import load_in_child
from drivers.clock import Clock, RealClock
from drivers.loop import precise_loop

if TYPE_CHECKING:
    from agent.app import Agent
    from agent.web.serve import PageServer  # the extra `web`

TRIM_S = 60.0  # it takes a millisecond or two


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--for", "for_s", type=DURATION, default=None, help="90s, 10min, 2h")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
@click.option("--verbose", "-v", is_flag=True)
def run(path: Path, for_s: float | None, log_format: str, verbose: bool) -> None:
    """运行采集代理 / run the agent until SIGTERM or Ctrl-C."""
    set_up(log_format, verbose=verbose)
    one_heap()
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        runner.run(_run(path, for_s))


async def _run(path: Path, for_s: float | None) -> None:
    stop, ended = asyncio.Event(), asyncio.Event()
    loading = asyncio.create_task(_load(path))
    await asyncio.sleep(0)  # the child is at work from here on, while we import the agent
    put_off("urllib.request")  # paho's, for proxies behind SOCKS: 40 modules, 3 MB
    importlib.import_module("agent.app")  # a quarter of a second
    config = await loading
    loop = asyncio.get_running_loop()
    next_config: list[dict[str, Any]] = []
    running: list[Agent] = []

    def end() -> None:
        ended.set()
        stop.set()

    async def reload() -> None:
        try:
            next_config.append(await _load(path))
        except Failure as error:
            notice(
                t("新配置有误,继续使用原配置:\n", "the new configuration is faulty, the old one goes on:\n")
                + error.message
            )
            for agent in running:
                agent.config_refused(len(error.message.splitlines()))
            return
        stop.set()

    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = asyncio.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    if for_s is not None:
        loop.call_later(for_s, end)
    from agent.evidence.keys import KeyFault
    from agent.evidence.store import StoreError

    while not ended.is_set():
        try:
            await _live(config, stop, running)
        except (StoreError, KeyFault) as error:
            raise Failure(str(error), 74) from error
        stop.clear()
        if next_config:
            config = next_config.pop()
    notify("STOPPING=1")


async def _live(config: dict[str, Any], stop: asyncio.Event, running: list[Agent]) -> None:
    """One life under one configuration, in `running` as long as it lasts."""
    from agent.app import Agent
    from agent.schedule import predict_sweep

    for line in predict_sweep(config):
        if not line["fits"]:
            say_slow(line)
    clock = RealClock(trusted=config["private"]["clock"] == "trusted")
    agent = Agent(config, clock)
    page = _page_of(agent)
    await agent.open()
    if page is not None:
        page.start()
    notify("READY=1")
    feeding = asyncio.create_task(watch(clock, agent.signs_of_life))
    trimming = asyncio.create_task(_stay_small(clock))
    running.append(agent)
    try:
        await agent.run(stop)
    finally:
        running.clear()
        feeding.cancel()
        trimming.cancel()
        if page is not None:
            await asyncio.to_thread(page.stop)


async def _stay_small(clock: Clock) -> None:
    """The start, a sweep and the end of a month need more than what lies between them."""
    while True:
        give_back()
        await clock.sleep(TRIM_S)


async def _load(path: Path) -> dict[str, Any]:
    """The effective configuration, by the short-lived child. Exit 78 with every fault."""
    loaded = await load_in_child(path)
    for text in loaded.notices:
        notice(str(text))
    if loaded.faults:
        raise Failure("\n".join(map(str, loaded.faults)), 78)
    assert loaded.config is not None
    _check_page(loaded.config)
    return loaded.config


def _check_page(config: dict[str, Any]) -> None:
    """Whether the status page may be opened as configured. Exit 78."""
    web = config["private"].get("web")
    if web is None:
        return
    if importlib.util.find_spec("microdot") is None:
        raise Failure(t("web: 需要安装 hubiao[web]", "web: needs hubiao[web]"), 78)
    from agent.web.access import Access, AccessFault  # only where there is a page

    try:
        Access.of(web)
    except AccessFault as error:
        raise Failure(f"web: {error}", 78) from error


def _page_of(agent: Agent) -> PageServer | None:
    """The status page, not started; None where the configuration has none."""
    if agent.config["private"].get("web") is None:
        return None
    from agent.web.serve import page_of

    return page_of(agent)
