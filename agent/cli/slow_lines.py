"""What a person should know about a line with long sweeps, and what would help: for `check`, `run` and `simulate`."""

from __future__ import annotations

from typing import Any

from agent.cli.output import notice
from agent.cli.words import t


def say_slow(line: dict[str, Any], keeping: int | None = None) -> None:
    """line: as `agent.schedule.predict_sweep` gives it. Says nothing of one that is exact.

    keeping: its meters that were found to have a memory of slots, None if they were not asked.
    """
    name, sweep, window = line["id"], line["sweep_s"], f"{line['window_s']:g}"
    if line["exact"]:
        return
    if line["fits"]:
        zh = f"线路 {name}:巡检约 {sweep} 秒,长于时格前后共 {window} 秒的窗口,部分时格的示数将由相邻读数内插"
        en = (
            f"line {name}: a sweep takes about {sweep} s, longer than the {window} s around a slot: some slots will be "
        )
        notice(t(zh, en + "interpolated between readings"))
        if line["memory_meters"]:
            _say_memory(line, keeping)
    else:
        en = f"line {name}: a sweep takes about {sweep} s, which does not fit into the interval; what would help:"
        notice(t(f"线路 {name}:巡检约 {sweep} 秒,一个采集间隔内做不完;可改善:", en))
    for baud, seconds in line["at_baud"].items():
        notice(t(f"  波特率 {baud}:约 {seconds} 秒", f"  {baud} baud: about {seconds} s"))
    if line["lines_needed"] > 1:
        lines = line["lines_needed"]
        notice(t(f"  分到 {lines} 条线路", f"  the meters spread over {lines} lines"))
    notice(t("  延长间隔", "  a longer interval"))


def _say_memory(line: dict[str, Any], keeping: int | None) -> None:
    meters, seconds = line["memory_meters"], line["memory_s"]
    notice(
        t(
            f"  其中至多 {meters} 块表改在时刻之后问表内负荷记录或冻结(约 {seconds} 秒),以之为该时刻的示数,不占窗口:",
            f"  of its meters, up to {meters} are asked behind the slot for their own load record or freeze of it "
            f"instead (about {seconds} s), and leave the window to the others:",
        )
    )
    if keeping is None:
        zh = "  前提是表里有这样的记录、表钟够准,配置里看不出;`check --online` 会逐块问"
        en = "  those that keep one and have a clock right enough, which only the meters can tell (`check --online`)"
    else:
        zh = f"  刚才问到有记录、表钟够准的有 {keeping} 块"
        en = f"  {keeping} of them were found to keep records and to have a clock right enough"
    notice(t(zh, en))
