"""The report as one HTML file: no scripts, no references outside, readable on paper (pure).

    verdict ─ figures ─ tenants ─ months ─ bill as a waterfall ─ losses ─ advice ─ conversion ─ open ─ papers
            ─ posting sheet ─ each tenant                     (report_outlook_html, report_tenant_html)

Shows the document of `report`, text by text; computes nothing but lengths of bars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from audit import report_words as words
from audit.bill_check import FINDINGS as BILL_FINDINGS
from audit.charges import FINDINGS as CHARGE_FINDINGS
from audit.html_parts import Page, listed, money, percent, table, waterfall
from audit.markup import REASONS
from audit.report_outlook_html import advice, conversion, series
from audit.report_style import STYLE
from audit.report_tenant_html import posting, tenant


def render(made: Mapping[str, Any], language: str) -> str:
    """The page in `zh` or `en`."""
    page = Page(made, language)
    parts = (
        _verdict(page),
        _tenants(page),
        series(page),
        _bill(page),
        _losses(page),
        advice(page),
        conversion(page),
        _unchecked(page),
        _papers(page),
        posting(page),
        *(tenant(page, row) for row in made["tenants"]),
    )
    title = page.t("转供电收费核查报告", "Resale charges: audit report") + " " + made["park"]
    lang = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _verdict(page: Page) -> str:
    made = page.made
    colour = made["verdict"]["colour"]
    reasons = "".join(
        f"<li><b>{escape(page.w(REASONS, code))}</b> <code>{code}</code></li>" for code in made["verdict"]["reasons"]
    )
    figures = made["figures"]
    cards = (
        (page.t("电网账单（可转嫁）", "grid bill, passable"), figures["passable_yuan"], page.yuan),
        (page.t("租户应收上限", "allowed to tenants"), figures["allowed_tenants_yuan"], page.yuan),
        (page.t("实际收取", "charged"), figures["charged_yuan"], page.yuan),
        (page.t("超过账单", "over the bill"), figures["over_bill_yuan"], page.yuan),
        (page.t("超过上限", "over the allowed"), figures["over_allowed_yuan"], page.yuan),
        (page.t("其他收费", "other fees"), figures["extra_fees_yuan"], page.yuan),
        (page.t("电网均价", "average price paid"), figures["average_price_paid"], page.yuan + "/kWh"),
        (page.t("损耗率", "loss rate"), percent(figures["loss_rate"]), ""),
    )
    boxes = "".join(
        f'<div class="card"><span>{escape(name)}</span><b>{money(value)}</b><i>{unit if value else ""}</i></div>'
        for name, value, unit in cards
    )
    rule = made["rule"]
    draft = f'<p class="draft">{words.DRAFT[page.which]}</p>' if rule["status"] == "draft" else ""
    basis = f"{words.RULE[page.which]}：{rule['title']} {rule['number']} {rule['clause']}"
    readings = made["verdict"]["readings"]
    both = ""
    if len(readings) > 1:
        names = {
            "inside_cap": ("光伏不另计", "solar inside the cap"),
            "paid_apart": ("光伏另计", "solar paid apart"),
        }
        said = "；".join(
            f"{page.w(names, entry['pv'])}：{page.w(words.COLOURS, entry['colour'])} {' '.join(entry['reasons'])}"
            for entry in readings
        )
        both = f'<p class="note">{escape(said)}</p>'
    return (
        f"<header>{draft}"
        f"<h1>{escape(page.t('转供电收费核查报告', 'Resale charges: audit report'))}</h1>"
        f"<p>{escape(made['park'])} · {page.span(made)} · {made['method']}</p></header>"
        f'<section class="verdict {colour}"><div class="lamp">{escape(page.w(words.COLOURS, colour))}</div>'
        f"<div><p>{escape(page.w(words.ADVICE, colour))}</p><ul>{reasons}</ul>{both}</div></section>"
        f'<div class="cards">{boxes}</div><p class="note">{escape(words.DISCLAIMER[page.which])} '
        f"{escape(basis)}</p>"
    )


def _tenants(page: Page) -> str:
    head = [
        *(page.t("租户", "tenant"), page.t("结论", "verdict"), page.t("电量 kWh", "kWh")),
        *(page.t("计费电量", "charged kWh"), page.t("应收 元", "allowed"), page.t("实收 元", "charged")),
        *(page.t("多收 元", "over"), page.t("实收均价", "price charged"), page.t("应收均价", "price allowed")),
    ]
    keys = [
        *("energy_kwh", "charged_kwh", "allowed_yuan", "charged_yuan", "over_yuan"),
        *("average_price_charged", "average_price_allowed"),
    ]
    rows = []
    for row in page.made["tenants"]:
        reasons = page.join(page.w(REASONS, code) for code in row["reasons"] if code != "OK")
        name = f'<a href="#{escape(row["tenant"])}">{escape(row["tenant"])}</a>'
        rows.append([name, page.chip(row["colour"]) + " " + escape(reasons), *(money(row[key]) for key in keys)])
    for row in page.made["unmatched"]:
        who = f"{escape(row['who'])} ({page.t('第', 'row ')}{row['row']}{page.t('行', '')})"
        rows.append([who, escape(page.w(REASONS, "CHARGE_UNMATCHED")), "", "", "", money(row["yuan"]), "", "", ""])
    return page.section(page.t("各租户", "Tenants"), table(head, rows, "said"))


def _bill(page: Page) -> str:
    bill = page.made["bill"]
    if bill is None:
        return page.section(page.t("电网账单", "Grid bill"), f"<p>{page.t('没有账单', 'no bill')}</p>")
    said = [
        page.t(
            f"账单周期 {bill['from']} 至 {bill['to']}，合计 {money(bill['total_yuan'])} 元。",
            f"The bill from {bill['from']} to {bill['to']} comes to {money(bill['total_yuan'])} yuan.",
        )
    ]
    if Decimal(bill["not_passable_yuan"]):
        said.append(
            page.t(
                f"其中 {bill['not_passable_yuan']} 元（如违约金）不得转嫁给租户。",
                f"{bill['not_passable_yuan']} yuan of it (such as late penalties) may not be passed on.",
            )
        )
    price = page.made["figures"]["average_price_paid"]
    if price:
        said.append(
            page.t(f"园区向电网购电的平均价格是每度 {price} 元。", f"The park paid {price} yuan a kWh on average.")
        )
    lines = [
        [
            str(line["row"]),
            escape(line["name"]),
            page.w(words.PERIODS, line["period"] or ""),
            money(line["quantity"]),
            escape(line["unit"]),
            line["rate"] or "",
            money(line["yuan"]),
            "✓" if line["passable"] else "✗",
        ]
        for line in bill["lines"]
    ]
    head = [
        *(page.t("行", "row"), page.t("项目", "item"), page.t("时段", "period"), page.t("数量", "quantity")),
        *(page.t("单位", "unit"), page.t("单价", "rate"), page.t("金额 元", "yuan"), page.t("可转嫁", "passable")),
    ]
    body = (
        f"<p>{' '.join(map(escape, said))}</p>"
        + waterfall(bill["groups"], page.t("合计", "total"))
        + _explained(page, bill["groups"])
    )
    body += table(head, lines, "named")
    return page.section(page.t("电网账单", "Grid bill"), body)


def _losses(page: Page) -> str:
    losses = page.made["losses"]
    if losses is None:
        return ""
    head = [
        *(page.t("时段", "period"), page.t("总表", "master"), page.t("光伏", "PV"), page.t("上网", "export")),
        *(page.t("各表合计", "points"), page.t("损耗", "loss"), page.t("损耗率", "rate")),
    ]
    rows = [
        [
            page.w(words.PERIODS, period),
            *(money(entry[key]) for key in ("import", "pv", "export", "points", "loss")),
            percent(entry["loss_rate"]) or "",
        ]
        for period, entry in losses["periods"].items()
    ]
    said = page.t(
        f"损耗 {losses['loss_kwh']} kWh，{percent(losses['loss_rate'])}；夜间（0–5 时）最小损耗 "
        f"{losses['night_min_kw'] or '—'} kW。",
        f"Loss {losses['loss_kwh']} kWh, {percent(losses['loss_rate'])}; the smallest from 0 to 5 at night "
        f"{losses['night_min_kw'] or '—'} kW.",
    )
    if losses["is_high"]:
        said += page.t(
            "超过 8 %：夜间损耗高可能有未装表的用电。", " Above 8 %: a high loss at night hints at unmetered use."
        )
    if losses["bill_kwh"]:
        said += page.t(
            f"园区总表 {losses['check_meter_kwh']} kWh，账单 {losses['bill_kwh']} kWh"
            f"（差 {percent(losses['check_meter_difference'])}）。",
            f" The park's own master says {losses['check_meter_kwh']} kWh, the bill {losses['bill_kwh']} kWh "
            f"({percent(losses['check_meter_difference'])}).",
        )
    return page.section(page.t("损耗", "Losses"), f"<p>{escape(said)}</p>" + table(head, rows, "figures"))


def _papers(page: Page) -> str:
    papers = page.made["papers"]
    items = [f"{escape(file['name'])} <code>{file['sha256'][:16]}…</code>" for file in papers["files"]]
    for wording, key in ((BILL_FINDINGS, "bill_findings"), (CHARGE_FINDINGS, "charge_findings")):
        for found in papers[key]:
            place = page.t(f"第 {found['row']} 行：", f"row {found['row']}: ") if found["row"] else ""
            stated, computed = found["stated"], found["computed"]
            figures = page.t(f"{stated}，应为 {computed}", f"{stated}, computed {computed}") if stated else computed
            items.append(place + escape(page.w(wording, found["code"])) + " " + escape(figures))
    for row in papers["skipped"]:
        place = page.t(f"第 {row['row']} 行不是收费行：", f"row {row['row']} is no charge: ") if row["row"] else ""
        items.append(place + escape(row["text"]) + ("" if place else page.t(" 未读", " not read")))
    items += [page.t("未识别的列：", "column not understood: ") + escape(name) for name in papers["unread_columns"]]
    evidence = page.made["evidence"]
    if evidence is not None:
        for log in evidence["logs"]:
            items.append(
                f"{escape(log['gateway'])} <code>{log['epoch'][:8]}</code> {log['records']} "
                + page.t("条记录", "records")
            )
        verified = evidence["verified"]
        if verified is not None:
            items.append(
                page.t("证据核验通过", "evidence verified")
                if verified["ok"]
                else page.t("证据核验发现问题：", "verification found: ")
                + escape("; ".join(f"{f['seq']} {f['code']}" for f in verified["findings"][:10]))
            )
    return page.section(page.t("单据与证据", "Papers and evidence"), listed(items))


def _unchecked(page: Page) -> str:
    items = []
    for entry in page.made["unchecked"]:
        detail = f"：{escape(entry['detail'])}" if entry["detail"] else ""
        items.append(escape(page.w(words.UNCHECKED, entry["code"])) + detail)
    return page.section(page.t("未能核对的事项", "What could not be checked"), listed(items))


def _explained(page: Page, groups: Sequence[Mapping[str, str]]) -> str:
    """What each group of the bill is, in plain words."""
    items = []
    for group in groups:
        name = group["name"].casefold()
        said = next((text for keys, text in words.EXPLAINED if any(key in name for key in keys)), None)
        if said is not None:
            items.append(f"<b>{escape(group['name'])}</b> {money(group['yuan'])} {page.yuan}：{said[page.which]}")
    return listed(items) if items else ""
