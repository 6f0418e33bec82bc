"""What is written when a billing period is closed, or closed again: from its days, read back from the log (pure).

    recall ──▶ days of the period ──────────────────────────────▶ statements, the park's balance;
         └───▶ steps of days whose estimates cross a midnight ─┘   revisions of what was written otherwise

Piece by piece in order of time: what was read back of steps for one is forgotten before the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.ledger.kept import PARK, Bounds, Kept, Recall, Whose, key_of, revised, whose
from contract.ledger import balance_sum, is_sure, join, total
from contract.plan import Plan, Subject
from contract.records import Balance, Day, Statement

DOUBTFUL = ("estimated", "substituted")
MOST_NAMED = 64  # texts looked for in a record before it is decoded
Holders = Mapping[Bounds, set[Whose]]  # piece of a period → who holds anything in it


def closed(plan: Plan, recall: Recall, periods: Mapping[Bounds, str]) -> Iterator[Statement | Balance]:
    """What is new for billing periods that are over; `periods`: bounds → why there may be something new."""
    for bounds, reason in sorted(periods.items()):
        period = _Period(plan, recall, *bounds)
        for body in period.bodies():
            new = revised(period.kept.written(key_of(body)), body, reason)
            if new is not None:
                assert isinstance(new, (Statement, Balance))
                yield new


class _Period:
    """One period and what the log says of it. Subjects: who holds anything in it, or was written of before."""

    def __init__(self, plan: Plan, recall: Recall, from_s: int, to_s: int) -> None:
        self.plan, self.bounds = plan, (from_s, to_s)
        self.kept = Kept(plan, recall)
        self.kept.recall_days(from_s, to_s)
        self.subjects = self._subjects()

    def bodies(self) -> list[Statement | Balance]:
        """From the days in between; from intervals where days do not tell enough. Revision 0, all of them."""
        subjects, pieces = self.subjects, self._pieces(*self.bounds)
        unsure = {piece[0]: self._unsure(piece[0]) for piece in pieces}
        holders = {piece: {whose(subject) for subject in self.plan.subjects(*piece)} for piece in pieces}
        parts: dict[Whose, list[Day | Statement]] = {whose(subject): [] for subject in subjects}
        groups = {whose(subject): set(self._grouped(subject, pieces, unsure, holders)) for subject in subjects}
        for bounds in sorted({group for found in groups.values() for group in found}):
            concerned = [subject for subject in subjects if bounds in groups[whose(subject)]]
            self._recall_steps(concerned, *bounds)
            for subject in concerned:
                if (part := self._part(subject, *bounds, holders)) is not None:
                    parts[whose(subject)].append(part)
            self.kept.forget_steps()
        bodies: list[Statement | Balance] = []
        for subject in subjects:
            known = parts[whose(subject)]
            key = ("statement", whose(subject), *self.bounds)
            if any(part.segments for part in known) or self.kept.written(key) is not None:
                bodies.append(join(self.plan, subject, *self.bounds, known, kind=Statement))
        balances = [balance for piece in pieces for balance in self._balance_of(*piece)]
        self.kept.forget_steps()
        return [*bodies, *([balance_sum(*self.bounds, balances)] if balances else [])]

    def _pieces(self, from_s: int, to_s: int) -> list[Bounds]:
        """The bounds cut at local midnights."""
        pieces = []
        while from_s < to_s:
            end_s = min(to_s, self.plan.day_of(from_s)[1])
            pieces.append((from_s, end_s))
            from_s = end_s
        return pieces

    def _day(self, subject: Subject, piece: Bounds) -> Day | None:
        known = self.kept.written(("day", whose(subject), *piece))
        return known.body if known is not None and isinstance(known.body, Day) else None

    def _unsure(self, midnight_s: int) -> set[Whose]:
        """Whose registers nobody measured at a midnight: a stretch of estimates may cross it."""
        return {
            whose(subject)
            for step_s in (midnight_s - self.plan.interval_s, midnight_s)
            for subject, held in self.plan.holdings(step_s).items()
            if any(not is_sure(self.kept.value(holding.meter, midnight_s)) for holding in held)
        }

    def _grouped(
        self, subject: Subject, pieces: list[Bounds], unsure: dict[int, set[Whose]], holders: Holders
    ) -> list[Bounds]:
        """Neighbouring days with estimates go together where a stretch of them may cross the midnight between."""
        groups: list[Bounds] = []
        doubtful = False
        for piece in pieces:
            day = self._day(subject, piece)
            before = doubtful
            if day is None:
                doubtful = whose(subject) in holders[piece]
            else:
                doubtful = any(name in day.quality_kwh for name in DOUBTFUL)
            if before and doubtful and whose(subject) in unsure[piece[0]]:
                groups[-1] = (groups[-1][0], piece[1])
            else:
                groups.append(piece)
        return groups

    def _recall_steps(self, subjects: list[Subject], from_s: int, to_s: int) -> None:
        """Intervals and values of those of whom no day says it all; of a day that was never written there are none."""
        whole = {piece: piece == self.plan.day_of(piece[0]) for piece in self._pieces(from_s, to_s)}
        lacking = [
            subject
            for subject in subjects
            if self._day(subject, (from_s, to_s)) is None
            and any(self._day(subject, piece) is not None or not is_whole for piece, is_whole in whole.items())
        ]
        if lacking:
            self.kept.recall_steps(from_s, to_s, ("interval", "reading"), self._named(lacking, from_s, to_s))

    def _named(self, subjects: list[Subject], from_s: int, to_s: int) -> tuple[str, ...]:
        """What stands in each record of the subjects; nothing if that were so much that looking for it takes longer."""
        meters = {
            holding.meter
            for _, _, held in self.plan.eras(from_s, to_s)
            for subject in subjects
            for holding in held.get(subject, ())
        }
        owners = {("tenant", subject.tenant) if subject.tenant else ("point", subject.point) for subject in subjects}
        named = owners | {("meter", meter) for meter in meters}
        return tuple(f'"{field}":"{name}"' for field, name in sorted(named)) if len(named) <= MOST_NAMED else ()

    def _part(self, subject: Subject, from_s: int, to_s: int, holders: Holders) -> Day | Statement | None:
        """What a subject used in a piece of a period; None where it held nothing."""
        day = self._day(subject, (from_s, to_s))
        if day is not None:
            return day
        if not any(whose(subject) in holders[piece] for piece in self._pieces(from_s, to_s)):
            return None
        intervals = self.kept.intervals_of(whose(subject), from_s, to_s)
        return total(self.plan, subject, from_s, to_s, intervals, kind=Statement, value=self.kept.value)

    def _balance_of(self, from_s: int, to_s: int) -> list[Balance]:
        known = self.kept.written(("balance", PARK, from_s, to_s))
        if known is not None and isinstance(known.body, Balance):
            return [known.body]
        if (from_s, to_s) != self.plan.day_of(from_s):
            self.kept.recall_steps(from_s, to_s, ("balance",))
        return self.kept.balances_of(from_s, to_s)

    def _subjects(self) -> list[Subject]:
        subjects = {whose(subject): subject for subject in self.plan.subjects(*self.bounds)}
        for body in self.kept.spans_of(*self.bounds):
            subjects.setdefault(whose(body), Subject(body.tenant, body.point, body.role))
        return list(subjects.values())
