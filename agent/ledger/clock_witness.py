"""The meters' clocks as witness of ours: many that move together did not move, we did (pure).

    meter clock − ours, then and now    m-1 +3 → −57    m-2 −1 → −61    m-3 +12 → −48 …   ─▶ ours moved by a minute
                                        m-1 +3 → +3     m-2 −1 → −601                     ─▶ m-2 was set: its own event

Source: reference/reliability.md §5, rule 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FEWEST = 5  # meters that must agree
MOVED_S = 30  # further than meters drift between two looks, which are a day apart
ALIKE_S = 10  # how far apart the moves of clocks may be that stood still against each other


@dataclass(slots=True)
class ClockWitness:
    """What each meter's clock did against ours since it was looked at before; the newest looks last."""

    _moves: dict[str, int] = field(default_factory=dict)

    def take(self, meter: str, moved_s: int) -> int | None:
        """Takes how far a meter's clock moved against ours, in seconds.

        When the newest looks show that ours moved: by how much the meters seem to have.
        """
        self._moves.pop(meter, None)
        self._moves[meter] = moved_s
        newest = list(self._moves.values())[-FEWEST:]
        middle = sorted(newest)[len(newest) // 2]
        if len(newest) < FEWEST or abs(middle) <= MOVED_S or max(newest) - min(newest) > ALIKE_S:
            return None
        self._moves.clear()
        return middle
