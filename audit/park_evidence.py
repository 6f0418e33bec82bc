"""What a park's evidence says about a span of days: energies by holder, balances, demands, events (reads the store).

    store ─▶ configuration in force, intervals and readings in their latest revisions, balances, events
          ─▶ energy of a tenant or point between any two local midnights, by tariff period and grid account

Takes intervals as recorded: that they follow from readings, and those from raw frames, is `verify_store`'s matter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from audit.periods import periods_from_texts
from audit.rows import UNDATED, LogId
from audit.store import Log, Store
from contract.acceptance import Acceptances, one_source
from contract.energy import EXACT, SlotValue, ValueAt
from contract.plan import Plan, Subject
from contract.records import Event, Interval, Statement, canonical, decode, parse_instant, parse_slot
from contract.sheet import Row, Split, break_slot, sheet_at, sheet_between, sheet_edges, with_acceptance
from contract.totals import total

Days = tuple[date, date]
Energy = dict[str, Fraction]
_DEMAND_DAYS = 366  # twelve months of demands
_EVENTS = ("serial_changed", "meter_replaced", "register_fell", "register_jumped", "ratio_mismatch", "reverse_flow")


@dataclass(frozen=True, slots=True)
class Use:
    """A holder's energy over a span. `by_account`: grid account → period → kWh; `missing`: steps without an interval.

    `records`: first and last index of the intervals used, per log.
    """

    subject: Subject
    statement: Statement
    by_account: Mapping[str, Energy]
    owed: int
    missing: int
    records: Mapping[str, tuple[int, int]]

    @property
    def name(self) -> str:
        return self.subject.tenant or self.subject.point or ""

    @property
    def kwh(self) -> Energy:
        return {period: Fraction(kwh) for period, kwh in self.statement.periods.items()}

    @property
    def total(self) -> Fraction:
        return Fraction(self.statement.total)


@dataclass(slots=True)
class Flow:
    """The park's balance over a span, by period, kWh; `night`: the smallest loss of a step from 0 to 5, kW."""

    periods: dict[str, dict[str, Fraction]] = field(default_factory=dict)
    steps: int = 0
    night: Fraction | None = None

    def sum(self, name: str) -> Fraction:
        return sum((flow[name] for flow in self.periods.values()), Fraction())


