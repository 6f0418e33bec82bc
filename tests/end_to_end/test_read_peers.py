"""`hubiao read` as a process against meters that others wrote: pymodbus's server, the dlt645 package's server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cable import cable

pytestmark = pytest.mark.slow

LIMIT_S = 30
PEERS = Path(__file__).parent / "peers"
HUBIAO = (sys.executable, "-c", "from agent.cli import main; main()", "--lang", "en", "read")


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.code == 0, self.err
        found = json.loads(self.out)
        assert isinstance(found, list)
        return found

    def value(self, item: str) -> Any:
        return next(row["value"] for row in self.rows if item in (row.get("di"), row.get("register")))


async def read(*arguments: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        *HUBIAO, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


@contextlib.asynccontextmanager
async def peer(script: str, *arguments: str) -> AsyncIterator[None]:
    """A script of `peers/`, from its `ready` on; it ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PEERS / script), *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        first = await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
        if first != b"ready\n":
            assert process.stderr is not None
            pytest.fail(f"{script} did not start: {first!r} {(await process.stderr.read()).decode()}")
        yield
        await asyncio.wait_for(process.communicate(b""), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_holding_and_input_registers_of_pymodbus_are_read_in_their_types() -> None:
    async with cable() as (theirs, ours), peer("pymodbus_meter.py", theirs):
        unit = ("--port", ours, "--protocol", "modbus", "--unit", "12", "--json")
        typed = await read(*unit, "--register", "0x0000:u32", "0x0002:f32", "4:i16", "--function", "3")
        assert [row["value"] for row in typed.rows] == ["123456789", "1234.5", "-7"]
        assert list(typed.rows[0]) == ["name", "register", "value", "unit", "read_at", "meter_clock"]
        assert typed.rows[0]["register"] == "0x0000"
        by_type = await read(*unit, "--register", "0x0048", "--type", "f32", "--function", "4")
        assert by_type.value("0x0048") == "43473.16"
        little = await read(*unit, "--register", "0", "--type", "u32", "--order", "little")
        assert little.value("0x0000") == str((123456789 & 0xFFFF) << 16 | 123456789 >> 16)


async def test_an_input_register_is_found_though_nobody_named_the_function() -> None:
    async with cable() as (theirs, ours), peer("pymodbus_meter.py", theirs):
        said = await read("--port", ours, "--unit", "12", "--register", "0x0048", "--type", "f32", "--json")
        assert said.value("0x0048") == "43473.16"
        assert "function 3 was refused, function 4 answered" in said.err


async def test_an_exception_of_pymodbus_is_explained_and_nothing_stands_on_standard_output() -> None:
    async with cable() as (theirs, ours), peer("pymodbus_meter.py", theirs):
        said = await read("--port", ours, "--unit", "12", "--register", "0x1000", "--function", "3", "--json")
        assert (said.code, said.out) == (1, "")
        assert "unit 12 refused: exception 02 illegal data address" in said.err
        assert "addresses count from 0" in said.err


async def test_all_decodings_of_a_register_stand_side_by_side() -> None:
    async with cable() as (theirs, ours), peer("pymodbus_meter.py", theirs):
        said = await read("--port", ours, "--unit", "12", "--register", "0", "--as", "--json")
        shown = said.rows[0]["as"]
        assert shown["hex"] == "075B CD15 449A 5000"
        assert shown["u32 big"] == "123456789"
        assert shown["u16"] == str(0x075B)
        assert shown["u64 big"] == str(0x075BCD15449A5000)
        assert shown["u32 little swap"] == str(0x15CD5B07)
        at_the_end = await read("--port", ours, "--unit", "12", "--register", "4:i16", "--as", "--json")
        assert at_the_end.rows[0]["as"] == {
            "hex": "FFF9",
            "u16": "65529",
            "u16 swap": "63999",
            "i16": "-7",
            "i16 swap": "-1537",
        }


async def test_modbus_tcp_of_pymodbus_is_read_through_a_tcp_port(unused_tcp_port: int) -> None:
    port = f"tcp://127.0.0.1:{unused_tcp_port}"
    async with peer("pymodbus_meter.py", str(unused_tcp_port), "tcp"):
        said = await read("--port", port, "--unit", "12", "--register", "2:f32", "--json", "--trace")
        assert said.value("0x0002") == "1234.5"
        assert "TX  00 01 00 00 00 06 0C 03 00 02 00 02" in said.err
        assert "RX  00 01 00 00 00 07 0C 03 04 44 9A 50 00" in said.err


async def test_single_items_of_the_dlt645_package_are_read_with_their_signs() -> None:
    async with cable() as (theirs, ours), peer("dlt645_meter.py", theirs):
        line = ("--port", ours, "--protocol", "dlt645-2007", "--baud", "9600", "--framing", "8N1", "--json")
        items = ("--di", "00010000", "00010200", "00000000", "02010100", "02020100")
        said = await read(*line, "--address", "202208310002", *items)
        assert [row["value"] for row in said.rows] == ["123456.78", "99.01", "-5.25", "220.5", "-1.234"]
        assert [row["unit"] for row in said.rows] == ["kWh", "kWh", "kWh", "V", "A"]
        alone = await read(*line, "--address", "AAAAAAAAAAAA", "--di", "00010000")
        assert alone.value("00010000") == "123456.78"
        assert "the meter's address is 202208310002" in alone.err


async def test_a_meter_without_blocks_still_gives_its_total() -> None:
    """The package refuses every block: total by single item, as the agent does it."""
    async with cable() as (theirs, ours), peer("dlt645_meter.py", theirs):
        said = await read("--port", ours, "--address", "202208310002", "--baud", "9600", "--framing", "8N1", "--json")
        assert said.value("00010000") == "123456.78"
        assert said.rows[0]["name"] == "import"


async def test_what_the_dlt645_package_refuses_is_said_and_the_rest_is_read() -> None:
    async with cable() as (theirs, ours), peer("dlt645_meter.py", theirs):
        line = ("--port", ours, "--address", "202208310002", "--baud", "9600", "--framing", "8N1", "--json")
        said = await read(*line, "--di", "0001FF00", "00010000")
        assert said.code == 1
        assert [row["value"] for row in json.loads(said.out)] == ["123456.78"]
        assert "202208310002 refused 0001FF00: ERR 02 no such data" in said.err
