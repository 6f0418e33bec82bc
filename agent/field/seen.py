"""What was seen of a meter, a line, the gateway's surroundings (no I/O).

`doctoring.py` and `surroundings.py` write it down, `diagnosis.py` finds the causes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(slots=True)
class MeterEvidence:
    """What was seen of one meter. Counts are exchanges, except `echo foreign checksum parity noise` (frames or bytes).

    history: one letter a settlement read, in order: . answered, p answered but not its confirmation, s silent,
    g garbled, r refused, u unexpected. answered_alone: of the heard-out questions, how many got one clean answer.
    latencies: seconds. busy_s: bus time of one settlement read with its confirmation. elsewhere: (baud, framing,
    protocol) at which it answered a trial. full_addresses: those that answered to its last digits, configured nowhere.
    """

    id: str
    protocol: str
    address: str = ""
    baud: int = 0
    framing: str = ""
    history: str = ""
    checksum: int = 0
    parity: int = 0
    echo: int = 0
    foreign: int = 0
    requests: int = 0  # of the foreign frames: questions of another master
    noise: int = 0
    late: int = 0
    latencies: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    elsewhere: tuple[int, str, str] | None = None
    full_addresses: tuple[str, ...] = ()
    answering_addresses: tuple[str, ...] = ()
    replies_in_one_window: int = 0
    replies_differ: bool = False
    collided: int = 0  # of the heard-out questions, how many brought rubbish
    heard_out: int = 0
    answered_alone: int = 0
    refusal: str = ""
    invalid: str = ""
    clock_off_s: int | None = None
    serial: tuple[str, str] | None = None  # configured, said
    ratios: list[tuple[str, str, str]] = field(default_factory=list)  # name, configured or "", said
    voltages: dict[str, Decimal] = field(default_factory=dict)
    currents: dict[str, Decimal] = field(default_factory=dict)
    powers: dict[str, Decimal] = field(default_factory=dict)
    opened: list[tuple[str, int]] = field(default_factory=list)
    fell: tuple[str, str] | None = None

    @property
    def asked(self) -> int:
        return len(self.history)

    def count(self, letters: str) -> int:
        return sum(letter in letters for letter in self.history)

    @property
    def answered(self) -> int:
        return self.count(".pru")


@dataclass(slots=True)
class LineEvidence:
    """What was seen of one line. spontaneous: bytes that came while nobody had asked; masters: requests among them."""

    id: str
    spontaneous: int = 0
    masters: tuple[str, ...] = ()
    never_silent: int = 0
    meters: list[MeterEvidence] = field(default_factory=list)


@dataclass(slots=True)
class GatewayEvidence:
    """What was seen of the gateway's surroundings. Empty texts and None: nothing wrong, or not there.

    broker, data: which. unreachable, refusal, unwritable: the system's or the broker's words. silent_s: how long it
    said nothing.
    """

    id: str
    broker: str = ""
    unreachable: str = ""
    refusal: str = ""
    silent_s: float | None = None
    data: str = ""
    free_bytes: int | None = None
    unwritable: str = ""
