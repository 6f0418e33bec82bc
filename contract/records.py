"""The records of the log: one dataclass a kind, their canonical bytes, and reading them back.

    {"at":…,"boot":…,…,"kind":"reading",…,"v":1}      UTF-8, keys sorted, no spaces (RFC 8785 form), no floats

A record is a head (who, which place in the log, when) and a body (one class a kind). Bodies hold what goes on the
wire: instants as text, energies as Decimal written in plain notation. Decoding ignores unknown fields; bytes that
were received are kept and hashed as they are, never encoded again. The schemas in `schemas/` come from the
annotations here.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from contract.shapes import RecordError as RecordError
from contract.shapes import reader_of
from contract.shapes import wire_name as wire_name


class Text(NamedTuple):
    """The form of a text field: a regular expression for the schema."""

    pattern: str


Id = Annotated[str, Text(r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Hex128 = Annotated[str, Text(r"^[0-9a-f]{32}$")]
HexHash = Annotated[str, Text(r"^([0-9a-f]{64})?$")]
HexBytes = Annotated[str, Text(r"^([0-9a-f]{2})*$")]
Instant = Annotated[str, Text(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Slot = Annotated[str, Text(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

Role = Literal["tenant", "operator", "public", "master", "pv", "storage"]
Quality = Literal["measured", "interpolated", "estimated", "substituted"]
Method = Literal["live", "interpolated", "freeze", "load_profile", "manual"]
Estimate = Literal["profile", "master", "linear"]
ClockState = Literal["none", "held", "disciplined"]
Why = Literal["timeout", "noise", "port", "power", "clock", "disk", "config", "refused"]
Period = Literal["sharp", "peak", "flat", "valley", "deep_valley", "unclassified", "unclassified_holiday"]
Check = Literal[
    "parity",
    "checksum",
    "address",
    "identifier",
    "length",
    "bcd",
    "plausible",
    "confirmed",
    "tariff_sum",
]
Scope = Literal["meter", "line", "gateway", "point"]

QUALITIES: tuple[Quality, ...] = ("measured", "interpolated", "estimated", "substituted")  # worst last
PERIODS: tuple[Period, ...] = ("sharp", "peak", "flat", "valley", "deep_valley")


def worst(qualities: list[Quality]) -> Quality:
    """The worst of some qualities; `measured` of none."""
    return max(qualities, key=QUALITIES.index, default="measured")


@dataclass(frozen=True, slots=True)
class Head:
    """What every record carries before its own fields."""

    kind: str
    park: Id
    gateway: Id
    epoch: Hex128
    seq: int
    boot: Hex128
    boot_ms: int
    at: Instant | None
    clock: ClockState
    clock_error_ms: int | None
    config: HexHash
    salt: Hex128
    v: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class Supersedes:
    """The record that a revision replaces, and why."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One request and its reply as they stood on the wire, hex without preamble; boot clock at mid-read."""

    request: HexBytes
    reply: HexBytes
    boot_ms: int


@dataclass(frozen=True, slots=True)
class Source:
    """One look at a meter: what it said and the bytes that said it. `confirm`: the second, separate look."""

    read_at: Instant | None
    boot_ms: int
    registers: dict[str, Decimal]
    meter_clock: str | None
    exchanges: list[Exchanged]
    confirm: list[Exchanged]


