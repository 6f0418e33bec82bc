"""Names of MQTT topics: where each record goes, and what a tenant's account may read. Publishes nothing.

hubiao/v1/{park}/tenant/{tenant}/interval|day|statement
hubiao/v1/{park}/point/{point}/interval|day|statement        what no tenant holds
hubiao/v1/{park}/meter/{meter}/reading|gap|event
hubiao/v1/{park}/balance/interval|day|statement
hubiao/v1/{park}/gateway/{gateway}/boot|config|anchor|event|witness|pruned|checkpoint|hashes|status|live|receipt/{auditor}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.records import Balance, Body, Day, Event, Gap, Head, Interval, Reading, Statement, parse_slot

ROOT = "hubiao/v1"
CONTENT_TYPE = "application/vnd.hubiao.v1+json"
MAX_HASHES = 256  # leaf hashes in one `hashes` message
_DAY_S = 86400


def topic(head: Head, body: Body, *, interval_s: int) -> str:
    """The topic that carries a record.

    interval_s: the step of the grid, which tells a balance over an interval from one over a day or a statement.
    Events of lines and points go where the gateway's go: only meters have an event topic of their own.
    """
    if isinstance(body, (Interval, Day, Statement)):
        if body.tenant is not None:
            return f"{ROOT}/{head.park}/tenant/{body.tenant}/{body.kind}"
        return f"{ROOT}/{head.park}/point/{body.point}/{body.kind}"
    if isinstance(body, (Reading, Gap)):
        return f"{ROOT}/{head.park}/meter/{body.meter}/{body.kind}"
    if isinstance(body, Balance):
        return f"{ROOT}/{head.park}/balance/{_span(body.from_, body.to, interval_s)}"
    if isinstance(body, Event) and body.scope == "meter":
        return f"{ROOT}/{head.park}/meter/{body.id}/event"
    return _gateway(head.park, head.gateway, body.kind)


def topic_of(raw: Mapping[str, Any], *, interval_s: int) -> str:
    """The same from a record's parsed JSON. Raises KeyError for what is no record."""
    park, gateway, kind = raw["park"], raw["gateway"], raw["kind"]
    if kind in ("interval", "day", "statement"):
        holder = f"point/{raw['point']}" if raw["tenant"] is None else f"tenant/{raw['tenant']}"
        return f"{ROOT}/{park}/{holder}/{kind}"
    if kind in ("reading", "gap"):
        return f"{ROOT}/{park}/meter/{raw['meter']}/{kind}"
    if kind == "balance":
        return f"{ROOT}/{park}/balance/{_span(raw['from'], raw['to'], interval_s)}"
    if kind == "event" and raw["scope"] == "meter":
        return f"{ROOT}/{park}/meter/{raw['id']}/event"
    return _gateway(park, gateway, kind)


def checkpoint(park: str, gateway: str) -> str:
    """The newest signed note, retained."""
    return _gateway(park, gateway, "checkpoint")


def hashes(park: str, gateway: str) -> str:
    """Leaf hashes, contiguous, at most MAX_HASHES a message."""
    return _gateway(park, gateway, "hashes")


def status(park: str, gateway: str) -> str:
    """Online, offline or stopping, retained, and the will: a hint, never evidence."""
    return _gateway(park, gateway, "status")


def live(park: str, gateway: str) -> str:
    """Latest values for screens; never billed."""
    return _gateway(park, gateway, "live")


def receipt(park: str, gateway: str, auditor: str) -> str:
    """Where an auditor leaves its cosigned checkpoint. Raises ValueError for a name that no topic can hold."""
    if not auditor or any(c in auditor for c in "+#\0"):
        raise ValueError(f"{auditor!r} cannot stand in a topic")
    return _gateway(park, gateway, "receipt/" + auditor.replace("/", "_"))


def receipt_filter(park: str, gateway: str) -> str:
    """The only subscription of the agent."""
    return _gateway(park, gateway, "receipt/+")


def tenant_filters(park: str, tenant: str) -> list[str]:
    """What a tenant's account may read, and nothing else: for the broker's access list."""
    return [
        f"{ROOT}/{park}/tenant/{tenant}/#",
        f"{ROOT}/{park}/gateway/+/checkpoint",
        f"{ROOT}/{park}/gateway/+/hashes",
    ]


def _gateway(park: str, gateway: str, last: str) -> str:
    return f"{ROOT}/{park}/gateway/{gateway}/{last}"


def _span(from_: str, to: str, interval_s: int) -> str:
    length_s = parse_slot(to) - parse_slot(from_)
    if length_s == interval_s:
        return "interval"
    return "day" if length_s == _DAY_S else "statement"
