"""Registers decoded again from kept frames: published DL/T frames, and Modbus frames put together by hand."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.meter_models import load_models
from drivers.redecode import Redecoder

VECTORS = {
    vector["id"]: vector["hex"].replace(" ", "")
    for vector in json.loads((Path(__file__).parents[1] / "golden" / "dlt645-vectors.json").read_text())["vectors"]
}
BLOCK = VECTORS["s42"], VECTORS["s21"]
TOTAL = VECTORS["s43"], VECTORS["s22"].lower()


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def rtu(text: str) -> str:
    data = bytes.fromhex(text)
    return (data + crc(data)).hex()


FLOAT = rtu("0c0400480002"), rtu("0c0404" + struct.pack(">f", 1234.5).hex())


def config() -> dict[str, Any]:
    model = load_models()["eastron-sdm630"].data
    dlt = {"protocol": "dlt645-2007", "model": "dlt645-2007", "unit": None}
    return {
        "meters": [
            {"id": "block", "address": "000000193600", **dlt},
            {"id": "total", "address": "000000000161", **dlt},
            {"id": "float", "address": None, "protocol": "modbus", "model": "eastron-sdm630", "unit": 12},
            {"id": "hand", "address": None, "protocol": "manual", "model": None, "unit": None},
        ],
        "models": [{"id": "eastron-sdm630", "data": model}],
    }


def decoded(meter: str, exchange: tuple[str, str], names: str = "import", method: str = "live") -> Any:
    source = {
        "registers": dict.fromkeys(names.split(), "0"),
        "exchanges": [{"request": exchange[0], "reply": exchange[1], "boot_ms": 1}],
    }
    return Redecoder()(config(), {"meter": meter, "method": method}, source)


def test_a_published_block_gives_its_total_and_tariffs() -> None:
    values = ["36.30", "2.56", "0.19", "0.38", "33.17"]
    names = ["import", "import_t1", "import_t2", "import_t3", "import_t4"]
    assert decoded("block", BLOCK) == dict(zip(names, map(Decimal, values), strict=True))


def test_a_published_total_gives_its_value() -> None:
    assert decoded("total", TOTAL) == {"import": Decimal("0.26")}


def test_a_float_register_gives_its_shortest_decimal() -> None:
    assert decoded("float", FLOAT) == {"import": Decimal("1234.5")}


@pytest.mark.parametrize(
    ("meter", "exchange"),
    [
        ("total", BLOCK),
        ("total", (BLOCK[0], TOTAL[1])),
        ("total", (TOTAL[0], TOTAL[0])),
        ("total", (TOTAL[0], TOTAL[1][:-6] + "348b16")),
        ("total", (TOTAL[0], TOTAL[1].replace("8a16", "8b16"))),
        ("total", ("", "")),
        ("float", ("", "")),
        ("float", (rtu("0d0400480002"), rtu("0d0404449a5000"))),
        ("float", (FLOAT[0], rtu("0c0402449a"))),
        ("float", TOTAL),
    ],
)
def test_frames_that_do_not_fit_the_meter_give_nothing_or_another_value(meter: str, exchange: tuple[str, str]) -> None:
    said = decoded(meter, exchange)
    assert said is not None
    assert said.get("import") != Decimal("0.26")


def test_a_look_is_no_freeze_and_no_load_record() -> None:
    assert decoded("total", TOTAL, method="freeze") == {}
    assert decoded("total", TOTAL, method="load_profile") == {}


def test_manual_readings_and_unknown_meters_are_not_judged() -> None:
    assert decoded("total", TOTAL, method="manual") is None
    assert decoded("hand", TOTAL) is None
    assert decoded("nobody", TOTAL) is None