@dataclass(frozen=True, slots=True)
class Reading:
    """A meter's registers at a slot (null while undated: outside the rules until a revision dates it)."""

    kind: ClassVar[str] = "reading"
    meter: Id
    serial: str | None
    point: Id | None
    slot: Slot | None
    method: Method
    quality: Quality
    estimate: Estimate | None
    registers: dict[str, Decimal]
    sources: list[Source]
    checks: list[Check]
    attempts: int
    revision: int = 0
    supersedes: Supersedes | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Slots of a meter that have no reading, both ends included."""

    kind: ClassVar[str] = "gap"
    meter: Id
    from_slot: Slot
    to_slot: Slot
    why: Why


@dataclass(frozen=True, slots=True)
class Segment:
    """What one meter adds to a subject over the bounds: (end − start) × multiplier × share = kwh, exactly.

    `start` and `end` are null where the registers are not the reader's own (a share, a neighbour's sub-meter).
    `rollover` is the register's modulus where it passed through zero in between, added to end − start.
    """

    point: Id
    meter: Id
    register: Literal["import", "export"]
    multiplier: Decimal
    share: Decimal
    start: Decimal | None
    end: Decimal | None
    kwh: Decimal
    quality: Quality
    start_seq: int
    end_seq: int
    rollover: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """Energy of one tenant, or of one point that no tenant holds, over one step of the grid."""

    kind: ClassVar[str] = "interval"
    tenant: Id | None
    point: Id | None
    role: Role
    start: Slot
    end: Slot
    period: Period
    schedule: str
    kwh: Decimal
    quality: Quality
    segments: list[Segment]
    revision: int = 0
    supersedes: Supersedes | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A slot-bounded piece of a segment in a day or statement: registers at its own bounds."""

    point: Id
    meter: Id
    register: Literal["import", "export"]
    multiplier: Decimal
    share: Decimal
    from_: Slot
    to: Slot
    start: Decimal | None
    end: Decimal | None
    kwh: Decimal
    start_seq: int
    end_seq: int
    rollover: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """Energy of a subject over a local day or a billing period; equals its intervals, period by period."""

    tenant: Id | None
    point: Id | None
    role: Role
    from_: Slot
    to: Slot
    periods: dict[str, Decimal]
    total: Decimal
    quality_kwh: dict[str, Decimal]
    uncertain_kwh: Decimal
    segments: list[Span]
    complete: bool
    missing: list[list[Slot]]
    max_demand_kw: Decimal | None
    max_demand_at: Slot | None
    own_meter: bool
    revision: int = 0
    supersedes: Supersedes | None = None


@dataclass(frozen=True, slots=True)
class Day(Total):
    """A local day of a subject."""

    kind: ClassVar[str] = "day"


@dataclass(frozen=True, slots=True)
class Statement(Total):
    """A billing period of a subject, or any other bounds asked for."""

    kind: ClassVar[str] = "statement"


@dataclass(frozen=True, slots=True)
class Flow:
    """Energies of the park in one tariff period, kWh; loss = import + pv + storage − export − points.

    `storage` is discharge minus charge.
    """

    import_: Decimal
    export: Decimal
    pv: Decimal
    storage: Decimal
    points: Decimal
    loss: Decimal


@dataclass(frozen=True, slots=True)
class Balance:
    """What came into the park against what its points took, over an interval, a day or a statement's bounds."""

    kind: ClassVar[str] = "balance"
    from_: Slot
    to: Slot
    periods: dict[str, Flow]
    loss_rate: Decimal | None
    skew_s: Decimal
    quality: Quality
    revision: int = 0
    supersedes: Supersedes | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a meter, a line, the gateway or a point; `code` is one of events.EVENTS."""

    kind: ClassVar[str] = "event"
    scope: Scope
    id: Id
    code: str
    from_: Instant | None
    to: Instant | None
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration, written out; every later record names this one's leaf hash.

    `settings` holds utc_offset, schedules, interval and closings of the park; `models` the full register maps.
    """

    kind: ClassVar[str] = "config"
    settings: dict[str, Any]
    lines: list[dict[str, Any]]
    meters: list[dict[str, Any]]
    points: list[dict[str, Any]]
    tenancies: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    holidays: list[dict[str, Any]]
    models: list[dict[str, Any]]
    version: str


@dataclass(frozen=True, slots=True)
class Boot:
    """The start of the agent, or of an epoch: why, and which epoch came before.

    `rekey` is the note that both keys signed (contract.rekey), where the epoch begins under a new key.
    """

    kind: ClassVar[str] = "boot"
    cause: str
    previous_epoch: str | None
    version: str
    rekey: str | None = None


