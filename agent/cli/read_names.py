"""What registers and quantities are called in Chinese and English (no I/O)."""

from __future__ import annotations

import re

from agent.cli.words import t
from drivers.dlt645.identifiers import lookup

NAMES: dict[str, tuple[str, str]] = {
    "import": ("正向有功电能", "active energy import"),
    "export": ("反向有功电能", "active energy export"),
    "total": ("组合有功电能", "combined active energy"),
    "reactive_import": ("正向无功电能", "reactive energy import"),
    "reactive_export": ("反向无功电能", "reactive energy export"),
    **{
        f"reactive_q{number}": (f"第{name}象限无功电能", f"reactive energy Q{number}")
        for number, name in enumerate("一二三四", 1)
    },
    "voltage": ("电压", "voltage"),
    "current": ("电流", "current"),
    "power": ("有功功率", "active power"),
    "reactive_power": ("无功功率", "reactive power"),
    "apparent_power": ("视在功率", "apparent power"),
    "power_factor": ("功率因数", "power factor"),
    "frequency": ("频率", "frequency"),
    "demand_import": ("正向有功需量", "import demand"),
    "demand_export": ("反向有功需量", "export demand"),
    "serial": ("表号", "meter number"),
    "address": ("通信地址", "address"),
    "clock": ("时钟", "clock"),
    "telemetry": ("电压电流功率", "voltages, currents and powers"),
    "data": ("数据", "data"),
}


def in_words(name: str, item: str = "") -> str:
    """`import_t2` as 正向有功电能 费率2 or `active energy import, tariff 2`.

    item: the DI or register it came from. A name without words of its own is called as its DI is, or stays as it is.
    """
    match = re.fullmatch(r"(.+?)(?:_(?:([abc])|t(\d+)))?", name)
    words = NAMES.get(match[1]) if match else None
    if match is None or words is None:
        found = lookup(item) if len(item) in (4, 8) else None
        return t(found.zh, found.en) if found and len(found.items) < 2 else name
    if match[2]:
        return t(f"{match[2].upper()}相{words[0]}", f"{words[1]} {match[2].upper()}")
    if match[3]:
        return t(f"{words[0]} 费率{match[3]}", f"{words[1]}, tariff {match[3]}")
    return t(*words)
