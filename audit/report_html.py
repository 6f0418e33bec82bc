"""The report as one HTML file: no scripts, no references outside, readable on paper (pure).

    verdict ─ figures ─ tenants ─ bill as a waterfall ─ losses ─ papers ─ conversion ─ posting sheet ─ each tenant

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
from audit.html_parts import listed, money, percent, table
from audit.markup import REASONS
from audit.report_style import STYLE

Pair = tuple[str, str]


def render(made: Mapping[str, Any], language: str) -> str:
    """The page in `zh` or `en`."""
    page = _Page(made, 0 if language == "zh" else 1)
    parts = (
        page.verdict(),
        page.tenants(),
        page.bill(),
        page.losses(),
        page.papers(),
        page.conversion(),
        page.unchecked(),
        page.posting(),
        *(page.tenant(row) for row in made["tenants"]),
    )
    title = page.t("转供电收费核查报告", "Resale charges: audit report") + " " + made["park"]
    lang = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


class _Page:
    def __init__(self, made: Mapping[str, Any], which: int) -> None:
        self.made, self.which = made, which

    def t(self, zh: str, en: str) -> str:
        return (zh, en)[self.which]

    def w(self, table: Mapping[str, Pair], code: str) -> str:
        return table[code][self.which] if code in table else code

    def verdict(self) -> str:
        made = self.made
        colour = made["verdict"]["colour"]
        reasons = "".join(
            f"<li><b>{escape(self.w(REASONS, code))}</b> <code>{code}</code></li>"
            for code in made["verdict"]["reasons"]
        )
        figures = made["figures"]
        cards = (
            (self.t("电网账单（可转嫁）", "grid bill, passable"), figures["passable_yuan"], "元"),
            (self.t("租户应收上限", "allowed to tenants"), figures["allowed_tenants_yuan"], "元"),
            (self.t("实际收取", "charged"), figures["charged_yuan"], "元"),
            (self.t("超过账单", "over the bill"), figures["over_bill_yuan"], "元"),
            (self.t("超过上限", "over the allowed"), figures["over_allowed_yuan"], "元"),
            (self.t("其他收费", "other fees"), figures["extra_fees_yuan"], "元"),
            (self.t("电网均价", "average price paid"), figures["average_price_paid"], "元/kWh"),
            (self.t("损耗率", "loss rate"), percent(figures["loss_rate"]), ""),
        )
        boxes = "".join(
            f'<div class="card"><span>{escape(name)}</span><b>{money(value)}</b><i>{unit if value else ""}</i></div>'
            for name, value, unit in cards
        )
        readings = made["verdict"]["readings"]
        both = ""
        if len(readings) > 1:
            names = {
                "inside_cap": ("光伏不另计", "solar inside the cap"),
                "paid_apart": ("光伏另计", "solar paid apart"),
            }
            said = "；".join(
                f"{self.w(names, entry['pv'])}：{self.w(words.COLOURS, entry['colour'])} {' '.join(entry['reasons'])}"
                for entry in readings
            )
            both = f'<p class="note">{escape(said)}</p>'
        return (
            f'<header><p class="draft">{escape(self.t("征求意见稿", "征求意见稿 · draft for comment"))}</p>'
            f"<h1>{escape(self.t('转供电收费核查报告', 'Resale charges: audit report'))}</h1>"
            f"<p>{escape(made['park'])} · {made['from']} – {made['to']} · {made['method']}</p></header>"
            f'<section class="verdict {colour}"><div class="lamp">{escape(self.w(words.COLOURS, colour))}</div>'
            f"<div><p>{escape(self.w(words.ADVICE, colour))}</p><ul>{reasons}</ul>{both}</div></section>"
            f'<div class="cards">{boxes}</div><p class="note">{escape(words.DISCLAIMER[self.which])}</p>'
        )

    def tenants(self) -> str:
        head = [
            *(self.t("租户", "tenant"), self.t("电量 kWh", "kWh"), self.t("计费电量", "charged kWh")),
            *(self.t("应收 元", "allowed"), self.t("实收 元", "charged"), self.t("多收 元", "over")),
            *(self.t("实收均价", "price charged"), self.t("应收均价", "price allowed"), self.t("结论", "verdict")),
        ]
        keys = [
            *("energy_kwh", "charged_kwh", "allowed_yuan", "charged_yuan", "over_yuan"),
            *("average_price_charged", "average_price_allowed"),
        ]
        rows = []
        for row in self.made["tenants"]:
            reasons = "，".join(self.w(REASONS, code) for code in row["reasons"] if code != "OK")
            name = f'<a href="#{escape(row["tenant"])}">{escape(row["tenant"])}</a>'
            rows.append([name, *(money(row[key]) for key in keys), self._chip(row["colour"]) + " " + escape(reasons)])
        for row in self.made["unmatched"]:
            who = f"{escape(row['who'])} ({self.t('第', 'row ')}{row['row']}{self.t('行', '')})"
            rows.append([who, "", "", "", money(row["yuan"]), "", "", "", escape(self.w(REASONS, "CHARGE_UNMATCHED"))])
        return self._section(self.t("各租户", "Tenants"), table(head, rows, "said"))

    def bill(self) -> str:
        bill = self.made["bill"]
        if bill is None:
            return self._section(self.t("电网账单", "Grid bill"), f"<p>{self.t('没有账单', 'no bill')}</p>")
        said = [
            self.t(
                f"账单周期 {bill['from']} 至 {bill['to']}，合计 {money(bill['total_yuan'])} 元。",
                f"The bill from {bill['from']} to {bill['to']} comes to {money(bill['total_yuan'])} yuan.",
            )
        ]
        if Decimal(bill["not_passable_yuan"]):
            said.append(
                self.t(
                    f"其中 {bill['not_passable_yuan']} 元（如违约金）不得转嫁给租户。",
                    f"{bill['not_passable_yuan']} yuan of it (such as late penalties) may not be passed on.",
                )
            )
        price = self.made["figures"]["average_price_paid"]
        if price:
            said.append(
                self.t(f"园区向电网购电的平均价格是每度 {price} 元。", f"The park paid {price} yuan a kWh on average.")
            )
        lines = [
            [
                str(line["row"]),
                escape(line["name"]),
                self.w(words.PERIODS, line["period"] or ""),
                money(line["quantity"]),
                escape(line["unit"]),
                line["rate"] or "",
                money(line["yuan"]),
                "✓" if line["passable"] else "✗",
            ]
            for line in bill["lines"]
        ]
        head = [
            *(self.t("行", "row"), self.t("项目", "item"), self.t("时段", "period"), self.t("数量", "quantity")),
            *(self.t("单位", "unit"), self.t("单价", "rate"), self.t("金额 元", "yuan"), self.t("可转嫁", "passable")),
        ]
        body = f"<p>{' '.join(map(escape, said))}</p>" + _waterfall(bill["groups"]) + table(head, lines, "named")
        return self._section(self.t("电网账单", "Grid bill"), body)

    def losses(self) -> str:
        losses = self.made["losses"]
        if losses is None:
            return ""
        head = [
            *(self.t("时段", "period"), self.t("总表", "master"), self.t("光伏", "PV"), self.t("上网", "export")),
            *(self.t("各表合计", "points"), self.t("损耗", "loss"), self.t("损耗率", "rate")),
        ]
        rows = [
            [
                self.w(words.PERIODS, period),
                *(money(entry[key]) for key in ("import", "pv", "export", "points", "loss")),
                percent(entry["loss_rate"]) or "",
            ]
            for period, entry in losses["periods"].items()
        ]
        said = self.t(
            f"损耗 {losses['loss_kwh']} kWh，{percent(losses['loss_rate'])}；夜间（0–5 时）最小损耗 "
            f"{losses['night_min_kw'] or '—'} kW。",
            f"Loss {losses['loss_kwh']} kWh, {percent(losses['loss_rate'])}; the smallest from 0 to 5 at night "
            f"{losses['night_min_kw'] or '—'} kW.",
        )
        if losses["is_high"]:
            said += self.t(
                "超过 8 %：夜间损耗高可能有未装表的用电。", " Above 8 %: a high loss at night hints at unmetered use."
            )
        if losses["bill_kwh"]:
            said += self.t(
                f"园区总表 {losses['check_meter_kwh']} kWh，账单 {losses['bill_kwh']} kWh"
                f"（差 {percent(losses['check_meter_difference'])}）。",
                f" The park's own master says {losses['check_meter_kwh']} kWh, the bill {losses['bill_kwh']} kWh "
                f"({percent(losses['check_meter_difference'])}).",
            )
        return self._section(self.t("损耗", "Losses"), f"<p>{escape(said)}</p>" + table(head, rows, "figures"))

    def papers(self) -> str:
        papers = self.made["papers"]
        items = [f"{escape(file['name'])} <code>{file['sha256'][:16]}…</code>" for file in papers["files"]]
        for wording, key in ((BILL_FINDINGS, "bill_findings"), (CHARGE_FINDINGS, "charge_findings")):
            for found in papers[key]:
                place = self.t(f"第 {found['row']} 行", f"row {found['row']}")
                figures = f"{found['stated'] or '—'} / {found['computed']}"
                items.append(f"{place}：{escape(self.w(wording, found['code']))} {escape(figures)}")
        items += [
            f"{self.t('第', 'row ')}{row['row']}{self.t('行未作为收费行', ' is no charge')}：{escape(row['text'])}"
            for row in papers["skipped"]
        ]
        items += [
            f"{self.t('未识别的列', 'column not understood')}：{escape(name)}" for name in papers["unread_columns"]
        ]
        evidence = self.made["evidence"]
        if evidence is not None:
            for log in evidence["logs"]:
                items.append(
                    f"{escape(log['gateway'])} <code>{log['epoch'][:8]}</code> {log['records']} "
                    + self.t("条记录", "records")
                )
            verified = evidence["verified"]
            if verified is not None:
                items.append(
                    self.t("证据核验通过", "evidence verified")
                    if verified["ok"]
                    else self.t("证据核验发现问题：", "verification found: ")
                    + escape("; ".join(f"{f['seq']} {f['code']}" for f in verified["findings"][:10]))
                )
        return self._section(self.t("单据与证据", "Papers and evidence"), listed(items))

    def conversion(self) -> str:
        head = [
            *(self.t("租户", "tenant"), self.t("转直供条件", "direct supply"), self.t("报装容量 kW", "declared kW")),
            *(self.t("独立回路", "own circuit"), self.t("独立分表", "own meter"), self.t("最大需量 kW", "max. demand")),
        ]
        yes = {True: "✓", False: "✗", None: "?"}
        rows = [
            [
                escape(entry["tenant"]),
                self.w(words.CLASSES, entry["class"])
                + " "
                + escape("，".join(self.w(words.CLASS_REASONS, code) for code in entry["reasons"])),
                entry["declared_kw"] or "?",
                yes[entry["own_circuit"]],
                yes[entry["own_meter"]],
                entry["max_demand_kw"] or "?",
            ]
            for entry in self.made["conversion"]
        ]
        note = self.t(
            "用电设备容量 160 千瓦以下可低压接入，计量装置及以上由供电企业投资。最大需量低只能佐证，不能证明设备容量。",
            "Below 160 kW of equipment: low-voltage connection, paid by the utility. A low demand never proves it.",
        )
        return self._section(
            self.t("转改直", "Ready for direct supply"), f"<p>{note}</p>" + table(head, rows, "figures")
        )

    def unchecked(self) -> str:
        items = []
        for entry in self.made["unchecked"]:
            detail = f"：{escape(entry['detail'])}" if entry["detail"] else ""
            items.append(escape(self.w(words.UNCHECKED, entry["code"])) + detail)
        return self._section(self.t("未能核对的事项", "What could not be checked"), listed(items))

    def posting(self) -> str:
        head = [
            *(self.t("租户", "tenant"), self.t("电量 kWh", "kWh"), self.t("应收 元", "allowed")),
            self.t("平均价 元/kWh", "yuan a kWh"),
        ]
        rows = [
            [
                escape(row["tenant"]),
                *(money(row[key]) for key in ("energy_kwh", "allowed_yuan", "average_price_allowed")),
            ]
            for row in self.made["tenants"]
        ]
        figures = self.made["figures"]
        said = self.t(
            f"{self.made['from']} 至 {self.made['to']}，电网账单（可转嫁）{money(figures['passable_yuan'])} 元，"
            f"购电均价 {figures['average_price_paid'] or '—'} 元/kWh。任何人不得在电费中加收其他费用。",
            f"{self.made['from']} – {self.made['to']}: grid bill {money(figures['passable_yuan'])} yuan, "
            f"{figures['average_price_paid'] or '—'} yuan a kWh. Nothing else may be added to an electricity bill.",
        )
        body = f"<p>{escape(said)}</p>" + table(head, rows, "figures")
        return f'<section class="page"><h2>{self.t("公示单", "Posting sheet")}</h2>{body}</section>'

    def tenant(self, row: Mapping[str, Any]) -> str:
        facts = [
            (self.t("实收", "charged"), row["charged_yuan"], "元"),
            (self.t("应收", "allowed"), row["allowed_yuan"], "元"),
            (self.t("差额", "difference"), row["difference_yuan"], "元"),
            (self.t("差额中：电量", "of it energy"), row["excess_energy_yuan"], "元"),
            (self.t("差额中：单价", "of it price"), row["excess_price_yuan"], "元"),
            (self.t("差额中：其他收费", "of it fees"), row["excess_fee_yuan"], "元"),
            (
                self.t("固定部分按需量分摊时的应收", "allowed, fixed part by demand"),
                row["allowed_by_demand_yuan"],
                "元",
            ),
            (
                self.t("把一成尖峰高峰用电移到低谷可省", "saved by moving a tenth to the valley"),
                row["shift_saves_yuan"],
                "元",
            ),
            (self.t("最大需量", "maximum demand"), row["max_demand_kw"], "kW"),
        ]
        pairs = "".join(
            f"<dt>{escape(name)}</dt><dd>{money(value)} {unit}</dd>" for name, value, unit in facts if value is not None
        )
        parts = [
            f"<p>{self._chip(row['colour'])} {escape('，'.join(self.w(REASONS, code) for code in row['reasons']))} "
            f"<code>{' '.join(row['reasons'])}</code></p><dl>{pairs}</dl>"
        ]
        if row["kwh_causes"]:
            parts.append(f"<p>{self.t('电量不符', 'kWh differs')}：{escape('; '.join(row['kwh_causes']))}</p>")
        fees = [f"{escape(fee['label'])} {fee['yuan']} " + ("⚠" if fee["extra"] else "") for fee in row["fees"]]
        if fees:
            parts.append(f"<p>{self.t('其他收费', 'other lines')}：{'；'.join(fees)}</p>")
        if row["registers"]:
            parts.append(self._registers(row))
        if row["profile_kw"]:
            parts.append(_profile(row["profile_kw"], self.t("日均负荷 kW（0–24 时）", "average day, kW (0–24 h)")))
        quality = "，".join(f"{self.w(words.QUALITIES, name)} {kwh} kWh" for name, kwh in row["quality_kwh"].items())
        records = "；".join(f"{log.split('.')[0]} {span[0]}–{span[1]}" for log, span in row["records"].items())
        if quality:
            parts.append(
                f'<p class="note">{escape(quality)} · {self.t("所用记录", "records used")} {escape(records)}</p>'
            )
        name = escape(row["tenant"])
        names = f" <small>{escape('，'.join(row['names']))}</small>" if row["names"] else ""
        return (
            f'<section class="page" id="{name}"><h2>{name}{names}</h2>'
            f'<p class="note">{row["from"]} – {row["to"]}</p>{"".join(parts)}</section>'
        )

    def _registers(self, row: Mapping[str, Any]) -> str:
        head = [
            *(self.t("电表", "meter"), self.t("上期示数", "start"), self.t("本期示数", "end")),
            *(
                self.t("倍率", "multiplier"),
                self.t("份额", "share"),
                self.t("电量 kWh", "kWh"),
                self.t("记录号", "records"),
            ),
        ]
        rows = [
            [
                escape(span["meter"]),
                span["start"] or "—",
                span["end"] or "—",
                span["multiplier"],
                span["share"],
                money(span["kwh"]),
                f"{span['start_seq']} / {span['end_seq']}",
            ]
            for span in row["registers"]
        ]
        periods = "，".join(f"{self.w(words.PERIODS, name)} {kwh}" for name, kwh in row["periods"].items())
        return table(head, rows, "figures") + f"<p>{escape(periods)}</p>"

    def _chip(self, colour: str) -> str:
        return f'<span class="chip {colour}">{escape(self.w(words.COLOURS, colour))}</span>'

    def _section(self, title: str, body: str) -> str:
        return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _waterfall(groups: Sequence[Mapping[str, str]]) -> str:
    """Groups of the bill one on top of the other, from zero to the total."""
    amounts = [Decimal(group["yuan"]) for group in groups]
    at, low, high = Decimal(0), Decimal(0), Decimal(1)
    spans = []
    for amount in amounts:
        spans.append((at, at + amount))
        at += amount
        low, high = min(low, at), max(high, at)
    scale = Decimal(430) / (high - low)
    bars = []
    for n, (group, (start, end)) in enumerate(zip(groups, spans, strict=True)):
        left = 150 + (min(start, end) - low) * scale
        width = max(Decimal(1), abs(end - start) * scale)
        kind = "minus" if end < start else "plus"
        y = 8 + n * 24
        bars.append(
            f'<text x="144" y="{y + 13}" text-anchor="end">{escape(group["name"][:12])}</text>'
            f'<rect class="{kind}" x="{left:.1f}" y="{y}" width="{width:.1f}" height="16"/>'
            f'<text x="{left + width + 5:.1f}" y="{y + 13}">{money(group["yuan"])}</text>'
        )
    height = 16 + 24 * len(groups)
    return f'<svg class="chart" viewBox="0 0 700 {height}" role="img">{"".join(bars)}</svg>'


def _profile(profile: Sequence[str | None], title: str) -> str:
    """96 quarter hours as a line."""
    powers = {n: Decimal(power) for n, power in enumerate(profile) if power is not None}
    high = max([*powers.values(), Decimal("0.01")])
    runs: list[list[str]] = []
    for n, power in powers.items():
        if n - 1 not in powers:
            runs.append([])
        runs[-1].append(f"{40 + n * 6.6:.1f},{Decimal(110) - power / high * 95:.1f}")
    lines = "".join(f'<polyline points="{" ".join(run)}"/>' for run in runs)
    hours = "".join(f'<text x="{40 + h * 26.4:.0f}" y="126" text-anchor="middle">{h}</text>' for h in range(0, 25, 4))
    return (
        f'<figure><svg class="chart" viewBox="0 0 700 130" role="img">{lines}'
        f'<text x="36" y="20" text-anchor="end">{high:.1f}</text><text x="36" y="112" text-anchor="end">0</text>'
        f"{hours}</svg><figcaption>{escape(title)}</figcaption></figure>"
    )
