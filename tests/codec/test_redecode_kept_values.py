"""Frames that a reading kept, decoded once more by somebody else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drivers.dlt645.frame import Frame, encode
from drivers.redecode import Redecoder

ADDRESS = "202208310002"
METER = {"id": "m-1", "protocol": "dlt645-2007", "address": ADDRESS, "model": "dlt645-2007"}
CONFIG = {"meters": [METER], "models": []}


def reading(method: str, request: bytes, reply: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    source = {"exchanges": [{"request": request.hex(), "reply": reply.hex()}], "registers": {"import": "123456.78"}}
    return {"meter": "m-1", "method": method, "sources": [source]}, source


def exchange(di: str, data: bytes) -> tuple[bytes, bytes]:
    item = bytes.fromhex(di)[::-1]
    return encode(Frame(ADDRESS, 0x11, item)), encode(Frame(ADDRESS, 0x91, item + data))


def test_a_live_register_is_what_its_frame_says() -> None:
    found = Redecoder()(CONFIG, *reading("live", *exchange("00010000", bytes.fromhex("78563412"))))
    assert found == {"import": Decimal("123456.78")}


def test_a_value_between_load_records_or_freezes_is_not_judged_as_a_live_register() -> None:
    """A soak found it: such readings, honestly interpolated, were reported as disagreeing with their frames."""
    for di in ("06040001", "05040101"):
        assert Redecoder()(CONFIG, *reading("interpolated", *exchange(di, bytes(20)))) is None
