"""The identifiers of DL/T 645-2007 as data: DI3 is the class, and each class has its own way to use the other three.

    00 tt rr ss  energy: kind, tariff (00 total, FF block), settlements back      03, 10–13, 1D, 1E  events
    01 tt rr ss  maximum demand and its time, likewise                            04 …               parameters
    02 tt rr 00  live values: kind, phase (00 total, FF block)                    05 tt cc nn        freezes
    06 cl 00 ss  load records (load_record.py)

Written from public code and logs (reference dlt645.md §4 names the source of every line); what stands on one source
alone is a count, a text or a live value, never a register that bills.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from drivers.dlt645.formats import Ascii, Bcd, Bits, Digits, Format, Moment, Speed
from drivers.dlt645.items import Identifier, Item

TARIFFS = 63
SETTLEMENTS = 12

ENERGY = Bcd(4, 2)
ENERGY_SIGNED = Bcd(4, 2, signed=True)
POWER = Bcd(3, 4, signed=True)
DEMAND = Bcd(3, 4)
CURRENT = Bcd(3, 3, signed=True)
VOLTAGE = Bcd(2, 1)
FREQUENCY = Bcd(2, 2)
POWER_FACTOR = Bcd(2, 3, signed=True)
PERCENT = Bcd(2, 2)
PRICE = Bcd(4, 4)
COUNT = Bcd(3)
NUMBER = Bcd(1)
MINUTE = Moment("YYMMDDhhmm")
SECOND = Moment("YYMMDDhhmmss")
BYTE = Bits(1)

# tt → name, zh, en, unit, signed. Combined registers are what the meter's own rule adds up (04000601–03): they may fall
ENERGIES: dict[int, tuple[str, str, str, str, bool]] = {
    0x00: ("combined", "组合有功电能", "combined active energy", "kWh", True),
    0x01: ("import", "正向有功电能", "forward active energy", "kWh", False),
    0x02: ("export", "反向有功电能", "reverse active energy", "kWh", False),
    0x03: ("reactive_import", "组合无功1电能", "combined reactive 1 energy", "kvarh", True),
    0x04: ("reactive_export", "组合无功2电能", "combined reactive 2 energy", "kvarh", True),
    0x05: ("reactive_q1", "第一象限无功电能", "reactive energy, quadrant 1", "kvarh", False),
    0x06: ("reactive_q2", "第二象限无功电能", "reactive energy, quadrant 2", "kvarh", False),
    0x07: ("reactive_q3", "第三象限无功电能", "reactive energy, quadrant 3", "kvarh", False),
    0x08: ("reactive_q4", "第四象限无功电能", "reactive energy, quadrant 4", "kvarh", False),
    0x09: ("apparent_import", "正向视在电能", "forward apparent energy", "kVAh", False),
    0x0A: ("apparent_export", "反向视在电能", "reverse apparent energy", "kVAh", False),
}
for _first, _letter in ((0x15, "A"), (0x29, "B"), (0x3D, "C")):
    for _kind, _offset in ((0x01, 0), (0x02, 1), (0x03, 2), (0x04, 3)):
        _name, _zh, _en, _unit, _signed = ENERGIES[_kind]
        # a phase's register is no meter's register: its name must not begin like one that bills
        ENERGIES[_first + _offset] = (
            f"phase_{_letter.lower()}_{_name}",
            f"{_letter}相{_zh}",
            f"phase {_letter} {_en}",
            _unit,
            _signed,
        )

DEMAND_UNITS = {"kWh": "kW", "kvarh": "kvar", "kVAh": "kVA"}

# tt → name, zh, en, unit, format, whether rr 00 is a total
LIVE: dict[int, tuple[str, str, str, str, Format, bool]] = {
    0x01: ("voltage", "电压", "voltage", "V", VOLTAGE, False),
    0x02: ("current", "电流", "current", "A", CURRENT, False),
    0x03: ("power", "有功功率", "active power", "kW", POWER, True),
    0x04: ("reactive_power", "无功功率", "reactive power", "kvar", POWER, True),
    0x05: ("apparent_power", "视在功率", "apparent power", "kVA", POWER, True),
    0x06: ("power_factor", "功率因数", "power factor", "", POWER_FACTOR, True),
    0x07: ("phase_angle", "相角", "phase angle", "°", VOLTAGE, False),
    0x08: ("voltage_distortion", "电压波形失真度", "voltage distortion", "%", PERCENT, False),
    0x09: ("current_distortion", "电流波形失真度", "current distortion", "%", PERCENT, False),
}
HARMONICS = {
    0x0A: ("voltage", "电压谐波含量", "voltage harmonics"),
    0x0B: ("current", "电流谐波含量", "current harmonics"),
}
HIGHEST_HARMONIC = 0x15

STATUS_PHASE = (
    "voltage_lost",
    "low_voltage",
    "high_voltage",
    "current_lost",
    "over_current",
    "overload",
    "flow_reversed",
    "phase_missing",
    "current_broken",
)
STATUS_WORDS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "status_1",
        "电表运行状态字1",
        "status word 1",
        ("", "demand_block", "clock_battery_low", "reading_battery_low", "active_reverse", "reactive_reverse"),
    ),
    (
        "status_2",
        "电表运行状态字2",
        "status word 2",
        (
            "active_reverse_a",
            "active_reverse_b",
            "active_reverse_c",
            "",
            "reactive_reverse_a",
            "reactive_reverse_b",
            "reactive_reverse_c",
        ),
    ),
    (
        "status_3",
        "电表运行状态字3",
        "status word 3",
        ("period_set_2", "supply_auxiliary", "supply_battery", "programming_allowed", "relay_open"),
    ),
    ("status_4", "电表运行状态字4(A相)", "status word 4 (phase A)", STATUS_PHASE),
    ("status_5", "电表运行状态字5(B相)", "status word 5 (phase B)", STATUS_PHASE),
    ("status_6", "电表运行状态字6(C相)", "status word 6 (phase C)", STATUS_PHASE),
    (
        "status_7",
        "电表运行状态字7(合相)",
        "status word 7 (all phases)",
        (
            "voltage_phase_order",
            "current_phase_order",
            "voltage_unbalance",
            "current_unbalance",
            "auxiliary_power_lost",
            "power_lost",
            "demand_over_limit",
            "power_factor_low",
        ),
    ),
)


def _one(name: str, zh: str, en: str, form: Format, unit: str = "") -> Identifier:
    return Identifier(zh, en, (Item(name, form, unit),))


# DIs that follow no pattern
SINGLE: dict[str, Identifier] = {
    "00900100": _one("credit_energy", "剩余电量", "prepaid: energy left", ENERGY, "kWh"),
    "00900200": _one("credit_money", "剩余金额", "prepaid: money left", ENERGY, "yuan"),
    "02800001": _one("current_neutral", "零线电流", "neutral current", CURRENT, "A"),
    "02800002": _one("frequency", "电网频率", "grid frequency", FREQUENCY, "Hz"),
    "02800003": _one("power_minute", "一分钟有功总平均功率", "one-minute mean active power", POWER, "kW"),
    "02800004": _one("demand_import", "当前有功需量", "present active demand", POWER, "kW"),
    "02800005": _one("demand_reactive", "当前无功需量", "present reactive demand", POWER, "kvar"),
    "02800006": _one("demand_apparent", "当前视在需量", "present apparent demand", POWER, "kVA"),
    "02800007": _one("temperature", "表内温度", "temperature inside the meter", Bcd(2, 1, signed=True), "°C"),
    "02800008": _one("clock_battery", "时钟电池电压", "clock battery voltage", PERCENT, "V"),
    "02800009": _one("reading_battery", "停电抄表电池电压", "reading battery voltage", PERCENT, "V"),
    "0280000A": _one("battery_minutes", "内部电池工作时间", "battery working time", Bcd(4), "min"),
    "0280000B": _one("price_step", "当前阶梯电价", "prepaid: price of the present step", PRICE, "yuan/kWh"),
    "02800020": _one("price", "当前电价", "prepaid: present price", PRICE, "yuan/kWh"),
    "02800021": _one("price_tariff", "当前费率电价", "prepaid: present tariff price", PRICE, "yuan/kWh"),
    "04000101": _one("date", "日期及星期", "date and weekday YYMMDDWW", Digits(4)),
    "04000102": _one("time", "时间", "time hhmmss", Digits(3)),
    "04000103": _one("demand_period", "最大需量周期", "demand period", NUMBER, "min"),
    "04000104": _one("demand_step", "滑差时间", "sliding step of demand", NUMBER, "min"),
    "04000106": _one("zone_switch_at", "两套时区表切换时间", "switch time of the zone tables", MINUTE),
    "04000107": _one("period_switch_at", "两套日时段表切换时间", "switch time of the period tables", MINUTE),
    "0400010C": _one("clock", "日期时间", "date, weekday and time", Moment("YYMMDDWWhhmmss")),
    "04000201": _one("zones", "年时区数", "number of year zones", NUMBER),
    "04000202": _one("period_tables", "日时段表数", "number of period tables", NUMBER),
    "04000203": _one("periods", "日时段数", "number of periods a day", NUMBER),
    "04000204": _one("tariffs", "费率数", "number of tariffs", NUMBER),
    "04000205": _one("holidays", "公共假日数", "number of holidays", Bcd(2)),
    "04000206": _one("harmonic_order", "谐波分析次数", "highest harmonic order", NUMBER),
    "04000306": _one("ct_ratio", "电流互感器变比", "current transformer ratio", COUNT),
    "04000307": _one("pt_ratio", "电压互感器变比", "voltage transformer ratio", COUNT),
    "04000401": _one("address", "通信地址", "communication address", Digits(6, hexadecimal=True)),
    "04000402": _one("serial", "表号", "meter number", Digits(6)),
    "04000403": _one("asset_code", "资产管理编码", "asset code", Ascii(32)),
    "04000404": _one("rated_voltage", "额定电压", "rated voltage", Ascii(6)),
    "04000405": _one("basic_current", "额定电流/基本电流", "basic current", Ascii(6)),
    "04000406": _one("maximum_current", "最大电流", "maximum current", Ascii(6)),
    "04000407": _one("class_active", "有功准确度等级", "accuracy class, active", Ascii(4)),
    "04000408": _one("class_reactive", "无功准确度等级", "accuracy class, reactive", Ascii(4)),
    "04000409": _one("constant_active", "电表有功常数", "meter constant, active", COUNT, "imp/kWh"),
    "0400040A": _one("constant_reactive", "电表无功常数", "meter constant, reactive", COUNT, "imp/kvarh"),
    "0400040B": _one("model", "电表型号", "meter model", Ascii(10)),
    "0400040C": _one("made", "生产日期", "date of make", Ascii(10)),
    "0400040D": _one("protocol", "协议版本号", "protocol version", Ascii(16)),
    "040005FF": Identifier(
        "电表运行状态字数据块",
        "status words, block",
        tuple(Item(name, Bits(2, names)) for name, _, _, names in STATUS_WORDS),
    ),
    "04000601": _one(
        "rule_active",
        "有功组合方式特征字",
        "combined active rule",
        Bits(1, ("add_forward", "subtract_forward", "add_reverse", "subtract_reverse")),
    ),
    "04000602": _one("rule_reactive_1", "无功组合方式1特征字", "combined reactive 1 rule", BYTE),
    "04000603": _one("rule_reactive_2", "无功组合方式2特征字", "combined reactive 2 rule", BYTE),
    "04000701": _one("speed_modulated", "调制型红外光口波特率", "speed of modulated infrared", Speed(), "Bd"),
    "04000702": _one("speed_contact", "接触式红外光口波特率", "speed of contact infrared", Speed(), "Bd"),
    "04000703": _one("speed_1", "通信口1波特率", "speed of port 1", Speed(), "Bd"),
    "04000704": _one("speed_2", "通信口2波特率", "speed of port 2", Speed(), "Bd"),
    "04000705": _one("speed_3", "通信口3波特率", "speed of port 3", Speed(), "Bd"),
    "04000801": _one("weekend_mask", "周休日特征字", "weekend mask", BYTE),
    "04000802": _one("weekend_table", "周休日采用的日时段表号", "weekend period table", NUMBER),
    "04000901": _one(
        "load_mode",
        "负荷记录模式字",
        "load record mode",
        Bits(1, ("class_1", "class_2", "class_3", "class_4", "class_5", "class_6")),
    ),
    "04000902": _one("freeze_mode", "冻结数据模式字", "timed freeze mode", BYTE),
    "04000A01": _one("load_start", "负荷记录起始时间", "load record start MMDDhhmm", Digits(4)),
    "04010000": Identifier(
        "第一套时区表", "zone table, set 1", tuple(Item(f"zone_{n}", Digits(3)) for n in range(1, 15)), block=True
    ),
    "04020000": Identifier(
        "第二套时区表", "zone table, set 2", tuple(Item(f"zone_{n}", Digits(3)) for n in range(1, 15)), block=True
    ),
    "04800001": _one("software", "厂家软件版本号", "software version", Ascii(32)),
    "04800002": _one("hardware", "厂家硬件版本号", "hardware version", Ascii(32)),
    "04800003": _one("factory_code", "厂家编号", "factory code", Ascii(32)),
}
for _n, (_name, _zh, _en, _names) in enumerate(STATUS_WORDS, 1):
    SINGLE[f"040005{_n:02X}"] = _one(_name, _zh, _en, Bits(2, _names))
for _n in range(1, 7):
    SINGLE[f"04000A{_n + 1:02X}"] = _one(
        f"load_interval_{_n}", f"第{_n}类负荷记录间隔时间", f"interval of load records, class {_n}", Bcd(2), "min"
    )
for _n in range(1, 4):
    SINGLE[f"04000B{_n:02X}"] = _one(f"settlement_{_n}", f"每月第{_n}结算日", f"settlement moment {_n} DDhh", Digits(2))
for _n in range(1, 9):
    for _set in (1, 2):
        SINGLE[f"040{_set}{_n:04X}"] = Identifier(
            f"第{_set}套第{_n}日时段表",
            f"period table {_n}, set {_set}",
            tuple(Item(f"period_{m}", Digits(3)) for m in range(1, 15)),
            block=True,
        )

BEFORE_AND_AFTER = tuple(
    Item(f"{when}_{name}", ENERGY, unit)
    for when in ("before", "after")
    for name, unit in (
        ("import", "kWh"),
        ("export", "kWh"),
        ("reactive_q1", "kvarh"),
        ("reactive_q2", "kvarh"),
        ("reactive_q3", "kvarh"),
        ("reactive_q4", "kvarh"),
    )
)
START_END = (Item("start", SECOND), Item("end", SECOND))
TIME_OPERATOR = (Item("at", SECOND), Item("operator", Digits(4)))

# first three bytes of the DI → name, zh, en, record layout (None: only the count is decoded). DI0 00 is the count
EVENTS: dict[str, tuple[str, str, str, tuple[Item, ...] | None]] = {
    "031100": ("power_off", "掉电", "power off", START_END),
    "033000": (
        "programmed",
        "编程",
        "programming",
        (*TIME_OPERATOR, *(Item(f"di_{n}", Digits(4, hexadecimal=True)) for n in range(1, 11))),
    ),
    "033001": (
        "cleared",
        "电表清零",
        "meter cleared",
        (
            *TIME_OPERATOR,
            *(
                Item(f"before_{phase}{name}", ENERGY, unit)
                for phase in ("", "phase_a_", "phase_b_", "phase_c_")
                for name, unit in (
                    ("import", "kWh"),
                    ("export", "kWh"),
                    ("reactive_q1", "kvarh"),
                    ("reactive_q2", "kvarh"),
                    ("reactive_q3", "kvarh"),
                    ("reactive_q4", "kvarh"),
                )
            ),
        ),
    ),
    "033002": ("demand_cleared", "需量清零", "demand cleared", None),
    "033003": ("events_cleared", "事件清零", "events cleared", (*TIME_OPERATOR, Item("di", Digits(4, True)))),
    "033004": (
        "clock_set",
        "校时",
        "clock set",
        (Item("operator", Digits(4)), Item("before", SECOND), Item("after", SECOND)),
    ),
    "033005": ("period_table_programmed", "时段表编程", "period table programmed", None),
    "03300D": ("cover_open", "开表盖", "meter cover opened", (*START_END, *BEFORE_AND_AFTER)),
    "03300E": ("terminal_open", "开端钮盖", "terminal cover opened", (*START_END, *BEFORE_AND_AFTER)),
    "033500": (
        "magnetic",
        "恒定磁场干扰",
        "magnetic interference",
        (
            *START_END,
            Item("before_import", ENERGY, "kWh"),
            Item("before_export", ENERGY, "kWh"),
            Item("after_import", ENERGY, "kWh"),
            Item("after_export", ENERGY, "kWh"),
        ),
    ),
}
EVENTS_KEPT = 10

PHASE_EVENTS = {"10": ("voltage_lost", "失压", "voltage lost"), "13": ("phase_missing", "断相", "phase missing")}
RELAY_EVENTS = {"1D": ("relay_open", "跳闸", "relay opened"), "1E": ("relay_closed", "合闸", "relay closed")}
RELAY_ENERGIES = (
    ("import", "kWh"),
    ("export", "kWh"),
    ("reactive_q1", "kvarh"),
    ("reactive_q2", "kvarh"),
    ("reactive_q3", "kvarh"),
    ("reactive_q4", "kvarh"),
)

FREEZES = {
    0x00: ("定时冻结", "timed freeze"),
    0x01: ("瞬时冻结", "instant freeze"),
    0x02: ("两套时区表切换冻结", "freeze at zone table switch"),
    0x03: ("两套日时段表切换冻结", "freeze at period table switch"),
    0x04: ("整点冻结", "hourly freeze"),
    0x06: ("日冻结", "daily freeze"),
}
HOURLY = 0x04


@lru_cache(maxsize=1024)
def lookup(di: str) -> Identifier | None:
    """What a DI of 8 hex digits means, None if unknown. Load records (06) have their name only."""
    if len(di) != 8:
        return None
    if di in SINGLE:
        return SINGLE[di]
    bytes_ = tuple(bytes.fromhex(di))
    match bytes_:
        case (0x00, kind, tariff, back):
            return _energy(kind, tariff, back)
        case (0x01, kind, tariff, back):
            return _demand(kind, tariff, back)
        case (0x02, kind, phase, number):
            return _live(kind, phase, number)
        case (0x04, 0x03, 0x00, number) if number:
            return _one(f"holiday_{number}", f"第{number}公共假日", f"holiday {number} YYMMDDNN", Digits(4))
        case (0x05, kind, content, back) if back:
            return _freeze(kind, content, back)
        case (0x06, kind, 0x00, _) if kind <= 6:
            which = ("全部" if kind == 0 else f"第{kind}类", "all classes" if kind == 0 else f"class {kind}")
            return Identifier(f"负荷记录,{which[0]}", f"load records, {which[1]}", ())
    return _event(di, bytes_)


def _suffixes(tariff: int) -> Iterable[int] | None:
    if tariff == 0xFF:
        return range(TARIFFS + 1)
    return (tariff,) if tariff <= TARIFFS else None


def _words(zh: str, en: str, tariff: int, back: int) -> tuple[str, str]:
    if tariff == 0xFF:
        zh, en = f"{zh}数据块:总、各费率", f"{en} block: total, tariffs"
    elif tariff:
        zh, en = f"{zh},费率{tariff}", f"{en}, tariff {tariff}"
    else:
        zh, en = f"{zh},总", f"{en}, total"
    return (f"{zh}(上{back}结算日)", f"{en} ({back} settlements back)") if back else (zh, en)


def register_name(name: str, tariff: int, back: int = 0) -> str:
    """`import`, `import_t1`; of a settlement `settlement_1_import`, which is not the present register."""
    name = f"{name}_t{tariff}" if tariff else name
    return f"settlement_{back}_{name}" if back else name


def _energy(kind: int, tariff: int, back: int) -> Identifier | None:
    tariffs = _suffixes(tariff)
    if kind not in ENERGIES or tariffs is None or back > SETTLEMENTS:
        return None
    name, zh, en, unit, signed = ENERGIES[kind]
    form = ENERGY_SIGNED if signed else ENERGY
    items = tuple(Item(register_name(name, t, back), form, unit) for t in tariffs)
    return Identifier(*_words(zh, en, tariff, back), items, block=tariff == 0xFF)


def _demand(kind: int, tariff: int, back: int) -> Identifier | None:
    tariffs = _suffixes(tariff)
    if kind not in ENERGIES or not kind or tariffs is None or back > SETTLEMENTS:
        return None
    name, zh, en, unit, signed = ENERGIES[kind]
    form = POWER if signed else DEMAND
    items = tuple(
        item
        for t in tariffs
        for item in (
            Item(register_name(f"max_demand_{name}", t, back), form, DEMAND_UNITS[unit]),
            Item(register_name(f"max_demand_{name}", t, back) + "_at", MINUTE),
        )
    )
    zh, en = zh.replace("电能", "最大需量及发生时间"), en.replace("energy", "maximum demand and time")
    return Identifier(*_words(zh, en, tariff, back), items, block=tariff == 0xFF, stride=2)


def _live(kind: int, phase: int, number: int) -> Identifier | None:
    if kind in HARMONICS:
        return _harmonic(kind, phase, number)
    if kind not in LIVE or number:
        return None
    name, zh, en, unit, form, has_total = LIVE[kind]
    phases = {0: (name, f"总{zh}", f"{en}, total")} if has_total else {}
    for n, letter in enumerate("ABC", 1):
        phases[n] = (f"{name}_{letter.lower()}", f"{letter}相{zh}", f"phase {letter} {en}")
    if phase == 0xFF:
        items = tuple(Item(phase_name, form, unit) for phase_name, _, _ in phases.values())
        return Identifier(f"{zh}数据块", f"{en} block", items, block=True)
    if phase not in phases:
        return None
    phase_name, phase_zh, phase_en = phases[phase]
    return _one(phase_name, phase_zh, phase_en, form, unit)


def _harmonic(kind: int, phase: int, order: int) -> Identifier | None:
    if not 1 <= phase <= 3 or not (1 <= order <= HIGHEST_HARMONIC or order == 0xFF):
        return None
    name, zh, en = HARMONICS[kind]
    letter = "ABC"[phase - 1]
    orders = range(1, HIGHEST_HARMONIC + 1) if order == 0xFF else (order,)
    items = tuple(Item(f"harmonic_{name}_{letter.lower()}_{n}", PERCENT, "%") for n in orders)
    return Identifier(f"{letter}相{zh}", f"phase {letter} {en}", items, block=order == 0xFF)


def _freeze(kind: int, content: int, back: int) -> Identifier | None:
    if kind not in FREEZES:
        return None
    zh, en = FREEZES[kind]
    parts = _freeze_parts(hourly=kind == HOURLY)
    if content == 0xFF:
        return Identifier(f"{zh}数据块,前{back}次", f"{en}, block ({back} back)", (), groups=tuple(parts.values()))
    if content not in parts:
        return None
    part = parts[content]
    zh, en = f"{zh}:{part.zh}(前{back}次)", f"{en}: {part.en} ({back} back)"
    return Identifier(zh, en, part.items, block=part.block, stride=part.stride)


def _freeze_parts(*, hourly: bool) -> dict[int, Identifier]:
    """Contents of a freeze by cc. Names carry `freeze_`: the register then, not now."""
    parts = {0x00: _one("freeze_at", "冻结时间", "time of freeze", MINUTE)}
    tariff = 0 if hourly else 0xFF
    for kind in (1, 2) if hourly else range(1, 9):
        parts[kind] = _frozen(_energy(kind, tariff, 0))
    if not hourly:
        parts[0x09] = _frozen(_demand(1, tariff, 0))
        parts[0x0A] = _frozen(_demand(2, tariff, 0))
        powers = [item for found in (_live(3, 0xFF, 0), _live(4, 0xFF, 0)) if found for item in found.items]
        items = tuple(Item(f"freeze_{item.name}", item.format, item.unit) for item in powers)
        parts[0x10] = Identifier("功率", "powers", items)
    return parts


def _frozen(found: Identifier | None) -> Identifier:
    assert found is not None
    items = tuple(Item(f"freeze_{item.name}", item.format, item.unit) for item in found.items)
    return Identifier(found.zh, found.en, items, block=found.block, stride=found.stride)


def _event(di: str, parts: tuple[int, ...]) -> Identifier | None:
    if di[:6] in EVENTS and parts[3] <= EVENTS_KEPT:
        name, zh, en, record = EVENTS[di[:6]]
        if not parts[3]:
            return _one(f"{name}_count", f"{zh}总次数", f"{en}: count", COUNT)
        items = tuple(Item(f"{name}_{item.name}", item.format, item.unit) for item in record or ())
        return Identifier(f"{zh}记录(上{parts[3]}次)", f"{en}: record ({parts[3]} back)", items)
    if di[:2] in PHASE_EVENTS and 1 <= parts[1] <= 3:
        return _phase_event(di, parts)
    if di[:2] in RELAY_EVENTS:
        return _relay_event(di, parts)
    return None


def _phase_event(di: str, parts: tuple[int, ...]) -> Identifier | None:
    name, zh, en = PHASE_EVENTS[di[:2]]
    letter = "ABC"[parts[1] - 1]
    name, zh, en = f"{name}_{letter.lower()}", f"{letter}相{zh}", f"phase {letter} {en}"
    match parts[2:]:
        case (0x00, 0x01):
            return _one(f"{name}_count", f"{zh}总次数", f"{en}: count", COUNT)
        case (0x00, 0x02):
            return _one(f"{name}_minutes", f"{zh}累计时间", f"{en}: minutes", COUNT, "min")
        case (0x01, back) if 1 <= back <= EVENTS_KEPT:
            return _one(f"{name}_start", f"{zh}发生时刻(上{back}次)", f"{en}: start ({back} back)", SECOND)
        case (0x25, back) if 1 <= back <= EVENTS_KEPT:
            return _one(f"{name}_end", f"{zh}结束时刻(上{back}次)", f"{en}: end ({back} back)", SECOND)
    return None


def _relay_event(di: str, parts: tuple[int, ...]) -> Identifier | None:
    name, zh, en = RELAY_EVENTS[di[:2]]
    if di[2:] == "000001":
        return _one(f"{name}_count", f"{zh}次数", f"{en}: count", COUNT)
    _, field, back = parts[1], parts[2], parts[3]
    if parts[1] or not 1 <= back <= EVENTS_KEPT:
        return None
    items = (
        Item(f"{name}_at", SECOND),
        Item(f"{name}_operator", Digits(4)),
        *(Item(f"{name}_{register}", ENERGY, unit) for register, unit in RELAY_ENERGIES),
    )
    if field == 0xFF:
        return Identifier(f"{zh}记录(上{back}次)", f"{en}: record ({back} back)", items)
    if 1 <= field <= len(items):
        return Identifier(f"{zh}记录(上{back}次)", f"{en}: record ({back} back)", (items[field - 1],))
    return None
