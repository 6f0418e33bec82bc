"""Every shipped model parses and says what is known and from where; a model that could bill wrongly is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from config.meter_models import SHIPPED, ModelFileError, load_models, read_model
from contract.acceptance import evidence_of
from drivers.modbus.model import EVIDENCE, ModelError, parse
from drivers.modbus.plan import Block

MODELS = load_models()
MODBUS = sorted(name for name, file in MODELS.items() if file.data["protocol"] == "modbus")
TEXT = """
id: some-meter
protocol: modbus
maker: {zh: 某厂, en: somebody}
name: {zh: 表, en: meter}
function: 3
addresses: wire
values: primary
sources: {A: a manual}
registers:
  import: {address: 0x000A, type: u32, scale: 0.01, unit: kWh, settle: true, source: A, evidence: one-source}
  import_t1: {address: 0x000C, type: u32, scale: 0.01, unit: kWh, settle: true, source: A, evidence: one-source}
  import_t2: {address: 0x000E, type: u32, scale: 0.01, unit: kWh, settle: true, source: A, evidence: one-source}
"""


def changed(old: str, new: str) -> dict[str, Any]:
    assert old in TEXT
    return read_model(TEXT.replace(old, new, 1))


@pytest.mark.parametrize("name", MODBUS)
def test_every_shipped_model_parses_and_names_source_and_evidence_of_each_register(name: str) -> None:
    model = parse(MODELS[name].data)
    assert name in (model.id, *model.also)
    for register in model.listed:
        assert register.evidence in EVIDENCE
        assert register.source
        assert all(model.sources[letter] for letter in register.source.split())
        assert not (register.evidence == "agreed" and len(register.source.split()) < 2 and "S" not in register.source)
    for register in model.settlement.values():
        assert model.may_read(register.block), register.name


@pytest.mark.parametrize("name", MODBUS)
def test_no_shipped_model_settles_on_a_register_that_a_trap_is_known_of(name: str) -> None:
    model = parse(MODELS[name].data)
    traps = {("eastron", 0x0156), ("eastron", 0x0180), ("eastron", 0x0184), ("acrel-dtsd", 0), ("hiking", 0)}
    traps |= {("chint-ddsu", 0x4000), ("schneider", 0xB033), ("circutor", 0x30), ("orno-we516", 0x0100)}
    traps |= {("bg-ds100", 0x118A), ("orno-we514", 0xA000), ("orno-we504", 7), ("bernecker", 0), ("taxnele", 0x34)}
    for register in model.settlement.values():
        assert not any(model.id.startswith(maker) and register.address == address for maker, address in traps)


@pytest.mark.parametrize(
    ("name", "register", "address", "type_", "scale"),
    [
        ("eastron-sdm630", "import", 0x0048, "f32", "1"),
        ("eastron-sdm230", "import", 0x0048, "f32", "1"),
        ("acrel-dtsd1352", "import", 0x000A, "u32", "0.01"),
        ("acrel-dtsd1352", "import_t4", 0x0012, "u32", "0.01"),
        ("chint-dtsu666", "import", 0x101E, "f32", "1"),
        ("schneider-iem3155", "import", 0x0C83, "i64", "1"),  # 3204 in the manual, which counts from 1
        ("schneider-iem3155", "import_t1", 0xB03F, "f32", "1"),
        ("abb-b23", "import", 0x5000, "u64", "0.01"),
        ("carlo-gavazzi-em340", "import", 0x34, "i32", "0.1"),
        ("janitza-umg96rm", "import", 19068, "f32", "1"),
        ("hiking-dds238", "import", 0x000A, "u32", "0.01"),
        ("carlo-gavazzi-em24", "import", 0x42, "i32", "0.1"),
        ("janitza-umg604", "export", 9863, "f32", "1"),
        ("finder-7m38", "import", 2752, "f32", "1"),
        ("bg-ds100", "import", 0x010E, "u32", "0.01"),
        ("bernecker-mpm3pm", "export", 0x0004, "u32", "0.01"),
        ("eltako-dsz15", "import", 0x0048, "u32", "0.01"),
        ("taxnele-dtsd422", "import", 0x002A, "u32", "0.01"),
    ],
)
def test_billed_registers_stand_where_the_sources_say(
    name: str, register: str, address: int, type_: str, scale: str
) -> None:
    found = parse(MODELS[name].data).registers[register]
    assert (found.address, found.form.type, str(found.form.scale)) == (address, type_, scale)


def test_a_model_is_as_well_known_as_its_import_register() -> None:
    assert evidence_of(MODELS["acrel-dtsd1352"].data) == "agreed"
    assert evidence_of(MODELS["siemens-pac2200"].data) == "one-source"
    assert evidence_of(read_model(TEXT)) == "one-source"


def test_dlt645_models_have_forward_energy_and_unknown_formats_stay_data() -> None:
    assert MODELS["dlt645-2007"].data["registers"]["import"]["di"] == "00010000"
    assert MODELS["dlt645-1997"].data["registers"]["import"]["di"] == "9010"
    assert MODELS["dlt645-1997"].data["items"]["B61"]["decimals"] == "0"
    assert MODELS["wasion-1997"].data["line"] == {"baud": "1200", "framing": "8E1"}


@pytest.mark.parametrize(
    "brand", ["holley", "hexing", "jonhua", "sanxing", "wasion", "chint-dtsu666", "delixi", "linyang", "acrel-dtsd1352"]
)
def test_the_brands_of_chinese_parks_are_found_by_name(brand: str) -> None:
    assert MODELS[f"{brand}-2007"].data == MODELS["dlt645-2007"].data


@pytest.mark.parametrize("nature", ["resettable", "combined", "clear-on-read"])
def test_a_register_that_can_be_reset_or_adds_directions_is_refused_as_settlement(nature: str) -> None:
    with pytest.raises(ModelError, match=rf"registers\.import\.settle: .*{nature}"):
        parse(changed("settle: true", f"settle: {nature}"))
    with pytest.raises(ModelError, match=r"registers\.import\.settle"):
        parse(changed("settle: true", f"settle: [true, {nature}]"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: u32", "type: u33", r"registers\.import\.type: 'u33'"),
        ("0x000A", "zehn", r"registers\.import\.address"),
        ("0x000A", "0xFFFF", r"registers\.import\.address"),
        ("unit: kWh", "unit: kvarh", r"registers\.import\.settle"),
        ("unit: kWh", "unit: kwh", r"registers\.import\.unit"),
        ("source: A", "source: B", r"registers\.import\.source: B"),
        ("source: A, ", "", r"registers\.import\.source"),
        (", evidence: one-source", "", r"registers\.import\.evidence"),
        ("scale: 0.01", "scale: '0,01'", r"registers\.import\.scale"),
        ("scale: 0.01", "scale: 0", r"registers\.import\.scale"),
        ("scale: 0.01", "skale: 0.01", r"registers\.import\.skale: unknown key, did you mean scale"),
        ("settle: true, ", "", r"registers\.import\.settle"),
        ("  import_t2:", "  import_t64:", r"registers\.import_t64\.settle"),
        ("function: 3", "function: 6", r"function: '6'"),
        ("addresses: wire\n", "", r"addresses: missing"),
        ("values: primary", "values: both", r"values: 'both'"),
        ("protocol: modbus", "protocol: knx", r"protocol"),
        ("maker: {zh: 某厂, en: somebody}", "maker: {zh: 某厂}", r"maker\.en"),
        ("values: primary", "values: primary\nfoo: 1", r"foo: unknown key"),
        (
            "values: primary",
            "values: primary\nsum_check: {total: import, parts: [import_t1, total]}",
            r"sum_check: total",
        ),
        ("values: primary", "values: primary\nmax_registers: 126", r"max_registers: 126"),
    ],
)
def test_a_wrong_key_is_named(old: str, new: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse(changed(old, new))


def test_the_author_says_from_where_addresses_count() -> None:
    assert parse(changed("addresses: wire", "addresses: manual-1")).registers["import"].address == 9


def test_registers_that_the_model_does_not_list_are_not_touched() -> None:
    model = parse(changed("address: 0x000E", "address: 0x0010"))
    assert model.may_read(Block(0x0A, 4))
    assert not model.may_read(Block(0x0A, 8))  # 0x000E and 0x000F are nobody's
    assert parse(read_model(TEXT.replace("0x000E", "0x0010") + "max_gap: 2\n")).may_read(Block(0x0A, 8))
    assert not parse(read_model(TEXT + "holes: [[0x000C, 0x000C]]\n")).may_read(Block(0x0A, 4))


def test_a_register_that_clears_when_read_is_never_read_along() -> None:
    cleared = "  counter: {address: 0x0010, type: u16, settle: clear-on-read, source: A, evidence: one-source}\n"
    behind = "  export: {address: 0x0011, type: u32, unit: kWh, settle: true, source: A, evidence: one-source}\n"
    model = parse(read_model(TEXT + cleared + behind))
    assert not model.may_read(Block(0x0A, 9))
    assert model.may_read(Block(0x11, 2))


def test_the_hash_is_of_the_text_as_it_is_and_reading_the_text_gives_the_data() -> None:
    file = MODELS["acrel-dtsd1352"]
    assert file.sha256 == hashlib.sha256(file.text.encode()).hexdigest()
    assert read_model(file.text) == file.data
    assert MODELS["acrel-adl3000"] == file


def test_shipped_models_are_found_under_the_ids_that_their_files_say_and_nothing_else() -> None:
    said = [name for path in SHIPPED.glob("*.yaml") for name in ids(read_model(path.read_text(encoding="utf-8")))]
    assert sorted(MODELS) == sorted(said)
    assert len(said) == len(set(said))


def ids(data: dict[str, Any]) -> list[str]:
    return [data["id"], *data.get("also", [])]


def test_a_sites_own_model_replaces_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT.replace("some-meter", "chint-ddsu666"), encoding="utf-8")
    assert parse(load_models(tmp_path)["chint-ddsu666"].data).settlement.keys() >= {"import"}


@pytest.mark.parametrize("text", ["id: [", "", "- a", "id: a\nid: b\n", "maker: x\n"])
def test_a_file_that_is_no_model_is_an_error_naming_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelFileError, match=r"bad\.yaml"):
        load_models(tmp_path)


def test_scalars_stay_text() -> None:
    assert read_model("a: no\nb: 0x10\nc: 1.10\nd: 12:30\n") == {"a": "no", "b": "0x10", "c": "1.10", "d": "12:30"}
