"""From a fault to what a person at the meter reads: what happened, the likely cause, the next thing to try (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlt645.replies import error_text
from drivers.errors import (
    DriverError,
    ForbiddenRequest,
    Garbled,
    PortBusy,
    PortGone,
    Refused,
    Silent,
    Unexpected,
)
from drivers.exchange import Noticed
from drivers.modbus.adu import EXCEPTION_NAMES

FAILED, USAGE, UNAVAILABLE = 1, 2, 69
Text = tuple[str, str]  # zh, en
EXCEPTIONS_ZH = {
    1: "非法功能码",
    2: "非法数据地址",
    3: "非法数据值",
    4: "设备故障",
    5: "已确认,处理中",
    6: "设备忙",
    8: "存储奇偶错",
    10: "网关路径不可用",
    11: "网关后的设备无响应",
}
EXCEPTION_ADVICE: dict[int, Text] = {
    1: ("表不支持此功能码:试 --function 4(输入寄存器)或 3(保持寄存器)", "try --function 4 (input) or 3 (holding)"),
    2: (
        "表没有此寄存器:地址从 0 起算(手册常从 1 或 40001 起),也可试另一个 --function",
        "no such register: addresses count from 0 here (manuals often from 1 or 40001); try the other --function too",
    ),
    3: (
        "一次要得太多或长度不合:换 --type 或 --model",
        "too many registers or a wrong length: another --type or --model",
    ),
    6: ("稍候再读", "ask again in a moment"),
    10: ("检查网关设置和站号", "check the gateway's settings and the unit"),
    11: ("网关后的表没有应答:检查站号、波特率、接线", "the meter behind the gateway is silent: unit, speed, wiring"),
}
NO_SUCH_DATA = 0x02  # bit of ERR
NOT_AUTHORISED = 0x04


@dataclass(frozen=True, slots=True)
class Asked:
    """What was tried. whom: `m-101`, `202208310003` or `unit 12`, as the driver calls the meter.

    how: speed and framing as ` (2400 8E1)`, empty where there are none.
    """

    protocol: str
    whom: str
    port: str
    how: str
    wildcard: bool = False

    @property
    def is_modbus(self) -> bool:
        return self.protocol == "modbus"

    @property
    def is_network(self) -> bool:
        return "://" in self.port


def exit_code(error: DriverError) -> int:
    if isinstance(error, PortGone):
        return UNAVAILABLE
    return USAGE if isinstance(error, ForbiddenRequest) else FAILED


def explain(error: DriverError, noticed: Noticed, asked: Asked) -> Text:
    """(zh, en), each one line for what happened and one for what to try."""
    happened, advice = _explained(error, noticed, asked)
    zh, en = (f"{asked.port}: {happened[at]}" if isinstance(error, PortGone) else happened[at] for at in (0, 1))
    return f"{zh}\n  {advice[0]}", f"{en}\n  {advice[1]}"


def _explained(error: DriverError, noticed: Noticed, asked: Asked) -> tuple[Text, Text]:
    if isinstance(error, PortGone):
        return _port(error, asked)
    if isinstance(error, Silent):
        return _silent(noticed, asked)
    if isinstance(error, Garbled):
        return _garbled(error, noticed, asked)
    if isinstance(error, Refused):
        return _refused(error, asked)
    if isinstance(error, Unexpected):
        return (
            (f"应答完好,但内容不是数值:{error}", f"a whole answer, but no value in it: {error}"),
            (
                "加 --as 看全部解码;多半是类型、规约版本或表型不对",
                "--as shows all decodings; often type, edition or model",
            ),
        )
    return (
        (f"没有发送:{error}", f"nothing was sent: {error}"),
        (
            "hubiao 只发读请求;广播地址不能读",
            "hubiao sends nothing but reading requests; the broadcast address cannot be read",
        ),
    )


def _port(error: PortGone, asked: Asked) -> tuple[Text, Text]:
    what = str(error).removeprefix(f"{asked.port}: ").removeprefix(f"{asked.port} ")
    if isinstance(error, PortBusy):
        return (f"被占用({what})", what), (
            "先停掉占用它的程序,或从它那里取数",
            "stop the program that holds it, or ask that program for the values",
        )
    if asked.is_network:
        return (f"连不上({what})", what), (
            "检查转换器的电源、IP 地址和 TCP 端口",
            "check the converter's power, its IP address and its TCP port",
        )
    return (f"端口不可用({what})", what), (
        "检查插头和路径:ls -l /dev/serial/by-path;用户须在 dialout 组",
        "check the plug and the path: ls -l /dev/serial/by-path; the user must be in the group dialout",
    )


def _silent(noticed: Noticed, asked: Asked) -> tuple[Text, Text]:
    if noticed.echo:
        return (
            (f"{asked.whom} 没有应答,只听到自己的回声", f"no answer from {asked.whom}, only our own echo"),
            (
                "端口和转换器正常,表没有听懂:检查 A/B 是否接反、地址、波特率",
                "port and adapter work, the meter does not hear: A/B swapped? wrong address? wrong speed?",
            ),
        )
    happened = (f"{asked.whom} 没有应答{asked.how}", f"no answer from {asked.whom}{asked.how}")
    if asked.port.startswith("tcp://"):
        zh = "检查站号:许多 Modbus TCP 设备只认 1;透明转换器用 socket://"
        en = "check the unit: many Modbus TCP devices know 1 only; a transparent converter is socket://"
    elif asked.is_modbus:
        zh = "检查站号、接线(A/B)、表是否有电;试 --baud 9600、2400、19200 和 --framing 8N1、8E1"
        en = "check unit, wiring (A/B) and the meter's power; try --baud 9600, 2400, 19200 and --framing 8N1, 8E1"
    else:
        zh = "检查地址(或 --address AAAAAAAAAAAA,线上只有一块表时)、接线(A/B)、表是否有电;试 --baud 2400、9600、1200"
        en = (
            "check address (or --address AAAAAAAAAAAA, if the meter is alone on the line), wiring (A/B) and power; "
            "try --baud 2400, 9600, 1200"
        )
    if asked.is_network and asked.how:
        zh += ";波特率和校验要在转换器里设置"
        en += "; behind a converter speed and parity are set in the converter itself"
    return happened, (zh, en)


def _garbled(error: Garbled, noticed: Noticed, asked: Asked) -> tuple[Text, Text]:
    if not error.frame and not noticed:
        return (
            ("线上一直有人说话", "the line never falls silent"),
            (
                "另有主站在用这条线,或有设备不停发送:先断开它再读",
                "another master uses it, or a device talks without end: disconnect that first",
            ),
        )
    if noticed.parity:
        return (
            (
                f"收到 {noticed.parity} 个奇偶或帧格式错的字节{asked.how}",
                f"{noticed.parity} bytes with parity or framing errors{asked.how}",
            ),
            (
                "波特率或校验不对:试 --framing 8E1、8N1,再试别的 --baud",
                "wrong speed or parity: try --framing 8E1, 8N1, then another --baud",
            ),
        )
    if noticed.checksum:
        return (
            (f"应答的校验和不对({noticed.checksum} 帧)", f"answers with a wrong checksum ({noticed.checksum})"),
            ("线上不止一块表在应答:改用表的真实地址", "more than one meter answers: use the meter's own address")
            if asked.wildcard
            else (
                "干扰,或两块表同址:检查屏蔽、终端电阻、接头,查重复地址",
                "noise, or two meters with one address: check shield, termination, joints, double addresses",
            ),
        )
    if noticed.foreign:
        return (
            (
                f"收到 {noticed.foreign} 帧,都不是 {asked.whom} 对此问的应答",
                f"{noticed.foreign} whole frames, none an answer of {asked.whom} to this",
            ),
            (
                "线上另有主站,或表以别的地址、别的数据应答:加 --trace 看报文",
                "another master on the line, or the meter answers with another address or item: see --trace",
            ),
        )
    if noticed.noise:
        return (
            (
                f"收到 {noticed.noise} 个字节,凑不成报文{asked.how}",
                f"{noticed.noise} bytes that form no frame{asked.how}",
            ),
            ("线上不止一块表在应答:改用表的真实地址", "more than one meter answers: use the meter's own address")
            if asked.wildcard
            else (
                "多半是波特率或规约不对:试别的 --baud、--protocol;加 --trace 看字节",
                "often a wrong speed or protocol: try another --baud or --protocol; --trace shows the bytes",
            ),
        )
    return (
        (f"应答不完整({len(error.frame)} 字节)", f"the answer was cut off ({len(error.frame)} bytes)"),
        (
            "接触不良、干扰,或转换器切断报文:再读一次,检查接头",
            "bad contact, noise or a converter: read again, check joints",
        ),
    )


def _refused(error: Refused, asked: Asked) -> tuple[Text, Text]:
    code = error.code
    if asked.is_modbus:
        name = EXCEPTION_NAMES.get(code, "unknown")
        happened = (
            f"{asked.whom} 拒绝:异常码 {code:02X} {EXCEPTIONS_ZH.get(code, '')}".rstrip(),
            f"{asked.whom} refused: exception {code:02X} {name}",
        )
        return happened, EXCEPTION_ADVICE.get(code, ("查表的手册", "see the meter's manual"))
    zh, en = error_text(code)
    item = str(error).removeprefix(f"{asked.whom}: ").partition(" refused")[0]
    happened = (
        f"{asked.whom} 拒绝 {item}:ERR {code:02X} {zh}",
        f"{asked.whom} refused {item}: ERR {code:02X} {en}",
    )
    if code & NOT_AUTHORISED:
        return happened, ("此项需密码,hubiao 不发密码", "this item wants a password; hubiao sends none")
    if code & NO_SUCH_DATA:
        return happened, (
            "表没有此项:试单项(如 00010000)或另一版规约",
            "the meter has no such item: try a single one (00010000) or the other edition",
        )
    return happened, ("查表的手册", "see the meter's manual")
