"""The report's pages for tenants: the posting sheet for all of them, and one page each (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from audit import report_words as words
from audit.html_parts import Page, money, profile, table
from audit.markup import REASONS


def posting(page: Page) -> str:
    head = [
        *(page.t("租户", "tenant"), page.t("电量 kWh", "kWh"), page.t("应收 元", "allowed")),
        page.t("平均价 元/kWh", "yuan a kWh"),
    ]
    rows = [
        [
            escape(row["tenant"]),
            *(money(row[key]) for key in ("energy_kwh", "allowed_yuan", "average_price_allowed")),
        ]
        for row in page.made["tenants"]
    ]
    figures = page.made["figures"]
    said = page.t(
        f"{page.made['from']} 至 {page.made['to']}，电网账单（可转嫁）{money(figures['passable_yuan'])} 元，"
        f"购电均价 {figures['average_price_paid'] or '—'} 元/kWh。任何人不得在电费中加收其他费用。",
        f"{page.made['from']} – {page.made['to']}: grid bill {money(figures['passable_yuan'])} yuan, "
        f"{figures['average_price_paid'] or '—'} yuan a kWh. Nothing else may be added to an electricity bill.",
    )
    logs = page.made["evidence"]["logs"] if page.made["evidence"] is not None else []
    prints = dict.fromkeys(" ".join(_fours(log["fingerprint"])) for log in logs if log["fingerprint"])
    keys = "".join(
        f'<p class="note">{page.t("网关公钥指纹", "fingerprint of the gateway’s key")} <code>{key}</code></p>'
        for key in prints
    )
    body = f"<p>{escape(said)}</p>" + table(head, rows, "figures") + keys
    return f'<section class="page"><h2>{page.t("公示单", "Posting sheet")}</h2>{body}</section>'


def tenant(page: Page, row: Mapping[str, Any]) -> str:
    facts = [
        (page.t("实收", "charged"), row["charged_yuan"], page.yuan),
        (page.t("应收", "allowed"), row["allowed_yuan"], page.yuan),
        (page.t("差额", "difference"), row["difference_yuan"], page.yuan),
        (page.t("差额中：电量", "of it energy"), row["excess_energy_yuan"], page.yuan),
        (page.t("差额中：单价", "of it price"), row["excess_price_yuan"], page.yuan),
        (page.t("差额中：其他收费", "of it fees"), row["excess_fee_yuan"], page.yuan),
        (
            page.t("固定部分按需量分摊时的应收", "allowed, fixed part by demand"),
            row["allowed_by_demand_yuan"],
            page.yuan,
        ),
        (
            page.t("把一成尖峰高峰用电移到低谷可省", "saved by moving a tenth to the valley"),
            row["shift_saves_yuan"],
            page.yuan,
        ),
        (page.t("证据不能证明的部分", "that no record bears out"), row["unproven_yuan"], page.yuan),
        (page.t("直供（不满 1 千伏，分时）", "direct supply below 1 kV, TOU"), row["direct_tou_yuan"], page.yuan),
        (page.t("直供（不满 1 千伏，不分时）", "direct supply below 1 kV, flat"), row["direct_flat_yuan"], page.yuan),
        (page.t("实收均价", "average price charged"), row["average_price_charged"], f"{page.yuan}/kWh"),
        (page.t("应收均价", "average price allowed"), row["average_price_allowed"], f"{page.yuan}/kWh"),
        (page.t("最大需量", "maximum demand"), row["max_demand_kw"], "kW"),
    ]
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{money(value)} {unit}</dd>" for name, value, unit in facts if value is not None
    )
    parts = [
        f"<p>{page.chip(row['colour'])} {escape(page.join(page.w(REASONS, code) for code in row['reasons']))} "
        f"<code>{' '.join(row['reasons'])}</code></p><dl>{pairs}</dl>"
    ]
    if row["kwh_causes"]:
        causes = "；".join(_cause(page, cause) for cause in row["kwh_causes"])
        parts.append(f"<p>{page.t('电量不符', 'kWh differs')}：{escape(causes)}</p>")
    fees = [f"{escape(fee['label'])} {fee['yuan']} " + ("⚠" if fee["extra"] else "") for fee in row["fees"]]
    if fees:
        parts.append(f"<p>{page.t('其他收费', 'other lines')}：{'；'.join(fees)}</p>")
    parts += [f"<p>{_event(page, event)}</p>" for event in row["events"]]
    if row["registers"]:
        parts.append(_registers(page, row))
    if row["profile_kw"]:
        parts.append(profile(row["profile_kw"], page.t("日均负荷 kW（0–24 时）", "average day, kW (0–24 h)")))
    quality = page.join(f"{page.w(words.QUALITIES, name)} {kwh} kWh" for name, kwh in row["quality_kwh"].items())
    records = "；".join(f"{log.split('.')[0]} {span[0]}–{span[1]}" for log, span in row["records"].items())
    if quality:
        parts.append(f'<p class="note">{escape(quality)} · {page.t("所用记录", "records used")} {escape(records)}</p>')
    name = escape(row["tenant"])
    names = f" <small>{escape(page.join(row['names']))}</small>" if row["names"] else ""
    return (
        f'<section class="page" id="{name}"><h2>{name}{names}</h2>'
        f'<p class="note">{page.span(row)}</p>{"".join(parts)}</section>'
    )


def _registers(page: Page, row: Mapping[str, Any]) -> str:
    head = [
        *(page.t("电表", "meter"), page.t("上期示数", "start"), page.t("本期示数", "end")),
        *(
            page.t("倍率", "multiplier"),
            page.t("份额", "share"),
            page.t("电量 kWh", "kWh"),
            page.t("记录号", "records"),
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
    periods = page.join(f"{page.w(words.PERIODS, name)} {kwh}" for name, kwh in row["periods"].items())
    return table(head, rows, "figures") + f"<p>{escape(periods)}</p>"


def _cause(page: Page, cause: str) -> str:
    """Why charged energy differs, as report_parts words it."""
    kind, _, rest = cause.partition(" ")
    if kind == "multiplier":
        return page.t(f"倍率 {rest.replace(', not ', '，应为 ')}", cause)
    if kind == "added_loss":
        return page.t(f"加计线损 {rest}", f"added loss {rest}")
    return page.t("示数不同", "the registers differ")


def _event(page: Page, event: Mapping[str, Any]) -> str:
    """What happened to a meter, with the record that says so."""
    details = page.join(f"{key} {value}" for key, value in event["details"].items())
    name = page.w(words.EVENTS, event["code"])
    place = page.t(f"记录 {event['seq']}", f"record {event['seq']}")
    return escape(f"⚠ {event['meter']} {event['at']} {name}（{details}）{place}")


def _fours(text: str) -> list[str]:
    return [text[i : i + 4] for i in range(0, len(text), 4)]
