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
    "not_verified": (
        "证据未经核验（没有网关公钥，或用了 --no-verify）",
        "the evidence was not verified (no key of the gateway, or --no-verify)",
    ),
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
        "容量与需量的比选不满 12 个月的总表最大需量，现有月数",
        "capacity against demand rests on fewer than 12 monthly demands of the master; months there are",
    ),
    "rule_not_valid": ("所依据的规定在这段时间并非全程有效", "the rule is not in force all through these days"),
    "price_classes": (
        "账单中有其他类别的电价（居民、农业等，定比或定量），各计量点没有分开，按电量一起分摊",
        "part of the bill is at another class's price, which the points do not tell apart: shared with the rest",
    ),
    "correction_elsewhere": (
        "账单中有属于其他月份用户的退补，未计入本期应收，结论按计入和不计入两种算法给出；请把那个月的账单一起核查（月份，元）",
        "the bill corrects another month, whose users are not these: left out of what may be charged here, and the "
        "verdict given with and without it; check that month's bill together with this one (month, yuan)",
    ),
    "draft_rule": (
        "所依据的文件是征求意见稿，不是正式规定",
        "the rule is a draft for comment (征求意见稿), not adopted",
    ),
}
CLASSES = {
    "converted": ("已转直供", "converted"),
    "ready": ("具备条件", "ready"),
    "likely": ("很可能具备", "likely"),
    "not_ready": ("暂不具备", "not ready"),
    "unknown": ("资料不足", "unknown"),
}
CLASS_REASONS = {
    "shared_meter": ("合用电表", "shared meter"),
    "no_own_circuit": ("没有独立回路", "no own circuit"),
    "circuit_unknown": ("是否独立回路未说明", "own circuit not said"),
    "meter_unknown": ("没有电表证据", "no evidence of a meter"),
    "kw_unknown": ("设备容量未申报", "equipment not declared"),
    "months_lacking": ("不满 12 个月的最大需量", "fewer than 12 monthly demands"),
    "declared_160_kw": ("设备容量 160 千瓦及以上", "equipment of 160 kW or more"),
}
CHOICES = {
    "capacity_or_demand": ("基本电费：按容量还是按需量", "fixed charge: by capacity or by demand"),
    "one_or_two_parts": ("单一制还是两部制", "single-part or two-part tariff"),
    "tou_or_flat": ("分时还是不分时（单一制）", "TOU or flat (single-part)"),
}
OPTIONS = {
    "capacity": ("按容量", "by capacity"),
    "demand": ("按需量", "by demand"),
    "two_part": ("两部制", "two-part"),
    "single_part": ("单一制", "single-part"),
    "tou": ("分时", "TOU"),
    "flat": ("不分时", "flat"),
}
RECHECKS = {
    "nothing": ("无应退", "nothing to refund"),
    "settled": ("已退清", "settled"),
    "late": ("已退清，但有逾期", "settled, some of it late"),
    "open": ("未退清", "not settled"),
}
# What a bill's category is, in plain words: words in its name → said
EXPLAINED = (
    (("购电", "代理", "市场化"), ("买电的钱，用多少付多少", "the power itself, by what was used")),
    (("线损",), ("电在电网里损耗的部分，按电量计", "what is lost in the grid, by what was used")),
    (("输配", "过网"), ("电网送电的钱，按电量计", "for carrying the power, by what was used")),
    (("系统运行",), ("抽水蓄能、煤电容量、辅助服务等，按电量计", "storage, reserve and balancing, by what was used")),
    (("基金", "附加"), ("国家规定的基金，按电量计", "government funds, by what was used")),
    (
        ("容量", "需量", "基本"),
        ("按变压器容量或最大需量付，不用电也要付", "by transformer or demand, used or not"),
    ),
    (("力调", "力率", "功率因数"), ("功率因数低于标准加收、高于标准减收", "more or less by the power factor")),
    (("退补", "退费", "清算"), ("以前月份多收少收的更正", "corrections of earlier months")),
    (("违约", "滞纳"), ("迟交的罚款，是园区自己的事，不得转嫁", "for paying late: the park's own, never passed on")),
    (("pv", "光伏"), ("屋顶光伏的电，另外一张账单", "power from the roof, a bill of its own")),
)
EVENTS = {
    "serial_changed": ("表号变化", "another serial number answers"),
    "register_fell": ("示数倒走", "the register fell"),
    "register_jumped": ("示数突变", "the register jumped"),
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
    "本报告的颜色按 hubiao-colour-1 计算，不是官方“转供电费码”。",
    "The colour follows hubiao-colour-1 and is not the official 转供电费码.",
)
RULE = ("依据", "measured against")
DRAFT = ("征求意见稿", "征求意见稿 · draft for comment")
