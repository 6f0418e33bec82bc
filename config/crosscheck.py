"""What keys mean together: lines and the meters on them, models, transformer ratios, brokers. No I/O.

What concerns points, tenancies and time is checked in `timecheck.py`; the form of single values in `scalars.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from config import scalars
from config.expand import Draft, overlap
from config.faults import Findings, Path, suggestion
from config.model import DLT645, Line, Meter
from config.sections import Entry, Sections
from contract.acceptance import ONE_SOURCE

DLT645_START = 0x68  # 104: as a Modbus unit it would look like the start of a DL/T 645 frame to its neighbours
ADDRESS_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What configuration needs of a meter model: values `primary`, `secondary` or `as-set`, and their evidence.

    settles: the registers that a point may be settled on, None where the protocol has them all.
    """

    protocol: str
    values: str
    evidence: str
    settles: frozenset[str] | None = None


def check_lines(sections: Sections, draft: Draft, findings: Findings) -> None:
    """One port has one owner, one address on a line one meter at a time: a new meter may have its predecessor's."""
    ports: dict[str, str] = {}
    for entry in sections.lines:
        line = entry.of
        if line.port in ports:
            other = ports[line.port]
            findings.fault((*entry.path, "port"), f"线路 {other} 已用此端口", f"line {other} has this port already")
        ports.setdefault(line.port, line.id)
        used = [m.of for m in sections.meters if m.of.line == line.id]
        if not used and sections.whole:
            findings.notice(f"线路 {line.id} 上没有电表", f"line {line.id} has no meter")
        if line.port.startswith("tcp://") and any(meter.protocol in DLT645 for meter in used):
            findings.fault(
                (*entry.path, "port"),
                "tcp:// 是 Modbus TCP;透明转换器上的 DL/T 645 用 socket://",
                "tcp:// is Modbus TCP; DL/T 645 behind a transparent converter is socket://",
            )
    for entry in sections.lines:
        _check_neighbours(entry, [m for m in sections.meters if m.of.line == entry.of.id], draft, findings)


def _check_neighbours(line: Entry[Line], meters: list[Entry[Meter]], draft: Draft, findings: Findings) -> None:
    taken: dict[tuple[str, str | int], list[str]] = {}
    dlt645 = any(entry.of.protocol in DLT645 for entry in meters)
    for entry in meters:
        meter = entry.of
        if meter.protocol in DLT645 and meter.address:
            key, kind = "address", "dlt645"
            at: str | int = meter.address.zfill(ADDRESS_DIGITS)
        elif meter.protocol == "modbus" and meter.unit:
            key, kind, at = "unit", "modbus", meter.unit
        else:
            continue
        others = taken.setdefault((kind, at), [])
        other = next((known for known in others if _are_there_at_once(known, meter.id, draft)), None)
        if other is not None:
            findings.fault(
                (*entry.path, key),
                f"线路 {line.of.id} 上电表 {other} 已用此地址",
                f"meter {other} has this {key} on line {line.of.id} already",
            )
        others.append(meter.id)
        if kind == "modbus" and at == DLT645_START and dlt645:
            findings.fault(
                (*entry.path, "unit"),
                "104(68H)是 DL/T 645 帧起始符,不能与 DL/T 645 电表同线",
                "104 (68H) begins DL/T 645 frames; it cannot share a line with DL/T 645 meters",
            )


def _are_there_at_once(one: str, other: str, draft: Draft) -> bool:
    """Whether both meters measure at some instant, as far as is told; a meter at no point is always there."""
    times = {id_: [s for spot in draft.spots for s in spot.stretches if s.meter == id_] for id_ in (one, other)}
    return not all(times.values()) or any(overlap(a, b) for a in times[one] for b in times[other])


def check_meters(sections: Sections, models: Mapping[str, ModelFacts], names: set[str], findings: Findings) -> None:
    """Each meter has what its protocol needs and a model that exists. `names`: all models; `models`: those in use."""
    for entry in sections.meters:
        meter = entry.of
        if meter.line is not None and meter.line not in sections.ids["lines"]:
            unknown((*entry.path, "line"), meter.line, sections.ids["lines"], "线路", "line", findings)
        _check_protocol(entry, findings)
        if meter.protocol != "manual":
            _check_model(entry, models, names, findings)
        if meter.address and len(meter.address) < ADDRESS_DIGITS:
            padded = meter.address.zfill(ADDRESS_DIGITS)
            findings.notice(
                f"电表 {meter.id} 的地址 {meter.address} 不足 12 位,前面补零为 {padded}",
                f"meter {meter.id}: address {meter.address} is short, padded with zeros to {padded}",
            )


def _check_protocol(entry: Entry[Meter], findings: Findings) -> None:
    meter = entry.of
    needed, refused = {
        "modbus": (("line", "unit", "model"), ("address",)),
        "manual": ((), ("line", "address", "unit", "model", "baud", "framing")),
    }.get(meter.protocol, (("line", "address"), ("unit",)))
    for key in needed:
        if getattr(meter, key) is None:
            findings.fault(
                (*entry.path, key), f"{meter.protocol} 电表要写 {key}", f"is missing: a {meter.protocol} meter needs it"
            )
    for key in refused:
        if getattr(meter, key) is not None:
            findings.fault(
                (*entry.path, key),
                f"{meter.protocol} 电表没有 {key}",
                f"a {meter.protocol} meter has no {key}",
                at_key=True,
            )


def model_of(meter: Meter) -> str | None:
    """The meter's model; DL/T 645 editions are models of their own names."""
    return meter.model or (meter.protocol if meter.protocol in DLT645 else None)


