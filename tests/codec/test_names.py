"""What values are called: nothing that a meter can tell stays without words, in Chinese or English."""

from __future__ import annotations

import re

import pytest

from agent.cli.read_names import BITS, bits_in_words, in_words
from agent.cli.words import set_language
from drivers.dlt645 import load_record, table_1997, table_2007
from drivers.dlt645.formats import Bits
from drivers.dlt645.identifiers import lookup
from drivers.dlt645.items import Item

MANY = (
    *("0001FF00", "0000FF00", "0009FF01", "0101FF00", "0101FF0C", "0201FF00", "0203FF00", "020A01FF", "040005FF"),
    *("04010000", "04020003", "03110001", "03300001", "03300101", "03300301", "03300401", "03300D01", "03350001"),
    *("0504FF01", "0506FF01", "05061001", "1D00FF01", "901F", "A01F", "B01F", "B61F", "941F", "911F"),
)


def items_of(di: str) -> list[Item]:
    found = lookup(di)
    assert found is not None
    return [item for part in (found, *found.groups) for item in part.items]


@pytest.mark.parametrize("di", MANY)
def test_the_values_of_one_answer_have_different_names_in_both_languages(di: str) -> None:
    names = [item.name for item in items_of(di)]
    for language in ("zh", "en"):
        set_language(language)
        words = [in_words(name, di) for name in names]
        assert len(set(words)) == len(names), words
        assert not [word for word in words if "_" in word]
        if language == "zh":
            assert not [word for word in words if re.fullmatch(r"[a-z_ ]+", word)], words


def test_load_records_say_which_value_is_which() -> None:
    items = [item for number in load_record.CLASSES for item in load_record.CLASSES[number]]
    set_language("zh")
    assert in_words("record_2_import", "06040001") == "记录2 正向有功电能"
    words = [in_words(f"record_1_{item.name}", "06000002") for item in items]
    assert len(set(words)) == len(words)
    assert not [word for word in words if "_" in word or word.startswith("record")]


@pytest.mark.parametrize(
    ("name", "di", "zh", "en"),
    [
        ("import_t2", "0001FF00", "正向有功电能 费率2", "active energy import, tariff 2"),
        ("freeze_import_t1", "05060101", "冻结 正向有功电能 费率1", "frozen, active energy import, tariff 1"),
        ("freeze_at", "05060001", "日冻结:冻结时间(前1次)", "daily freeze: time of freeze (1 back)"),
        (
            "settlement_1_import",
            "00010001",
            "正向有功电能,总(上1结算日)",
            "forward active energy, total (1 settlements back)",
        ),
        (
            "cover_open_before_import",
            "03300D01",
            "开表盖 之前 正向有功电能",
            "meter cover opened, active energy import before",
        ),
        ("status_3", "040005FF", "运行状态字3", "status word 3"),
        ("who_knows", "FFFFFFFF", "who_knows", "who_knows"),
    ],
)
def test_names_are_the_field_s_words(name: str, di: str, zh: str, en: str) -> None:
    set_language("zh")
    assert in_words(name, di) == zh
    set_language("en")
    assert in_words(name, di) == en


def test_every_bit_that_has_a_name_has_words() -> None:
    tables = [*table_2007.SINGLE.values(), *table_1997.SINGLE.values()]
    names = {
        name for found in tables for item in found.items if isinstance(item.format, Bits) for name in item.format.names
    }
    assert names - {""} <= BITS.keys()
    set_language("zh")
    assert bits_in_words("relay_open bit5") == "继电器断开、bit5"
    assert bits_in_words("2026-11-28 13:30") == "2026-11-28 13:30"
    set_language("en")
    assert bits_in_words("relay_open low_voltage") == "relay open, low voltage"
