"""The truth of a configured park: what every meter's registers must show at any instant, and what every tenant used.

    consumers → points (nested ones inside their parent) → meters: (energy of the point while the meter sits there)
    / multiplier + start value, cut to the register's digits. Masters see Σ top points + loss − what feeds in,
    import and export apart.

Reads the effective configuration (docs/effective-configuration.md). Knows no protocol and no bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from contract.records import parse_instant
from simulators.faults import Fault, Faults
from simulators.household import PWH_PER_KWH, Calendar, Curve, Minutes, consumer, drawn, total, windows_of

# the day program inside every meter, as installed years ago: (first minute, tariff); not the tariff in force
PROGRAM = ((0, 4), (480, 2), (660, 4), (780, 2), (1140, 1), (1260, 3), (1320, 4))
TARIFFS = 4
REACTIVE = Fraction(48, 100)  # kvarh a kWh, a power factor of 0.90
TENANT_KINDS = ("workshop", "office", "shop", "cold_store", "dormitory")
WATT = Fraction(9, 2_500_000)  # a pWh per ms in W
HEADROOM = Fraction(3, 5)  # of what the connection carries, as nominal power: peaks reach 1.63 times nominal


@dataclass(slots=True)
class Node:
    """A point with the energy that flows through it, nested points included. `net`: draw minus feed."""

    point: dict[str, Any]
    net: Curve
    draw: Curve
    feed: Curve
    children: list[Node] = field(default_factory=list)

    @property
    def counted(self) -> Curve:
        """The flow that the point's own register counts for its holder."""
        return self.feed if self.point["role"] == "pv" or self.point["register"] == "export" else self.draw


@dataclass(frozen=True, slots=True)
class Stay:
    """A flow that a register counts from one instant to another, UTC ms."""

    curve: Curve
    multiplier: Fraction
    start_ms: int | None
    end_ms: int | None

    def pwh(self, t_ms: int, windows: tuple[Minutes, ...] | None) -> int:
        until = t_ms if self.end_ms is None else min(t_ms, self.end_ms)
        if self.start_ms is None:
            return self.curve.energy(until, windows)
        if until <= self.start_ms:
            return 0
        return self.curve.energy(until, windows) - self.curve.energy(self.start_ms, windows)


