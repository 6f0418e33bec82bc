"""What people type for addresses, data identifiers and registers, as the drivers take it."""

from __future__ import annotations

import re

import click

from agent.cli.output import notice
from agent.cli.words import t
from drivers.dlt645.frame import WILDCARD
from drivers.modbus.registers import ORDERS, WORDS

DI_DIGITS = {"dlt645-2007": 8, "dlt645-1997": 4}
DI_EXAMPLE = {8: "00010000", 4: "9010"}


def meter_address(text: str) -> str:
    """12 digits, or AA in front: whole (`AAAAAAAAAAAA`) or short form. A shorter number is padded on the left.

    Raises a usage error.
    """
    address = re.sub(r"[\s:-]", "", text).upper()
    if re.fullmatch(r"[0-9]{1,12}", address):
        padded = address.zfill(12)
        if padded != address:
            notice(t(f"地址补零为 {padded}", f"address padded to {padded}"))
        return padded
    if len(address) == len(WILDCARD) and re.fullmatch(r"(AA)+([0-9]{2})*", address):
        return address
    raise click.UsageError(
        t(f"--address {text}:要 12 位数字或 AAAAAAAAAAAA", f"--address {text}: 12 digits, or AAAAAAAAAAAA")
    )


def split_items(texts: tuple[str, ...]) -> list[str]:
    """Items given one by one or with commas between."""
    return [part.strip() for text in texts for part in re.split(r"[,;]", text) if part.strip()]


def data_identifier(text: str, protocol: str) -> str:
    """A DI of the protocol's edition: 8 or 4 hex digits, highest first. Raises a usage error."""
    digits = DI_DIGITS[protocol]
    di = re.sub(r"^0x|[\s._-]|[hH]$", "", text.strip()).upper()
    if not re.fullmatch(rf"[0-9A-F]{{{digits}}}", di):
        example = DI_EXAMPLE[digits]
        raise click.UsageError(
            t(
                f"--di {text}:要 {digits} 位十六进制,如 {example}",
                f"--di {text}: {digits} hex digits, such as {example}",
            )
        )
    return di


def modbus_register(text: str, type_name: str | None, word_order: str | None) -> str:
    """As the Modbus driver takes it: `0x0048`, or `0x0048:f32:little` where a type is known. Raises a usage error."""
    address, _, rest = text.partition(":")
    kind, _, order = rest.partition(":")
    kind, order = kind or type_name or "", order or word_order or ""
    if (
        not re.fullmatch(r"0[xX][0-9a-fA-F]{1,4}|[0-9]{1,5}", address)
        or int(address, 0 if "x" in address.lower() else 10) > 0xFFFF
    ):
        raise click.UsageError(
            t(f"--register {text}:要 0x0048 或 72(从 0 起算)", f"--register {text}: 0x0048 or 72, counted from 0")
        )
    if kind and kind not in WORDS:
        raise click.UsageError(f"--type {kind}: {', '.join(WORDS)}")
    if order and order not in ORDERS:
        raise click.UsageError(f"--order {order}: {', '.join(ORDERS)}")
    if order and not kind:
        raise click.UsageError(t("--order 须与 --type 同用", "--order goes with --type"))
    return ":".join(part for part in (address, kind, order) if part)
