"""The report's pages beyond one month: periods with refunds and re-check, other prices, direct supply (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from html import escape
from typing import Any

from audit import report_words as words
from audit.html_parts import Page, bars, money, table


def series(page: Page) -> str:
    """Each billing period, each tenant's over-charges and refunds, the re-check."""
    made = page.made["series"]
    if made is None:
        return ""
    head = [
        *(page.t("周期", "period"), page.t("结论", "verdict"), page.t("账单 元", "bill"), page.t("应收 元", "allowed")),
        *(page.t("实收 元", "charged"), page.t("应退 元", "to refund"), page.t("已退 元", "refunded")),
        *(page.t("未退 元", "open"), page.t("具备/已转直供 户", "ready / converted")),
    ]
    keys = ("passable_yuan", "allowed_tenants_yuan", "charged_yuan", "ordered_yuan", "refunded_yuan", "open_yuan")
    rows = [
        [
            f"{one['from']} – {one['to']}",
            page.chip(one["colour"]),
            *(money(one[key]) for key in keys),
            f"{one['ready']} / {one['converted']}",
        ]
        for one in made["periods"]
    ]
    names = [
        tenant for tenant in made["tenants"] if Decimal(tenant["ordered_yuan"]) or Decimal(tenant["refunded_yuan"])
    ]
    order_head = [
        *(page.t("租户", "tenant"), *(one["from"][:7] for one in made["periods"])),
        *(page.t("应退合计", "to refund"), page.t("已退", "refunded"), page.t("未退", "open")),
        page.t("复查", "re-check"),
    ]
    order = [
        [
            escape(tenant["tenant"]),
            *(_ordered(tenant, one["from"]) for one in made["periods"]),
            *(money(tenant[key]) for key in ("ordered_yuan", "refunded_yuan", "open_yuan")),
            page.w(words.RECHECKS, tenant["recheck"]),
        ]
        for tenant in names
    ]
    deadline = made["deadline"] or page.t("未定", "none set")
    said = page.t(
        f"应退合计 {money(made['ordered_yuan'])} 元，已退 {money(made['refunded_yuan'])} 元，"
        f"未退 {money(made['open_yuan'])} 元；期限 {deadline}：{words.RECHECKS[made['recheck']][0]}。"
        "证据不足（灰）的租户不列入应退。",
        f"To be refunded {money(made['ordered_yuan'])} yuan, refunded {money(made['refunded_yuan'])}, "
        f"open {money(made['open_yuan'])}; deadline {deadline}: {words.RECHECKS[made['recheck']][1]}. "
        "Tenants whose evidence is not enough (grey) are not in it.",
    )
    strangers = "".join(
        f"<li>{escape(row['who'])} {money(row['yuan'])} ({page.t('第', 'row ')}{row['row']}{page.t('行', '')})</li>"
        for row in made["unmatched_refunds"]
    )
    if strangers:
        strangers = f"<p>{page.t('对不上租户的退费', 'refunds of nobody known')}</p><ul>{strangers}</ul>"
    if made["unplaced"]:
        rows_of_none = page.join(f"{escape(row['who'])} ({row['row']})" for row in made["unplaced"])
        none = page.t("不属于任何一个周期的收费行（行号）", "charges that lie in no single period (row)")
        strangers += f"<p>{none}：{rows_of_none}</p>"
    chart = bars([(one["from"][:7], one["ordered_yuan"], one["refunded_yuan"]) for one in made["periods"]])
    legend = page.t("深色：应退；浅色：已退", "dark: to refund; light: refunded")
    return page.section(
        page.t("各月与退费", "Periods and refunds"),
        f"<p>{escape(said)}</p>{chart}<p class='note'>{legend}</p>"
        + table(head, rows, "said")
        + (f"<h3>{page.t('退费清单', 'Refund order')}</h3>" + table(order_head, order, "figures") if order else "")
        + strangers,
    )


def advice(page: Page) -> str:
    """Prices under direct supply, and the park's own choices."""
    parts = []
    rows = [
        [escape(row["tenant"]), *(money(row[key]) for key in _COMPARED)]
        for row in page.made["tenants"]
        if row["direct_tou_yuan"] is not None or row["direct_flat_yuan"] is not None
    ]
    if rows:
        head = [
            *(page.t("租户", "tenant"), page.t("实收 元", "charged"), page.t("应收 元", "allowed")),
            *(page.t("直供分时 元", "direct, TOU"), page.t("直供不分时 元", "direct, flat")),
        ]
        note = page.t(
            "按公布的不满 1 千伏单一制电价计算，仅供参考，不影响结论。",
            "At the published single-part price below 1 kV; for information, no reason for a colour.",
        )
        parts.append(f"<p>{note}</p>" + table(head, rows, "figures"))
    parts += [_choice(page, one) for one in page.made["advice"]]
    if not parts:
        return ""
    return page.section(page.t("比价与用电建议", "Prices compared, and advice"), "".join(parts))


def conversion(page: Page) -> str:
    head = [
        *(page.t("租户", "tenant"), page.t("转直供条件", "direct supply"), page.t("报装容量 kW", "declared kW")),
        *(page.t("独立回路", "own circuit"), page.t("独立分表", "own meter"), page.t("最大需量 kW", "max. demand")),
        *(page.t("月数", "months"), page.t("检定有效期", "verified until")),
    ]
    yes = {True: "✓", False: "✗", None: "?"}
    rows = [
        [
            escape(entry["tenant"]),
            page.w(words.CLASSES, entry["class"])
            + (page.t("：", ": ") if entry["reasons"] else "")
            + escape(page.join(page.w(words.CLASS_REASONS, code) for code in entry["reasons"])),
            entry["declared_kw"] or "?",
            yes[entry["own_circuit"]],
            yes[entry["own_meter"]],
            entry["max_demand_kw"] or "?",
            str(entry["months"]),
            escape(entry["verified_until"] or "?"),
        ]
        for entry in page.made["conversion"]
    ]
    note = page.t(
        "用电设备容量 160 千瓦以下可低压接入，计量装置及以上由供电企业投资。最大需量低只能佐证，不能证明设备容量。",
        "Below 160 kW of equipment: low-voltage connection, paid by the utility. A low demand never proves it.",
    )
    return page.section(page.t("转改直", "Ready for direct supply"), f"<p>{note}</p>" + table(head, rows, "said"))


_COMPARED = ("charged_yuan", "allowed_yuan", "direct_tou_yuan", "direct_flat_yuan")


def _ordered(tenant: Mapping[str, Any], start: str) -> str:
    return next((money(one["ordered_yuan"]) for one in tenant["periods"] if one["from"] == start), "")


def _choice(page: Page, one: Mapping[str, Any]) -> str:
    yuan, name = page.yuan, page.w(words.CHOICES, one["choice"])
    options = "；".join(f"{page.w(words.OPTIONS, o['name'])} {money(o['yuan'])} {yuan}" for o in one["options"])
    best, saves = page.w(words.OPTIONS, one["options"][0]["name"]), money(one["saves_yuan"])
    said = page.t(
        f"{name}（{one['months']} 个月）：{options}。{best}可省 {saves} 元。",
        f"{name} ({one['months']} months): {options}. {best} saves {saves} yuan.",
    )
    if one.get("free") is False:
        said += page.t("（容量不在 100–315 kVA 之间，不能自选。）", " (No choice outside 100 to 315 kVA.)")
    return f"<p>{escape(said)}</p>"
