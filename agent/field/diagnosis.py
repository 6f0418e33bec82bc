"""From what was heard on a line to likely causes, each with what to try next (pure).

    certain    a frame or a register said so; nothing else can have made it
    likely     the pattern fits this cause and hardly another
    possible   one of several that look the same from here; the order is that of how often they are met

What cannot be told apart on the wire is said to be possible, never more.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from agent.field.causes import CERTAIN, LIKELY, POSSIBLE, Cause
from agent.field.seen import GatewayEvidence, LineEvidence, MeterEvidence

CLOCK_OFF_S = 300  # what one broadcast a day can set right
PHASE_LOST = Decimal("0.5")  # of the highest voltage
NO_CURRENT = Decimal("0.02")  # of the highest current
SOME_CURRENT = Decimal("0.2")  # A at the meter: below this a phase without current says nothing
NEAR_ZERO = Decimal("0.001")  # of the register's span: so near to it before and behind, it rolled over
LEAST_FREE = 64 << 20  # bytes: the store's own reserve and some weeks of records
SOME = 0.02  # of questions: fewer faults are a bus's everyday life


def gateway_causes(gateway: GatewayEvidence) -> list[Cause]:
    """What is wrong beside the lines."""
    causes = []
    if gateway.unreachable:
        said = f"{gateway.broker}: {gateway.unreachable}"
        causes.append(_cause("broker_unreachable", CERTAIN, said, said))
    if gateway.refusal:
        said = f"{gateway.broker}: {gateway.refusal}"
        causes.append(_cause("broker_refused", CERTAIN, said, said))
    if gateway.silent_s is not None:
        zh = f"{gateway.broker}:连上后 {gateway.silent_s:.0f} 秒没有应答"
        causes.append(
            _cause("broker_silent", CERTAIN, zh, f"{gateway.broker}: no answer within {gateway.silent_s:.0f} s")
        )
    if gateway.free_bytes is not None and gateway.free_bytes < LEAST_FREE:
        mib = gateway.free_bytes / (1 << 20)
        causes.append(
            _cause("disk_full", CERTAIN, f"{gateway.data} 剩 {mib:.1f} MiB", f"{gateway.data}: {mib:.1f} MiB free")
        )
    elif gateway.unwritable:
        said = f"{gateway.data}: {gateway.unwritable}"
        causes.append(_cause("disk_unwritable", CERTAIN, said, said))
    return causes


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
    if (dirty := _with_rubbish(line)) > 1:
        zh, en = f"{dirty} 块表的应答前后", f"around the answers of {dirty} meters"
        causes.append(_cause("rubbish", LIKELY, zh, en))
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
        zh = f"{name.upper()} 配置{f' {configured}' if configured else '里没有'},表内 {said}"
        en = f"{name.upper()} configured {configured or 'nowhere'}, set {said}"
        yield _cause("ratio_mismatch", CERTAIN if configured else LIKELY, zh, en)
    if meter.fell:
        said = f"{meter.fell[0]} → {meter.fell[1]}"
        rolled = _rolled_over(*map(Decimal, meter.fell))
        yield _cause("rolled_over", LIKELY, said, said) if rolled else _cause("register_fell", CERTAIN, said, said)
    for name, times in meter.opened:
        yield _cause("cover_opened", CERTAIN, f"{name}:{times} 次", f"{name}: {times} times")
    highest = max(meter.voltages.values(), default=Decimal(0))
    for phase, volts in meter.voltages.items():
        if len(meter.voltages) > 1 and volts < highest * PHASE_LOST:
            yield _cause("phase_missing", CERTAIN, f"{phase.upper()} 相 {volts} V", f"phase {phase.upper()} {volts} V")
    yield from _without_current(meter, highest)
    signed = meter.powers or meter.currents
    against = [phase for phase, value in signed.items() if value < 0]
    if against and len(against) < len([value for value in signed.values() if value]):
        for phase in against:
            zh, en = f"{phase.upper()} 相 {signed[phase]}", f"phase {phase.upper()} {signed[phase]}"
            yield _cause("phase_reversed", LIKELY, zh, en)


def _with_rubbish(line: LineEvidence) -> int:
    """How many meters answer every time, and every time with bytes that belong to no frame."""
    if line.masters or _noisy(line):
        return 0
    return sum(meter.asked > 0 and meter.count(".") == meter.asked <= meter.noise for meter in line.meters)


def _rolled_over(before: Decimal, now: Decimal) -> bool:
    """From just below a power of ten to just above zero."""
    span = Decimal(10) ** (before.adjusted() + 1)
    return before >= span * (1 - NEAR_ZERO) and now <= span * NEAR_ZERO


def _without_current(meter: MeterEvidence, highest_volts: Decimal) -> Iterable[Cause]:
    """Phases that have their voltage and carry nothing while others carry a load."""
    most = max((abs(amperes) for amperes in meter.currents.values()), default=Decimal(0))
    if most < SOME_CURRENT:
        return
    for phase, amperes in meter.currents.items():
        volts = meter.voltages.get(phase, highest_volts)
        if abs(amperes) <= most * NO_CURRENT and volts >= highest_volts * PHASE_LOST:
            zh, en = (
                f"{phase.upper()} 相 {volts} V、{amperes} A,别的相到 {most} A",
                f"phase {phase.upper()} {volts} V, {amperes} A, another up to {most} A",
            )
            yield _cause("current_missing", LIKELY, zh, en)


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
