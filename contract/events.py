"""The codes of `event` records: what each means in Chinese and English, and what it can happen to. Data only.

What an event adds in `details` is up to its writer; readers treat unknown codes as text.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.records import Scope


class EventCode(NamedTuple):
    """A code's texts and the scopes it is used with."""

    zh: str
    en: str
    scopes: tuple[Scope, ...]


_METER: tuple[Scope, ...] = ("meter",)
_POINT: tuple[Scope, ...] = ("point",)
_LINE: tuple[Scope, ...] = ("line",)
_GATEWAY: tuple[Scope, ...] = ("gateway",)

EVENTS: dict[str, EventCode] = {
    # registers that cannot be consumption
    "register_fell": EventCode("示数倒走", "register fell", _METER),
    "register_jumped": EventCode("示数突变", "register jumped beyond what the connection can carry", _METER),
    "rollover": EventCode("示数翻转(过零)", "register passed through zero", _METER),
    "reverse_flow": EventCode("反向有功走字", "energy flows backwards", _METER),
    "accepted": EventCode(
        "现场验收,或异常示数经人工确认", "a person accepted a meter, or a disputed register", ("meter", "point")
    ),
    "not_accepted": EventCode(
        "单一来源的型号未经验收,不作结算", "a model known from one source, not accepted: not to be settled", _METER
    ),
    "overload": EventCode("负荷超过表计额定电流", "load beyond the meter's rating", _METER),
    # who and what is connected
    "serial_changed": EventCode("表号变化", "another serial number answers", _METER),
    "meter_replaced": EventCode("换表", "meter replaced", ("meter", "point")),
    "ratio_changed": EventCode("倍率变更", "multiplier changed", ("meter", "point")),
    "ratio_mismatch": EventCode(
        "表内变比与配置不符", "the meter's ratio register differs from the configuration", _METER
    ),
    "manual_reading": EventCode("人工抄表", "a person read the meter", _METER),
    "tenancy_changed": EventCode("租户变更", "tenancy changed", _POINT),
    "tariff_mismatch": EventCode(
        "表内时段与电价方案不符", "the meter's own tariff periods differ from the schedule", _METER
    ),
    "settlement_mismatch": EventCode(
        "表内结算日或其示数与结算时刻不符",
        "the meter's settlement day, or its register then, differs from the closing",
        _METER,
    ),
    "max_demand": EventCode("表计记录的月最大需量", "the month's maximum demand by the meter's own register", _METER),
    "price": EventCode("预付费金额或电价变化", "a price or prepaid balance in the meter changed", _METER),
    "duplicate_address": EventCode("总线上地址重复", "two meters answer to one address", ("meter", "line")),
    "other_master": EventCode("总线上有其他主站", "another master talks on the line", _LINE),
    # clocks
    "clock_set": EventCode("电表校时", "the meter's clock was set", _METER),
    "clock_step": EventCode("时钟跳变", "a clock stepped", ("meter", "gateway")),
    "clock_dispute": EventCode("时钟相互矛盾", "clocks contradict each other", ("meter", "gateway")),
    "clock_lost": EventCode("失去可信时间", "no time to be trusted", _GATEWAY),
    "clock_back": EventCode("恢复可信时间", "time is trusted again", _GATEWAY),
    # what the meter's own log says
    "cover_open": EventCode("开表盖", "meter cover opened", _METER),
    "terminal_open": EventCode("开端钮盖", "terminal cover opened", _METER),
    "programmed": EventCode("电表编程", "meter programmed", _METER),
    "cleared": EventCode("电表清零", "meter cleared", _METER),
    "demand_cleared": EventCode("需量清零", "demand cleared", _METER),
    "power_off": EventCode("停电", "power off", ("meter", "gateway")),
    "phase_missing": EventCode("断相或失压", "a phase is missing", _METER),
    "phase_reversed": EventCode("逆相序", "phase sequence reversed", _METER),
    "relay_open": EventCode("电表拉闸", "the meter's relay is open", _METER),
    # talking to meters
    "meter_gone": EventCode("电表不应答", "meter no longer answers", _METER),
    "meter_back": EventCode("电表恢复应答", "meter answers again", _METER),
    "line_gone": EventCode("串口或链路断开", "line lost", _LINE),
    "line_back": EventCode("串口或链路恢复", "line back", _LINE),
    "line_noise": EventCode("总线干扰严重", "much noise on the line", _LINE),
    "broadcast_time": EventCode("人工广播校时", "a person set all clocks of the line by broadcast", _LINE),
    "broadcast_freeze": EventCode("人工广播冻结", "a person froze all registers of the line by broadcast", _LINE),
    "refused_write": EventCode("拦截写命令", "a frame that writes was refused", ("line", "meter", "gateway")),
    # the gateway itself
    "undeliverable": EventCode("消息被代理拒收", "the broker refused a record", _GATEWAY),
    "config_refused": EventCode("新配置有误,沿用旧配置", "a new configuration is wrong, the old one stays", _GATEWAY),
    "disk_low": EventCode("磁盘空间不足", "disk space is low", _GATEWAY),
    "receipt_refused": EventCode("审计回执无效", "an auditor's receipt does not verify", _GATEWAY),
    "schedule_missing": EventCode(
        "无适用的分时方案,或该年没有节假日表",
        "no tariff schedule is valid, or the year has no holiday list",
        ("gateway", "point"),
    ),
}
