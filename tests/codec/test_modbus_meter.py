"""A Modbus meter's questions and what it makes of the answers; the other end is pymodbus's server PDUs and framer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from typing import Any

import pytest
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, ReadInputRegistersResponse

from config.meter_models import load_models
from drivers.errors import Garbled, Refused, Silent, Unexpected
from drivers.exchange import Answer, Exchange
from drivers.modbus.meter import ModbusMeter, quiet_before_s
from drivers.modbus.model import MeterModel, parse
from drivers.modbus.plan import Block, plan

MODELS = {name: file for name, file in load_models().items() if file.data["protocol"] == "modbus"}
IMPORT = frozenset({"import"})
# import 500.00, its tariffs 100.00, 200.00, 150.00, 49.98 (each cut to its last digit), export 0.77
ACREL = {0x0A + 2 * place: 0 for place in range(6)} | {
    0x0A + 2 * place + 1: low for place, low in enumerate((50_000, 10_000, 20_000, 15_000, 4_998, 77))
}


def model(name: str) -> MeterModel:
    return parse(MODELS[name].data)


class FakeBus:
    """A meter with `words`; anything else is exception 2, as is a block longer than `longest` registers."""

    def __init__(self, words: dict[int, int], *, longest: int = 125, missing: frozenset[int] = frozenset()) -> None:
        self.words, self.longest, self.missing = words, longest, missing
        self.asked: list[tuple[int, int]] = []
        self.exchanges: list[Exchange] = []
        self.fault: Callable[[int, int], Exception | None] = lambda start, count: None

    async def exchange(self, exchange: Exchange) -> Answer:
        request = exchange.request
        self.exchanges.append(exchange)
        decoder = DecodePDU(True)
        tcp = exchange.protocol == "modbus-tcp"
        framer = FramerSocket(decoder) if tcp else FramerRTU(decoder)
        used, heard = framer.handleFrame(request, 0, 0)
        assert used == len(request)
        assert heard is not None
        start, count = heard.address, heard.count
        self.asked.append((start, count))
        fault = self.fault(start, count)
        if fault is not None:
            raise fault
        every = range(start, start + count)
        kind = ReadHoldingRegistersResponse if heard.function_code == 3 else ReadInputRegistersResponse
        reply: Any = kind(registers=[self.words.get(at, 0) for at in every])
        if count > self.longest or any(at in self.missing or at not in self.words for at in every):
            reply = ExceptionResponse(heard.function_code, exception_code=2)
        reply.dev_id, reply.transaction_id = heard.dev_id, heard.transaction_id
        frame = framer.buildFrame(reply)
        assert exchange.reader().feed(frame) == frame
        assert exchange.reply_bytes == len(frame) or isinstance(reply, ExceptionResponse)
        return Answer(request, frame, 0, 0, 0.0)


def meter(name: str, bus: FakeBus, wanted: frozenset[str] = IMPORT, **more: Any) -> ModbusMeter:
    return ModbusMeter("m-1", 12, model(name), bus, wanted, **more)


async def fails_with(kind: type[Exception], work: Coroutine[Any, Any, object]) -> Exception:
    with pytest.raises(kind) as caught:
        await work
    return caught.value


async def test_a_look_reads_the_total_with_its_tariffs_and_says_that_they_add_up() -> None:
    bus = FakeBus(ACREL)
    look = await meter("acrel-dtsd1352", bus).look()
    assert look.registers == {"import": Decimal("500.00")}
    assert str(look.registers["import"]) == "500.00"
    assert bus.asked == [(0x0A, 10)]
    assert look.checks == {"checksum", "address", "length", "tariff_sum"}


async def test_tariffs_that_do_not_add_up_are_not_claimed() -> None:
    bus = FakeBus(ACREL | {0x13: 4_995})  # five steps short of the total, four are allowed
    assert "tariff_sum" not in (await meter("acrel-dtsd1352", bus).look()).checks


@pytest.mark.parametrize("name", sorted(MODELS))
async def test_a_second_look_asks_in_lengths_that_the_first_did_not_use(name: str) -> None:
    found = model(name)
    wanted = IMPORT & found.settlement.keys()
    if not wanted:
        return
    bus = FakeBus({at: 0 for register in found.listed for at in range(*register.block[:1], register.block.end)})
    one = meter(name, bus, wanted)
    first, second = await one.look(), await one.look(second=True)
    assert first.registers == second.registers
    lengths = {len(answer.reply) for answer in first.answers}
    if len(found.settlement) > 1 and name not in ONE_SHAPE:
        assert lengths.isdisjoint(len(answer.reply) for answer in second.answers), bus.asked
    for start, count in bus.asked:
        edges = {at for register in found.listed for at in (register.address, register.block.end)}
        assert {start, start + count} <= edges  # no value is cut


# import stands alone: the next listed register is behind registers that the model does not list
ONE_SHAPE = frozenset(
    {"carlo-gavazzi-em340", "carlo-gavazzi-em330", "chint-dtsu666", "janitza-umg96rm", "orno-we516", "orno-we517"}
    | {"siemens-pac2200", "carlo-gavazzi-em24", "carlo-gavazzi-et330", "carlo-gavazzi-et340", "chint-dssu666"}
    | {"finder-7m38", "janitza-umg604"}
)


async def test_a_late_answer_to_another_block_does_not_fit_the_second_look() -> None:
    bus = FakeBus(ACREL)
    one = meter("acrel-dtsd1352", bus)
    late = (await one.look()).answers[0].reply
    await one.look(second=True)
    assert bus.exchanges[-1].reader().feed(late) is None


async def test_after_silence_no_other_block_of_the_same_length_is_asked() -> None:
    bus = FakeBus(ACREL | dict.fromkeys(range(10), 0))
    one = meter("acrel-dtsd1352", bus)
    bus.fault = lambda start, count: Silent("nothing") if start == 0x0A else None
    await fails_with(Silent, one.read_item("0x000A"))
    values, _ = await one.read_item("0x0002")
    assert [value.name for value in values] == ["total_t1"]
    assert bus.asked[0] == (0x0A, 2)
    assert bus.asked[1][1] != 2


async def test_a_meter_that_refuses_a_block_is_asked_in_parts_from_then_on() -> None:
    bus = FakeBus(ACREL, longest=6)
    one = meter("acrel-dtsd1352", bus, frozenset({"import", "import_t1", "import_t2", "export"}))
    look = await one.look()
    assert look.registers == {
        "import": Decimal("500.00"),
        "import_t1": Decimal("100.00"),
        "import_t2": Decimal("200.00"),
        "export": Decimal("0.77"),
    }
    before = len(bus.asked)
    await one.look()
    assert all(count <= 6 for _, count in bus.asked[before:])


async def test_tariffs_that_a_meter_lacks_are_left_out_and_the_total_is_not() -> None:
    bus = FakeBus(ACREL, missing=frozenset({0x12, 0x13}))
    one = meter("acrel-dtsd1352", bus, frozenset({"import", "import_t1", "import_t4"}))
    look = await one.look()
    assert look.registers == {"import": Decimal("500.00"), "import_t1": Decimal("100.00")}
    assert "tariff_sum" not in look.checks
    bus.missing = frozenset({0x0A})
    refused = await fails_with(Refused, one.look())
    assert "illegal data address" in str(refused)
    assert isinstance(refused, Refused)
    assert refused.code == 2
    bus.missing = frozenset()  # a meter that has come to its senses is read again
    assert (await one.look()).registers["import"] == Decimal("500.00")


async def test_a_busy_meter_is_refused_for_now_and_nothing_is_learnt() -> None:
    bus = FakeBus(ACREL)
    one = meter("acrel-dtsd1352", bus)
    bus.fault = lambda start, count: Refused("busy", code=6)
    await fails_with(Refused, one.look())
    bus.fault = lambda start, count: None
    await one.look()
    assert bus.asked == [(0x0A, 10), (0x0A, 10)]


async def test_filler_in_the_settled_register_is_an_error_and_elsewhere_is_left_out() -> None:
    found = model("abb-b23")
    bus = FakeBus({at: 0xFFFF for register in found.listed for at in range(register.address, register.block.end)})
    one = meter("abb-b23", bus)
    await fails_with(Unexpected, one.look())
    # signed powers of all ones are −0.01 W, unsigned voltages of all ones are "not supported"
    assert {value.name for value in await one.telemetry()} == {"power", "power_a", "power_b", "power_c"} | {
        "power_factor",
        "power_factor_a",
        "power_factor_b",
        "power_factor_c",
    }


async def test_telemetry_leaves_out_what_the_meter_refuses_and_finds_it_in_few_questions() -> None:
    found = model("eastron-sdm630")
    bus = FakeBus(
        {at: 0 for register in found.listed for at in range(register.address, register.block.end)},
        missing=frozenset({0x12, 0x13}),
    )
    one = meter("eastron-sdm630", bus)
    values = await one.telemetry()
    assert {value.name for value in values} == found.telemetry.keys() - {"apparent_power_a"}
    assert len(bus.asked) < 25
    before = len(bus.asked)
    await one.telemetry()
    assert all(not start <= 0x12 < start + count for start, count in bus.asked[before:])


async def test_meters_of_a_model_share_its_plans_until_one_of_them_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning is half of what a question costs: thousands of meters are read at once after a start."""
    planned: list[object] = []

    def counted(wanted: Iterable[Block], *more: Any) -> list[Block]:
        planned.append(wanted)
        return plan(wanted, *more)

    monkeypatch.setattr("drivers.modbus.meter.plan", counted)
    words = dict.fromkeys(range(0x200), 0)
    model_ = model("acrel-dtsd1352")
    for unit in range(1, 9):
        shared = ModbusMeter(f"m-{unit}", unit, model_, FakeBus(words), IMPORT)
        await shared.telemetry()
        if unit == 1:
            once = len(planned)
    assert len(planned) == once > 0
    poor = ModbusMeter("poor", 9, model_, FakeBus(words, missing=frozenset({100})), IMPORT)
    values = await poor.telemetry()
    assert len(planned) > once, "what it refused is planned for it alone"
    assert {register.address for register in model_.telemetry.values()} - {100} == {
        model_.telemetry[value.name].address for value in values
    }
    again = len(planned)
    assert len(await shared.telemetry()) == len(model_.telemetry)
    assert len(planned) == again


