"""Whose turn it is on one line: who answers comes in order, who fell silent is probed, sparingly (pure).

    answers ──silent once──▶ probed after 2, 4, 8 … 15 s, from an allowance of 3 % of the line's time ──answer──▶ back

However many meters are dead, all probing together takes no more than the allowance, so the others keep their slots; a
meter that comes back is found within seconds where few are dead, within a minute where many are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 15.0
ALLOWANCE = 0.03  # of the line's time
TOGETHER_S = 90.0  # a sweep of a slow line
SAVED_S = 2.0  # of allowance, at most: two probes of a meter that takes its whole second


@dataclass(slots=True)
class _Turn:
    silent: int = 0  # questions without an answer in a row
    since_s: float = 0.0  # of the first of them
    due_s: float = 0.0  # when it may be probed


class Turns:
    """The meters of one line, by id. All times are seconds of one clock that never steps."""

    def __init__(self, ids: Iterable[str], now_s: float) -> None:
        self._turns = {id_: _Turn() for id_ in ids}
        self._allowed_s = SAVED_S
        self._at_s = now_s

    def is_silent(self, id_: str) -> bool:
        return self._turns[id_].silent > 0

    def answered(self, id_: str, now_s: float) -> None:
        """Who fell silent together (a fuse, a cable) comes back together: the others are worth a question at once."""
        turn = self._turns[id_]
        if not turn.silent:
            return
        turn.silent = 0
        for other in self._turns.values():
            if other.silent and abs(other.since_s - turn.since_s) < TOGETHER_S:
                other.due_s = now_s
                self._allowed_s = SAVED_S

    def fell_silent(self, id_: str, now_s: float, cost_s: float) -> None:
        """A question that took `cost_s` of the line's time had no answer."""
        turn = self._turns[id_]
        if turn.silent:
            self._allowed_s -= cost_s
        else:
            turn.since_s = now_s
        turn.silent += 1
        turn.due_s = now_s + min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(turn.silent - 1, 8))

    def may_probe(self, id_: str, now_s: float) -> bool:
        return self._due_in(self._turns[id_], now_s) <= 0

    def probe(self, now_s: float) -> str | None:
        """The silent meter that has waited longest, if it is due and the allowance is not spent."""
        silent = [(turn.due_s, id_) for id_, turn in self._turns.items() if turn.silent]
        if not silent:
            return None
        _, id_ = min(silent)
        return id_ if self.may_probe(id_, now_s) else None

    def next_probe_in(self, now_s: float) -> float | None:
        """Seconds until `probe` will name a meter, None if nobody is silent."""
        return min((self._due_in(turn, now_s) for turn in self._turns.values() if turn.silent), default=None)

    def _due_in(self, turn: _Turn, now_s: float) -> float:
        self._allowed_s = min(SAVED_S, self._allowed_s + ALLOWANCE * (now_s - self._at_s))
        self._at_s = now_s
        return max(0.0, turn.due_s - now_s, -self._allowed_s / ALLOWANCE)
