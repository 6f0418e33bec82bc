"""Effective configurations of small parks for the simulator's tests."""

from __future__ import annotations

from typing import Any

NOON = 1_783_310_400_000  # 2026-07-06T04:00:00Z, a Monday, 12:00 in the park


def meter(name: str, **changes: Any) -> dict[str, Any]:
    base = {
        "id": name, "line": "east", "protocol": "dlt645-2007", "address": "202208310003", "unit": None,
        "model": "dlt645-2007", "baud": 2400, "framing": "8E1", "serial": None, "ct": None, "pt": None, "digits": 6,
        "max_a": None, "phases": 3, "class": None, "certificate": None, "verified_until": None, "seal": None,
        "room": None,
    }  # fmt: skip
    assert not changes.keys() - base.keys()
    return base | changes


def point(name: str, role: str = "tenant", *, multiplier: str = "1", **changes: Any) -> dict[str, Any]:
    base = {
        "id": name, "role": role, "parent": None, "register": "import", "account": None, "schedule": None,
        "meters": [{"meter": name, "from": None, "to": None, "multiplier": multiplier}],
    }  # fmt: skip
    assert not changes.keys() - base.keys()
    return base | changes


def park(meters: list[dict[str, Any]], points: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    tenancies = [
        {"point": item["id"], "tenant": item["id"], "share": "1", "from": None, "to": None}
        for item in points
        if item["role"] == "tenant"
    ]
    lines = [
        {"id": "east", "port": "/nowhere/east", "baud": 2400, "framing": "8E1", "direction": "auto", "echo": False}
    ]
    base: dict[str, Any] = {
        "settings": {"park": "p", "gateway": "g", "utc_offset": "+08:00", "interval_s": 900},
        "private": {}, "lines": lines, "meters": meters, "points": points, "tenancies": tenancies,
        "schedules": [], "holidays": [], "models": [], "version": "0",
    }  # fmt: skip
    assert not changes.keys() - base.keys()
    return base | changes


def small_park() -> dict[str, Any]:
    """A master, two tenants (one with a nested sub-meter), public lighting, and sun that feeds in on Sundays."""
    meters = [
        meter("m0", address="202208310002", ct="2000/5"),
        meter("m1"),
        meter("m2", address="000000063295", protocol="dlt645-1997", baud=1200),
        meter("m3", address="000000000161"),
        meter("lamp", address="000000000300"),
        meter("sun", address="000000000400"),
    ]
    points = [
        point("m0", "master", multiplier="60"),
        point("m1", multiplier="40"),
        point("m2", multiplier="30"),
        point("m3", parent="m2"),
        point("lamp", "public"),
        point("sun", "pv", register="export", multiplier="40"),
    ]
    return park(meters, points)
