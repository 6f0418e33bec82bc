"""What a person should know about a line with long sweeps, and what would help: for `check`, `run` and `simulate`."""

from __future__ import annotations

from typing import Any

from agent.cli.output import notice
from agent.cli.words import t


def say_slow(line: dict[str, Any]) -> None:
    """line: as `agent.schedule.predict_sweep` gives it. Says nothing of one that is exact."""
    name, sweep, window = line["id"], line["sweep_s"], f"{line['window_s']:g}"
    if line["exact"]:
        return
    if line["fits"]:
        zh = f"线路 {name}:巡检约 {sweep} 秒,长于时格前后共 {window} 秒的窗口,部分时格的示数将由相邻读数内插"
        en = (
            f"line {name}: a sweep takes about {sweep} s, longer than the {window} s around a slot: some slots will be "
        )
        notice(t(zh, en + "interpolated between readings"))
    else:
        en = f"line {name}: a sweep takes about {sweep} s, which does not fit into the interval; what would help:"
        notice(t(f"线路 {name}:巡检约 {sweep} 秒,一个采集间隔内做不完;可改善:", en))
    for baud, seconds in line["at_baud"].items():
        notice(t(f"  波特率 {baud}:约 {seconds} 秒", f"  {baud} baud: about {seconds} s"))
    if line["lines_needed"] > 1:
        lines = line["lines_needed"]
        notice(t(f"  分到 {lines} 条线路", f"  the meters spread over {lines} lines"))
    en = "  a longer interval, or the meters' own freezes or load records for the slot's value"
    notice(t("  延长间隔,或用表内冻结、负荷记录取整点示数", en))
