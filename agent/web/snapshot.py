"""What the page shows of a running agent: one look at what it has in memory, copied; changes nothing, reads no disk.

    recorder, pollers, outbox, log, clock ──take──▶ Snapshot ──▶ views, live values, metrics

Taken on the page's own thread: only plain attributes and whole copies of dictionaries, each one step of the
interpreter, so the agent neither waits nor notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from agent.app import Agent
from agent.ledger.kept import PARK, Whose, Written
from agent.ledger.metered import Metered
from agent.ledger.shelf import Row, Shelves
from agent.polling.airtime import Work
from agent.polling.poller import Poller
from agent.schedule import predict_sweep
from agent.uplink import predict_uplink
from contract.energy import SlotValue
from contract.plan import Plan, Point

State = Literal["ok", "waiting", "silent", "gone", "refused", "port", "manual"]
BAD: tuple[State, ...] = ("gone", "port", "refused", "silent")  # worst first
STALE_STEPS = 2  # a power that ended longer ago is not what flows now


@dataclass(frozen=True, slots=True)
class MeterNow:
    """A meter: what it is, how it answers, its register (as the meter shows it) and what flows through its point.

    seen_s: UTC of the last accepted look; since_s: first missed sweep of a meter that is gone. kw: mean of the last
    step, with the multiplier, None if that is long over. why: reason of the last failure, or of a refusal.
    """

    id: str
    line: str
    protocol: str
    room: str
    point: str
    role: str
    tenants: tuple[str, ...]  # names of those who hold the point
    register: str
    multiplier: Decimal
    state: State
    why: str
    silent: int
    since_s: int | None
    seen_s: int | None
    slot_s: int | None
    value: Decimal | None
    quality: str
    kw: Decimal | None
    values: Mapping[int, SlotValue]  # slot → registers, of the last two days

    def kw_at(self, slot_s: int, interval_s: int) -> Decimal | None:
        """Mean power of the step that ends at a slot; None where either end is unknown or the register fell."""
        before, after = self.values.get(slot_s - interval_s), self.values.get(slot_s)
        if before is None or after is None:
            return None
        first, last = before.registers.get(self.register), after.registers.get(self.register)
        if first is None or last is None or last < first:
            return None
        return (last - first) * self.multiplier * 3600 / interval_s


@dataclass(frozen=True, slots=True)
class LineNow:
    """A line. sweep_s: of the last sweep; foreseen_s: as predicted; busy_s of `life_s`: airtime since the start."""

    id: str
    port: str
    speed: str
    is_open: bool
    down_since_s: int | None
    meters: int
    answering: int
    sweep_s: float
    foreseen_s: float
    busy_s: float
    life_s: float
    exchanges: int
    answered: int
    silent: int
    garbled: int
    spent_s: Mapping[Work, float] = field(default_factory=dict)  # by kind of work (agent.polling.airtime)

    @property
    def airtime(self) -> float:
        """Part of the time in which the line was busy, 0 to 1."""
        return min(1.0, self.busy_s / self.life_s) if self.life_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at the agent. waiting, connected and sent_bytes are None without an uplink, uplink_mb is
    what a month was foreseen to take; witnessed: auditor → size."""

    park: str
    gateway: str
    title: str
    version: str
    epoch: str
    now_s: int
    clock: str
    clock_error_ms: int | None
    interval_s: int
    plan: Plan
    size: int
    delivered: int
    waiting: int | None
    connected: bool | None
    sent_bytes: int | None
    uplink_mb: Decimal
    life_s: int  # since the start
    witnessed: Mapping[str, int]
    meters: Mapping[str, MeterNow]
    lines: Mapping[str, LineNow]
    names: Mapping[str, str]  # tenant → name
    intervals: Mapping[Whose, Row[Whose, Written]]  # holder → start of the step → interval, of two days
    balances: Row[Whose, Written]  # start of the step → the park's balance, of two days
    data: Path
    signs: str = ""  # unchanged as long as no line below the headline can have changed
    compressed: bool = False  # the uplink; sent_bytes are before that

    def counted(self) -> dict[State, int]:
        """How many meters are in which state."""
        counts: dict[State, int] = {}
        for meter in self.meters.values():
            counts[meter.state] = counts.get(meter.state, 0) + 1
        return counts


