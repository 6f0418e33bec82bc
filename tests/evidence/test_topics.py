"""Each record's topic, and what a tenant may read."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from evidence_log import Day, slot_text

from contract import records, topics
from contract.records import Decimal

LOG = Day(12).build()
HEAD, _ = records.decode(LOG.records[0])


def topic_of(kind: str, **wanted: Any) -> str:
    head, body = records.decode(LOG.records[LOG.find(kind, **wanted)])
    return topics.topic(head, body, interval_s=900)


def balance(to: int) -> str:
    flow = records.Flow(*[Decimal(0)] * 6)
    body = records.Balance(slot_text(0), slot_text(to), {"flat": flow}, None, Decimal(0), "measured")
    return topics.topic(HEAD, body, interval_s=900)


def event(scope: records.Scope, id_: str) -> str:
    return topics.topic(HEAD, records.Event(scope, id_, "clock_step", None, None, {}), interval_s=900)


def test_records_go_where_the_contract_says() -> None:
    assert topic_of("interval", tenant="acme") == "hubiao/v1/xihu-01/tenant/acme/interval"
    assert topic_of("interval", point="p-2") == "hubiao/v1/xihu-01/point/p-2/interval"
    assert topic_of("interval", point="p-0") == "hubiao/v1/xihu-01/point/p-0/interval"
    assert topic_of("reading", meter="m-1") == "hubiao/v1/xihu-01/meter/m-1/reading"
    assert topic_of("boot") == "hubiao/v1/xihu-01/gateway/gw-1/boot"
    assert topic_of("config") == "hubiao/v1/xihu-01/gateway/gw-1/config"
    assert topic_of("anchor") == "hubiao/v1/xihu-01/gateway/gw-1/anchor"
    gap = records.Gap("m-1", slot_text(0), slot_text(0), "timeout")
    assert topics.topic(HEAD, gap, interval_s=900) == "hubiao/v1/xihu-01/meter/m-1/gap"


def test_days_and_statements_stand_beside_intervals() -> None:
    log = Day().build()
    _, body = records.decode(log.records[log.find("day", tenant="bolt")])
    assert isinstance(body, records.Day)
    assert topics.topic(HEAD, body, interval_s=900) == "hubiao/v1/xihu-01/tenant/bolt/day"
    statement = records.Statement(**{item.name: getattr(body, item.name) for item in fields(body)})
    assert topics.topic(HEAD, statement, interval_s=900) == "hubiao/v1/xihu-01/tenant/bolt/statement"
    vacant = replace(body, tenant=None, point="p-4")
    assert topics.topic(HEAD, vacant, interval_s=900) == "hubiao/v1/xihu-01/point/p-4/day"


def test_a_balance_goes_by_its_bounds() -> None:
    assert balance(1) == "hubiao/v1/xihu-01/balance/interval"
    assert balance(96) == "hubiao/v1/xihu-01/balance/day"
    assert balance(96 * 31) == "hubiao/v1/xihu-01/balance/statement"


def test_only_meters_have_event_topics_of_their_own() -> None:
    assert event("meter", "m-1") == "hubiao/v1/xihu-01/meter/m-1/event"
    for scope, id_ in (("line", "east"), ("gateway", "gw-1"), ("point", "p-1")):
        assert event(scope, id_) == "hubiao/v1/xihu-01/gateway/gw-1/event"


def test_messages_that_are_no_records_stand_under_the_gateway() -> None:
    names = [name("xihu-01", "gw-1") for name in (topics.checkpoint, topics.hashes, topics.status, topics.live)]
    assert [name.rsplit("/", 1)[1] for name in names] == ["checkpoint", "hashes", "status", "live"]
    assert all(name.startswith("hubiao/v1/xihu-01/gateway/gw-1/") for name in names)


def test_a_slash_in_an_auditors_name_becomes_an_underscore() -> None:
    topic = topics.receipt("xihu-01", "gw-1", "audit.example/zj-1")
    assert topic == "hubiao/v1/xihu-01/gateway/gw-1/receipt/audit.example_zj-1"
    assert topics.receipt_filter("xihu-01", "gw-1") == "hubiao/v1/xihu-01/gateway/gw-1/receipt/+"


@pytest.mark.parametrize("name", ["", "a+b", "a#", "a\0b"])
def test_an_auditors_name_that_no_topic_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        topics.receipt("xihu-01", "gw-1", name)


def test_a_tenant_reads_its_own_records_checkpoints_and_hashes_and_nothing_else() -> None:
    assert topics.tenant_filters("xihu-01", "acme") == [
        "hubiao/v1/xihu-01/tenant/acme/#",
        "hubiao/v1/xihu-01/gateway/+/checkpoint",
        "hubiao/v1/xihu-01/gateway/+/hashes",
    ]
