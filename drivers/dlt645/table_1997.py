"""The identifiers of DL/T 645-1997 as data.

    9x energy, Ax maximum demand, Bx times of demand and live values, Cx parameters
    9/A/B0–B9, second digit: 0–1 this month, 4–5 last month, 8–9 the month before; even active, odd reactive
    third digit: 1 forward, 2 reverse; of reactive also 3 Q1, 4 Q4, 5 Q2, 6 Q3; last digit: 0 total, 1–E tariff, F block

Live values (B6) are a vendor's own in scale and length: a model's data says otherwise where needed (identifiers.py).
Sources: reference dlt645.md §5.
"""

from __future__ import annotations

from functools import lru_cache

from drivers.dlt645.formats import Bcd, Bits, Digits, Format
from drivers.dlt645.items import Identifier, Item
from drivers.dlt645.table_2007 import register_name

TARIFFS = 0xE
ENERGY = Bcd(4, 2)
DEMAND = Bcd(3, 4)
MONTHS_BACK = {0: 0, 4: 1, 8: 2}

# (reactive, third digit) → name, zh, en, unit
REGISTERS: dict[tuple[bool, int], tuple[str, str, str, str]] = {
    (False, 1): ("import", "正向有功", "forward active", "kWh"),
    (False, 2): ("export", "反向有功", "reverse active", "kWh"),
    (True, 1): ("reactive_import", "正向无功", "forward reactive", "kvarh"),
    (True, 2): ("reactive_export", "反向无功", "reverse reactive", "kvarh"),
    (True, 3): ("reactive_q1", "第一象限无功", "reactive quadrant 1", "kvarh"),
    (True, 4): ("reactive_q4", "第四象限无功", "reactive quadrant 4", "kvarh"),
    (True, 5): ("reactive_q2", "第二象限无功", "reactive quadrant 2", "kvarh"),
    (True, 6): ("reactive_q3", "第三象限无功", "reactive quadrant 3", "kvarh"),
}

# first three digits → name, zh, en, unit, format, another format seen, whether digit 0 is a total
LIVE: dict[str, tuple[str, str, str, str, Format, Format | None, bool]] = {
    "B61": ("voltage", "电压", "voltage", "V", Bcd(2, 0), None, False),
    "B62": ("current", "电流", "current", "A", Bcd(2, 2), Bcd(3, 3), False),
    "B63": ("power", "有功功率", "active power", "kW", Bcd(3, 4), None, True),
    "B64": ("reactive_power", "无功功率", "reactive power", "kvar", Bcd(2, 2), None, True),
    "B65": ("power_factor", "功率因数", "power factor", "", Bcd(2, 3), None, True),
}


def _one(name: str, zh: str, en: str, form: Format, unit: str = "") -> Identifier:
    return Identifier(zh, en, (Item(name, form, unit),))


SINGLE: dict[str, Identifier] = {
    # a real meter answers it with its forward total; a code outside the pattern must not bill, hence the name
    "9000": _one("active", "有功电能(厂家扩展),总", "active energy (vendor/block alias), total", ENERGY, "kWh"),
    "9070": _one("phase_a_import", "A相正向有功电能", "phase A forward active energy", ENERGY, "kWh"),
    "9071": _one("phase_b_import", "B相正向有功电能", "phase B forward active energy", ENERGY, "kWh"),
    "9072": _one("phase_c_import", "C相正向有功电能", "phase C forward active energy", ENERGY, "kWh"),
    "B210": _one("programmed_at", "最近一次编程时间", "last programming time MMDDhhmm", Digits(4)),
    "B212": _one("programmed_count", "编程次数", "programming: count", Bcd(2)),
    "B214": _one("battery_minutes", "电池工作时间", "battery working time", Bcd(3), "min"),
    "B660": _one("frequency", "电网频率", "grid frequency", Bcd(2, 2), "Hz"),
    "B680": _one("frequency", "电网频率", "grid frequency", Bcd(2, 2), "Hz"),
    "C010": _one("date", "日期及星期", "date and weekday YYMMDDWW", Digits(4)),
    "C011": _one("time", "时间", "time hhmmss", Digits(3)),
    "C020": _one("status_meter", "电表运行状态字", "meter status", Bits(1)),
    "C021": _one("status_grid", "电网状态字", "grid status", Bits(1)),
    "C030": _one("constant_active", "电表常数(有功)", "meter constant, active", Bcd(3), "imp/kWh"),
    "C031": _one("constant_reactive", "电表常数(无功)", "meter constant, reactive", Bcd(3), "imp/kvarh"),
    "C032": _one("serial", "表号", "meter number", Digits(6)),
    "C033": _one("customer", "用户号", "customer number", Digits(6)),
    "C034": _one("device_code", "设备码", "device code", Digits(6)),
    "C111": _one("demand_period", "最大需量周期", "demand period", Bcd(1), "min"),
    "C112": _one("demand_step", "滑差时间", "sliding step of demand", Bcd(1), "min"),
    "C117": _one("reading_day", "自动抄表日期", "reading day DDhh", Digits(2)),
    "C310": _one("zones", "年时区数", "number of year zones", Bcd(1)),
    "C311": _one("period_tables", "日时段表数", "number of period tables", Bcd(1)),
    "C312": _one("periods", "日时段数", "number of periods a day", Bcd(1)),
    "C313": _one("tariffs", "费率数", "number of tariffs", Bcd(1)),
    "C314": _one("holidays", "公共假日数", "number of holidays", Bcd(1)),
}
for _digit, _suffix, _zh, _en in (
    (0, "", "", ""),
    (1, "_a", "A相", "phase A "),
    (2, "_b", "B相", "phase B "),
    (3, "_c", "C相", "phase C "),
):
    SINGLE[f"B31{_digit}"] = _one(
        f"phase_missing{_suffix}_count", f"{_zh}断相次数", f"{_en}phase missing: count", Bcd(2)
    )
    SINGLE[f"B32{_digit}"] = _one(
        f"phase_missing{_suffix}_minutes", f"{_zh}断相累计时间", f"{_en}phase missing: minutes", Bcd(3), "min"
    )