class Truth:
    """What is true in a park, false registers included where a fault makes them so.

    starts: import totals to begin from instead of the seed's (rollover tests). faults: whoever plays the meters of this
    truth takes theirs from here.
    """

    def __init__(
        self,
        config: dict[str, Any],
        seed: int = 1,
        *,
        starts: dict[str, Decimal] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        self.loss_permille = 20 + drawn(seed, "loss") % 21
        self.calendar = Calendar(seed, offset_ms(config["settings"]["utc_offset"]))
        self.meters = {meter["id"]: meter for meter in config["meters"]}
        self._starts = starts or {}
        self.faults = faults or Faults()
        self.nodes: dict[str, Node] = {}
        points = {point["id"]: point for point in config["points"]}
        nominal = self._nominal_powers(points)
        for name in points:
            if points[name]["role"] != "master":
                self._grow(name, points, nominal)
        for name, point in points.items():
            if point["role"] == "master":
                self._master(name, point, points)
        self._stays = self._settle()
        self._leaps: dict[tuple[str, int], Fraction] = {}  # of faults, for long scenarios: see _leap and _bypassed
        self._past: dict[tuple[str, str, Fault, tuple[Minutes, ...] | None], Fraction] = {}
        self._feeding = {
            seat["meter"]
            for point in points.values()
            if point["role"] in ("master", "pv", "storage")
            for seat in point["meters"]
        }

    def exact(self, meter_id: str, t_ms: int) -> dict[str, Fraction]:
        """Every register of a meter before cutting, in the meter's own kWh or kvarh since its start value."""
        values = self._undisturbed(meter_id, t_ms)
        for fault in self.faults.known("rollover", meter_id):  # it nears zero before its time too
            values["import"] += self._leap(meter_id, fault.from_ms)
            values["import_t4"] += self._leap(meter_id, fault.from_ms)
        for fault in self.faults.on(meter_id, t_ms):
            if fault.kind == "register":
                values["import"] += Fraction(str(fault.amount))
                values["import_t4"] += Fraction(str(fault.amount))
        reactive = self._counted(meter_id, "import", t_ms, None) * REACTIVE
        values["reactive_import"] = values["reactive_q1"] = self._start(meter_id, "reactive_import") + reactive
        for name in ("reactive_export", "reactive_q2", "reactive_q3", "reactive_q4"):
            values[name] = Fraction(0)
        return values

    def _leap(self, meter_id: str, rolls_ms: int) -> Fraction:
        """What a register that rolls over then is ahead of the energy."""
        if (known := self._leaps.get((meter_id, rolls_ms))) is not None:
            return known
        leap = self._modulus(meter_id) - self._undisturbed(meter_id, rolls_ms)["import"]
        self._leaps[meter_id, rolls_ms] = leap
        return leap

    def _undisturbed(self, meter_id: str, t_ms: int) -> dict[str, Fraction]:
        """Energies as they run from the start value on, without a leap."""
        values: dict[str, Fraction] = {}
        for direction in ("import", "export"):
            for tariff in range(1, TARIFFS + 1):
                name = f"{direction}_t{tariff}"
                counted = self._counted(meter_id, direction, t_ms, windows_of(PROGRAM, tariff))
                values[name] = self._start(meter_id, name) + counted
            values[direction] = sum((values[f"{direction}_t{n}"] for n in range(1, TARIFFS + 1)), Fraction(0))
        return values

    def registers(self, meter_id: str, t_ms: int, *, decimals: int = 2) -> dict[str, Decimal]:
        """The registers as the meter shows them: cut to `decimals`, rolled over at its digits (6 if not told)."""
        modulus = self._modulus(meter_id) * 10**decimals
        return {
            name: Decimal(int(value * 10**decimals) % modulus).scaleb(-decimals)
            for name, value in self.exact(meter_id, t_ms).items()
        }

    def _modulus(self, meter_id: str) -> int:
        digits = int(self.meters[meter_id]["digits"] or 6)
        return int(10**digits)

    def max_demand(self, meter_id: str, direction: str, from_ms: int, to_ms: int) -> tuple[Fraction, int]:
        """The highest average power over a quarter hour in between, in the meter's own kW, and when that ended.

        As if no fault had touched the meter; a quarter hour in which it was fitted elsewhere does not count.
        """
        highest = Fraction(0), from_ms
        for stay in self._stays.get((meter_id, direction), []):
            start = from_ms if stay.start_ms is None else max(from_ms, stay.start_ms)
            end = to_ms if stay.end_ms is None else min(to_ms, stay.end_ms)
            if start < end:
                pwh, ended_ms = stay.curve.peak(start, end)
                highest = max(highest, (Fraction(pwh * 4, PWH_PER_KWH) / stay.multiplier, ended_ms), key=lambda d: d[0])
        return highest

    def live(self, meter_id: str, t_ms: int) -> dict[str, Decimal]:
        """Telemetry on the meter's own side of CT and PT: V, A, kW, kvar, kVA, power factor, Hz."""
        power = Fraction(0)
        for sign, direction in ((1, "import"), (-1, "export")):
            for stay in self._stays.get((meter_id, direction), []):
                if (stay.start_ms or t_ms) <= t_ms and (stay.end_ms is None or t_ms < stay.end_ms):
                    power += sign * stay.curve.rate(t_ms) * WATT / stay.multiplier
        phases = "abc"[: int(self.meters[meter_id]["phases"] or 3)]
        values = {"power": _cut(power / 1000, 4), "power_factor": Decimal("0.900"), "frequency": Decimal("50.00")}
        values["reactive_power"] = _cut(abs(power) * REACTIVE / 1000, 4)
        values["apparent_power"] = _cut(abs(power) / 900, 4)
        for phase in phases:
            share = power / len(phases)
            volts = Fraction(2260 + drawn(self.seed, meter_id, phase, t_ms // 60_000) % 80, 10)
            values[f"voltage_{phase}"] = _cut(volts, 1)
            values[f"current_{phase}"] = _cut(share / volts / Fraction(9, 10), 3)
            values[f"power_{phase}"] = _cut(share / 1000, 4)
        for fault in self.faults.on(meter_id, t_ms):
            _spoil_phase(values, fault)
        return values

    def point_kwh(self, point: str, from_ms: int, to_ms: int, flow: str = "counted") -> Fraction:
        """Energy of a point between two instants: `draw`, `feed`, or what its register counts."""
        curve: Curve = getattr(self.nodes[point], flow)
        return Fraction(curve.energy(to_ms) - curve.energy(from_ms), PWH_PER_KWH)

    def loss_kwh(self, master: str, from_ms: int, to_ms: int) -> Fraction:
        """What gets lost behind a master point."""
        drawn_kwh = sum(
            (self.point_kwh(node.point["id"], from_ms, to_ms, "draw") for node in self.nodes[master].children),
            Fraction(0),
        )
        return drawn_kwh * self.loss_permille / 1000

    def tenant_kwh(self, tenant: str, from_ms: int, to_ms: int) -> Fraction:
        """What a tenant used between two instants: its points' own energy without nested ones, times its shares."""
        used = Fraction(0)
        for tenancy in self.config["tenancies"]:
            start = max(from_ms, _ms(tenancy["from"]) or from_ms)
            end = min(to_ms, _ms(tenancy["to"]) or to_ms)
            if tenancy["tenant"] != tenant or start >= end:
                continue
            node = self.nodes[tenancy["point"]]
            own = self.point_kwh(tenancy["point"], start, end)
            own -= sum((self.point_kwh(child.point["id"], start, end) for child in node.children), Fraction(0))
            used += own * Fraction(tenancy["share"])
        return used

    def _counted(self, meter_id: str, direction: str, t_ms: int, windows: tuple[Minutes, ...] | None) -> Fraction:
        """What flowed through the meter; of what flows past it a third a phase is missing."""
        counted = self._flowed(meter_id, direction, t_ms, windows)
        for fault in self.faults.known("bypass", meter_id):
            if t_ms > fault.from_ms:
                flowed = self._bypassed(meter_id, direction, t_ms, fault, windows)
                counted -= flowed / int(self.meters[meter_id]["phases"] or 3)
        return counted

    def _bypassed(
        self, meter_id: str, direction: str, t_ms: int, fault: Fault, windows: tuple[Minutes, ...] | None
    ) -> Fraction:
        """What flowed past the meter in the fault's time until then."""
        until_ms = t_ms if fault.to_ms is None else min(t_ms, fault.to_ms)
        key = (meter_id, direction, fault, windows)
        if until_ms == fault.to_ms and (known := self._past.get(key)) is not None:
            return known
        flowed = self._flowed(meter_id, direction, until_ms, windows)
        flowed -= self._flowed(meter_id, direction, fault.from_ms, windows)
        if until_ms == fault.to_ms:
            self._past[key] = flowed
        return flowed

    def _flowed(self, meter_id: str, direction: str, t_ms: int, windows: tuple[Minutes, ...] | None) -> Fraction:
        return sum(
            (
                Fraction(stay.pwh(t_ms, windows), PWH_PER_KWH) / stay.multiplier
                for stay in self._stays.get((meter_id, direction), [])
            ),
            Fraction(0),
        )

    def _start(self, meter_id: str, name: str) -> Fraction:
        given = self._starts.get(meter_id)
        if given is not None and name.startswith("import_t"):
            return Fraction(given) if name == "import_t4" else Fraction(0)
        if name.startswith("export") and meter_id not in self._feeding:
            return Fraction(0)
        return Fraction(drawn(self.seed, meter_id, name) % 500_000, 100)

    def _nominal_powers(self, points: dict[str, dict[str, Any]]) -> dict[str, int]:
        """W for each point that is no master, within its connection and all together within the master's."""
        powers: dict[str, int] = {}
        for name, point in points.items():
            if point["role"] != "master":
                carried = self._carried_w(point)
                siblings = sum(1 for other in points.values() if other["parent"] == point["parent"])
                if point["parent"] in points:  # a nested point takes a part of its parent's connection
                    carried = min(carried, self._carried_w(points[point["parent"]]) / (2 * siblings))
                percent = 15 + drawn(self.seed, name, "size") % 60
                powers[name] = int(carried * HEADROOM * percent / 100)
        masters = [self._carried_w(point) for point in points.values() if point["role"] == "master"]
        wanted = sum(powers.values())
        carried = min(masters, default=Fraction(0)) * HEADROOM
        if masters and wanted > carried:
            powers = {name: int(power * carried / wanted) for name, power in powers.items()}
        return powers

    def _carried_w(self, point: dict[str, Any]) -> Fraction:
        """What a point's connection carries by the smallest of its meters; untold 6 A behind a CT, 40 A direct."""
        carried = []
        for seat in point["meters"]:
            meter = self.meters[seat["meter"]]
            multiplier = Fraction(seat["multiplier"])
            amperes = Fraction(meter["max_a"] or (6 if multiplier > 1 else 40))
            carried.append(amperes * 220 * int(meter["phases"] or 3) * multiplier)
        return min(carried, default=Fraction(10_000))

    def _grow(self, name: str, points: dict[str, dict[str, Any]], nominal: dict[str, int]) -> Node:
        if name in self.nodes:
            return self.nodes[name]
        point = points[name]
        children = [
            self._grow(other, points, nominal)
            for other in points
            if points[other]["parent"] == name and points[other]["role"] != "master"
        ]
        parts = [
            (sign * 1000, consumer(self.calendar, f"{name}:{kind}", kind, nominal[name]))
            for sign, kind in self._kinds(point)
        ]
        parts += [(1000, child.net) for child in children]
        self.nodes[name] = self._node(point, Curve(self.calendar, total(self.calendar, parts)), children)
        return self.nodes[name]

    def _kinds(self, point: dict[str, Any]) -> list[tuple[int, str]]:
        if point["role"] == "pv":
            return [(-1, "sun")]
        if point["role"] == "storage":
            return [(1, "charging"), (-1, "discharging")]
        if point["role"] == "public":
            return [(1, "lighting")]
        if point["role"] == "operator":
            return [(1, "office")]
        return [(1, TENANT_KINDS[drawn(self.seed, point["id"], "kind") % len(TENANT_KINDS)])]

    def _master(self, name: str, point: dict[str, Any], points: dict[str, dict[str, Any]]) -> None:
        """Points of an account stand behind the master of that account, all others behind the first master."""
        masters = [other for other in points.values() if other["role"] == "master"]
        by_account = {other["account"]: other for other in reversed(masters) if other["account"] is not None}

        def first_meter(master: dict[str, Any]) -> str:
            return str(master["meters"][0]["meter"]) if master["meters"] else str(master["id"])

        tops = [
            node
            for node in self.nodes.values()
            if node.point["role"] != "master"
            and (node.point["parent"] is None or points[node.point["parent"]]["role"] == "master")
        ]
        # import and export of one master meter may be two points: both see the same flow
        behind = [
            node
            for node in tops
            if first_meter(by_account.get(node.point["account"], masters[0])) == first_meter(point)
        ]
        parts = [(1000, node.net) for node in behind] + [(self.loss_permille, node.draw) for node in behind]
        self.nodes[name] = self._node(point, Curve(self.calendar, total(self.calendar, parts)), behind)

    def _node(self, point: dict[str, Any], net: Curve, children: list[Node]) -> Node:
        draw = Curve(self.calendar, lambda card: [max(0, rate) for rate in net.rates(card)])
        feed = Curve(self.calendar, lambda card: [max(0, -rate) for rate in net.rates(card)])
        return Node(point, net, draw, feed, children)

    def _settle(self) -> dict[tuple[str, str], list[Stay]]:
        """Which flows each (meter, register) counts. A meter behind two points of the same flow counts it once."""
        stays: dict[tuple[str, str], list[Stay]] = {}
        for node in self.nodes.values():
            for seat in node.point["meters"]:
                multiplier, bounds = Fraction(seat["multiplier"]), (_ms(seat["from"]), _ms(seat["to"]))
                drawing, feeding = ("import", "export")
                if node.point["role"] == "pv" and node.point["register"] == "import":
                    drawing, feeding = feeding, drawing  # a generation meter wired to count forward
                for register, curve in ((drawing, node.draw), (feeding, node.feed)):
                    known = stays.setdefault((seat["meter"], register), [])
                    if not any((stay.start_ms, stay.end_ms) == bounds for stay in known):
                        known.append(Stay(curve, multiplier, *bounds))
        return stays


def _spoil_phase(values: dict[str, Decimal], fault: Fault) -> None:
    """What a meter shows with a phase's voltage lost, its current led past, or its current transformer turned round."""
    if fault.kind not in ("phase_missing", "phase_reversed", "bypass"):
        return
    phase = "abc"[int(fault.amount) - 1 if 1 <= fault.amount <= 3 else 0]
    if f"voltage_{phase}" not in values:
        return  # a single-phase meter has no such phase
    was = values[f"power_{phase}"]
    for name in (f"current_{phase}", f"power_{phase}"):
        values[name] = -values[name] if fault.kind == "phase_reversed" else values[name] * 0
    if fault.kind == "phase_missing":
        values[f"voltage_{phase}"] = Decimal("0.0")
    values["power"] += values[f"power_{phase}"] - was


def offset_ms(text: str) -> int:
    """`+08:00` as ms to add to UTC."""
    hours, minutes = text[1:].split(":")
    return (-1 if text[0] == "-" else 1) * (int(hours) * 60 + int(minutes)) * 60_000


def _ms(instant: str | None) -> int | None:
    return None if instant is None else parse_instant(instant)


def _cut(value: Fraction, decimals: int) -> Decimal:
    return Decimal(int(value * 10**decimals)).scaleb(-decimals)
