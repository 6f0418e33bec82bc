"""`hubiao check`: is a configuration right, can its schedule be met, what does it cost on the uplink."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from agent.cli import Failure
from agent.cli.check_online import Online, as_objects, ask_all
from agent.cli.output import document, notice, table
from agent.cli.places import at_links
from agent.cli.slow_lines import say_slow
from agent.cli.words import language, t

FOUND, UNAVAILABLE, FAULTY = 3, 69, 78


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option(
    "--link-dir", type=click.Path(path_type=Path), help=t("simulate 的端口目录", "where simulate put its ports")
)
@click.option("--online", is_flag=True, help=t("逐块问一次", "ask every meter once"))
@click.option("--json", "as_json", is_flag=True)
def check(path: Path, online: bool, link_dir: Path | None, as_json: bool) -> None:
    """检查配置,预测巡检时间和流量 / validate a configuration, predict sweep time and traffic."""
    from config.load import load  # pydantic and ruamel: only for verbs that read a configuration

    loaded = load(path)
    lines: list[dict[str, Any]] = []
    uplink = answers = None
    if loaded.config is not None:
        from agent.schedule import predict_sweep
        from agent.uplink import predict_uplink

        slow = {line["id"] for line in predict_sweep(loaded.config) if line["memory_meters"]}
        answers = _ask_all(loaded.config, link_dir, slow) if online else None
        delays_s = {one.meter: one.delay_s for one in answers or () if one.delay_s is not None}
        lines = predict_sweep(loaded.config, delays_s)
        uplink = float(predict_uplink(loaded.config))
    met = all(line["fits"] for line in lines)
    for said in loaded.notices:
        notice(said.text(language()))
    for line in lines:
        say_slow(line, None if answers is None else sum(bool(a.memory) for a in answers if a.line == line["id"]))
    if as_json:
        faults = [
            {"file": f.file, "line": f.line, "column": f.column, "key": f.key, "message": f.message(language())}
            for f in loaded.faults
        ]
        ok = not faults and met
        result = {"ok": ok, "faults": faults, "lines": lines, "uplink_mb_month": uplink}
        if answers is not None:
            result["online"] = as_objects(answers)
            result["ok"] = ok and all(one.fault is None for one in answers)
        document(result)
    elif loaded.config is None:
        raise Failure(loaded.fault_texts(language()), FAULTY)
    else:
        _show(loaded.config, lines, uplink)
        if answers is not None:
            _show_answers(answers)
    if loaded.config is None:
        raise click.exceptions.Exit(FAULTY)
    if answers and any(one.port_gone for one in answers):
        raise click.exceptions.Exit(UNAVAILABLE)
    if not met or any(one.fault for one in answers or ()):
        raise click.exceptions.Exit(FOUND)


def _ask_all(config: dict[str, Any], link_dir: Path | None, slow: set[str]) -> list[Online]:
    logging.getLogger("drivers").addHandler(logging.NullHandler())  # its faults are told below, for people
    return asyncio.run(ask_all(config | {"lines": [at_links(line, link_dir) for line in config["lines"]]}, slow))


def _show_answers(answers: list[Online]) -> None:
    head = (t("电表", "meter"), t("线路", "line"), t("正向示数 kWh", "import kWh"), t("应答", "answer"))
    yes = t("有", "yes")
    table(
        head, [(a.meter, a.line, a.total, yes if a.fault is None else t(*a.fault).partition("\n")[0]) for a in answers]
    )
    well = sum(answer.fault is None for answer in answers)
    click.echo(t(f"{len(answers)} 块表中 {well} 块应答", f"{well} of {len(answers)} meters answer"))


def _show(config: dict[str, Any], lines: list[dict[str, Any]], uplink: float | None) -> None:
    head = (t("线路", "line"), t("电表", "meters"), t("巡检秒", "sweep s"), t("够用", "fits"))
    yes, no = t("是", "yes"), t("否", "no")
    table(head, [(line["id"], line["meters"], line["sweep_s"], yes if line["fits"] else no) for line in lines])
    counts = {key: len(config[key]) for key in ("meters", "points", "tenancies")}
    websocket = (config["private"].get("mqtt") or {}).get("url", "").startswith("ws")
    agreed = t(",代理须同意压缩", " if the broker agrees to compress") if websocket else ""
    click.echo(
        t(
            f"配置有效:{counts['meters']} 块表,{counts['points']} 个计量点,{counts['tenancies']} 段租用;"
            f"上行约 {uplink} MB/月{agreed}",
            f"the configuration is good: {counts['meters']} meters, {counts['points']} points, "
            f"{counts['tenancies']} tenancies; about {uplink} MB a month on the uplink{agreed}",
        )
    )