@lru_cache(maxsize=512)
def lookup(di: str) -> Identifier | None:
    """What a DI of 4 hex digits means, None if unknown."""
    if len(di) != 4:
        return None
    if di in SINGLE:
        return SINGLE[di]
    if di[:3] in LIVE:
        return _live(di)
    family, month, kind, tariff = (int(digit, 16) for digit in di)
    reactive, back = bool(month & 1), MONTHS_BACK.get(month & ~1)
    if family not in (0x9, 0xA, 0xB) or back is None or (reactive, kind) not in REGISTERS:
        return None
    name, zh, en, unit = REGISTERS[reactive, kind]
    forms: dict[int, tuple[str, str, str, Format, str]] = {
        0x9: ("{}", "电能", "energy", ENERGY, unit),
        0xA: ("max_demand_{}", "最大需量", "maximum demand", DEMAND, "kvar" if reactive else "kW"),
        0xB: ("max_demand_{}_at", "最大需量发生时间", "time of maximum demand MMDDhhmm", Digits(4), ""),
    }
    pattern, zh_what, en_what, form, unit = forms[family]
    tariffs = range(TARIFFS + 1) if tariff == 0xF else (tariff,)
    items = tuple(Item(_name(pattern, name, t, back), form, unit) for t in tariffs)
    zh_which, en_which = (
        ("数据块:总、各费率", " block: total, tariffs")
        if tariff == 0xF
        else (f",费率{tariff}", f", tariff {tariff}")
        if tariff
        else (",总", ", total")
    )
    zh_when, en_when = (("", ""), ("(上月)", " (last month)"), ("(上上月)", " (the month before last)"))[back]
    return Identifier(
        zh + zh_what + zh_which + zh_when, f"{en} {en_what}{en_which}{en_when}", items, block=tariff == 0xF
    )


def _name(pattern: str, name: str, tariff: int, back: int) -> str:
    return register_name(pattern.format(f"{name}_t{tariff}" if tariff else name), 0, back)


def _live(di: str) -> Identifier | None:
    name, zh, en, unit, form, other, has_total = LIVE[di[:3]]
    phases = {0: (name, f"总{zh}", f"{en}, total")} if has_total else {}
    for n, letter in enumerate("ABC", 1):
        phases[n] = (f"{name}_{letter.lower()}", f"{letter}相{zh}", f"phase {letter} {en}")
    digit = int(di[3], 16)
    if digit == 0xF:
        names, words, block = [phase[0] for phase in phases.values()], (f"{zh}数据块", f"{en} block"), True
    elif digit in phases:
        names, words, block = [phases[digit][0]], phases[digit][1:], False
    else:
        return None
    second = None
    if other is not None:
        second = Identifier(*words, tuple(Item(n, other, unit) for n in names), block=block)
    return Identifier(*words, tuple(Item(n, form, unit) for n in names), block=block, other=second)
