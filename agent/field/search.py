"""Which questions find the meters of an unknown bus, in the order that finds most soonest (pure).

    wildcard   13H (2007) or a read of the import total (1997) to AA…AA, once for each speed and framing
               silence: none there · one clean answer: one meter · anything else: several talk at once
    split      the same question to AA…AA nn, nn = 00…99: only meters whose low digits fit answer; what still collides
               is split by the next two digits, until all twelve are named
    units      one register of each Modbus unit; an exception proves a meter as well as an answer does

A step's worth is the number of meters it is likely to find for each second it takes. Speeds and parities come in the
order in which meters are delivered (reference/dlt645.md §5). Knows neither lines nor time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from drivers.dlt645.frame import OVERHEAD
from drivers.ports import Settings

PROTOCOLS = ("dlt645-2007", "dlt645-1997", "modbus")
BAUDS: dict[str, tuple[int, ...]] = {
    "dlt645-2007": (2400, 9600, 4800, 1200, 19200),
    "dlt645-1997": (1200, 2400, 9600, 4800),
    "modbus": (9600, 19200, 4800, 2400),
}
FRAMINGS: dict[str, tuple[str, ...]] = {
    "dlt645-2007": ("8E1", "8N1"),
    "dlt645-1997": ("8E1", "8N1"),
    "modbus": ("8N1", "8E1"),
}
DLT645_WAIT_S = 0.5  # Td at most (DL/T 645); meters that take longer are found by hand
MODBUS_WAIT_S = 0.25  # most answer within 0.1 s; what comes later is still heard while the next unit is asked
MARGIN_S = 0.05  # what a line adds to a wait
WAKE = 4
RTU_REQUEST = 8
UNIT_GROUPS = ((1, 16), (17, 32), (33, 64), (65, 128), (129, 247))
UNITS_EXPECTED = (2.0, 0.6, 0.3, 0.2, 0.1)  # meters in each group, on a line about which nothing is known
SECOND_FUNCTION_PART = 0.1  # meters that are silent to function 3 and answer 4
DLT645_START = 0x68  # as a unit it looks like the start of a DL/T 645 frame to neighbours
LEARNT = 20  # times more likely where one meter was found already
FULL = 12  # digits of an address
PAIRS = tuple(f"{number:02d}" for number in range(100))


@dataclass(frozen=True, slots=True)
class Step:
    """A run of questions of one kind at one speed and framing.

    kind: wildcard, split or units. suffix, pairs: the low digits known, and those to be tried
    before them (split). units, function: Modbus. expected: meters that
    it is likely to find.
    """

    kind: str
    protocol: str
    settings: Settings
    suffix: str = ""
    pairs: tuple[str, ...] = ()
    units: tuple[int, ...] = ()
    function: int = 3
    expected: float = 0.1

    @property
    def questions(self) -> int:
        return {"wildcard": 1, "split": len(self.pairs)}.get(self.kind, len(self.units))

    @property
    def seconds(self) -> float:
        """If nobody answers."""
        return self.questions * silent_seconds(self.protocol, self.settings)


def silent_seconds(protocol: str, settings: Settings) -> float:
    """How long one question takes to which nobody answers."""
    if protocol == "modbus":
        return settings.seconds(RTU_REQUEST) + MODBUS_WAIT_S + MARGIN_S
    return settings.seconds(OVERHEAD + WAKE + 2) + DLT645_WAIT_S + MARGIN_S


def short_address(suffix: str) -> str:
    """`02` as AAAAAAAAAA02: meters whose low digits are these answer."""
    return "A" * (FULL - len(suffix)) + suffix


@dataclass(slots=True)
class Search:
    """What is still to be asked on one line. `done`: questions asked."""

    steps: list[Step]
    done: int = 0
    _learnt: set[tuple[str, Settings]] = field(default_factory=set)
    _seen: dict[tuple[str, Settings], set[str]] = field(default_factory=dict)

    def next(self) -> Step | None:
        """The step that promises most for its time; None once everything was asked."""
        if not self.steps:
            return None
        best = max(self.steps, key=self._rate)
        self.steps.remove(best)
        return best

    @property
    def left_s(self) -> float:
        """Seconds for what is known to be still ahead; collisions yet to be found come on top."""
        return sum(step.seconds for step in self.steps)

    def found(self, protocol: str, settings: Settings, address: str = "") -> None:
        """A meter was found there: others like it are likely."""
        self._learnt.add((protocol, settings))
        if address:
            self._seen.setdefault((protocol, settings), set()).add(address)

    def collided(self, step: Step, suffix: str) -> bool:
        """Several answered to a short address: split it further. False if no digit is left."""
        if len(suffix) >= FULL:
            return False
        likely = self._likely(step, suffix)
        rest = tuple(pair for pair in PAIRS if pair not in likely)
        for pairs, expected in ((likely, 2.0), (rest, 0.2 if likely else 8.0)):
            if pairs:
                self.steps.append(Step("split", step.protocol, step.settings, suffix, pairs, expected=expected))
        return True

    def _likely(self, step: Step, suffix: str) -> tuple[str, ...]:
        """The digits that other meters of this speed have there, once a few are known: bought together."""
        if not suffix:
            return ()
        known = self._seen.get((step.protocol, step.settings), set())
        at = FULL - len(suffix)
        return tuple(sorted({address[at - 2 : at] for address in known}))

    def _rate(self, step: Step) -> float:
        times = LEARNT if (step.protocol, step.settings) in self._learnt and step.kind == "units" else 1
        return step.expected * times / step.seconds


def first_steps(
    protocols: Sequence[str] = PROTOCOLS,
    *,
    bauds: Sequence[int] = (),
    framings: Sequence[str] = (),
    units: Iterable[int] = range(1, 248),
    one_framing: bool = False,
    one_setting: bool = False,
) -> list[Step]:
    """Every question that must be asked whatever comes.

    one_framing: the port cannot carry parity (a pseudo-terminal). one_setting: speed and framing are set elsewhere (a
    converter): only the first of each is used. Raises ValueError on a framing that is none.
    """
    steps = []
    wanted = sorted(set(units))
    for protocol in protocols:
        speeds, forms = tuple(bauds) or BAUDS[protocol], tuple(framings) or FRAMINGS[protocol]
        pairs = [
            (place, Settings.parse(baud, framing))
            for place, (baud, framing) in enumerate(
                (baud, framing)
                for framing in forms[: 1 if one_framing or one_setting else None]
                for baud in speeds[: 1 if one_setting else None]
            )
        ]
        for place, settings in pairs:
            if protocol == "modbus":
                steps += _unit_steps(wanted, settings, place, mixed=len(protocols) > 1)
            else:
                steps.append(Step("wildcard", protocol, settings, expected=4.0 / (1 + place)))
    return steps


def _unit_steps(units: list[int], settings: Settings, place: int, *, mixed: bool) -> list[Step]:
    steps = []
    for (low, high), expected in zip(UNIT_GROUPS, UNITS_EXPECTED, strict=True):
        group = tuple(unit for unit in units if low <= unit <= high and not (mixed and unit == DLT645_START))
        if not group:
            continue
        likely = expected / (1 + place) * len(group) / (high - low + 1)
        steps.append(Step("units", "modbus", settings, units=group, expected=likely))
        if low <= UNIT_GROUPS[1][0]:
            steps.append(
                Step("units", "modbus", settings, units=group, function=4, expected=likely * SECOND_FUNCTION_PART)
            )
    return steps
