"""A meter's own tariff registers as a second witness of the periods: which register ran in which period (pure).

    step          kWh   T1   T2   T3   T4   schedule        a day's steps
    08:00–08:15  0.50    ·  0.50   ·    ·   peak       ─▶   T2 peak 2.10, T4 valley 3.05, T3 flat 1.70, T3 peak 0.40 ✗

Only steps count in which one register took everything: where two ran, the meter switched in between. They agree if each
register ran in one period only and each period in one register, whatever the meter calls them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from contract.grid import DAY_S

TARIFF = "import_t"
LEAST_SHARE = Decimal("0.02")  # of a day's energy: less is the skew of a reading at a bound
LEAST_KWH = Decimal("0.05")  # of a pair, in counts of the register: five hundredths


@dataclass(slots=True)
class TariffWitness:
    """One meter's tariff registers through a local day."""

    interval_s: int
    utc_offset_s: int
    differs: bool = False
    _last: tuple[int, Mapping[str, Decimal]] | None = None
    _ran: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # (register, period) → kWh of the register

    def take(self, slot_s: int, registers: Mapping[str, Decimal], period: str | None) -> str | None:
        """A measured reading at a slot; `period`: of the step that ends there, None if nobody knows.

        At the end of a day on which registers and schedule begin to contradict each other: what ran, in words.
        """
        last, self._last = self._last, (slot_s, registers)
        if last is not None and last[0] + self.interval_s == slot_s and period is not None:
            self._count(last[1], registers, period)
        if (slot_s + self.utc_offset_s) % DAY_S:
            return None
        ran, self._ran = self._ran, {}
        return self._judge(ran)

    def _count(self, before: Mapping[str, Decimal], after: Mapping[str, Decimal], period: str) -> None:
        tariffs = [name for name in after if name.startswith(TARIFF) and name in before]
        took = {name: after[name] - before[name] for name in tariffs if after[name] != before[name]}
        if len(took) == 1 and min(took.values()) > 0:
            [(name, kwh)] = took.items()
            pair = "T" + name.removeprefix(TARIFF), period
            self._ran[pair] = self._ran.get(pair, Decimal(0)) + kwh

    def _judge(self, ran: dict[tuple[str, str], Decimal]) -> str | None:
        least = max(LEAST_KWH, LEAST_SHARE * sum(ran.values(), Decimal(0)))
        pairs = {pair: kwh for pair, kwh in ran.items() if kwh >= least}
        if not pairs:
            return None
        agrees = len(pairs) == len({tariff for tariff, _ in pairs}) == len({period for _, period in pairs})
        before, self.differs = self.differs, not agrees
        if agrees or before:
            return None
        return ", ".join(f"{tariff} {period} {kwh}" for (tariff, period), kwh in sorted(pairs.items()))
