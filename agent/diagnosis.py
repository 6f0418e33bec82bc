"""From what was heard on a line to likely causes, each with what to try next (pure).

    certain    a frame or a register said so; nothing else can have made it
    likely     the pattern fits this cause and hardly another
    possible   one of several that look the same from here; the order is that of how often they are met

What cannot be told apart on the wire is said to be possible, never more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

Text = tuple[str, str]  # zh, en
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
CLOCK_OFF_S = 300  # what one broadcast a day can set right
PHASE_LOST = Decimal("0.5")  # of the highest voltage
SOME = 0.02  # of questions: fewer faults are a bus's everyday life

# cause → what it is, what to try next
CAUSES: dict[str, tuple[Text, Text]] = {
    "second_master": (
        ("线上另有主站", "another master uses this bus"),
        (
            "找到并断开它(旧采集器、电力载波、运维电脑)",
            "find and disconnect it: an old collector, another system, a laptop",
        ),
    ),
    "echo": (
        ("转换器回送自己发出的字节", "the adapter repeats our own bytes"),
        ("无害,已滤除;可在转换器上关掉回送", "harmless, filtered out; can be switched off at the adapter"),
    ),
    "noise": (
        ("线路干扰或反射", "noise or reflections on the line"),
        (
            "两端各一只 120 Ω 终端电阻,屏蔽单端接地,避开动力电缆,检查接头",
            "120 Ω at both ends, shield earthed at one end, away from power cables; check joints",
        ),
    ),
    "loose_contact": (
        ("时有时无:接触不良、表在断电或快坏", "comes and goes: a loose contact, failing power or a dying meter"),
        (
            "紧固端子,看表的电源和屏幕;再不行换表",
            "tighten its terminals, watch its supply and display; else replace it",
        ),
    ),
    "late": (
        ("应答太慢,超过等待时间", "it answers later than we wait"),
        ("型号里加大 reply_timeout,或减少透传延迟", "a longer reply_timeout in its model, or less delay on the way"),
    ),
    "two_with_one_address": (
        ("两块表同一地址", "two meters have one address"),
        ("断开其中一块再试;改一块的地址", "disconnect one and try again; give one another address"),
    ),
    "wrong_speed": (("波特率与配置不同", "its speed is not the configured one"), ("改配置的 baud", "correct `baud`")),
    "wrong_framing": (
        ("校验位与配置不同", "its framing is not the configured one"),
        ("改配置的 framing", "correct `framing`"),
    ),
    "wrong_edition": (
        ("规约版本与配置不同", "it speaks the other edition"),
        ("改配置的 protocol", "correct `protocol`"),
    ),
    "padded_address": (
        ("表的地址高位与配置不同", "its address has other high digits than configured"),
        ("按应答里的完整地址改配置", "take the whole address that it answers with"),
    ),
    "foreign_address": (
        ("以别的地址应答", "it answers with another address"),
        ("核对标牌;接线箱里可能换过表", "compare with the label; the meter may have been exchanged"),
    ),
    "wrong_item": (
        ("应答别的数据项", "it answers with another item than asked"),
        ("型号或规约不对:用 read --as 看", "wrong model or edition: see read --as"),
    ),
    "invalid_value": (
        ("应答完好但数值无效", "whole answers whose value is no number"),
        ("型号或数据项不对:用 read --as 看;表也可能坏了", "wrong model or item: see read --as; or the meter is broken"),
    ),
    "bad_checksum": (
        ("它发的帧校验和不对", "the frames that it sends have wrong checksums"),
        ("表的通信板坏,换表;或转换器改动字节(7 位)", "its interface is broken; or the adapter changes bytes (7 bits)"),
    ),
    "disturbed": (
        ("被别的表或主站干扰", "others on the line disturb it"),
        ("先治好应答晚的、乱说话的那一块", "cure those first that answer late or out of turn"),
    ),
    "refused": (
        ("拒绝请求", "it refuses what is asked"),
        ("型号不对或表没有此项", "wrong model, or the meter has not this item"),
    ),
    "swapped_ab": (
        ("A/B 接反", "A and B are swapped"),
        ("对调这块表(或整条线)的 A、B", "swap A and B at this meter (or the line)"),
    ),
    "no_power": (("表没电或坏了", "no power, or broken"), ("看屏幕是否亮", "does its display show anything?")),
    "not_connected": (
        ("断线,或地址、速率、规约都不对", "not connected, or address, speed and protocol are wrong"),
        ("单独接这块表再扫:hubiao scan", "connect it alone and scan: hubiao scan"),
    ),
    "line_down": (
        ("整条线无应答:断线、A/B 接反、转换器设置", "nobody on this line answers: cut, A/B swapped, adapter settings"),
        ("先在转换器处接一块表试", "try one meter at the adapter first"),
    ),
    "power_cut": (
        ("停电或总线断开过,随后恢复", "power or the bus was gone for a while and came back"),
        ("查供电、空开、转换器电源", "check supply, breaker and the adapter's power"),
    ),
    "clock_off": (
        ("表钟不准", "its clock is wrong"),
        ("按规定校时;冻结和费率跟表钟走", "have it set; freezes and tariffs follow it"),
    ),
    "other_serial": (
        ("表号与配置不同:换过表?", "another meter number than configured: exchanged?"),
        ("hubiao replace-meter", "hubiao replace-meter"),
    ),
    "ratio_mismatch": (
        ("表内互感器变比与配置不同", "the ratio set in the meter is not the configured one"),
        (
            "看互感器铭牌,改表或改配置;hubiao commission 验收",
            "read the CT plate; correct the meter or the configuration",
        ),
    ),
    "phase_missing": (("缺相", "a phase is missing"), ("查电压引线和熔断器", "check voltage leads and fuses")),
    "phase_reversed": (
        ("一相电流反向", "one phase counts backwards"),
        ("该相互感器方向或电流线接反", "turn this phase's current transformer or its wires round"),
    ),
    "cover_opened": (
        ("表盖或端钮盖被开过", "its cover or terminal cover was opened"),
        ("对照封印记录", "compare with the record of seals"),
    ),
    "register_fell": (
        ("示数变小", "its register fell"),
        ("清零、换表或翻转:查 status 和事件", "cleared, exchanged or rolled over: see its events"),
    ),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation. detail: what was seen, (zh, en)."""

    code: str
    certainty: str
    detail: Text

    @property
    def words(self) -> Text:
        return CAUSES[self.code][0]

    @property
    def next(self) -> Text:
        return CAUSES[self.code][1]


