"""What the columns of bills and charges are called: the templates' and those in use (data)."""

from __future__ import annotations

# field → (header of the template, what to write there)
BILL_COLUMNS = {
    "account": ("户号", "供电公司的用户编号"),
    "from": ("账期起", "本地日期，含，如 2026-07-01"),
    "to": ("账期止", "本地日期，不含，如 2026-08-01"),
    "category": ("类别", "购电、上网环节线损、输配电、系统运行、基金附加、容量、需量、力调、退补、违约金、光伏购电……"),
    "name": ("项目", "账单上的名称；合计行写“合计”，小计行写“小计”"),
    "period": ("时段", "尖峰、高峰、平段、低谷、深谷；不分时段则留空"),
    "quantity": ("数量", "kWh、kVA 或 kW"),
    "unit": ("单位", "数量的单位"),
    "rate": ("单价", "元"),
    "yuan": ("金额", "元；退补可为负"),
    "passable": ("可转嫁", "是或否；违约金为否"),
    "for_month": ("所属月份", "退补所属的月份，如 2026-05；本期则留空"),
    "tax": ("含税", "是或否"),
    "tax_rate": ("税率", "如 13%"),
}
CHARGE_COLUMNS = {
    "tenant": ("租户", "租户编号或名称"),
    "room": ("房号", "如 1-101"),
    "meter": ("表号", "12 位，按文本填写"),
    "from": ("起", "本地日期，含"),
    "to": ("止", "本地日期，不含"),
    "start": ("上期示数", "kWh，未乘倍率"),
    "end": ("本期示数", "kWh，未乘倍率"),
    "multiplier": ("倍率", "CT×PT"),
    "added_loss": ("加计线损", "kWh，或百分比如 8%"),
    "kwh": ("电量", "kWh"),
    "price": ("单价", "元/kWh"),
    "yuan": ("电费", "元"),
    "fee": ("其他收费名称", "如服务费、损耗费、税点；没有则留空"),
    "fee_yuan": ("其他收费金额", "元"),
    "in_bill": ("在电费单内", "是或否"),
    "tax": ("含税", "是或否"),
    "tax_rate": ("税率", "如 13%"),
}
PRICE_COLUMNS = {
    "month": ("月份", "执行月份，如 2026-07"),
    "scheme": ("用电分类", "单一制或两部制"),
    "voltage": ("电压等级", "如 不满1千伏、1-10（20）千伏，照价格表写"),
    "flat_rate": ("电度用电价格", "元/kWh，不分时"),
    "sharp": ("尖峰", "元/kWh"),
    "peak": ("高峰", "元/kWh"),
    "flat": ("平段", "元/kWh"),
    "valley": ("低谷", "元/kWh"),
    "deep_valley": ("深谷", "元/kWh"),
    "demand": ("需量电价", "元/kW·月"),
    "capacity": ("容量电价", "元/kVA·月"),
}
REFUND_COLUMNS = {
    "tenant": ("租户", "租户编号或名称"),
    "for_month": ("所属月份", "退的是哪个月的电费，如 2026-05；不写则先退最早的"),
    "yuan": ("退费金额", "元"),
    "paid_on": ("退费日期", "本地日期"),
    "voucher": ("凭证号", "转账或收据号"),
}

