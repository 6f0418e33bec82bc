"""`hubiao frame`: what bytes from a meter line mean."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from agent.cli.output import document, notice, table
from agent.cli.read_names import bits_in_words, in_words
from agent.cli.words import language, t
from drivers.describe import describe


@click.command(help=t("解析 DL/T 645 和 Modbus RTU 报文", "Decode DL/T 645 and Modbus RTU frames"))
@click.argument("hex_", metavar="HEX…", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help=t("输出 JSON", "print JSON"))
def frame(hex_: tuple[str, ...], as_json: bool) -> None:
    """HEX may have spaces, colons or 0x; bytes given one an argument are one stream; `-` reads standard input."""
    arguments = [" ".join(hex_)] if all(len(argument) == 2 for argument in hex_) else list(hex_)
    zh = language() == "zh" and not as_json
    found: list[dict[str, Any]] = []
    for number, argument in enumerate(arguments, 1):
        found += _from_input(zh) if argument == "-" else describe(_bytes(argument, _ordinal(number)), zh=zh)
    if as_json:
        document(found)
        return
    if not found:
        notice(t("没有有效报文", "no valid frame"))
    head = (
        t("协议", "protocol"),
        t("方向", "direction"),
        t("地址", "address"),
        t("控制码", "control"),
        "DI",
        t("名称", "name"),
        t("数据", "value"),
    )
    if found:
        table(head, [row for one in found for row in _rows(one)])


def _bytes(text: str, where: str) -> bytes:
    """Hex as people paste it. Raises a usage error that names the argument."""
    digits = re.sub(r"0x([0-9a-f])(?![0-9a-f])", r"0\1", text, flags=re.IGNORECASE)
    digits = re.sub(r"0x|[\s:,;_-]", "", digits, flags=re.IGNORECASE)
    if wrong := re.search(r"[^0-9a-fA-F]", digits):
        problem = t(f"{wrong[0]!r} 不是十六进制数字", f"{wrong[0]!r} is not hex")
        raise click.UsageError(f"{where} {_short(text)!r}: {problem}")
    if len(digits) % 2:
        problem = t(f"{len(digits)} 个数字,不成整字节", f"{len(digits)} hex digits are no whole bytes")
        raise click.UsageError(f"{where} {_short(text)!r}: {problem}")
    return bytes.fromhex(digits)


def _from_input(zh: bool) -> list[dict[str, Any]]:
    """Standard input is one stream; where no DL/T 645 frame is in it, each line may be a Modbus frame."""
    lines = sys.stdin.buffer.read().decode("ascii", "replace").splitlines()
    parts = [_bytes(line, t(f"标准输入第 {n} 行", f"standard input, line {n}")) for n, line in enumerate(lines, 1)]
    return describe(b"".join(parts), zh=zh) or [one for part in parts for one in describe(part, zh=zh)]


def _ordinal(number: int) -> str:
    return t(f"第 {number} 个参数", f"argument {number}")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "…"


def _rows(one: dict[str, Any]) -> list[tuple[Any, ...]]:
    direction = {"request": t("请求", "request"), "reply": t("应答", "reply")}.get(one["direction"])
    if one["protocol"] == "modbus-rtu":
        function = f"{one['function']:02X}"
        said = one["data"] if one["exception"] is None else t("异常码 ", "exception ") + f"{one['exception']:02X}"
        item = None if one["address"] is None else f"0x{one['address']:04X}"
        count = None if one["count"] is None else t(f"{one['count']} 个", f"count {one['count']}")
        return [("modbus-rtu", direction, one["unit"], function, item, count, said)]
    protocol = "dlt645" + (f"-{one['edition']}" if one["edition"] else "")
    head = (protocol, direction, one["address"], one["control"], one["di"], one["name"])
    return [(*head, _said(value, one["di"] or "")) for value in one["values"]] or [(*head, None)]


def _said(value: dict[str, Any], di: str) -> str:
    name = in_words(value["name"], di)
    if value["value"] is None:
        return f"{name} " + t("无效", "invalid") + f" {value['invalid']}"
    return f"{name} {bits_in_words(value['value'])} {value['unit']}".rstrip()