@dataclass(slots=True)
class MeterEvidence:
    """What was seen of one meter. Counts are exchanges, except `echo foreign checksum parity noise` (frames or bytes).

    history: one letter a settlement read, in order: . answered, p answered but not its confirmation, s silent,
    g garbled, r refused, u unexpected. answered_alone: of the heard-out questions, how many got one clean answer.
    latencies: seconds. busy_s: bus time of one settlement read with its confirmation. elsewhere: (baud, framing,
    protocol) at which it answered a trial. full_addresses: those that answered to its last digits, configured nowhere.
    """

    id: str
    protocol: str
    address: str = ""
    baud: int = 0
    framing: str = ""
    history: str = ""
    checksum: int = 0
    parity: int = 0
    echo: int = 0
    foreign: int = 0
    noise: int = 0
    late: int = 0
    latencies: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    elsewhere: tuple[int, str, str] | None = None
    full_addresses: tuple[str, ...] = ()
    answering_addresses: tuple[str, ...] = ()
    replies_in_one_window: int = 0
    replies_differ: bool = False
    collided: int = 0  # of the heard-out questions, how many brought rubbish
    heard_out: int = 0
    answered_alone: int = 0
    refusal: str = ""
    invalid: str = ""
    clock_off_s: int | None = None
    serial: tuple[str, str] | None = None  # configured, said
    ratios: list[tuple[str, str, str]] = field(default_factory=list)  # name, configured, said
    voltages: dict[str, Decimal] = field(default_factory=dict)
    currents: dict[str, Decimal] = field(default_factory=dict)
    powers: dict[str, Decimal] = field(default_factory=dict)
    opened: list[tuple[str, int]] = field(default_factory=list)
    fell: tuple[str, str] | None = None

    @property
    def asked(self) -> int:
        return len(self.history)

    def count(self, letters: str) -> int:
        return sum(letter in letters for letter in self.history)

    @property
    def answered(self) -> int:
        return self.count(".pru")


