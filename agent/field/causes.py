"""The causes that `hubiao doctor` knows: what each is and what to try next, zh and en. diagnosis.py finds them."""

from __future__ import annotations

from dataclasses import dataclass

Text = tuple[str, str]  # zh, en
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"

# cause → what it is, what to try next
CAUSES: dict[str, tuple[Text, Text]] = {
    "second_master": (
        ("线上另有主站", "another master uses this bus"),
        (
            "找到并断开它(旧采集器、电力载波、运维电脑)",
            "find and disconnect it: an old collector, another system, a laptop",
        ),
    ),
    "echo": (
        ("转换器回送自己发出的字节", "the adapter repeats our own bytes"),
        ("无害,已滤除;可在转换器上关掉回送", "harmless, filtered out; can be switched off at the adapter"),
    ),
    "noise": (
        ("线路干扰或反射", "noise or reflections on the line"),
        (
            "两端各一只 120 Ω 终端电阻,屏蔽单端接地,避开动力电缆,检查接头",
            "120 Ω at both ends, shield earthed at one end, away from power cables; check joints",
        ),
    ),
    "rubbish": (
        ("应答完好,前后有杂字节", "whole answers with rubbish around them"),
        (
            "总线一处加上下拉偏置电阻,两端终端电阻;查转换器的收发切换",
            "bias resistors at one place, 120 Ω at both ends; when the adapter switches its transmitter",
        ),
    ),
    "loose_contact": (
        ("时有时无:接触不良、表在断电或快坏", "comes and goes: a loose contact, failing power or a dying meter"),
        (
            "紧固端子,看表的电源和屏幕;再不行换表",
            "tighten its terminals, watch its supply and display; else replace it",
        ),
    ),
    "late": (
        ("应答太慢,超过等待时间", "it answers later than we wait"),
        ("型号里加大 reply_timeout,或减少透传延迟", "a longer reply_timeout in its model, or less delay on the way"),
    ),
    "two_with_one_address": (
        ("两块表同一地址", "two meters have one address"),
        ("断开其中一块再试;改一块的地址", "disconnect one and try again; give one another address"),
    ),
    "wrong_speed": (("波特率与配置不同", "its speed is not the configured one"), ("改配置的 baud", "correct `baud`")),
    "wrong_framing": (
        ("校验位与配置不同", "its framing is not the configured one"),
        ("改配置的 framing", "correct `framing`"),
    ),
    "wrong_edition": (
        ("规约版本与配置不同", "it speaks the other edition"),
        ("改配置的 protocol", "correct `protocol`"),
    ),
    "padded_address": (
        ("表的地址高位与配置不同", "its address has other high digits than configured"),
        ("按应答里的完整地址改配置", "take the whole address that it answers with"),
    ),
    "foreign_address": (
        ("以别的地址应答", "it answers with another address"),
        ("核对标牌;接线箱里可能换过表", "compare with the label; the meter may have been exchanged"),
    ),
    "wrong_item": (
        ("应答别的数据项", "it answers with another item than asked"),
        ("型号或规约不对:用 read --as 看", "wrong model or edition: see read --as"),
    ),
    "invalid_value": (
        ("应答完好但数值无效", "whole answers whose value is no number"),
        ("型号或数据项不对:用 read --as 看;表也可能坏了", "wrong model or item: see read --as; or the meter is broken"),
    ),
    "bad_checksum": (
        ("它发的帧校验和不对", "the frames that it sends have wrong checksums"),
        ("表的通信板坏,换表;或转换器改动字节(7 位)", "its interface is broken; or the adapter changes bytes (7 bits)"),
    ),
    "disturbed": (
        ("被别的表或主站干扰", "others on the line disturb it"),
        ("先治好应答晚的、乱说话的那一块", "cure those first that answer late or out of turn"),
    ),
    "refused": (
        ("拒绝请求", "it refuses what is asked"),
        ("型号不对或表没有此项", "wrong model, or the meter has not this item"),
    ),
    "swapped_ab": (
        ("A/B 接反", "A and B are swapped"),
        ("对调这块表(或整条线)的 A、B", "swap A and B at this meter (or the line)"),
    ),
    "no_power": (("表没电或坏了", "no power, or broken"), ("看屏幕是否亮", "does its display show anything?")),
    "not_connected": (
        ("断线,或地址、速率、规约都不对", "not connected, or address, speed and protocol are wrong"),
        ("单独接这块表再扫:hubiao scan", "connect it alone and scan: hubiao scan"),
    ),
    "line_down": (
        ("整条线无应答:断线、A/B 接反、转换器设置", "nobody on this line answers: cut, A/B swapped, adapter settings"),
        ("先在转换器处接一块表试", "try one meter at the adapter first"),
    ),
    "power_cut": (
        ("停电或总线断开过,随后恢复", "power or the bus was gone for a while and came back"),
        ("查供电、空开、转换器电源", "check supply, breaker and the adapter's power"),
    ),
    "clock_off": (
        ("表钟不准", "its clock is wrong"),
        ("按规定校时;冻结和费率跟表钟走", "have it set; freezes and tariffs follow it"),
    ),
    "other_serial": (
        ("表号与配置不同:换过表?", "another meter number than configured: exchanged?"),
        ("hubiao replace-meter", "hubiao replace-meter"),
    ),
    "ratio_mismatch": (
        ("表内互感器变比与配置不同", "the ratio set in the meter is not the configured one"),
        (
            "看互感器铭牌,改表或改配置;hubiao commission 验收",
            "read the CT plate; correct the meter or the configuration",
        ),
    ),
    "phase_missing": (("缺相", "a phase is missing"), ("查电压引线和熔断器", "check voltage leads and fuses")),
    "current_missing": (
        ("一相有电压无电流", "a phase has voltage and no current"),
        (
            "查端钮盒短接片、封印和互感器,钳这相的一次电流;也可能只是这相空载",
            "look for a shorting link, the seals and the transformer, clamp that phase; or nothing is connected to it",
        ),
    ),
    "phase_reversed": (
        ("一相电流反向", "one phase counts backwards"),
        ("该相互感器方向或电流线接反", "turn this phase's current transformer or its wires round"),
    ),
    "cover_opened": (
        ("表盖或端钮盖被开过", "its cover or terminal cover was opened"),
        ("对照封印记录", "compare with the record of seals"),
    ),
    "broker_unreachable": (
        ("连不上 MQTT 代理", "the MQTT broker cannot be reached"),
        (
            "核对 mqtt.url 的地址和端口,防火墙、网线、SIM 卡和信号",
            "address and port in mqtt.url, firewall, cable, SIM, signal",
        ),
    ),
    "broker_silent": (
        ("MQTT 代理不应答", "the MQTT broker takes connections and says nothing"),
        (
            "代理过载或卡死,或中间设备拦截:找代理的管理员;记录先留在本机",
            "it hangs, or something between: ask who runs it; records wait here",
        ),
    ),
    "broker_refused": (
        ("MQTT 代理拒绝连接", "the MQTT broker refuses us"),
        (
            "核对用户名、密码文件、证书和代理的权限表",
            "user name, password file, certificates, and the broker's permissions",
        ),
    ),
    "disk_full": (
        ("存储磁盘将满或已满", "the store's disk is full or nearly so"),
        (
            "腾出空间或换大盘;满了以后记录先留在内存",
            "make room or take a larger disk; until then records wait in memory",
        ),
    ),
    "disk_unwritable": (
        ("数据目录写不进去", "the data directory takes no file"),
        ("看权限、只读挂载和 dmesg 里的磁盘错误", "its owner, a read-only mount, disk errors in dmesg"),
    ),
    "rolled_over": (
        ("示数走满归零", "its register passed through zero"),
        ("正常:结算自动加回整圈,核对 digits", "normal: the ledger adds the whole turn; compare `digits`"),
    ),
    "register_fell": (
        ("示数变小", "its register fell"),
        ("清零、换表或翻转:查 status 和事件", "cleared, exchanged or rolled over: see its events"),
    ),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation. detail: what was seen, (zh, en)."""

    code: str
    certainty: str
    detail: Text

    @property
    def words(self) -> Text:
        return CAUSES[self.code][0]

    @property
    def next(self) -> Text:
        return CAUSES[self.code][1]