@dataclass(frozen=True, slots=True)
class Anchor:
    """Ties the boot clock of the head to UTC."""

    kind: ClassVar[str] = "anchor"
    utc: Instant
    uncertainty_ms: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Witness:
    """An auditor's receipt as it was accepted."""

    kind: ClassVar[str] = "witness"
    auditor: str
    size: int
    receipt: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """Ranges of indexes, both ends included, whose bodies were given up; their hashes stay.

    `of_epoch` is the epoch that they are of, where it is an older one than this record's.
    """

    kind: ClassVar[str] = "pruned"
    ranges: list[list[int]]
    why: str
    of_epoch: str | None = None


Body = Reading | Gap | Interval | Day | Statement | Balance | Event | Config | Boot | Anchor | Witness | Pruned
KINDS: dict[str, type[Any]] = {
    kind.kind: kind
    for kind in (
        Reading,
        Gap,
        Interval,
        Day,
        Statement,
        Balance,
        Event,
        Config,
        Boot,
        Anchor,
        Witness,
        Pruned,
    )
}


def encode(head: Head, body: Body) -> bytes:
    """The record's canonical bytes: what is hashed, stored and sent."""
    return canonical({**_plain_fields(head), **_plain_fields(body)})


def record_fields(body: Body) -> dict[str, Any]:
    """A body's fields as they stand on the wire, without the head's."""
    return _plain_fields(body)


def decode(data: bytes) -> tuple[Head, Body]:
    """Reads a record back; unknown fields are ignored. Raises RecordError naming what is wrong."""
    try:
        raw = json.loads(data, parse_float=_no_floats, parse_constant=_no_floats)
    except ValueError as error:
        raise RecordError(f"not a record: {error}") from error
    if not isinstance(raw, dict) or raw.get("v") != 1:
        raise RecordError("not a record of version 1")
    kind = KINDS.get(str(raw.get("kind")))
    if kind is None:
        raise RecordError(f"unknown kind {raw.get('kind')!r}")
    return reader_of(Head)(raw), reader_of(kind)(raw)


def canonical(value: Any) -> bytes:
    """JSON as RFC 8785 writes it, for values without floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def new_salt() -> str:
    """16 random bytes in hex: readings have little entropy, their hashes must not give them away."""
    return secrets.token_hex(16)


def instant(ms: int) -> str:
    """UTC in milliseconds since 1970 as RFC 3339 with three fraction digits."""
    return slot_instant(ms // 1000)[:-1] + f".{ms % 1000:03d}Z"


def slot_instant(seconds: int) -> str:
    """UTC in whole seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str) -> int:
    """RFC 3339 in UTC to milliseconds since 1970. Raises ValueError."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is not an instant in UTC")
    moment = datetime.fromisoformat(text[:-1] + "+00:00")
    return round(moment.timestamp() * 1000)


def parse_slot(text: str) -> int:
    """RFC 3339 in UTC, whole seconds, to seconds since 1970. Raises ValueError."""
    ms = parse_instant(text)
    if ms % 1000:
        raise ValueError(f"{text!r} is not a whole second")
    return ms // 1000


def plain(value: Decimal) -> str:
    """A Decimal in plain notation with the digits it has; never an exponent, never −0."""
    text = format(value, "f")
    return text[1:] if text.startswith("-") and not value else text


_FIELDS: dict[type[Any], tuple[tuple[str, str], ...]] = {}


def _plain_fields(record: Any) -> dict[str, Any]:
    names = _FIELDS.get(type(record))
    if names is None:
        names = tuple((f.name, wire_name(f.name)) for f in fields(record))
        _FIELDS[type(record)] = names
    result = {wire: _plain_value(getattr(record, name)) for name, wire in names}
    if isinstance(record, (Segment, Span)) and record.rollover is None:
        del result["rollover"]  # rare: not worth a field in every segment
    if isinstance(record, Boot) and record.rekey is None:
        del result["rekey"]
    if isinstance(record, Pruned) and record.of_epoch is None:
        del result["of_epoch"]
    kind = getattr(record, "kind", None)
    if kind is not None:
        result["kind"] = kind
    return result


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, dict):
        return {key: _plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    if isinstance(value, float):
        raise TypeError("records hold no floats")
    return _plain_fields(value)


def _no_floats(text: str) -> Any:
    raise RecordError(f"a number that is no integer: {text}")
