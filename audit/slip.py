"""The tenant's slip of half an A4: what the display should say, what it comes to in kWh, allowed and charged (pure).

    (本期示数 − 上期示数) × 倍率 = 电量        beside it a QR code that `static/verify.html` compares with the proof

Two slips a sheet, one HTML file for all tenants. It judges nothing: the report does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from html import escape
from typing import Any
from urllib.parse import urlencode

from audit import report_words as words
from audit.html_parts import money, table

_ROWS = 3  # registers that fit; more of them stand in the report
_STYLE = """
*{box-sizing:border-box}body{margin:0;color:#111;font:14.5px/1.5 "Noto Sans CJK SC","Source Han Sans SC",
"Microsoft YaHei","PingFang SC",sans-serif;background:#e8ebef}
.slip{background:#fff;width:210mm;max-width:100%;min-height:148mm;margin:0 auto 8px;padding:11mm 14mm;overflow:hidden}
h1{font-size:22px;margin:0}.top{display:flex;justify-content:space-between;gap:12px;border-bottom:2px solid #111}
p{margin:3px 0}.note{color:#555;font-size:12.5px;margin:3px 0}
table{border-collapse:collapse;width:100%;margin:7px 0;font-variant-numeric:tabular-nums}
th,td{border:1px solid #999;padding:2px 7px;text-align:right}th{background:#f1f3f6;font-weight:600}
th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}
.low{display:flex;gap:14px;align-items:flex-start}.low>div:first-child{flex:1}.qr{flex:0 0 38mm;text-align:center}
.qr svg{width:38mm;height:38mm;display:block}
.sums{display:flex;gap:24px;font-size:18px;margin:6px 0}.sums b{font-variant-numeric:tabular-nums}
ul{margin:3px 0;padding-left:18px}code{font-size:12px}
@media(max-width:640px){.slip{padding:14px}.sums,.top{flex-wrap:wrap}.low{display:block}}
@media print{@page{size:A4;margin:0}body{background:#fff}
.slip{height:148mm;min-height:0;margin:0;break-inside:avoid;border-bottom:1px dashed #888}
.slip:nth-of-type(2n){break-after:page;border-bottom:0}}
"""


def slip_code(made: Mapping[str, Any], row: Mapping[str, Any], keys: Sequence[str], address: str | None) -> str:
    """The QR code's text: the slip's figures as a query, behind the page's address where there is one.

    keys: fingerprints of the gateways that measured it, 32 hex digits each.
    """
    meters = [r for r in row["registers"] if r["start"] is not None]
    figures = {
        "p": made["park"],
        "t": row["tenant"],
        "f": row["from"] or "",
        "u": row["to"] or "",
        "k": row["energy_kwh"] or "",
        "a": row["allowed_yuan"] or "",
        "c": row["charged_yuan"],
        "m": "~".join("_".join((r["meter"], r["start"], r["end"], r["multiplier"])) for r in meters),
        "g": "~".join(keys),
    }
    return (f"{address}#" if address else "hubiao:slip?") + urlencode(figures, safe="~")


def render_slips(
    made: Mapping[str, Any], language: str, keys: Mapping[str, Sequence[str]], address: str | None = None
) -> str:
    """All tenants' slips. keys: tenant → fingerprints of its gateways."""
    at = 0 if language == "zh" else 1
    slips = "\n".join(_slip(made, row, at, keys.get(row["tenant"], ()), address) for row in made["tenants"])
    title = ("电费核对单", "Electricity slips")[at]
    return (
        f'<!doctype html>\n<html lang="{("zh-CN", "en")[at]}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} {escape(made['park'])}</title><style>{_STYLE}</style></head><body>\n{slips}\n</body></html>\n"
    )


def _slip(made: Mapping[str, Any], row: Mapping[str, Any], at: int, keys: Sequence[str], address: str | None) -> str:
    import segno  # from hubiao[audit]: a report without slips needs none

    name = escape(row["tenant"]) + "".join(f" {escape(other)}" for other in row["names"])
    room = "、".join(dict.fromkeys(str(meter["room"]) for meter in row["meters"] if meter["room"]))
    periods = "，".join(f"{words.PERIODS[p][at]} {money(kwh)}" for p, kwh in row["periods"].items())
    over = row["over_yuan"] is not None and Decimal(row["over_yuan"]) > 0
    sums = (
        (("应收", "allowed")[at], row["allowed_yuan"]),
        (("实收", "charged")[at], row["charged_yuan"]),
        ((("多收", "over") if over else ("差额", "difference"))[at], row["difference_yuan"]),
    )
    amounts = "".join(f"<span>{label} <b>{money(yuan)}</b> 元</span>" for label, yuan in sums)
    code = segno.make(slip_code(made, row, keys, address), error="m", micro=False)
    prints = "；".join(" ".join(key[i : i + 4] for i in range(0, len(key), 4)) for key in keys)
    key_line = (("网关公钥指纹", "fingerprint of the gateway's key")[at] + f" <code>{prints}</code>") if keys else ""
    looks = "".join(f"<li>{line}</li>" for line in _looks(row, at))
    span = f"{row['from']} 00:00 – {row['to']} 00:00" if row["from"] else ("日期未知", "days not known")[at]
    title = ("电费核对单", "Electricity slip")[at]
    scan = ("用 verify.html 核对", "check with verify.html")[at]
    return (
        f'<section class="slip"><div class="top"><div><h1>{title}</h1><p>{name} {escape(room)}</p></div>'
        f"<div><p>{escape(made['park'])}</p><p>{span}</p></div></div>"
        f'{_registers(row, at)}<p class="note">{periods}</p><div class="sums">{amounts}</div>'
        f'<div class="low"><div><ul>{looks}</ul><p class="note">{key_line}</p>'
        f'<p class="note">{_basis(made, at)}</p></div>'
        f'<div class="qr">{code.svg_inline(omitsize=True, border=4)}<p class="note">{scan}</p></div></div></section>'
    )


def _basis(made: Mapping[str, Any], at: int) -> str:
    rule = escape(" ".join(filter(None, (made["rule"]["title"], made["rule"]["number"]))))
    return (
        f"应收按 settlement-method-1 计算，依据 {rule}；不是缴费通知。",
        f"What may be charged follows settlement-method-1 and {rule}; this is no invoice.",
    )[at]


def _registers(row: Mapping[str, Any], at: int) -> str:
    head = (
        ("电表", "上期示数", "本期示数", "差", "倍率", "电量 kWh"),
        ("meter", "start", "end", "difference", "multiplier", "kWh"),
    )[at]
    rows = []
    for span in row["registers"][:_ROWS]:
        if span["start"] is None or span["end"] is None:
            shared = ("合用，份额", "shared, share")[at]
            rows.append([escape(span["meter"]), "—", "—", f"{shared} {span['share']}", span["multiplier"]])
        else:
            went = str(Decimal(span["end"]) - Decimal(span["start"]))
            rows.append([escape(span["meter"]), span["start"], span["end"], went, span["multiplier"]])
        rows[-1].append(f"<b>{money(span['kwh'])}</b>")
    more = len(row["registers"]) - _ROWS
    if more > 0:
        rows.append([(f"另有 {more} 段，见报告", f"{more} more parts: see the report")[at], "", "", "", "", ""])
    rows += [_charged_row(paper, at) for paper in row["rows"] if paper["start"] is not None][:_ROWS]
    formula = ("（本期示数 − 上期示数）× 倍率 = 电量", "(end − start) × multiplier = kWh")[at]
    return table(head, rows, "registers") + f"<p>{formula}</p>"


def _charged_row(paper: Mapping[str, Any], at: int) -> list[str]:
    """What the park's own slip says, to be compared."""
    went = "—" if paper["end"] is None else str(Decimal(paper["end"]) - Decimal(paper["start"]))
    cells = (paper["start"], paper["end"] or "—", went, paper["multiplier"] or "—", money(paper["kwh"]))
    return [("收费单上写的", "as charged")[at], *cells]


def _looks(row: Mapping[str, Any], at: int) -> list[str]:
    """When to look at the display, and what it should say."""
    if row["from"] is None or row["to"] is None:
        return []
    first, last = date.fromisoformat(row["from"]), date.fromisoformat(row["to"])
    lines = []
    for span in row["registers"][:_ROWS]:
        if span["end"] is None or span["to"] != row["registers"][-1]["to"]:
            continue
        days = max(1, (last - first).days)
        a_day = (Decimal(span["end"]) - Decimal(span["start"])) / days
        day = last - timedelta(days=1)
        lines.append(
            (
                f"{day} 24:00 电表屏上“当前正向有功总”为 <b>{span['end']}</b>；"
                f"以后只增不减，按本期平均每天约增加 {a_day:.2f}。现在就可以去看。",
                f"At 24:00 on {day} the display (total active import) said <b>{span['end']}</b>; since then it has "
                f"only grown, by about {a_day:.2f} a day. Have a look now.",
            )[at]
        )
    upcoming = _next(first, last) - timedelta(days=1)
    lines.append(
        (
            f"下次抄表 {upcoming} 24:00：请在前后几分钟看一次屏幕并拍照，与下一张单子核对。",
            f"Next reading at 24:00 on {upcoming}: look at the display within minutes of it and take a picture.",
        )[at]
    )
    return lines


def _next(first: date, last: date) -> date:
    """Where the next billing period ends: the same day a month on where this one was so, else as long again."""
    if first.day == last.day:
        month = last.replace(day=1) + timedelta(days=32)
        return month.replace(day=min(last.day, 28))
    return last + (last - first)
