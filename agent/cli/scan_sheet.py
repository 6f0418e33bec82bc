"""The walk-round sheet: what answered, with what its display showed, and room to write down where it hangs."""

from __future__ import annotations

import csv
import time
from html import escape
from pathlib import Path

from agent.cli import Failure
from agent.cli.scan_labels import Label
from agent.cli.words import language, t
from agent.field.scanning import Found

STYLE = """\
@page { size: A4 landscape; margin: 1cm }
body { font: 11pt sans-serif; margin: 1cm } table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #444; padding: 4px 6px; text-align: left } td.n { text-align: right } td.w { min-width: 5em }
tr.two td { background: #ddd } thead { display: table-header-group } tr { break-inside: avoid }
"""


def write_sheet(path: Path, port: str, found: list[Found], silent: list[Label]) -> None:
    """.html to print, .csv to fill in. Sorted by the last digits, as a person with a label in view looks for them.

    Exit 2 on another ending, 74 where it cannot be written.
    """
    head, rows = _head(), [_row(one) for one in sorted(found, key=_last_digits)]
    rows += [
        [label.number, "", "", "", "", label.room or "", "", "", "", t("没有应答", "no answer")] for label in silent
    ]
    try:
        if path.suffix.lower() == ".csv":
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file).writerows([head, *rows])
        elif path.suffix.lower() in (".html", ".htm"):
            path.write_text(_page(port, head, rows), encoding="utf-8")
        else:
            raise Failure(t(f"{path}:走表单写成 .html 或 .csv", f"{path}: a sheet is .html or .csv"), 2)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", 74) from error


def _head() -> list[str]:
    return [
        t("地址/站号", "address/unit"),
        t("协议", "protocol"),
        t("速率", "speed"),
        t("型号", "model"),
        t("扫描时示数 kWh", "kWh when found"),
        t("房号", "room"),
        t("租户", "tenant"),
        t("铭牌号", "nameplate"),
        t("互感器 / 倍率", "CT / multiplier"),
        t("备注", "remarks"),
    ]


def _row(one: Found) -> list[str]:
    remark = t("两块表同址", "two meters have this address") if one.count > 1 else ""
    model = one.model or t("不明", "unknown")
    if one.others or not one.certain:
        model += " ?"
    register = "" if one.register is None else f"{one.register:f}"
    speed = f"{one.settings.baud} {one.settings.framing}"
    return [one.name, one.protocol, speed, model, register, one.room or "", "", "", one.multiplier or "", remark]


def _last_digits(one: Found) -> str:
    return (one.address or f"{one.unit:03d}")[::-1]


def _page(port: str, head: list[str], rows: list[list[str]]) -> str:
    title = t("走表单", "Walk-round sheet")
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{"n" if at == 4 else "w"}">{escape(text)}</td>' for at, text in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<!doctype html>\n<html lang="{language()}"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style>\n"
        f"<h1>{title}</h1><p>{escape(port)} · {time.strftime('%Y-%m-%d %H:%M')}</p>\n"
        f"<table><thead><tr>{cells}</tr></thead><tbody>\n{body}</tbody></table></html>\n"
    )
