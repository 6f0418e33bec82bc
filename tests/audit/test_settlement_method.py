"""The method step by step, and every reason code, on small parks computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from settlement_inputs import charge, park, point, row

from audit.cases import read_inputs
from audit.markup import REASONS
from audit.settle import loss_shares, settle

FEE = {"label": "用电服务费", "yuan": "5.00", "in_electricity_bill": True}

VERDICTS: list[tuple[str, dict[str, Any], dict[str, str] | None, str, list[str], tuple[str, str]]] = [
    # what, changes to the green park, config, park colour, park reasons, T1's colour and reason
    ("nothing", {}, None, "green", ["OK"], ("green", "OK")),
    ("fee", {"charges": [charge("T1", "390.00", FEE)]}, None, "red", ["EXTRA_FEE"], ("red", "EXTRA_FEE")),
    (
        "fee and literal",
        {"charges": [charge("T1", "1200.00", FEE)]},
        None,
        "red",
        ["EXTRA_FEE", "CAP_EXCEEDED_LITERAL"],
        ("red", "EXTRA_FEE"),
    ),
    (
        "a fee of nothing is no fee",
        {"charges": [charge("T1", "400.00", {**FEE, "yuan": "0.00"}), charge("T2", "600.00")]},
        None,
        "green",
        ["OK"],
        ("green", "OK"),
    ),
    (
        "literal",
        {"charges": [charge("T1", "401.01"), charge("T2", "600.00")]},
        None,
        "red",
        ["CAP_EXCEEDED_LITERAL"],
        ("yellow", "TENANT_OVER"),
    ),
    (
        "exactly the tolerance",
        {"charges": [charge("T1", "401.00"), charge("T2", "600.00")]},
        None,
        "green",
        ["OK"],
        ("green", "OK"),
    ),
    (
        "tenant over by exactly the ratio",
        {"charges": [charge("T1", "420.00"), charge("T2", "580.00")]},
        None,
        "yellow",
        ["TENANT_OVER"],
        ("yellow", "TENANT_OVER"),
    ),
    (
        "tenant over by more than the ratio",
        {"charges": [charge("T1", "420.01"), charge("T2", "579.99")]},
        None,
        "yellow",
        ["TENANT_OVER"],
        ("red", "TENANT_OVER"),
    ),
    (
        "another ratio",
        {"charges": [charge("T1", "420.01"), charge("T2", "579.99")]},
        {"yellow_max_ratio": "0.06"},
        "yellow",
        ["TENANT_OVER"],
        ("yellow", "TENANT_OVER"),
    ),
    (
        "cap, the operator's part charged to tenants, yellow",
        {"points": [point("T1", "500.00"), point("O1", "500.00", "operator")], "charges": [charge("T1", "520.00")]},
        None,
        "yellow",
        ["CAP_EXCEEDED"],
        ("yellow", "TENANT_OVER"),
    ),
    (
        "cap, red",
        {"points": [point("T1", "500.00"), point("O1", "500.00", "operator")], "charges": [charge("T1", "900.00")]},
        None,
        "red",
        ["CAP_EXCEEDED"],
        ("red", "TENANT_OVER"),
    ),
    (
        "loss exactly at the limit",
        {"points": [point("T1", "250.00"), point("T2", "600.00")]},
        None,
        "yellow",
        ["TENANT_OVER"],
        ("red", "TENANT_OVER"),
    ),
    (
        "loss beyond the limit",
        {"points": [point("T1", "249.99"), point("T2", "600.00")]},
        None,
        "grey",
        ["BALANCE_IMPLAUSIBLE"],
        ("red", "TENANT_OVER"),
    ),
    (
        "sub-meters exceed the master",
        {"points": [point("T1", "406.00"), point("T2", "600.00")]},
        None,
        "grey",
        ["BALANCE_IMPLAUSIBLE"],
        ("green", "OK"),
    ),
    (
        "estimated at exactly the limit",
        {"points": [point("T1", "400.00", estimated_kwh="40.00"), point("T2", "600.00")]},
        None,
        "green",
        ["OK"],
        ("green", "OK"),
    ),
    (
        "a tenant estimated, the park not",
        {"points": [point("T1", "400.00", estimated_kwh="40.01"), point("T2", "600.00")]},
        None,
        "yellow",
        ["TENANT_GREY"],
        ("grey", "ESTIMATED_TOO_MUCH"),
    ),
    (
        "estimated and over are listed together",
        {
            "points": [point("T1", "400.00", estimated_kwh="80.00"), point("T2", "600.00")],
            "charges": [charge("T1", "390.00"), charge("T2", "602.00")],
        },
        None,
        "yellow",
        ["TENANT_OVER", "TENANT_GREY"],
        ("grey", "ESTIMATED_TOO_MUCH"),
    ),
    (
        "park estimated and out of balance",
        {"points": [point("T1", "406.00", estimated_kwh="406.00"), point("T2", "600.00")]},
        None,
        "grey",
        ["BALANCE_IMPLAUSIBLE", "ESTIMATED_TOO_MUCH"],
        ("grey", "ESTIMATED_TOO_MUCH"),
    ),
    ("no bill", {"bill_items": []}, None, "grey", ["BILL_MISSING"], ("grey", "BILL_MISSING")),
    ("no master", {"master_feeds": []}, None, "grey", ["MASTER_MISSING"], ("green", "OK")),
    (
        "one of two feeds not read",
        {"master_feeds": [{"id": "M1", "import_kwh": {"flat": "1000"}}, {"id": "M2", "import_kwh": None}]},
        None,
        "grey",
        ["MASTER_MISSING"],
        ("green", "OK"),
    ),
    (
        "no master where the common part needs it",
        {"master_feeds": [], "policy": {"common": "recovered_elsewhere"}},
        None,
        "grey",
        ["MASTER_MISSING"],
        ("grey", "MASTER_MISSING"),
    ),
    (
        "no meter at all",
        {"points": [], "master_feeds": []},
        None,
        "grey",
        ["MASTER_MISSING", "POINTS_MISSING"],
        ("grey", "POINTS_MISSING"),
    ),
    (
        "no meter at all, and the documents already tell",
        {"points": [], "master_feeds": [], "charges": [charge("T1", "1001.01")]},
        None,
        "red",
        ["CAP_EXCEEDED_LITERAL"],
        ("grey", "POINTS_MISSING"),
    ),
]


@pytest.mark.parametrize(
    ("changes", "config", "colour", "reasons", "first"),
    [verdict[1:] for verdict in VERDICTS],
    ids=[verdict[0] for verdict in VERDICTS],
)
def test_the_colours_follow_the_table(
    changes: dict[str, Any], config: dict[str, str] | None, colour: str, reasons: list[str], first: tuple[str, str]
) -> None:
    result = settle(park(**changes), config)
    assert (result["park_colour"], result["park_reasons"]) == (colour, reasons)
    assert (row(result, "T1")["colour"], row(result, "T1")["reason"]) == first


OF_THE_METHOD = {
    *("OK", "EXTRA_FEE", "CAP_EXCEEDED_LITERAL", "CAP_EXCEEDED", "TENANT_OVER", "TENANT_GREY"),
    *("ESTIMATED_TOO_MUCH", "BALANCE_IMPLAUSIBLE", "BILL_MISSING", "MASTER_MISSING", "POINTS_MISSING"),
}


def test_every_reason_code_of_the_method_has_a_case_above() -> None:
    assert {code for verdict in VERDICTS for code in verdict[4]} == OF_THE_METHOD
    assert set(REASONS) > OF_THE_METHOD  # the others are the report's own, see test_report


def test_segments_add_up_over_a_meter_change_a_rollover_and_a_new_ratio() -> None:
    segments = [
        {"start": "9990.00", "end": "10.00", "multiplier": "10", "rollover": True, "modulus": "10000"},  # 200.00
        {"start": "0.000", "end": "1.1115", "multiplier": "100"},  # 111.15
        {"start": "0", "end": "0.00005", "multiplier": "100"},  # 0.005 → 0.01
        {"start": "5", "end": "93.84", "multiplier": 1, "period": "peak", "quality": "estimated"},
    ]
    result = settle(park(points=[{"id": "T1", "role": "tenant", "segments": segments}, point("T2", "600.00")]))
    assert row(result, "T1")["energy_kwh"] == "400.00"
    assert row(result, "T1")["estimated_ratio"] == "0.2221"
    assert result["loss_kwh"] == {"peak": "-88.84", "flat": "88.84"}


def test_segments_may_stand_in_a_list_of_their_own() -> None:
    segments = [{"point": "T1", "start": "0", "end": "10", "multiplier": "40"}]
    result = settle(park(points=[{"id": "T1", "role": "tenant"}, point("T2", "600.00")], segments=segments))
    assert row(result, "T1")["energy_kwh"] == "400.00"


@pytest.mark.parametrize("digits", [{"register_digits": 6}, {"digits": "6"}])
def test_rollover_by_the_number_of_digits(digits: dict[str, Any]) -> None:
    segment = {"start": "999900", "end": "300", "rollover": True, **digits}
    result = settle(park(points=[{"id": "T1", "role": "tenant", "segments": [segment]}, point("T2", "600.00")]))
    assert row(result, "T1")["energy_kwh"] == "400.00"


@pytest.mark.parametrize(
    "shares", [{"T1": "0.5", "T2": "0.3", "O1": "0.2"}, [{"tenant": n, "share": s} for n, s in
                                                         (("T1", "0.5"), ("T2", "0.3"), ("O1", "0.2"))]]
)  # fmt: skip
def test_a_shared_meter_is_split_period_by_period_in_cents_of_kwh(shares: Any) -> None:
    points = [point("T1", "300.00"), point("T2", "400.00"), point("O1", "100.00", "operator")]
    meter = {"id": "S1", "kwh": {"flat": "100.01", "peak": "0.01"}, "shares": shares}
    result = settle(park(points=points, shared_meters=[meter]))
    # flat: 50.005, 30.003, 20.002 → the cent left goes to T1; peak: 0.005, 0.003, 0.002 → T1
    assert row(result, "T1")["energy_kwh"] == "350.02"
    assert row(result, "T2")["energy_kwh"] == "430.00"
    assert result["points_total_kwh"] == "900.02"
    assert {r["tenant"] for r in result["tenants"]} == {"T1", "T2"}


def test_a_shared_meter_may_be_all_that_a_tenant_has() -> None:
    meter = {"id": "S1", "kwh": {"flat": "1000.00"}, "shares": {"T1": "0.4", "T2": "0.6"}}
    result = settle(park(points=[], shared_meters=[meter]))
    assert result["park_reasons"] == ["OK"]


def test_generation_counts_as_available_and_export_is_taken_off() -> None:
    result = settle(
        park(
            points=[point("T1", "700.00"), point("T2", "600.00")],
            pv={"generation": {"flat": "500.00"}, "export": {"flat": "180.00"}},
            charges=[charge("T1", "700.00"), charge("T2", "600.00")],  # the grid's price on all kWh
        )
    )
    assert result["available_kwh"] == {"flat": "1320.00"}
    assert result["grid_import_total_kwh"] == "1000.00"
    assert result["loss_total_kwh"] == "20.00"
    assert result["average_price_paid"] == "1.0000"
    assert result["park_reasons"] == ["CAP_EXCEEDED_LITERAL"]


def test_feeds_are_summed_and_one_that_is_only_read_is_named() -> None:
    feeds = [{"id": "M1", "import_kwh": {"flat": "700.00"}}, {"id": "M2", "read_kwh": {"flat": "300.00"}}]
    result = settle(park(master_feeds=feeds))
    assert (result["available_total_kwh"], result["master_energy"]) == ("1000.00", "read")
    assert "master_energy" not in settle(park())


def test_a_penalty_is_in_the_bill_and_not_in_the_cap_and_refunds_lower_it() -> None:
    items = [
        {"code": "energy", "period": "flat", "yuan": "1000.00"},
        {"code": "late_penalty", "yuan": "50.00", "passable": False},
        {"code": "correction", "yuan": "-100.00"},
    ]
    result = settle(park(bill_items=items))
    assert (result["bill_total_yuan"], result["bill_passable_yuan"]) == ("950.00", "900.00")
    assert [r["allowed_yuan"] for r in result["tenants"]] == ["360.00", "540.00"]


def test_a_bill_below_zero_is_shared_to_the_cent_and_any_charge_is_red() -> None:
    points = [point("T1", "100.00"), point("T2", "100.00"), point("T3", "100.00")]
    feeds = [{"id": "M1", "import_kwh": {"flat": "300.00"}}]
    items = [{"code": "correction", "yuan": "-1.00"}]
    result = settle(park(points=points, master_feeds=feeds, bill_items=items, charges=[charge("T1", "1.00")]))
    assert [r["allowed_yuan"] for r in result["tenants"]] == ["-0.33", "-0.33", "-0.34"]
    assert (row(result, "T1")["colour"], row(result, "T1")["reason"]) == ("red", "TENANT_OVER")


def test_a_pool_of_a_period_nobody_used_joins_the_fixed_pool() -> None:
    items = [
        {"code": "energy", "period": "flat", "yuan": "900.00"},
        {"code": "energy", "period": "deep_valley", "yuan": "100.00"},
    ]
    result = settle(park(bill_items=items))
    assert [r["allowed_yuan"] for r in result["tenants"]] == ["400.00", "600.00"]
    assert result["available_kwh"] == {"flat": "1000.00"}


def test_a_tenant_without_energy_has_no_price_and_the_shares_still_add_up() -> None:
    result = settle(park(points=[point("T1", "0.00"), point("T2", "1000.00")], charges=[charge("T2", "1000.00")]))
    idle = row(result, "T1")
    assert (idle["allowed_yuan"], idle["average_price_charged"], idle["average_price_allowed"]) == ("0.00", None, None)
    assert (idle["estimated_ratio"], idle["colour"]) == ("0.0000", "green")
    assert result["allowed_max_tenants_yuan"] == "1000.00"


def test_where_nobody_used_anything_nobody_may_be_charged() -> None:
    feeds = [{"id": "M1", "import_kwh": {"flat": "0.00"}}]
    items = [{"code": "capacity", "yuan": "300.00"}]
    points = [point("T1", "0.00"), point("T2", "0.00")]
    result = settle(park(points=points, master_feeds=feeds, bill_items=items, charges=[]))
    assert result["common_share_not_chargeable_yuan"] == "300.00"
    assert result["allowed_max_tenants_yuan"] == "0.00"
    assert (result["loss_rate"], result["average_price_paid"], result["park_colour"]) == ("0.0000", None, "green")


def test_energy_out_of_nothing_has_no_loss_rate_and_is_implausible() -> None:
    result = settle(park(master_feeds=[{"id": "M1", "import_kwh": {"flat": "0.00"}}]))
    assert (result["loss_rate"], result["park_reasons"]) == (None, ["BALANCE_IMPLAUSIBLE"])


def test_one_tenant_alone_bears_all() -> None:
    result = settle(park(points=[point("T1", "1000.00")], charges=[charge("T1", "1000.00")]))
    assert row(result, "T1")["allowed_yuan"] == "1000.00"


def test_several_points_of_a_tenant_have_one_allowed_amount() -> None:
    points = [point("a", "200.00", tenant="T1"), point("T2", "600.00"), point("b", "200.00", tenant="T1")]
    result = settle(park(points=points))
    assert [(r["tenant"], r["energy_kwh"], r["allowed_yuan"]) for r in result["tenants"]] == [
        ("T1", "400.00", "400.00"),
        ("T2", "600.00", "600.00"),
    ]


def test_a_charge_without_a_point_is_listed_and_counts() -> None:
    result = settle(park(charges=[charge("T1", "400.00"), charge("T2", "600.00"), charge("T9", "3.00")]))
    assert (row(result, "T9")["colour"], result["charged_tenants_yuan"]) == ("red", "1003.00")
    assert result["park_reasons"] == ["CAP_EXCEEDED_LITERAL"]


def test_several_charges_of_a_tenant_are_added() -> None:
    result = settle(park(charges=[charge("T1", "150.00"), charge("T1", "250.00"), charge("T2", "600.00")]))
    assert row(result, "T1")["charged_yuan"] == "400.00"


def test_the_operator_bears_its_own_part() -> None:
    points = [point("T1", "400.00"), point("O1", "590.00", "operator")]
    result = settle(park(points=points, charges=[charge("T1", "400.00")]))
    assert (result["operator_share_yuan"], result["allowed_max_tenants_yuan"]) == ("595.96", "404.04")
    assert [r["tenant"] for r in result["tenants"]] == ["T1"]


def test_what_the_operator_enters_for_itself_is_no_charge_to_a_tenant() -> None:
    points = [point("T1", "400.00"), point("O1", "600.00", "operator")]
    inputs = park(points=points, charges=[charge("T1", "400.00"), charge("O1", "900.00")])
    assert settle(inputs)["charged_tenants_yuan"] == "400.00"
    assert read_inputs(inputs).unused == ("inputs.charges[1]",)


def test_common_use_that_the_lease_pays_for_stays_out_of_the_bills() -> None:
    points = [point("T1", "400.00"), point("T2", "500.00"), point("P1", "60.00", "public")]
    result = settle(park(points=points, policy={"common": "recovered_elsewhere"}))
    assert [r["allowed_yuan"] for r in result["tenants"]] == ["400.00", "500.00"]
    assert result["common_share_not_chargeable_yuan"] == "100.00"


def test_points_above_the_available_energy_are_the_divisor() -> None:
    points = [point("T1", "402.00"), point("T2", "602.00")]
    result = settle(park(points=points, policy={"common": "recovered_elsewhere"}))
    assert result["common_share_not_chargeable_yuan"] == "0.00"
    assert result["allowed_max_tenants_yuan"] == "1000.00"


@pytest.mark.parametrize("common", ["shared", "recovered_elsewhere"])
def test_by_energy_needs_no_periods_at_the_sub_meters(common: str) -> None:
    feeds = [{"id": "M1", "import_kwh": {"peak": "400.00", "valley": "600.00"}}]
    items = [
        {"code": "energy", "period": "peak", "yuan": "800.00"},
        {"code": "energy", "period": "valley", "yuan": "200.00"},
    ]
    points = [{"id": "T1", "role": "tenant", "kwh": "400.00"}, point("T2", {"peak": "100", "valley": "500"})]
    policy = {"common": common, "method": "by_energy"}
    result = settle(park(master_feeds=feeds, bill_items=items, points=points, policy=policy))
    assert [r["allowed_yuan"] for r in result["tenants"]] == ["400.00", "600.00"]


def test_the_loss_in_kwh_is_shared_by_energy_and_only_told() -> None:
    inputs = park(points=[point("T1", "100"), point("T2", "100"), point("T3", "100"), point("P1", "699.99", "public")])
    assert loss_shares(inputs) == {"T1": "0.01", "T2": "0.00", "T3": "0.00"}
    assert loss_shares(park(master_feeds=[])) == {}
