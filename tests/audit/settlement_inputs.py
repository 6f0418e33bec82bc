"""Small parks to settle: a case that is green, to be changed in one thing."""

from __future__ import annotations

from typing import Any


def point(name: str, kwh: str | dict[str, str], role: str = "tenant", **more: Any) -> dict[str, Any]:
    return {"id": name, "role": role, "kwh": kwh if isinstance(kwh, dict) else {"flat": kwh}, **more}


def charge(tenant: str, yuan: str, *fees: dict[str, Any]) -> dict[str, Any]:
    return {"tenant": tenant, "electricity_yuan": yuan, "extra_fees": list(fees)}


def park(**changes: Any) -> dict[str, Any]:
    """Two tenants of 400 and 600 kWh on a bill of 1000.00 yuan, charged as allowed: green."""
    return {
        "master_feeds": [{"id": "M1", "import_kwh": {"flat": "1000.00"}}],
        "points": [point("T1", "400.00"), point("T2", "600.00")],
        "bill_items": [{"code": "energy", "period": "flat", "yuan": "1000.00"}],
        "policy": {"common": "shared"},
        "charges": [charge("T1", "400.00"), charge("T2", "600.00")],
        **changes,
    }


def row(result: dict[str, Any], tenant: str) -> dict[str, Any]:
    return next(row for row in result["tenants"] if row["tenant"] == tenant)
