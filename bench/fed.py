"""A park whose readings are handed to the recorder directly: no wire, no broker, no disk, any time at once.

    truth ──registers at an instant──▶ Observation ──▶ Recorder ──▶ records in memory

The recorder, its validation, slots, corrections and books are the gateway's own. Tests of the ledger and the
benchmarks over months drive it slot by slot.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.evidence.log import Identity
from agent.ledger.books import Books
from agent.ledger.closings import Closings
from agent.ledger.inbox import Inbox
from agent.ledger.kept import Bounds
from agent.ledger.metered import metered_of
from agent.ledger.periods import closed
from agent.ledger.recorder import Recorder
from agent.ledger.revise import Stood
from agent.ledger.shape import ParkLoad
from agent.reading import Finding, Missed, Observation, SweepDone
from agent.validation import Limits
from config.compose import compose
from config.faults import Findings
from config.load import load_data
from contract.plan import Plan
from contract.records import (
    Balance,
    Body,
    Config,
    Day,
    Event,
    Gap,
    Head,
    Interval,
    Reading,
    Statement,
    encode,
    instant,
    parse_instant,
    parse_slot,
)
from contract.tariff import period_finder
from contract.tree import leaf_hash
from contract.verify import Evidence, verify
from drivers.exchange import Answer
from drivers.meter import Look

BOOT_MS = 60_000
PASSED = frozenset({"parity", "checksum", "address", "identifier", "length", "bcd"})
CONFIG_KEYS = ("settings", "lines", "meters", "points", "tenancies", "schedules", "holidays", "models", "version")
RegistersAt = Callable[[str, int], Mapping[str, Decimal]]  # meter, UTC ms → what it shows


def configuration(text: str) -> dict[str, Any]:
    """The effective configuration of a YAML text. Raises ValueError with every fault."""
    findings = Findings("park.yaml")
    data = compose(text, findings)
    loaded = load_data(data or {}, Path.cwd(), findings)
    if loaded.config is None:
        raise ValueError("\n".join(map(str, loaded.faults)))
    return loaded.config


@dataclass(slots=True)
class Hand:
    """A clock moved by hand."""

    wall: int
    boot: int = BOOT_MS
    state: tuple[str, int | None] = ("disciplined", 5)
    boot_id: str = "0" * 32

    def boot_ms(self) -> int:
        return self.boot

    def awake_ms(self) -> int:
        return self.boot

    def wall_ms(self) -> int:
        return self.wall

    def sync(self) -> tuple[str, int | None]:
        return self.state

    async def sleep(self, seconds: float) -> None:
        self.move(round(seconds * 1000))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        yield

    def move(self, ms: int) -> None:
        """Lets time go by."""
        self.wall += ms
        self.boot += ms

    def to(self, wall_ms: int) -> None:
        """Lets time go by until an instant, UTC ms."""
        self.move(wall_ms - self.wall)


@dataclass(slots=True)
class MemoryLog:
    """The log's side that the recorder sees; keeps everything."""

    clock: Hand
    identity: Identity
    records: list[tuple[Head, Body]] = field(default_factory=list)
    committed: int = 0  # so many of them
    config: str = ""
    is_durable: bool = True

    def add(self, body: Body) -> int:
        state, error_ms = self.clock.sync()
        head = Head(
            kind=body.kind,
            park=self.identity.park,
            gateway=self.identity.gateway,
            epoch="e" * 32,
            seq=len(self.records),
            boot=self.clock.boot_id,
            boot_ms=self.clock.boot_ms(),
            at=None if state == "none" else instant(self.clock.wall_ms()),
            clock=state,  # type: ignore[arg-type]
            clock_error_ms=error_ms,
            config=self.config,
            salt="0" * 32,
        )
        self.records.append((head, body))
        if isinstance(body, Config):
            self.config = leaf_hash(encode(head, body)).hex()
        return head.seq

    async def commit(self) -> None:
        self.committed = len(self.records)

    def since(
        self, from_s: int, to_s: int, kinds: Collection[str] = (), naming: Collection[str] = ()
    ) -> Iterator[tuple[int, Body]]:
        """What agent.ledger.restore.recent gives of a store."""
        for head, body in self.records:
            if kinds and body.kind not in kinds:
                continue
            if naming and not _holds(encode(head, body), naming):
                continue
            if isinstance(body, Reading) and body.slot is not None:
                at_s = parse_slot(body.slot)
            elif isinstance(body, Interval):
                at_s = parse_slot(body.start)
            elif isinstance(body, (Day, Statement, Balance)):
                at_s = parse_slot(body.from_)
            elif isinstance(body, Event) and body.code == "rollover" and body.to is not None:
                at_s = parse_instant(body.to) // 1000
            else:
                continue
            if from_s <= at_s < to_s:
                yield head.seq, body

    def past_of(self, meter: str, _first_s: int, _last_s: int, interval_s: int) -> dict[int, Stood]:
        """What agent.ledger.past.past_of gives of a store, which holds what was committed."""
        found: dict[int, Stood] = {}
        for head, body in self.records[: self.committed]:
            if isinstance(body, Reading) and body.meter == meter and body.slot is not None:
                found[parse_slot(body.slot)] = Stood(head.seq, body.revision, body)
            elif isinstance(body, Gap) and body.meter == meter:
                for slot_s in range(parse_slot(body.from_slot), parse_slot(body.to_slot) + 1, interval_s):
                    found.setdefault(slot_s, Stood(head.seq, 0, None, body.why))
        return found