# Other headers of the same fields, without spaces and without units in brackets
BILL_ALIASES = {
    "account": "用户编号 用电户号 客户编号 总户号 用户号",
    "from": "电费账期起 起始日期 开始日期 起",
    "to": "电费账期止 截止日期 结束日期 止",
    "span": "账期 电费账期 电费年月 账单月份 结算周期 抄表周期 月份 电费月份",
    "category": "费用类别 分类 电费类别 费用类型 大类",
    "name": "项目名称 费用名称 收费项目 电费项目 明细 名称 内容 科目 计费项目",
    "period": "峰谷时段 时段类型 峰谷 分时",
    "quantity": "电量 计费电量 结算电量 用电量 计费容量 计费数量 数值",
    "unit": "计量单位",
    "rate": "电价 价格 结算电价 费率",
    "yuan": "电费 电费金额 费用 应付金额 结算电费 金额小计 费用金额",
    "passable": "可否转嫁 能否转嫁",
    "for_month": "退补月份 归属月份",
    "tax": "是否含税",
    "tax_rate": "增值税率",
}
CHARGE_ALIASES = {
    "tenant": (
        "租户名称 租户编号 户名 用户名称 客户名称 企业名称 公司名称 单位名称 单位 商户 商户名称 承租方 "
        "承租人 承租单位 名称 姓名 企业 公司 客户 用户 业主 入驻企业"
    ),
    "room": "房间号 房间 单元 单元号 铺位 铺位号 商铺号 门牌 门牌号 楼层房号 位置 厂房 厂房号 楼栋房号",
    "meter": "电表号 表地址 电表编号 电能表号 通讯地址 资产号 表计编号 电表地址 表具编号 电表",
    "from": "起始日期 开始日期 上期抄表日期 上次抄表日期 上月抄表日期 计费起 账期起 上期日期 上期抄表时间",
    "to": ("截止日期 结束日期 本期抄表日期 本次抄表日期 本月抄表日期 抄表日期 计费止 账期止 本期日期 本期抄表时间"),
    "span": "月份 账期 计费月份 电费月份 所属期 电费所属期 计费周期 抄表周期 收费期间 费用期间",
    "start": (
        "上月示数 上次示数 上期读数 上月读数 上次读数 起码 起度 起数 上期表底 上月表底 上期抄表数 "
        "上月抄表数 期初读数 期初示数 上期止码 上月止码 上期 上月 上次抄见 起始读数 上期抄见"
    ),
    "end": (
        "本月示数 本次示数 本期读数 本月读数 本次读数 止码 止度 止数 本期表底 本月表底 本期抄表数 "
        "本月抄表数 期末读数 期末示数 本期止码 本月止码 本期 本月 本次抄见 截止读数 本期抄见"
    ),
    "multiplier": "变比 互感器倍率 综合倍率 表计倍率 电表倍率 乘率 互感倍率",
    "added_loss": "加计损耗 线损 损耗 线损电量 损耗电量 分摊损耗电量 线损率 损耗率 变线损 加收线损",
    "kwh": (
        "用电量 实用电量 计费电量 用量 度数 使用度数 用电度数 实用度数 使用电量 合计电量 实际用量 "
        "结算电量 充值电量 购电量 电量合计 本月用量 本期用量 本期电量 本月电量"
    ),
    "price": "电价 综合单价 综合电价 收费单价 结算单价 单价元/度 计费单价 充值单价",
    "yuan": (
        "电费金额 金额 应收电费 应缴电费 应交电费 电费小计 本期电费 本月电费 收费金额 电费合计 充值金额 "
        "购电金额 实收电费"
    ),
    "fee": "收费名称 其他费用名称",
    "fee_yuan": "其他费用金额 其他金额",
    "in_bill": "是否在电费单内 并入电费单",
    "row_total": (
        "合计 总计 应收合计 应缴合计 总金额 应缴总额 应收总额 费用合计 合计金额 应付合计 缴费合计 "
        "本月应缴 应收金额 应缴金额 应交合计"
    ),
    "tax": "是否含税",
    "tax_rate": "增值税率",
    "period": "时段 峰谷时段 费率时段",
    "account": "户号 总户号",
}
PRICE_ALIASES = {
    "month": "执行月份 年月",
    "scheme": "分类 电价类别 用电类别",
    "voltage": "电压",
    "flat_rate": "电度电价 电度价 平均电价 不分时电价",
    "sharp": "尖峰时段 尖",
    "peak": "高峰时段 峰",
    "flat": "平时段 平段时段 平",
    "valley": "低谷时段 谷",
    "deep_valley": "深谷时段",
    "demand": "需量用电价格 最大需量 需量",
    "capacity": "容量用电价格 变压器容量 容量",
}
REFUND_ALIASES = {
    "tenant": "租户名称 户名 企业名称 公司名称 单位名称 名称",
    "for_month": "月份 退费月份 电费月份",
    "yuan": "金额 退款金额 退还金额",
    "paid_on": "日期 退款日期 付款日期",
    "voucher": "凭证",
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Columns that say nothing about energy or money
IDLE = _set(
    "序号 编号 备注 说明 联系人 电话 联系电话 手机 签字 签名 确认签字 收款人 缴费方式 付款方式 状态 "
    "抄表人 楼栋 楼层 区域 日期 缴费日期 制表日期 合同号 合同编号 no no. 序 表型号 表类型 行业 面积"
)

NUMBERS = _set(
    "quantity rate yuan start end multiplier added_loss kwh price fee_yuan row_total tax_rate "
    "flat_rate sharp peak flat valley deep_valley demand capacity"
)
REPEATABLE = _set(
    "account from to span category tenant room meter period tax tax_rate fee for_month month scheme voltage"
)

# What a column of its own may be: kind of the fee → words in its header
FEE_KINDS = {
    "elsewhere": "房租 租金 水费 物业 充电 停车 网费 宽带 垃圾 卫生费 燃气 空调费 押金 违约金 滞纳金",
    "common": "公摊 分摊 公共 公用 损耗 线损 变损",
    "grid": "容量 需量 基本电费 力调 力率 功率因数 基金",
    "tax": "税 开票 发票",
    "extra": "服务 管理 维护 维修 附加 手续 加价 调节 抄表费 运维 代收 其他费 杂费 电损 设备费 增容 服務",
}
FEE_WORDS = tuple((kind, word) for kind, words in FEE_KINDS.items() for word in words.split())