@dataclass(slots=True)
class Looker:
    """Takes snapshots of one agent. What follows from the configuration alone is worked out once."""

    agent: Agent
    _born_ms: int = field(init=False)
    _foreseen: dict[str, float] = field(init=False)
    _uplink_mb: Decimal = field(init=False)
    _entries: dict[str, dict[str, Any]] = field(init=False)
    _names: dict[str, str] = field(init=False)
    _points: tuple[int, dict[str, Point]] = field(init=False, default=(-1, {}))

    def __post_init__(self) -> None:
        config = self.agent.config
        self._born_ms = self.agent.clock.boot_ms()
        self._foreseen = {entry["id"]: float(entry["sweep_s"]) for entry in predict_sweep(config)}
        self._uplink_mb = predict_uplink(config)
        self._entries = {entry["id"]: entry for entry in config["meters"]}
        self._names = {tenant["id"]: tenant["name"] for tenant in config["private"]["tenants"]}

    @property
    def data(self) -> Path:
        """The store's directory."""
        return Path(self.agent.config["private"]["data"])

    def time(self) -> tuple[int, int]:
        """UTC seconds, and the park's offset from it."""
        return self.agent.clock.wall_ms() // 1000, self.agent.plan.utc_offset_s

    def signs(self) -> str:
        """What tells cheaply whether anything changed since the last look; pages hand it back."""
        recorder, outbox = self.agent.recorder, self.agent.outbox
        silent = sum(metered.silent for metered in recorder.meters.values())
        uplink = "" if outbox is None else f"{outbox.waiting}.{outbox.connected:d}"
        return f"{self.agent.log.size}.{silent}.{len(recorder.presence.lines_down)}.{uplink}"

    def take(self, *, with_books: bool = False) -> Snapshot:
        """One look; `intervals` and `written`, which are large, only with books."""
        agent = self.agent
        settings, private = agent.config["settings"], agent.config["private"]
        now_ms, (clock, error_ms) = agent.clock.wall_ms(), agent.clock.sync()
        signs = self.signs()
        down = agent.recorder.presence.lines_down.copy()
        at = self._placed(agent.plan.slot_floor(now_ms // 1000))
        values = agent.books.kept.values.copy()
        meters = {
            metered.id: self._meter(metered, at.get(metered.id), down, values)
            for metered in agent.recorder.meters.values()
        }
        outbox = agent.outbox
        return Snapshot(
            park=settings["park"],
            gateway=settings["gateway"],
            title=private.get("park_name") or settings["park"],
            version=agent.config["version"],
            epoch=agent.log.epoch.id,
            now_s=now_ms // 1000,
            clock=clock,
            clock_error_ms=error_ms,
            interval_s=agent.plan.interval_s,
            plan=agent.plan,
            size=agent.log.size,
            delivered=agent.log.delivered,
            waiting=None if outbox is None else outbox.waiting,
            connected=None if outbox is None else outbox.connected,
            sent_bytes=None if outbox is None else outbox.sent_bytes,
            uplink_mb=self._uplink_mb,
            life_s=(agent.clock.boot_ms() - self._born_ms) // 1000,
            witnessed=agent.log.witnessed.copy(),
            meters=meters,
            lines={poller.line.id: self._line(poller, meters, down) for poller in agent.pollers},
            names=self._names,
            intervals=agent.books.kept.intervals.copy().rows() if with_books else {},
            balances=Row(agent.books.kept.balances.copy() if with_books else Shelves(), PARK),
            data=self.data,
            signs=signs,
            compressed=outbox is not None and outbox.compressed,
        )

    def _placed(self, slot_s: int) -> dict[str, Point]:
        """Meter → the point that it measures at a slot."""
        if self._points[0] != slot_s:
            placed: dict[str, Point] = {}
            for point in self.agent.plan.points.values():
                fitting = point.fitting_at(slot_s)
                if fitting is not None:
                    placed.setdefault(fitting.meter, point)
            self._points = (slot_s, placed)
        return self._points[1]

    def _meter(
        self, metered: Metered, point: Point | None, down: Mapping[str, int], held: Shelves[str, SlotValue]
    ) -> MeterNow:
        agent, entry = self.agent, self._entries[metered.id]
        slot_s = self._points[0]
        fitting = None if point is None else point.fitting_at(slot_s)
        values = Row(held, metered.id)
        newest_s = values.newest()
        last = metered.slots.last
        latest = metered.latest
        seen_ms = latest.wall_ms if latest is not None else None if last is None else last.at_ms
        register = "import" if point is None else point.register
        known = latest.registers if latest is not None else {} if last is None else last.registers
        now = MeterNow(
            id=metered.id,
            line=metered.line or "",
            protocol=entry["protocol"],
            room=entry.get("room") or "",
            point="" if point is None else point.id,
            role="" if point is None else point.role,
            tenants=() if point is None else self._tenants(point, slot_s),
            register=register,
            multiplier=Decimal(1) if fitting is None else fitting.multiplier,
            state=_state(metered, down),
            why=_why(metered),
            silent=metered.silent,
            since_s=None if metered.gone_since_ms is None else metered.gone_since_ms // 1000,
            seen_s=None if seen_ms is None else seen_ms // 1000,
            slot_s=newest_s,
            value=known.get(register),
            quality="" if newest_s is None else values[newest_s].quality,
            kw=None,
            values=values,
        )
        if newest_s is None:
            return now
        fresh = newest_s >= slot_s - STALE_STEPS * agent.plan.interval_s
        kw = now.kw_at(newest_s, agent.plan.interval_s) if fresh else None
        value = now.value if now.value is not None else values[newest_s].registers.get(register)
        return replace(now, kw=kw, value=value)

    def _tenants(self, point: Point, slot_s: int) -> tuple[str, ...]:
        return tuple(self._names.get(tenant, tenant) for tenant in point.shares_at(slot_s) if tenant is not None)

    def _line(self, poller: Poller, meters: Mapping[str, MeterNow], down: Mapping[str, int]) -> LineNow:
        line, counted = poller.line, poller.line.statistics
        entry = next(entry for entry in self.agent.config["lines"] if entry["id"] == line.id)
        mine = [meter for meter in meters.values() if meter.line == line.id and meter.state != "manual"]
        since_ms = down.get(line.id)
        return LineNow(
            id=line.id,
            port=entry["port"],
            speed=f"{entry['baud']} {entry['framing']}",
            is_open=line.is_open,
            down_since_s=None if since_ms is None else since_ms // 1000,
            meters=len(mine),
            answering=sum(meter.state == "ok" for meter in mine),
            sweep_s=poller.sweep_s,
            foreseen_s=self._foreseen.get(line.id, 0.0),
            busy_s=counted.busy_s,
            life_s=(self.agent.clock.boot_ms() - self._born_ms) / 1000,
            exchanges=counted.exchanges,
            answered=counted.answered,
            silent=counted.silent,
            garbled=counted.garbled,
            spent_s=dict(poller.airtime.spent_s),
        )


def _state(metered: Metered, down: Mapping[str, int]) -> State:
    """The worst that is known of a meter."""
    if not metered.polled:
        return "manual"
    if metered.line in down:
        return "port"
    if metered.gone_since_ms is not None:
        return "gone"
    if metered.stranger is not None or metered.refused:
        return "refused"
    if metered.silent:
        return "silent"
    return "ok" if metered.latest is not None else "waiting"


def _why(metered: Metered) -> str:
    if metered.stranger is not None:
        return "serial_changed"
    if metered.refused:
        return metered.refused
    return metered.slots.why if metered.silent else ""