async def test_tcp_answers_are_known_by_their_transaction() -> None:
    bus = FakeBus(ACREL)
    one = meter("acrel-dtsd1352", bus, transport="tcp")
    first, second = await one.look(), await one.look(second=True)
    assert first.checks == {"address", "length", "identifier", "tariff_sum"}
    assert first.answers[0].request[:2] != second.answers[0].request[:2]
    assert bus.exchanges[0].protocol == "modbus-tcp"


async def test_serial_identity_and_ratios_are_read_where_the_model_has_them() -> None:
    bus = FakeBus({0x8900: 0x0001, 0x8901: 0xE240, 0x8960: 0x4232, 0x8961: 0x3320})
    abb = meter("abb-b23", bus)
    assert await abb.serial() == "123456"
    assert await abb.identity() == "B23"
    assert await abb.clock() is None
    assert await abb.ratios() == {}
    chint = meter("chint-dtsu666", FakeBus({6: 40, 7: 10}))
    assert await chint.ratios() == {"ct": 40, "pt": Decimal("1.0")}
    pm = meter("schneider-pm5xxx", FakeBus({2025: 0x43C8, 2026: 0, 2027: 400, 2029: 200, 2030: 5}))
    assert await pm.ratios() == {"ct": 40, "pt": 1}


async def test_a_person_reads_any_register_by_name_or_with_a_type_of_their_own() -> None:
    bus = FakeBus({0x48: 0x449A, 0x49: 0x5225, 0x4A: 1, 0x4B: 2})
    one = meter("eastron-sdm630", bus)
    values, answer = await one.read_item("0x0048")
    assert [(v.name, v.value, v.unit, v.item) for v in values] == [("import", Decimal("1234.567"), "kWh", "0x0048")]
    assert answer.request[:2] == bytes([12, 4])
    for item, value in (("74:u32", 65538), ("0x004A:u32:little", 131073), ("0x4B", 2)):
        ((found,), _) = await one.read_item(item)
        assert found.value == value
    for item in ("00010000x", "", "0x48:u33", "0x48:f32:middle", "0xFFFF:u32"):
        await fails_with(Unexpected, one.read_item(item))


async def test_faults_of_the_line_are_handed_on() -> None:
    bus = FakeBus(ACREL)
    bus.fault = lambda start, count: Garbled("noise")
    await fails_with(Garbled, meter("acrel-dtsd1352", bus).look())


def test_a_model_without_the_wanted_register_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"chint-ddsu666.*import"):
        meter("chint-ddsu666", FakeBus({}))
    with pytest.raises(ValueError, match="total"):
        meter("acrel-dtsd1352", FakeBus({}), frozenset({"total"}))


@pytest.mark.parametrize(
    ("char_s", "min_gap_ms", "quiet_s"),
    [
        (10 / 9600, 0, 0.003645833),
        (11 / 2400, 0, 0.016041667),
        (10 / 19200, 0, 0.001822917),
        (10 / 38400, 0, 0.00175),
        (10 / 115200, 0, 0.00175),
        (10 / 9600, 500, 0.5),
    ],
)
def test_the_silence_before_a_request(char_s: float, min_gap_ms: int, quiet_s: float) -> None:
    assert quiet_before_s(char_s, min_gap_ms) == pytest.approx(quiet_s, abs=1e-8)