@dataclass(slots=True)
class LineEvidence:
    """What was seen of one line. spontaneous: bytes that came while nobody had asked; masters: requests among them."""

    id: str
    spontaneous: int = 0
    masters: tuple[str, ...] = ()
    never_silent: int = 0
    meters: list[MeterEvidence] = field(default_factory=list)


def line_causes(line: LineEvidence) -> list[Cause]:
    """What is wrong with a line as a whole."""
    causes = []
    meters = [meter for meter in line.meters if meter.asked]
    if line.masters:
        causes.append(_cause("second_master", CERTAIN, f"听到 {line.masters[0]}", f"heard {line.masters[0]}"))
    elif line.spontaneous or line.never_silent:
        zh, en = f"未发问时收到 {line.spontaneous} 字节", f"{line.spontaneous} bytes without a question"
        causes.append(_cause("second_master", LIKELY, zh, en))
    echoed = sum(meter.echo for meter in meters)
    asked = sum(meter.asked for meter in meters)
    if asked and echoed >= asked // 2:
        causes.append(_cause("echo", CERTAIN, f"{asked} 问中 {echoed} 次回声", f"{echoed} echoes of {asked} questions"))
    if _is_down(line):
        zh, en = f"{len(meters)} 块表都无应答", f"none of {len(meters)} meters answers"
        causes.append(_cause("line_down", LIKELY, zh, en))
        causes.append(_cause("swapped_ab", POSSIBLE, zh, en))
    if _is_outage(meters):
        zh, en = "所有表同时无应答,随后都恢复", "all meters fell silent together and came back together"
        causes.append(_cause("power_cut", LIKELY, zh, en))
    if (noisy := _noisy(line)) and not line.masters:
        zh = f"{noisy} 块表的应答时有损坏"
        causes.append(_cause("noise", LIKELY, zh, f"answers of {noisy} meters are damaged now and then"))
    return causes


def meter_causes(meter: MeterEvidence, line: LineEvidence) -> list[Cause]:
    """What is wrong with one meter, beyond what its whole line suffers from."""
    if _is_down(line):
        return []
    causes = [*_never(meter, line), *_sometimes(meter, line), *_content(meter)]
    order = (CERTAIN, LIKELY, POSSIBLE)
    return sorted(causes, key=lambda cause: order.index(cause.certainty))


