"""Words of the report, zh and en: colours, periods, what could not be checked, causes (data)."""

from __future__ import annotations

COLOURS = {"green": ("绿", "green"), "yellow": ("黄", "yellow"), "red": ("红", "red"), "grey": ("灰", "grey")}
PERIODS = {
    "sharp": ("尖峰", "sharp"),
    "peak": ("高峰", "peak"),
    "flat": ("平段", "flat"),
    "valley": ("低谷", "valley"),
    "deep_valley": ("深谷", "deep valley"),
    "unclassified": ("未分类", "unclassified"),
    "unclassified_holiday": ("节假日待定", "holiday not settled"),
}
UNCHECKED = {
    "no_bill": ("没有电网账单，未能核对总额", "no grid bill: totals were not compared"),
    "no_bill_kwh": (
        "账单没有电量，总表电量取自园区自己的表",
        "the bill says no kWh: the park's own meter stands in for it",
    ),
    "bill_tax": ("账单未注明是否含税，按含税处理", "the bill does not say whether tax is in: taken as included"),
    "no_evidence": ("没有电表证据，只做了单据核对", "no evidence of meters: documents alone were tested"),
    "no_energy_check": (
        "未核对每户电量、倍率、示数",
        "energies, multipliers and registers of tenants were not checked",
    ),
    "no_losses": ("未核对损耗和公共用电", "losses and common use were not checked"),
    "not_verified": ("证据未经核验（缺少网关公钥）", "the evidence was not verified (no key of the gateway)"),
    "common_unknown": (
        "合同未说明公共用电由谁承担，按“各户分摊”处理；若已在物业费中收回，应收金额更低",
        "no contract says who pays common use: taken as shared; if the property fee covers it, less may be charged",
    ),
    "charge_tax": ("收费表有这么多行未注明是否含税", "rows of the charges that do not say whether tax is included"),
    "charge_days": ("收费表有这么多行没有起止日期，按账单周期处理", "rows without days: taken as the bill's"),
    "charge_kwh": ("这些租户的收费没有电量，未能核对电量", "charges without kWh: energy not compared"),
    "fees_elsewhere": ("这些费用按不在电费单内处理，请确认", "taken as outside the electricity bill; please confirm"),
    "pv": (
        "光伏电价如何认定没有定论，结论按两种理解给出；差额（元）",
        "two readings of solar power; yuan between them",
    ),
    "published_price": (
        "未与直供电价比较：没有当月公布的价格表",
        "direct supply was not compared: no published price table",
    ),
    "twelve_demands": (
        "容量与需量、单一制与两部制未比选：不足 12 个月的最大需量",
        "capacity against demand, single- against two-part: fewer than 12 monthly demands",
    ),
    "draft_rule": ("所依据的文件是征求意见稿，不是正式规定", "the rule is a draft for comment, not adopted"),
}
CLASSES = {
    "ready": ("具备条件", "ready"),
    "likely": ("很可能具备", "likely"),
    "not_ready": ("暂不具备", "not ready"),
    "unknown": ("资料不足", "unknown"),
}
CLASS_REASONS = {
    "shared_meter": ("合用电表", "shared meter"),
    "no_own_circuit": ("没有独立回路", "no own circuit"),
    "declared_160_kw": ("设备容量 160 千瓦及以上", "equipment of 160 kW or more"),
}
QUALITIES = {
    "measured": ("实测", "measured"),
    "interpolated": ("内插", "interpolated"),
    "estimated": ("估算", "estimated"),
    "substituted": ("替代", "substituted"),
}
ADVICE = {
    "green": ("未发现问题，证据完整。", "Nothing found, and the evidence is complete."),
    "yellow": ("总额未超，但有个别问题，请看原因。", "The total is fine; single findings are listed below."),
    "red": ("收费超过允许范围，请按下列数字核实并限期整改。", "More was charged than allowed; figures are below."),
    "grey": ("证据不足以下结论，缺什么见下。", "The evidence is not enough for an answer; see what is missing."),
}
DISCLAIMER = (
    "本报告的颜色按 hubiao-colour-1 计算，不是官方“转供电费码”。依据文件为征求意见稿。",
    "The colour follows hubiao-colour-1 and is not the official 转供电费码. The rule is a draft (征求意见稿).",
)