class Fed:
    """A park from its start on. `registers` says what each meter shows at each instant."""

    def __init__(
        self,
        config: dict[str, Any],
        registers: RegistersAt,
        start: str,
        data: Path | None = None,
        log: Callable[[Hand, Identity], MemoryLog] = MemoryLog,
    ) -> None:
        self.clock = Hand(parse_instant(start))
        self.registers = registers
        settings = config["settings"]
        self.log = log(self.clock, Identity(settings["park"], settings["gateway"], config["version"]))
        self._data = data
        self.configure(config)

    def configure(self, config: dict[str, Any]) -> None:
        """Starts under a configuration, or goes on under another one as after a restart."""
        self.config = config
        previous = next((body for _, body in reversed(self.log.records) if isinstance(body, Config)), None)
        self.log.add(Config(**{name: config[name] for name in CONFIG_KEYS}))
        self.plan = Plan.from_config(config, period_finder(config))
        step_s = self.plan.interval_s
        known = {} if previous is None else self.recorder.meters
        models = {model["id"]: model["data"] for model in config["models"]}
        now_s = self.clock.wall_ms() // 1000
        meters = []
        park = ParkLoad.of(self.plan)
        for entry in config["meters"]:
            primary = models.get(entry["model"], {}).get("values") == "primary"
            limits = Limits.of(entry, primary=primary)
            metered = metered_of(entry, limits, self.plan, self.plan.slot_floor(now_s) + step_s, park)
            if entry["id"] in known:
                metered.slots, metered.validator = known[entry["id"]].slots, known[entry["id"]].validator
            meters.append(metered)
        self.books = Books(self.plan, self.log.since)
        self.recorder = Recorder(
            self.plan,
            meters,
            self.log,  # type: ignore[arg-type]
            self.books,
            self.clock,
            Closings(self.clock, self._close),
            inbox=None if self._data is None else Inbox(self._data),
            past=lambda meter, first_s, last_s: self.log.past_of(meter, first_s, last_s, step_s),
        )
        if previous is not None:
            for seq, body in self.log.since(now_s - 2 * 86400, now_s + 86400):
                self.books.kept.learn(seq, body)
            self.books.resume(now_s)
            plain = asdict(previous)
            self.recorder.former = Plan.from_config(plain, period_finder(plain))
            began_s = min(parse_instant(head.at) for head, _ in self.log.records if head.at is not None) // 1000
            self.books.replan(self.recorder.former, began_s, now_s)
            self.recorder.outage("config")

    def restart(self, at_ms: int) -> None:
        """The gateway was without power until an instant, and starts again."""
        self.clock.to(at_ms)
        self.clock.boot_id = f"{int(self.clock.boot_id, 16) + 1:032x}"
        self.recorder.outage("power")

    def look(self, meter: str, registers: Mapping[str, Decimal] | None = None, *, attempts: int = 1) -> Observation:
        """What the meter shows now, confirmed by a second look of the same."""
        wall_ms, boot_ms = self.clock.wall_ms(), self.clock.boot_ms()
        shown = dict(self.registers(meter, wall_ms) if registers is None else registers)
        answer = Answer(b"", b"", boot_ms, wall_ms, 0.0)
        state, error_ms = self.clock.sync()
        first, second = Look(shown, [answer], PASSED), Look(shown, [answer], PASSED)
        return Observation(meter, wall_ms, boot_ms, state, error_ms, first, second, attempts)

    def take(self, finding: Finding) -> None:
        self.recorder.take(finding)

    def settle(self) -> None:
        asyncio.run(self._settle())

    async def _settle(self) -> None:
        await self.recorder.settle()
        await self.recorder.close()

    async def _close(self, periods: Mapping[Bounds, str]) -> list[Statement | Balance]:
        return list(closed(self.plan, self.log.since, periods))

    def sweep(self, slot_s: int, *, silent: Collection[str] = (), late_ms: int = 500, each_ms: int = 20) -> None:
        """Every meter of the lines once, the first `late_ms` after the slot; then the books."""
        self.clock.to(slot_s * 1000 + late_ms)
        for metered in self.recorder.meters.values():
            if not metered.polled or self.plan.is_retired(metered.id, slot_s - 1):
                continue
            if metered.id in silent:
                self.take(Missed(metered.id, self.clock.wall_ms(), "timeout", "no answer"))
            else:
                self.take(self.look(metered.id))
            self.clock.move(each_ms)
        self.take(SweepDone("line", slot_s))
        self.settle()

    def run(self, to: str, *, silent: Callable[[str, int], bool] | None = None, late_ms: int = 500) -> None:
        """Sweeps at every slot from the next one up to and with an instant; `silent(meter, slot)` leaves one out."""
        step_s = self.plan.interval_s
        slot_s = self.plan.slot_floor(self.clock.wall_ms() // 1000) + step_s
        while slot_s <= parse_slot(to):
            missing = [] if silent is None else [name for name in self.recorder.meters if silent(name, slot_s)]
            self.sweep(slot_s, silent=missing, late_ms=late_ms)
            slot_s += step_s

    def bodies(self, kind: type[Any]) -> list[Any]:
        """All records of a kind, oldest first."""
        return [body for _, body in self.log.records if isinstance(body, kind)]

    def latest(self, kind: type[Any]) -> dict[tuple[Any, ...], Any]:
        """Newest revisions: (tenant, point, start) of intervals, (tenant, point, from, to) of days and statements,
        (meter, slot) of readings, (from, to) of balances."""
        found: dict[tuple[Any, ...], Any] = {}
        for body in self.bodies(kind):
            found[_key(body)] = body
        return found

    def findings(self) -> list[str]:
        """What the offline verification says of the log, besides that nobody signed it."""
        evidence = Evidence([encode(head, body) for head, body in self.log.records], None, [], [])
        found = verify(evidence, bytes(32))["findings"]
        return [f"{finding['code']} {finding['text']}" for finding in found if finding["code"] != "unsigned"]


def _holds(record: bytes, naming: Collection[str]) -> bool:
    return any(text.encode() in record for text in naming)


def _key(body: Body) -> tuple[Any, ...]:
    if isinstance(body, Interval):
        return body.tenant, body.point, body.start
    if isinstance(body, (Day, Statement)):
        return body.tenant, body.point, body.from_, body.to
    if isinstance(body, Balance):
        return body.from_, body.to
    assert isinstance(body, Reading)
    return body.meter, body.slot
