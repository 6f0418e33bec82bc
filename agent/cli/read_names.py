"""What registers and quantities are called in Chinese and English (no I/O)."""

from __future__ import annotations

import re

from agent.cli.words import t
from drivers.dlt645.identifiers import lookup
from drivers.dlt645.table_2007 import EVENTS, RELAY_EVENTS

NAMES: dict[str, tuple[str, str]] = {
    "import": ("正向有功电能", "active energy import"),
    "export": ("反向有功电能", "active energy export"),
    "total": ("组合有功电能", "combined active energy"),
    "combined": ("组合有功电能", "combined active energy"),
    "apparent_import": ("正向视在电能", "apparent energy import"),
    "apparent_export": ("反向视在电能", "apparent energy export"),
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
    "demand_reactive": ("无功需量", "reactive demand"),
    "serial": ("表号", "meter number"),
    "address": ("通信地址", "address"),
    "clock": ("时钟", "clock"),
    "telemetry": ("电压电流功率", "voltages, currents and powers"),
    "data": ("数据", "data"),
    # fields of records
    "at": ("时间", "time"),
    "start": ("开始", "start"),
    "end": ("结束", "end"),
    "operator": ("操作者", "operator"),
    "di": ("数据标识", "DI"),
}
# what names are made of: n is a number or a phase, rest a name again
PATTERNS: tuple[tuple[str, str, str], ...] = (
    (r"record_(?P<n>\d+)_(?P<rest>.+)", "记录{n} {rest}", "record {n}, {rest}"),
    (r"freeze_(?P<rest>.+)", "冻结 {rest}", "frozen, {rest}"),
    (r"settlement_(?P<n>\d+)_(?P<rest>.+)", "{rest}(上{n}结算日)", "{rest} ({n} settlements back)"),
    *(
        (rf"{name}_(?P<rest>.+)", zh + " {rest}", en + ", {rest}")
        for name, zh, en in (*(event[:3] for event in EVENTS.values()), *RELAY_EVENTS.values())
    ),
    (r"before_(?P<rest>.+)", "之前 {rest}", "{rest} before"),
    (r"after_(?P<rest>.+)", "之后 {rest}", "{rest} after"),
    (r"before", "之前", "before"),
    (r"after", "之后", "after"),
    (r"max_demand_(?P<rest>.+)_at", "{rest} 最大需量时间", "maximum demand of {rest}, time"),
    (r"max_demand_(?P<rest>.+)", "{rest} 最大需量", "maximum demand of {rest}"),
    (r"harmonic_(?P<rest>(voltage|current)_[abc])_(?P<n>\d+)", "{rest} {n}次谐波", "{rest}, harmonic {n}"),
    (r"phase_(?P<n>[abc])_(?P<rest>.+)", "{n}相{rest}", "{rest} {n}"),
    (r"(?P<rest>.+)_(?P<n>[abc])", "{n}相{rest}", "{rest} {n}"),
    (r"(?P<rest>.+)_t(?P<n>\d+)", "{rest} 费率{n}", "{rest}, tariff {n}"),
    (r"(?P<rest>di)_(?P<n>\d+)", "{rest}{n}", "{rest} {n}"),
    (r"status_(?P<n>\d)", "运行状态字{n}", "status word {n}"),
    (r"zone_(?P<n>\d+)", "时区{n} MMDD 时段表号", "zone {n}, MMDD and table"),
    (r"period_(?P<n>\d+)", "时段{n} hhmm 费率号", "period {n}, hhmm and tariff"),
)


# bits of status words and rules; English is the bit's own name
BITS = {
    "none": "无",
    "demand_block": "区间式需量",
    "clock_battery_low": "时钟电池欠压",
    "reading_battery_low": "停电抄表电池欠压",
    "active_reverse": "有功反向",
    "reactive_reverse": "无功反向",
    **{f"active_reverse_{phase}": f"{phase.upper()}相有功反向" for phase in "abc"},
    **{f"reactive_reverse_{phase}": f"{phase.upper()}相无功反向" for phase in "abc"},
    "period_set_2": "第二套时段运行",
    "supply_auxiliary": "辅助电源供电",
    "supply_battery": "电池供电",
    "programming_allowed": "编程允许",
    "relay_open": "继电器断开",
    "voltage_lost": "失压",
    "low_voltage": "欠压",
    "high_voltage": "过压",
    "current_lost": "失流",
    "over_current": "过流",
    "overload": "过载",
    "flow_reversed": "潮流反向",
    "phase_missing": "断相",
    "current_broken": "断流",
    "voltage_phase_order": "电压逆相序",
    "current_phase_order": "电流逆相序",
    "voltage_unbalance": "电压不平衡",
    "current_unbalance": "电流不平衡",
    "auxiliary_power_lost": "辅助电源失电",
    "power_lost": "掉电",
    "demand_over_limit": "需量超限",
    "power_factor_low": "功率因数超下限",
    "add_forward": "加正向",
    "subtract_forward": "减正向",
    "add_reverse": "加反向",
    "subtract_reverse": "减反向",
    **{f"class_{n}": f"第{n}类" for n in range(1, 7)},
}


def in_words(name: str, item: str = "") -> str:
    """`import_t2` as 正向有功电能 费率2 or `active energy import, tariff 2`.

    item: the DI or register it came from. A DI of one item is called as its table calls it, unless the name has words
    of its own; what nobody has words for stays as it is.
    """
    words = _words(name)
    if re.sub(r"_([abc]|t\d+)$", "", name) not in NAMES:
        found = lookup(item) if len(item) in (4, 8) else None
        if found and len(found.items) == 1:
            words = found.zh, found.en
    return t(*(words or (name, name)))


def bits_in_words(value: str) -> str:
    """The bits set in a status word; any other text as it is."""
    bits = value.split(" ")
    if not all(bit in BITS or re.fullmatch(r"bit\d+", bit) for bit in bits):
        return value
    return t("、", ", ").join(t(BITS.get(bit, bit), bit.replace("_", " ")) for bit in bits)


def _words(name: str) -> tuple[str, str] | None:
    if name in NAMES:
        return NAMES[name]
    for pattern, zh, en in PATTERNS:
        if found := re.fullmatch(pattern, name):
            parts = found.groupdict()
            rest = _words(parts["rest"]) if "rest" in parts else ("", "")
            if rest is not None:
                n = parts.get("n", "").upper()
                return zh.format(n=n, rest=rest[0]), en.format(n=n, rest=rest[1])
    return None