def _never(meter: MeterEvidence, line: LineEvidence) -> Iterable[Cause]:
    """A meter that gave no answer at all."""
    if not meter.asked or meter.answered:
        return
    if meter.late:
        yield _cause(
            "late", CERTAIN, f"{meter.late} 个应答过时才到", f"{meter.late} answers came after they were given up"
        )
        return
    if meter.elsewhere:
        baud, framing, protocol = meter.elsewhere
        zh, en = f"在 {baud} {framing} {protocol} 应答", f"it answers at {baud} {framing} {protocol}"
        for code, differs in (
            ("wrong_speed", baud != meter.baud),
            ("wrong_framing", framing != meter.framing),
            ("wrong_edition", protocol != meter.protocol),
        ):
            if differs:
                yield _cause(code, CERTAIN, zh, en)
        return
    if meter.full_addresses:
        said = meter.full_addresses[0]
        zh, en = (
            f"末位相同的 {said} 在应答,配置里没有它",
            f"{said} answers, with the same last digits; nobody configured it",
        )
        yield _cause("padded_address", LIKELY, zh, en)
        return
    if meter.answering_addresses:
        zh, en = f"应答者是 {meter.answering_addresses[0]}", f"{meter.answering_addresses[0]} answers instead"
        yield _cause("foreign_address", CERTAIN, zh, en)
        return
    if "g" in meter.history:
        if not _noisy(line):
            yield from _garbled(meter)
        return
    if meter.answered_alone:
        yield _cause("disturbed", LIKELY, "单独问它时应答正常", "asked after a pause it answers well")
        return
    zh, en = (
        f"{meter.asked} 问无应答,其他速率、校验、规约也无",
        f"silent to {meter.asked} questions, at other settings too",
    )
    for code in ("no_power", "swapped_ab", "not_connected", "wrong_framing"):
        yield _cause(code, POSSIBLE, zh, en)


def _garbled(meter: MeterEvidence) -> Iterable[Cause]:
    """Bytes come, but never an answer."""
    if meter.parity and not meter.collided:
        zh, en = f"{meter.parity} 个字节校验位错", f"{meter.parity} bytes with parity errors"
        yield _cause("wrong_framing", LIKELY, zh, en)
        return
    if meter.foreign and not meter.checksum and not meter.noise:
        zh, en = f"{meter.foreign} 帧完好,却不是所问", f"{meter.foreign} whole frames, none what was asked"
        yield _cause("wrong_item", LIKELY, zh, en)
        return
    if meter.checksum >= meter.count("g") and meter.protocol != "modbus":  # there a collision keeps its head too
        zh, en = f"{meter.checksum} 帧完整而校验和不对", f"{meter.checksum} frames, whole but for the checksum"
        yield _cause("bad_checksum", LIKELY, zh, en)
        yield _cause("two_with_one_address", POSSIBLE, zh, en)
        return
    zh, en = (
        f"每次都有应答而不成帧({meter.collided}/{meter.heard_out}),同线其他表正常",
        f"rubbish every time ({meter.collided} of {meter.heard_out}) while others on this line are well",
    )
    if meter.collided and meter.collided == meter.heard_out:
        yield _cause("two_with_one_address", LIKELY, zh, en)
        yield _cause("loose_contact", POSSIBLE, zh, en)
    else:
        yield _cause("two_with_one_address", POSSIBLE, zh, en)
        yield _cause("noise", POSSIBLE, zh, en)


def _sometimes(meter: MeterEvidence, line: LineEvidence) -> Iterable[Cause]:
    """A meter that answers, but not always, or not alone."""
    if meter.replies_in_one_window > 1:
        zh, en = "一问两答", "two answers to one question"
        yield _cause("two_with_one_address", CERTAIN if meter.replies_differ else LIKELY, zh, en)
        return
    if not meter.answered:
        return
    if meter.late:
        yield _cause(
            "late", CERTAIN, f"{meter.late} 个应答过时才到", f"{meter.late} answers came after they were given up"
        )
    silent, garbled = meter.count("sp"), meter.count("g")
    others = [other for other in line.meters if other is not meter and other.asked]
    if _noisy(line) or line.masters:
        return  # the line's trouble is enough to explain what this meter suffers
    if silent >= max(1.0, SOME * meter.asked) and not meter.late and not _is_outage(line.meters):
        zh, en = f"{meter.asked} 问中 {silent} 次无应答", f"silent to {silent} of {meter.asked} questions"
        yield _cause("loose_contact", LIKELY if silent > 1 else POSSIBLE, zh, en)
    if garbled >= max(1.0, SOME * meter.asked) and not any(other.count("g") for other in others):
        zh, en = (
            f"{meter.asked} 问中 {garbled} 次应答损坏,同线其他表没有",
            f"{garbled} of {meter.asked} answers damaged, no other meter's",
        )
        yield _cause("two_with_one_address" if meter.collided else "loose_contact", POSSIBLE, zh, en)
        yield _cause("noise", POSSIBLE, zh, en)


