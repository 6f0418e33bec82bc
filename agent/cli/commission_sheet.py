"""The acceptance sheet to print and sign: what was seen at each meter, and the gateway's key, as text and QR code."""

from __future__ import annotations

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

from agent.cli import Failure
from agent.cli.words import language, t
from agent.evidence.keys import KEY_FILE, KeyFault, fingerprint, load_key
from agent.field.commissioning import Acceptance
from contract.note import public_raw

EVIDENCE = {
    "one-source": ("单一来源", "one source"),
    "agreed": ("多来源一致", "sources agree"),
    "field-verified": ("现场核实", "verified in the field"),
}
STYLE = """\
body { font: 10pt sans-serif; margin: 1cm } table { margin-top: 6px }
section { border: 1px solid #444; padding: 6px 10px; margin: 8px 0; break-inside: avoid }
table { border-collapse: collapse } td, th { border: 1px solid #888; padding: 3px 6px; text-align: left }
svg { margin: 6px 0 } .bad { font-weight: bold } .sign td { height: 2.2em; min-width: 14em } code { font-size: 12pt }
"""


def write_sheet(path: Path, config: dict[str, Any], done: list[Acceptance], directory: Path) -> None:
    """Exit 74 where it cannot be written."""
    title = t("电表验收单", "Meter acceptance")
    settings = config["settings"]
    where = f"{config['private']['park_name'] or settings['park']} · {settings['gateway']}"
    body = "".join(_section(one) for one in done)
    page = (
        f'<!doctype html>\n<html lang="{language()}"><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{STYLE}</style>\n<h1>{title}</h1>\n<p>{escape(where)}</p>\n"
        f"{body}{_key(directory)}{_signatures()}</html>\n"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error


def _section(one: Acceptance) -> str:
    verdict = t("验收", "accepted") if one.accepted else t("未验收", "NOT accepted")
    rows = [
        (t("时刻", "at"), one.at),
        (t("房号", "room"), one.room),
        (t("表内编号", "number in the meter"), one.serial),
        (t("地址/站号", "address/unit"), one.number),
        (t("型号", "model"), f"{one.model} ({t(*EVIDENCE.get(one.evidence, (one.evidence, one.evidence)))})"),
        (t("互感器铭牌 / 配置", "CT plate / configured"), f"{one.plate or '-'} / {one.configured_ct or '-'}"),
        (t("封印", "seals"), one.seal),
        (t("证书", "certificate"), one.certificate),
        (t("照片", "photos"), ", ".join(one.photos)),
        (t("备注", "remarks"), one.remarks),
        (t("验收人", "by"), one.who),
    ]
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows if value)
    sights = "".join(
        f"<tr><td>{sight.before:f}</td><td>{sight.display:f}</td><td>{sight.after:f}</td></tr>" for sight in one.sights
    )
    head = "".join(f"<th>{text}</th>" for text in (t("读到", "read"), t("屏幕", "display"), t("再读", "read again")))
    phases = "".join(
        f"<tr><td>{phase.name.upper()}</td><td>{_number(phase.amperes)}</td><td>{_number(phase.clamp)}</td>"
        f"<td>{_number(phase.kilowatts)}</td></tr>"
        for phase in one.phases
    )
    columns = (t("相", "phase"), t("表 A", "meter A"), t("钳表 A", "clamp A"), t("一次 kW", "primary kW"))
    phase_head = "".join(f"<th>{text}</th>" for text in columns)
    faults = "".join(f'<p class="bad">! {escape(t(*fault))}</p>' for fault in one.faults)
    return (
        f"<section><h2>{escape(one.meter)} · {verdict}</h2><table>{facts}</table>\n"
        f"<table><tr>{head}</tr>{sights}</table>\n<table><tr>{phase_head}</tr>{phases}</table>{faults}</section>\n"
    )


def _number(value: Any) -> str:
    return "" if value is None else f"{value:f}"


def _key(directory: Path) -> str:
    """The gateway's public key in groups that a person can compare; a line to write on where there is none yet."""
    name = t("网关公钥", "gateway key")
    if not (directory / KEY_FILE).exists():
        return f"<p>{name}: {t('尚未生成(hubiao key init)', 'not made yet (hubiao key init)')}</p>\n"
    try:
        public = public_raw(load_key(directory))
    except KeyFault as fault:
        return f"<p>{name}: {escape(str(fault))}</p>\n"
    raw = base64.b64encode(public).decode()
    return (
        f"<p>{name}: <code>{raw}</code><br>{t('指纹', 'fingerprint')}: <code>{fingerprint(public)}</code></p>\n"
        f"<p>{_qr(raw)}</p>\n"
    )


def _qr(text: str) -> str:
    """An inline SVG of the key as `hubiao verify --key` takes it; without the extra, a line that says so."""
    try:
        import segno
    except ImportError:
        return t("二维码要装 hubiao[field]", "a QR code needs hubiao[field]")
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(drawn, kind="svg", scale=4, xmldecl=False, svgns=False)
    return drawn.getvalue().decode()


def _signatures() -> str:
    names = (t("施工方", "installer"), t("园区", "park"), t("日期", "date"))
    rows = "".join(f"<tr><th>{name}</th><td></td></tr>" for name in names)
    return f'<table class="sign">{rows}</table>\n'
