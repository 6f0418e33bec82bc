"""What `gateway/{gateway}/live` carries for screens: the latest look at each meter, never billed (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from agent.ledger.metered import Metered
from contract.records import canonical, instant, plain


def latest_values(meters: Iterable[Metered], now_ms: int) -> bytes:
    """{"at", "meters": {id: {"read_at", "registers"}}}; a meter that did not answer yet is not there.

    read_at is null where no clock was to be trusted.
    """
    seen = {metered.id: metered.latest for metered in meters}
    shown = {
        meter: {
            "read_at": None if look.clock == "none" else instant(look.wall_ms),
            "registers": {name: plain(value) for name, value in look.registers.items()},
        }
        for meter, look in seen.items()
        if look is not None
    }
    return canonical({"at": instant(now_ms), "meters": shown})
