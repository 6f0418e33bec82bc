"""Builds the house from an effective configuration and keeps it running: lines, recorder, log, outbox.

    config ──▶ Line + Poller (one task a line) ──▶ Recorder ──▶ Log/Store ──▶ Outbox ──▶ broker

A line that fails reopens on its own; any other error ends every task, loudly, and systemd starts us again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agent.delivery.mqtt import Broker
from agent.delivery.outbox import Outbox
from agent.evidence.keys import load_or_create
from agent.evidence.log import Identity, Log
from agent.evidence.opening import open_log
from agent.evidence.receipts import ReceiptRefused, RolledBack, Stick, pinned, receive
from agent.evidence.store import Reader, Store, StoreError
from agent.ledger.books import Books
from agent.ledger.closing_child import close_in_child
from agent.ledger.closings import Closings
from agent.ledger.inbox import Inbox
from agent.ledger.metered import metered_of
from agent.ledger.past import accepted_in, beginning, newest_config, past_of
from agent.ledger.ratios import ratio_changes
from agent.ledger.recorder import Recorder
from agent.ledger.restore import recent, remember_meters
from agent.ledger.shape import ParkLoad
from agent.ledger.timekeeping import undated_of_boot
from agent.live import latest_values
from agent.meters import METER_PROTOCOLS, Drivers, by_line
from agent.polling.backfill import Backfill, open_stretches
from agent.polling.idle import Idle
from agent.polling.monthly import Monthly
from agent.polling.own_memory import OwnMemory
from agent.polling.poller import Polled, Poller
from agent.polling.watch import Watch
from agent.reading import Happened
from agent.validation import Limits
from contract.acceptance import one_source
from contract.plan import Plan
from contract.records import Config
from contract.tariff import period_finder
from drivers.clock import Clock
from drivers.line import Line
from drivers.meter import Meter
from drivers.ports import Port, Settings
from drivers.ports.choose import latency_s, port_for

logger = logging.getLogger(__name__)
FAREWELL_S = 3.0  # of the five that a stop may take: for what is committed and not yet delivered
DLT645_START = 0x68  # as a Modbus unit it would look like the start of a DL/T 645 frame to its neighbours
STICK_S = 30.0  # between looks at receipts that came on a stick
OpenPort = Callable[[dict[str, Any]], Port]  # a line of the effective configuration → its port
CONFIG_KEYS = ("settings", "lines", "meters", "points", "tenancies", "schedules", "holidays", "models", "version")


@dataclass(slots=True)
class Agent:
    """Everything that runs under one configuration. `open` first, then `run` until `stop` is set."""

    config: dict[str, Any]
    clock: Clock
    open_port: OpenPort = field(default=lambda line: port_for(line["port"], direction=line["direction"]))
    recorder: Recorder = field(init=False)
    log: Log = field(init=False)
    outbox: Outbox | None = field(init=False, default=None)
    pollers: list[Poller] = field(init=False)
    plan: Plan = field(init=False)
    books: Books = field(init=False)
    _store: Store = field(init=False)

    async def open(self) -> None:
        """Opens store and log, records boot and configuration, remembers what the log holds. StoreError, KeyFault."""
        settings, private = self.config["settings"], self.config["private"]
        data = Path(private["data"])
        self.plan = Plan.from_config(self.config, period_finder(self.config))
        self._store = Store(data, self.clock.hold)
        key = load_or_create(data)
        identity = Identity(settings["park"], settings["gateway"], self.config["version"])
        mqtt = private.get("mqtt") or {}
        self.log = await open_log(self._store, identity, self.clock, key, pinned(mqtt.get("auditors") or []))
        self.log.bounds = self._bounds
        config = Config(**{name: self.config[name] for name in CONFIG_KEYS})
        former = newest_config(data, self.log.epoch)
        self.log.add(config)
        limits = self._limits()
        first_slot_s = self._slot_after(self.clock.wall_ms() // 1000)
        park = ParkLoad.of(self.plan)
        metered = [
            metered_of(meter, limits[meter["id"]], self.plan, first_slot_s, park) for meter in self.config["meters"]
        ]
        self.books = books = Books(
            self.plan, lambda from_s, to_s, *which: recent(data, self.log.epoch, from_s, to_s, *which)
        )
        self.recorder = Recorder(
            self.plan,
            metered,
            self.log,
            books,
            self.clock,
            Closings(
                self.clock,
                lambda periods: close_in_child(data, self.log.epoch, self.config, periods),
                data / "closings.json",
            ),
            inbox=Inbox(data),
            past=lambda meter, first_s, last_s: past_of(
                data, self.log.epoch, meter, first_s, last_s, self.plan.interval_s
            ),
        )
        if former is not None and former != config:
            plain = asdict(former)
            self.recorder.former = Plan.from_config(plain, period_finder(plain))
        if self.clock.sync()[0] == "none":
            self.recorder.remember = lambda: self._remember(data, books)
            self.recorder.time.undated += undated_of_boot(data, self.log.epoch, self.clock.boot_id)
        else:
            self._remember(data, books)
            self.recorder.outage("power")
        since_s = None if self.recorder.former is None else beginning(data, self.log.epoch)
        if self.recorder.former is not None and since_s is not None:
            books.replan(self.recorder.former, since_s, self.clock.wall_ms() // 1000)
        for meter in self._not_accepted(data):
            now_ms = self.clock.wall_ms()
            self.recorder.take(Happened(meter["id"], "not_accepted", now_ms, now_ms, {"model": meter["model"]}))
        for point, at_s, details in ratio_changes(config, former):
            at_ms = None if at_s is None else at_s * 1000
            self.recorder.journal.event("point", point, "ratio_changed", details, at_ms=at_ms)
        self.pollers = list(self._pollers(limits))
        if mqtt:
            self.outbox = Outbox(
                self.log,
                Broker.of(mqtt),
                self.clock,
                self.plan.interval_s,
                self.recorder.undeliverable,
                take=self.recorder.receipt,
                doubt=self.recorder.receipt_refused,
                live=lambda now_ms: latest_values(self.recorder.meters.values(), now_ms),
                metered=bool(mqtt.get("metered")),
            )
        await self.log.commit()

    def config_refused(self, faults: int) -> None:
        """A new configuration that cannot be used: this one goes on, and the log says so."""
        self.recorder.journal.gateway_event("config_refused", {"faults": faults})

    def _not_accepted(self, data: Path) -> list[Mapping[str, Any]]:
        """Meters that are read and recorded, and must not be settled yet: said anew at each start."""
        if not one_source(self.config):
            return []
        reader = Reader(data)
        try:
            lacking = accepted_in(reader).lacking(self.config)
        finally:
            reader.close()
        return [meter for meter in self.config["meters"] if meter["id"] in lacking]

    async def run(self, stop: asyncio.Event) -> None:
        """Polls, records and publishes until `stop`; then commits and says goodbye within five seconds."""
        lines = [asyncio.create_task(poller.run(), name=f"line {poller.line.id}") for poller in self.pollers]
        writer = asyncio.create_task(self.recorder.run(), name="recorder")
        sender = asyncio.create_task(self.outbox.run(), name="outbox") if self.outbox else None
        ending = asyncio.create_task(stop.wait(), name="stop")
        chores = asyncio.create_task(self._chores(), name="chores")
        tasks = [*lines, writer, chores, ending, *([sender] if sender else [])]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ending}:
                task.result()  # raises what ended it
        finally:
            await _cancel([*lines, chores, ending])
            await _cancel([writer])
            await self.recorder.finish()
            if self.outbox is not None and sender is not None:
                await _within(FAREWELL_S, self.outbox.drained(), unless=not self.outbox.connected)
                await _cancel([sender])
            await self.log.close()
            await self._store.close()

    async def _chores(self) -> None:
        """What older epochs still hold; then receipts that `hubiao receipt import` left. Ends with RolledBack."""
        try:
            await self.log.look_back()
        except StoreError as error:
            logger.warning("older epochs wait for the next start: %s", error)
        stick = Stick(Path(self.config["private"]["data"]))
        while True:
            for path, payload in stick.waiting():
                try:
                    receipt = await receive(payload, self.log)
                    if receipt is not None:
                        self.recorder.receipt(receipt)
                except ReceiptRefused as error:
                    logger.warning("receipt ignored file=%s %s", path.name, error)
                    self.recorder.receipt_refused(error)
                except RolledBack as error:
                    self.log.disown(error.note)
                    raise
                except StoreError as error:
                    logger.warning("receipt waits file=%s %s", path.name, error)
                    continue
                with contextlib.suppress(OSError):  # it stays, then, and will be known
                    path.unlink()
            await self.clock.sleep(STICK_S)

    def _bounds(self, slot_s: int) -> int:
        """2 at a bound of a billing period, 1 at a bound of a day, else 0."""
        if self.plan.billing_period_of(slot_s)[0] == slot_s:
            return 2
        return int(self.plan.day_of(slot_s)[0] == slot_s)

    def signs_of_life(self) -> list[int]:
        """Boot clock at which each line and the writer last moved."""
        return [self.recorder.alive_ms, *(poller.alive_ms for poller in self.pollers)]

    def _limits(self) -> dict[str, Limits]:
        """What each meter's connection can carry, in its register's own units."""
        models = {model["id"]: model["data"] for model in self.config["models"]}
        return {
            meter["id"]: Limits.of(meter, primary=models.get(meter["model"], {}).get("values") == "primary")
            for meter in self.config["meters"]
        }

    def _remember(self, data: Path, books: Books) -> None:
        """What the log of this epoch says of the meters, and of the days still open."""
        now_ms = self.clock.wall_ms()
        books.kept.learn_all(recent(data, self.log.epoch, now_ms // 1000 - 2 * 86400, now_ms // 1000 + 86400))
        books.resume(now_ms // 1000)
        polled = {metered.id: metered for metered in self.recorder.meters.values() if metered.polled}
        remember_meters(data, self.log.epoch, now_ms, polled, self.plan.interval_s)

    def _pollers(self, limits: dict[str, Limits]) -> Iterator[Poller]:
        now_s = self.clock.wall_ms() // 1000
        drivers = Drivers(self.config)
        present = by_line(m for m in self.config["meters"] if not self.plan.is_retired(m["id"], now_s))
        data = Path(self.config["private"]["data"])
        stretches = list(open_stretches(data, self.log.epoch, now_s * 1000, self.plan.interval_s))
        for entry in self.config["lines"]:
            meters = [m for m in present[entry["id"]] if m["protocol"] in METER_PROTOCOLS]
            if not meters:
                continue
            settings = Settings.parse(entry["baud"], entry["framing"])
            mixed = any(m["protocol"] != "modbus" for m in meters)
            line = Line(
                entry["id"],
                self.open_port(entry),
                settings,
                self.clock,
                forbid_unit=DLT645_START if mixed else None,
                latency_s=latency_s(entry["port"]),
            )
            polled = [Polled(drivers.build(m, line), limits[m["id"]], m["id"] in drivers.billing) for m in meters]
            memory = OwnMemory([(one.meter, one.limits) for one in polled], grid=self.plan, clock=self.clock)
            idle = self._idle(line.id, [one.meter for one in polled], memory, stretches, drivers)
            yield Poller(line, polled, self.clock, self._slot_after, self.recorder.put, idle, memory)

    def _idle(
        self,
        line: str,
        meters: list[Meter],
        memory: OwnMemory,
        stretches: list[tuple[str, int, int]],
        drivers: Drivers,
    ) -> Idle:
        data = Path(self.config["private"]["data"])
        last = {meter.id: self.recorder.meters[meter.id].slots.last for meter in meters}
        last_ms = {id_: known.at_ms for id_, known in last.items() if known is not None}
        offset_s, put = self.plan.utc_offset_s, self.recorder.put
        backfill = Backfill(
            meters,
            interval_s=self.plan.interval_s,
            utc_offset_s=offset_s,
            clock=self.clock,
            put=put,
            last_ms=last_ms,
            open_stretches=stretches,
        )
        watch = Watch(
            line,
            meters,
            directory=data,
            utc_offset_s=offset_s,
            clock=self.clock,
            put=put,
            period_of=self._period_of,
            one_way=[meter.id for meter in meters if "export" not in set().union(*drivers.directions[meter.id])],
        )
        monthly = Monthly(line, meters, directory=data, grid=self.plan, clock=self.clock, put=put)
        return Idle([memory, backfill, watch, monthly])

    def _period_of(self, meter: str, at_s: int) -> str | None:
        """The tariff period of an instant at the point that a meter measures, None where it measures nothing."""
        point = self.plan.point_of(meter, self.plan.slot_floor(at_s))
        return None if point is None else self.plan.period_at(at_s, self.plan.points[point].schedule)[0]

    def _slot_after(self, t_s: int) -> int:
        return self.plan.slot_floor(t_s) + self.plan.interval_s


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _within(seconds: float, work: Awaitable[None], *, unless: bool) -> None:
    task = asyncio.ensure_future(work)
    if not unless:
        await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