def _content(meter: MeterEvidence) -> Iterable[Cause]:
    """What whole answers say."""
    if meter.refusal and not meter.count("."):
        yield _cause("refused", CERTAIN, meter.refusal, meter.refusal)
    if meter.invalid and not meter.count("."):
        yield _cause("invalid_value", CERTAIN, meter.invalid, meter.invalid)
    if meter.clock_off_s is not None and abs(meter.clock_off_s) > CLOCK_OFF_S:
        zh, en = f"差 {meter.clock_off_s} 秒", f"off by {meter.clock_off_s} s"
        yield _cause("clock_off", CERTAIN, zh, en)
    if meter.serial:
        zh, en = (
            f"配置 {meter.serial[0]},表说 {meter.serial[1]}",
            f"configured {meter.serial[0]}, it says {meter.serial[1]}",
        )
        yield _cause("other_serial", CERTAIN, zh, en)
    for name, configured, said in meter.ratios:
        zh, en = f"{name.upper()} 配置 {configured},表内 {said}", f"{name.upper()} configured {configured}, set {said}"
        yield _cause("ratio_mismatch", CERTAIN, zh, en)
    if meter.fell:
        yield _cause(
            "register_fell", CERTAIN, f"{meter.fell[0]} → {meter.fell[1]}", f"{meter.fell[0]} → {meter.fell[1]}"
        )
    for name, times in meter.opened:
        yield _cause("cover_opened", CERTAIN, f"{name}:{times} 次", f"{name}: {times} times")
    highest = max(meter.voltages.values(), default=Decimal(0))
    for phase, volts in meter.voltages.items():
        if len(meter.voltages) > 1 and volts < highest * PHASE_LOST:
            yield _cause("phase_missing", CERTAIN, f"{phase.upper()} 相 {volts} V", f"phase {phase.upper()} {volts} V")
    signed = meter.powers or meter.currents
    against = [phase for phase, value in signed.items() if value < 0]
    if against and len(against) < len([value for value in signed.values() if value]):
        for phase in against:
            zh, en = f"{phase.upper()} 相 {signed[phase]}", f"phase {phase.upper()} {signed[phase]}"
            yield _cause("phase_reversed", LIKELY, zh, en)


def _noisy(line: LineEvidence) -> int:
    """How many meters' answers are damaged now and then; one alone is not the line's trouble."""
    asked = [one for one in line.meters if one.asked]
    noisy = [one for one in asked if one.count("g") >= max(1.0, SOME * one.asked)]
    everywhere = any(one.answered for one in noisy) or 2 * len(noisy) > len(asked)
    return len(noisy) if len(noisy) > 1 and everywhere else 0


def _is_down(line: LineEvidence) -> bool:
    meters = [meter for meter in line.meters if meter.asked]
    return len(meters) > 1 and not any(meter.answered or meter.late or "g" in meter.history for meter in meters)


def _is_outage(meters: list[MeterEvidence]) -> bool:
    """Whether every meter was silent in the same rounds and answered in others."""
    histories = [meter.history for meter in meters if meter.history]
    if len(histories) < 2:
        return False
    gone = [{at for at, letter in enumerate(history) if letter == "s"} for history in histories]
    return bool(gone[0]) and all("." in history for history in histories) and _overlap(gone)


def _overlap(gone: list[set[int]]) -> bool:
    """Rounds begin and end within an outage, so the sets may differ by one at either end."""
    common = set.intersection(*gone)
    return bool(common) and all(len(one - common) <= 2 for one in gone)


def _cause(code: str, certainty: str, zh: str, en: str) -> Cause:
    return Cause(code, certainty, (zh, en))