def _check_model(entry: Entry[Meter], models: Mapping[str, ModelFacts], names: set[str], findings: Findings) -> None:
    meter, name = entry.of, model_of(entry.of)
    if name is None:
        return
    facts = models.get(name)
    if facts is None:
        unknown((*entry.path, "model"), name, names, "型号", "model", findings)
    elif facts.protocol != meter.protocol:
        findings.fault(
            (*entry.path, "model"),
            f"型号 {name} 的协议是 {facts.protocol},不是 {meter.protocol}",
            f"model {name} speaks {facts.protocol}, not {meter.protocol}",
        )
    elif facts.evidence == ONE_SOURCE and meter.accepted:
        findings.notice(
            f"注意:电表 {meter.id} 的型号 {name} 只有单一来源;配置称 {meter.accepted} 已验收,照此结算",
            f"CAUTION: meter {meter.id}: model {name} rests on one source; it is settled since the configuration says "
            f"it was accepted on {meter.accepted}",
        )
    elif facts.evidence == ONE_SOURCE:
        findings.notice(
            f"注意:电表 {meter.id} 的型号 {name} 只有单一来源,未经现场核对;照常抄读,"
            "验收(hubiao commission)之前不作结算",
            f"CAUTION: meter {meter.id}: model {name} rests on one source and was not verified in the field; "
            "it is read, and not settled until it was accepted (hubiao commission)",
        )


def check_registers(sections: Sections, draft: Draft, models: Mapping[str, ModelFacts], findings: Findings) -> None:
    """A point's register is one that its meters' models settle on: never a resettable one, nor a sum of directions.

    The import register is read of every meter, whichever its point is settled on.
    """
    needed: dict[str, set[str]] = {}
    for spot in draft.spots:
        for stretch in spot.stretches:
            needed.setdefault(stretch.meter, {"import"}).add(spot.register)
    for entry in sections.meters:
        name = model_of(entry.of) or ""
        facts = models.get(name)
        if facts is None or facts.settles is None or facts.protocol != entry.of.protocol:
            continue
        for register in sorted(needed.get(entry.of.id, {"import"}) - facts.settles):
            findings.fault(
                (*entry.path, "model"),
                f"型号 {name} 没有可结算的 {register} 示数",
                f"model {name} has no {register} register that may be settled on",
            )


def check_ratios(sections: Sections, draft: Draft, models: Mapping[str, ModelFacts], findings: Findings) -> None:
    """The multiplier in force must be what ct, pt and the model imply; earlier ones may differ (other transformers)."""
    last: dict[str, tuple[Path, str]] = {}
    for spot in draft.spots:
        for stretch in spot.stretches:
            last[stretch.meter] = ((*stretch.path, "multiplier"), stretch.multiplier)
    for entry in sections.meters:
        meter = entry.of
        if not meter.ct and not meter.pt:
            continue
        facts = models.get(model_of(meter) or "")
        whole = _quotient(meter.ct) * _quotient(meter.pt)
        allowed = _implied(facts.values if facts else "secondary", _quotient(meter.ct), _quotient(meter.pt))
        stated = [((*entry.path, "multiplier"), meter.multiplier)] if meter.multiplier else []
        for path, multiplier in [*stated, *([last[meter.id]] if meter.id in last else [])]:
            if Decimal(multiplier) not in allowed:
                transformers = " × ".join(filter(None, (meter.ct, meter.pt)))
                expected = _round(whole) if whole in allowed else "1"
                findings.fault(
                    path,
                    f"变比 {transformers} 对应倍率 {expected},这里是 {multiplier}",
                    f"transformers {transformers} mean a multiplier of {expected}, not {multiplier}",
                )


def _quotient(ratio: str | None) -> Decimal:
    if ratio is None:
        return Decimal(1)
    primary, secondary = ratio.split("/")
    return Decimal(primary) / Decimal(secondary)


def _implied(values: str, ct: Decimal, pt: Decimal) -> set[Decimal]:
    if values == "primary":
        return {Decimal(1)}
    return {ct * pt} if values == "secondary" else {Decimal(1), ct, pt, ct * pt}


def _round(number: Decimal) -> str:
    return scalars.plain(number.quantize(Decimal("0.000001")))


def check_broker(sections: Sections, findings: Findings) -> None:
    """No plain text beyond loopback; a client certificate has both its parts."""
    mqtt = sections.mqtt
    if mqtt is None:
        findings.notice("没有 mqtt 一节:记录只留在本机", "no mqtt section: records stay on this machine")
        return
    scheme = mqtt.url.partition("://")[0]
    if scheme in ("mqtt", "ws") and not mqtt.insecure and not scalars.is_loopback(mqtt.url):
        findings.fault(
            ("mqtt", "url"),
            f"{scheme}:// 不加密,只用于本机;请用 {scheme}s://,或明确写 insecure: true",
            f"{scheme}:// is not encrypted and only for loopback; use {scheme}s://, or say insecure: true",
        )
    for key, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if getattr(mqtt, key) and not getattr(mqtt, other):
            findings.fault(("mqtt", key), f"还要写 {other}", f"needs {other} beside it")


def check_web(sections: Sections, findings: Findings) -> None:
    """The status page is open to anyone on loopback only."""
    web = sections.web
    if web is None or web.password_file or web.token_file or scalars.is_loopback(f"http://{web.listen}"):
        return
    findings.fault(
        ("web", "listen"),
        f"{web.listen} 不是本机地址:要写 password_file 或 token_file",
        f"{web.listen} is not loopback: needs password_file or token_file",
    )


def unknown(path: Path, word: str, known: object, zh: str, en: str, findings: Findings) -> None:
    """A reference to something that is not there."""
    assert isinstance(known, set | Mapping)
    near_zh, near_en = suggestion(word, known)
    findings.fault(path, f"没有{zh} {word}{near_zh}", f"there is no {en} {word}{near_en}")