@dataclass(slots=True)
class _Gateway:
    """One gateway over all its epochs, the newest last."""

    plan: Plan
    config: dict[str, Any]
    intervals: dict[Subject, dict[int, Interval]] = field(default_factory=lambda: defaultdict(dict))
    seqs: dict[Subject, dict[int, tuple[LogId, int]]] = field(default_factory=lambda: defaultdict(dict))
    readings: dict[tuple[str, int], SlotValue] = field(default_factory=dict)
    balances: dict[int, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    demands: dict[Subject, dict[date, Decimal]] = field(default_factory=lambda: defaultdict(dict))  # of each local day
    accepted: Acceptances = field(default_factory=Acceptances)


class ParkEvidence:
    """Loads what a span needs. Raises LookupError where the store has no configuration of the park."""

    def __init__(self, store: Store, park: str, days: Days | None = None) -> None:
        self.park = park
        self.logs: dict[LogId, int] = {}  # log → records held
        self._opened: dict[LogId, Log] = {}
        self._gateways: dict[str, _Gateway] = {}
        for which in store.logs(park):
            self._load(store, which, days)
        if not self._gateways:
            raise LookupError(f"no configuration of park {park!r} in the store")
        self.offset_s = next(iter(self._gateways.values())).plan.utc_offset_s
        self.keys = {which: store.key(which) for which in self.logs}

    @property
    def tenants(self) -> list[str]:
        named = (entry["tenant"] for gateway in self._gateways.values() for entry in gateway.config["tenancies"])
        return list(dict.fromkeys(named))

    @property
    def not_accepted(self) -> set[str]:
        """Meters whose energy is not to be settled yet."""
        lacking = (gateway.accepted.lacking(gateway.config) for gateway in self._gateways.values())
        return set().union(*lacking)

    @property
    def days(self) -> Days | None:
        """Local days wholly or partly covered by intervals."""
        steps = [s for g in self._gateways.values() for held in g.intervals.values() for s in held]
        if not steps:
            return None
        return self._day(min(steps)), self._day(max(steps)) + timedelta(days=1)

    def bounds(self, days: Days) -> tuple[int, int]:
        """UTC seconds of two local midnights."""
        first, last = (int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) - self.offset_s for d in days)
        return first, last

    def uses(self, days: Days) -> list[Use]:
        """Everybody who holds something in the span: tenants, and points that no tenant holds."""
        found = []
        from_s, to_s = self.bounds(days)
        for gateway in self._gateways.values():
            for subject in gateway.plan.subjects(from_s, to_s):
                found.append(self._use(gateway, subject, from_s, to_s))
        return found

    def flow(self, days: Days) -> Flow:
        """The park's balance, from the balances of each step."""
        from_s, to_s = self.bounds(days)
        flow = Flow()
        for gateway in self._gateways.values():
            for start_s, balance in gateway.balances.items():
                if from_s <= start_s < to_s:
                    self._add_balance(flow, balance, start_s, gateway.plan.interval_s)
        return flow

    def profile(self, tenant: str, days: Days) -> list[Fraction | None]:
        """Average power of each quarter hour of the day, kW, None where nothing is known; empty without intervals."""
        from_s, to_s = self.bounds(days)
        sums: dict[int, list[Fraction]] = defaultdict(list)
        for gateway in self._gateways.values():
            step_s = gateway.plan.interval_s
            for subject, held in gateway.intervals.items():
                if subject.tenant == tenant:
                    for start_s, interval in held.items():
                        if from_s <= start_s < to_s:
                            quarter = (start_s + self.offset_s) % 86_400 // 900
                            for n in range(max(1, step_s // 900)):  # a longer step covers several
                                sums[quarter + n].append(Fraction(interval.kwh) * 3600 / step_s)
        return [sum(sums[q], Fraction()) / len(sums[q]) if sums.get(q) else None for q in range(96)] if sums else []

    def demands(self, days: Days) -> dict[Subject, dict[date, Decimal]]:
        """Maximum demand of each month (its first day), kW, of the twelve that end with the span's last one."""
        last = (days[1] - timedelta(days=1)).replace(day=1)
        first = last.replace(year=last.year - 1) + timedelta(days=31)
        found: dict[Subject, dict[date, Decimal]] = defaultdict(dict)
        for gateway in self._gateways.values():
            for subject, by_day in gateway.demands.items():
                for day, kw in by_day.items():
                    month = day.replace(day=1)
                    if first.replace(day=1) <= month <= last:
                        found[subject][month] = max(kw, found[subject].get(month, kw))
        return found

    def own_intervals(self, tenant: str, days: Days) -> dict[LogId, list[int]]:
        """Indices of a tenant's intervals in the span, in their latest revisions, by log and in order."""
        from_s, to_s = self.bounds(days)
        found: dict[LogId, list[int]] = defaultdict(list)
        for gateway in self._gateways.values():
            for subject, steps in gateway.seqs.items():
                if subject.tenant == tenant:
                    for start_s, (which, seq) in steps.items():
                        if from_s <= start_s < to_s:
                            found[which].append(seq)
        return {which: sorted(seqs) for which, seqs in found.items()}

    def meters(self, tenant: str, days: Days) -> list[dict[str, Any]]:
        """The meters that a tenant has in the span: room, serial, address, multiplier, role of its point."""
        from_s, to_s = self.bounds(days)
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for gateway in self._gateways.values():
            entries = {meter["id"]: meter for meter in gateway.config["meters"]}
            for _, _, held in gateway.plan.eras(from_s, to_s):
                for subject, holdings in held.items():
                    if subject.tenant != tenant:
                        continue
                    for holding in holdings:
                        meter = entries[holding.meter]
                        names = {
                            key: meter.get(key) for key in ("room", "serial", "address", "verified_until", "class")
                        }
                        said = {**names, "meter": holding.meter, "point": holding.point}
                        said |= {"multiplier": str(holding.multiplier), "share": str(holding.share)}
                        found[holding.point, holding.meter] = said
        return list(found.values())

    def places(self, days: Days) -> dict[str, str]:
        """Room, serial and address of each meter that serves one tenant alone → that tenant."""
        places: dict[str, str] = {}
        for tenant in self.tenants:
            for meter in self.meters(tenant, days):
                for key in ("room", "serial", "address", "meter"):
                    if meter[key] and meter["share"] == "1":
                        places[str(meter[key])] = tenant
        return places

    def events(self, meters: set[str], days: Days) -> list[dict[str, Any]]:
        """Events in the span that bear on what a meter's registers are worth."""
        from_s, to_s = self.bounds(days)
        return [
            event
            for gateway in self._gateways.values()
            for event in gateway.events
            if event["id"] in meters and from_s * 1000 <= parse_instant(event["from"] or event["at"]) < to_s * 1000
        ]

    def sheet(self, from_s: int | None, to_s: int) -> list[Row]:
        """The meter-reading sheet at an instant, or between two slots. Raises ValueError for bounds off the slots."""
        rows: list[Row] = []
        for gateway in self._gateways.values():
            plan, meters = gateway.plan, gateway.config["meters"]
            value = _value_of(gateway)
            if from_s is None:
                rows += sheet_at(plan, meters, to_s, value)
                continue
            split = Split(sheet_edges(plan, from_s, to_s))
            wanted: dict[LogId, set[int]] = {}
            for steps in gateway.seqs.values():
                for start_s, (which, seq) in steps.items():
                    if from_s <= start_s < to_s:
                        wanted.setdefault(which, set()).add(seq)
            for which, seqs in wanted.items():
                for seq, record in self._opened[which].records(("interval",)):
                    if seq in seqs:  # the latest revisions alone are left: nothing supersedes them
                        split.add({**json.loads(record), "revision": 0})
            breaks: dict[str, dict[int, str]] = {}
            for raw in gateway.events:
                _, event = decode(canonical(raw))
                slot = break_slot(plan, event) if isinstance(event, Event) else None
                if slot is not None:
                    breaks.setdefault(raw["id"], {})[slot] = raw["code"]
            rows += sheet_between(plan, meters, from_s, to_s, value, split, breaks)
        return with_acceptance(rows, self.not_accepted)

    def _load(self, store: Store, which: LogId, days: Days | None) -> None:
        log = self._opened[which] = store.log(which)
        self.logs[which] = log.held
        config = None
        for _, record in log.records(("config",)):
            config = json.loads(record)
        if config is None:
            return
        known = self._gateways.get(which.gateway)
        plan = Plan.from_config(config, periods_from_texts(config))
        if known is None:
            known = self._gateways[which.gateway] = _Gateway(plan, config)
        else:
            known.plan, known.config = plan, config
        if one_source(config):  # a meter may have been accepted long before the days that are asked about
            for _, record in log.records(("event",)):
                event = json.loads(record)
                known.accepted.add(event["scope"], event["id"], event["code"], event["details"])
        for seq, record in log.records(("interval", "reading", "balance", "event"), self._months(store, days)):
            self._take(known, which, seq, record)
        for _, record in log.records(("day",), self._months(store, days, _DEMAND_DAYS)):
            day = json.loads(record)
            if day["max_demand_kw"] is not None:
                subject = Subject(day["tenant"], day["point"], day["role"])
                known.demands[subject][_day(parse_slot(day["from"]), plan.utc_offset_s)] = Decimal(day["max_demand_kw"])

    def _months(self, store: Store, days: Days | None, before: int = 1) -> set[str] | None:
        """Months of writing that can hold anything about the days, from so many days before them on."""
        if days is None:
            return None
        first = (days[0] - timedelta(days=before)).strftime("%Y-%m")
        return {month for month in store.months(self.park) if month == UNDATED or month >= first}

    def _take(self, gateway: _Gateway, which: LogId, seq: int, record: bytes) -> None:
        raw = json.loads(record)
        kind = raw["kind"]
        if kind == "interval":
            _, body = decode(record)
            assert isinstance(body, Interval)
            subject = Subject(body.tenant, body.point, body.role)
            start_s = parse_slot(body.start)
            gateway.intervals[subject][start_s] = body  # in order of index: the latest revision is told last
            gateway.seqs[subject][start_s] = which, seq
        elif kind == "reading" and raw["slot"] is not None:
            registers = {name: Decimal(value) for name, value in raw["registers"].items()}
            gateway.readings[raw["meter"], parse_slot(raw["slot"])] = SlotValue(registers, raw["quality"], seq)
        elif kind == "balance" and parse_slot(raw["to"]) - parse_slot(raw["from"]) == gateway.plan.interval_s:
            gateway.balances[parse_slot(raw["from"])] = raw
        elif kind == "event" and raw["code"] in _EVENTS and (raw["from"] or raw["at"]):
            gateway.events.append(raw)

    def _use(self, gateway: _Gateway, subject: Subject, from_s: int, to_s: int) -> Use:
        held = gateway.intervals.get(subject, {})
        statement = total(
            gateway.plan,
            subject,
            from_s,
            to_s,
            held,
            kind=Statement,
            value=lambda meter, slot_s: gateway.readings.get((meter, slot_s)),
        )
        accounts = {point["id"]: point.get("account") or "" for point in gateway.config["points"]}
        by_account: dict[str, Energy] = defaultdict(lambda: defaultdict(Fraction))
        used: dict[str, tuple[int, int]] = {}
        with localcontext(EXACT):
            for start_s, interval in held.items():
                if not from_s <= start_s < to_s:
                    continue
                for segment in interval.segments:
                    by_account[accounts.get(segment.point, "")][interval.period] += Fraction(segment.kwh)
                which, seq = gateway.seqs[subject][start_s]
                low, high = used.get(which.stem, (seq, seq))
                used[which.stem] = min(low, seq), max(high, seq)
        owed = list(gateway.plan.expected_steps(subject, from_s, to_s))
        energies = {account: dict(kwh) for account, kwh in by_account.items()}
        return Use(subject, statement, energies, len(owed), sum(step not in held for step in owed), used)

    def _add_balance(self, flow: Flow, balance: Mapping[str, Any], start_s: int, interval_s: int) -> None:
        flow.steps += 1
        loss = Fraction()
        for period, entry in balance["periods"].items():
            sums = flow.periods.setdefault(period, defaultdict(Fraction))
            for name, kwh in entry.items():
                sums[name] += Fraction(kwh)
            loss += Fraction(entry["loss"])
        if (start_s + self.offset_s) % 86_400 < 5 * 3600:
            power = loss * 3600 / interval_s
            flow.night = power if flow.night is None else min(flow.night, power)

    def _day(self, at_s: int) -> date:
        return _day(at_s, self.offset_s)


def _day(at_s: int, offset_s: int) -> date:
    return (datetime.fromtimestamp(at_s, UTC) + timedelta(seconds=offset_s)).date()


def _value_of(gateway: _Gateway) -> ValueAt:
    return lambda meter, slot_s: gateway.readings.get((meter, slot_s))
