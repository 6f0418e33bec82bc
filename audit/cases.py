"""Reads a settlement case's inputs: parsed JSON to typed quantities, or all faults with their JSON paths (pure).

Says what the inputs are and whether they can be settled at all; computes energies of segments and shares of meters
(step 1 of the method) and nothing further. Forms: examples/settlement-cases.json and settlement reference §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from audit.amounts import by_largest_remainder, rounded
from audit.case_values import ALL_PERIODS, CaseError, Energy, Values

ROLES = ("tenant", "operator", "public")
ESTIMATES = ("interpolated", "estimated", "substituted")  # qualities that count towards the estimated share


class Holder(NamedTuple):
    """Who stands behind energy: a tenant (role and id), or an operator's or public point (role and point id)."""

    role: str
    id: str


@dataclass(frozen=True, slots=True)
class Use:
    """Energy of one holder at one point or share of a meter. `estimated` is the part that was not measured, kWh."""

    holder: Holder
    kwh: Energy
    estimated: Fraction


@dataclass(frozen=True, slots=True)
class BillItem:
    """One line of the grid bill; period None: capacity, demand, power factor, correction…"""

    period: str | None
    yuan: Fraction
    passable: bool


@dataclass(frozen=True, slots=True)
class Charge:
    """What a tenant was charged: everything on the electricity bill, and of it the lines that are another fee."""

    tenant: str
    yuan: Fraction
    extra_fee: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """One settlement's inputs. None: absent (master, bill), which makes the verdict grey rather than the file bad.

    `master` is what the feeds took, `available` that with generation added and export taken off. `master_read`: some
    feed has only what its meter read, not what the bill charges for.
    """

    master: Fraction | None
    available: Energy | None
    master_read: bool
    uses: tuple[Use, ...]
    bill: tuple[BillItem, ...] | None
    shared: bool
    by_energy: bool
    charges: tuple[Charge, ...]
    unused: tuple[str, ...]


def read_inputs(data: Any, path: str = "inputs") -> Inputs:
    """Checks one case's inputs and works out the energies. Raises CaseError with every fault."""
    reader = _Reader()
    inputs = reader.inputs(data, path)
    if reader.faults:
        raise CaseError(reader.faults)
    return inputs


class _Reader(Values):
    """The parts of a case, in the order of a case file."""

    def inputs(self, data: Any, path: str) -> Inputs:
        top = self.object(
            data,
            path,
            "master_feeds points bill_items policy charges pv segments shared_meters config note notes bill_period",
        )
        feeds = self.objects(top, "master_feeds", path, "id import_kwh billed_kwh read_kwh export_kwh name meter")
        master, read_only, exports = self.feeds(feeds)
        available = self.available(master, exports, top.get("pv"), f"{path}.pv")
        uses = self.uses(top, path)
        shared, by_energy = self.policy(top.get("policy"), f"{path}.policy")
        bill = self.bill(top, path)
        if "charges" not in top:
            self.fault(f"{path}.charges", "missing")
        operators = {use.holder.id for use in uses if use.holder.role != "tenant"} - {
            use.holder.id for use in uses if use.holder.role == "tenant"
        }
        charges = tuple(self.charges(top, path, operators))
        return Inputs(
            master=None if master is None else sum(master.values(), Fraction()),
            available=available,
            master_read=read_only,
            uses=uses,
            bill=bill,
            shared=shared,
            by_energy=by_energy,
            charges=charges,
            unused=tuple(self.unused),
        )

    def feeds(self, feeds: list[tuple[str, dict[str, Any]]]) -> tuple[Energy | None, bool, list[Energy]]:
        """Import of all feeds (None if any was not read), whether only read, exports."""
        total: Energy = {}
        complete, read_only = bool(feeds), False
        exports = []
        seen: set[str] = set()
        for path, feed in feeds:
            self.identity(feed, path, seen)
            key = next((k for k in ("import_kwh", "billed_kwh", "read_kwh") if feed.get(k) is not None), None)
            if key is None:
                complete = False
                continue
            read_only = read_only or key == "read_kwh"
            add(total, self.energy(feed[key], f"{path}.{key}"))
            if feed.get("export_kwh") is not None:
                exports.append(self.energy(feed["export_kwh"], f"{path}.export_kwh"))
        return (total if complete else None), read_only, exports

    def available(self, master: Energy | None, exports: list[Energy], pv: Any, path: str) -> Energy | None:
        """Step 2: import + generation − export, period by period."""
        plus: list[Energy] = []
        if pv is not None:
            body = self.object(pv, path, "generation generation_kwh export export_kwh id name")
            for names, into in ((("generation", "generation_kwh"), plus), (("export", "export_kwh"), exports)):
                given = [name for name in names if body.get(name) is not None]
                if len(given) == 2 or (given and names[0] == "export" and exports):
                    self.fault(f"{path}.{given[0]}", "is stated twice, it would count twice")
                elif given:
                    into.append(self.energy(body[given[0]], f"{path}.{given[0]}"))
        if master is None:
            return None
        total = dict(master)
        for part in plus:
            add(total, part)
        for part in exports:
            add(total, {period: -kwh for period, kwh in part.items()})
        return total

    def uses(self, top: dict[str, Any], path: str) -> tuple[Use, ...]:
        """Step 1: every point, then every share of a shared meter, in listed order."""
        loose: dict[str, list[tuple[str, Any]]] = {}
        for place, segment in self.objects(top, "segments", path, None):
            loose.setdefault(self.name(segment, "point", place), []).append((place, segment))
        shared = self.objects(
            top, "shared_meters", path, "id name kwh segments shares estimated_kwh estimated document quality"
        )
        shares = [self.shares(meter, f"{place}.shares") for place, meter in shared]
        sharers = {name for parts in shares for name, _ in parts}
        uses: list[Use] = []
        roles: dict[str, Holder] = {}
        seen: set[str] = set()
        known = "id role tenant kwh segments estimated_kwh estimated name meter quality one_meter_per_customer"
        for place, point in self.objects(top, "points", path, known):
            name = self.identity(point, place, seen)
            role = self.choice(point.get("role"), ROLES, f"{place}.role")
            tenant = self.name(point, "tenant", place) if point.get("tenant") is not None else name
            holder = Holder(role, tenant if role == "tenant" else name)
            roles[name] = holder
            roles.setdefault(holder.id, holder)
            kwh, estimated = self.metered(point, place, loose.pop(name, []), silent=name in sharers)
            uses.append(Use(holder, kwh, estimated))
        for name, items in loose.items():
            self.fault(f"{items[0][0]}.point", f"no point is called {name!r}")
        for (place, meter), parts in zip(shared, shares, strict=True):
            self.identity(meter, place, seen)
            kwh, estimated = self.metered(meter, place, [], silent=False)
            uses += _split(kwh, estimated, parts, roles)
        return tuple(uses)

    def metered(
        self, point: dict[str, Any], path: str, loose: list[tuple[str, Any]], *, silent: bool
    ) -> tuple[Energy, Fraction]:
        """Energy of a point from `kwh` or from its segments, and how much of it is estimated."""
        own = self.objects(point, "segments", path, None)
        total: Energy = {}
        estimated = Fraction()
        if point.get("kwh") is not None:
            if own or loose:
                self.fault(f"{path}.kwh", "stands beside segments: it would count twice")
            total = self.energy(point["kwh"], f"{path}.kwh")
        elif not own and not loose and not silent:
            self.fault(path, "needs kwh or segments")
        for place, segment in [*own, *loose]:
            period, kwh, measured = self.segment(segment, place)
            add(total, {period: kwh})
            estimated += Fraction() if measured else kwh
        key = "estimated_kwh" if point.get("estimated_kwh") is not None else "estimated"
        whole = sum(total.values(), Fraction())
        if point.get(key) is True or (point.get(key) is None and point.get("quality") in ESTIMATES):
            estimated = whole
        elif point.get(key) is not None and point[key] is not False:
            estimated += sum(self.energy(point[key], f"{path}.{key}").values(), Fraction())
        if estimated > whole:
            self.fault(f"{path}.{key}", "more energy is estimated than there is")
        return total, estimated

    def segment(self, data: dict[str, Any], path: str) -> tuple[str, Fraction, bool]:
        """(end − start [+ modulus if rollover]) × multiplier to 0.01 kWh, its period, and whether it was measured."""
        known = "point meter start end multiplier rollover modulus register_digits digits period quality estimated"
        segment = self.object(data, path, known)
        start, end = (self.number(segment, key, path, minimum=Fraction()) for key in ("start", "end"))
        multiplier = self.number(segment, "multiplier", path, default=Fraction(1))
        if multiplier <= 0:
            self.fault(f"{path}.multiplier", "must be above 0")
        difference = end - start
        if self.flag(segment, "rollover", path, default=False):
            modulus = self.modulus(segment, path)
            if modulus and (difference >= 0 or start >= modulus):
                self.fault(path, "says rollover, but the register did not pass its modulus")
            difference += modulus
        elif difference < 0:
            self.fault(path, "end is below start and rollover is not true")
        period = self.choice(segment.get("period") or "flat", ALL_PERIODS, f"{path}.period")
        measured = segment.get("quality") not in ESTIMATES and not self.flag(segment, "estimated", path, default=False)
        return period, rounded(difference * multiplier), measured

    def modulus(self, segment: dict[str, Any], path: str) -> Fraction:
        key = "digits" if segment.get("digits") is not None else "register_digits"
        if segment.get("modulus") is None and segment.get(key) is not None:
            digits = self.number(segment, key, path, minimum=Fraction(1))
            if digits.denominator == 1 and digits <= 12:
                return Fraction(10 ** int(digits))
            self.fault(f"{path}.{key}", "must be a whole number from 1 to 12")
            return Fraction()
        return self.number(segment, "modulus", path, minimum=Fraction())

    def shares(self, meter: dict[str, Any], path: str) -> list[tuple[str, Fraction]]:
        """Agreed shares in listed order, from {holder: share} or [{tenant, share}]. They must add to 1."""
        given = meter.get("shares")
        items: list[tuple[str, str, dict[str, Any], str]] = []  # holder, path, where the number stands, its key
        if isinstance(given, dict):
            items = [(str(name), path, given, name) for name in given]
        elif isinstance(given, list):
            for place, item in self.objects(meter, "shares", path.rpartition(".")[0], "tenant id point share document"):
                key = next((k for k in ("tenant", "point", "id") if item.get(k) is not None), "tenant")
                items.append((self.name(item, key, place), place, item, "share"))
        parts = [(name, self.number(source, key, place, minimum=Fraction())) for name, place, source, key in items]
        if not parts:
            self.fault(path, "must say who has which share")
        elif len({name for name, _ in parts}) < len(parts):
            self.fault(path, "names somebody twice")
        elif sum(share for _, share in parts) != 1:
            self.fault(path, "shares do not add up to 1")
        else:
            return parts
        return []

    def bill(self, top: dict[str, Any], path: str) -> tuple[BillItem, ...] | None:
        items = self.objects(
            top,
            "bill_items",
            path,
            "code name period qty_kwh rate yuan passable category qty unit note account for_month",
        )
        lines = []
        for place, item in items:
            period = item.get("period")
            lines.append(
                BillItem(
                    period=None if period is None else self.choice(period, ALL_PERIODS, f"{place}.period"),
                    yuan=self.yuan(item, "yuan", place),
                    passable=self.flag(item, "passable", place, default=True),
                )
            )
        return tuple(lines) or None

    def policy(self, data: Any, path: str) -> tuple[bool, bool]:
        """Whether common use is shared, and whether all is shared by energy alone."""
        policy = self.object(data, path, "common method allocation note document")
        common = self.choice(policy.get("common"), ("shared", "recovered_elsewhere"), f"{path}.common")
        key = "method" if policy.get("method") is not None else "allocation"
        method = self.choice(policy.get(key) or "by_period", ("by_period", "by_energy"), f"{path}.{key}")
        return common == "shared", method == "by_energy"

    def charges(self, top: dict[str, Any], path: str, operators: set[str]) -> Iterator[Charge]:
        for place, row in self.objects(
            top, "charges", path, "tenant electricity_yuan extra_fees kwh note name from to"
        ):
            tenant = self.name(row, "tenant", place)
            if tenant in operators:  # the park's own use carries its own share: money to itself is no charge
                self.unused.append(place)
                continue
            yuan, extra = self.yuan(row, "electricity_yuan", place), False
            for spot, fee in self.objects(row, "extra_fees", place, "label yuan in_electricity_bill note covers"):
                amount = self.yuan(fee, "yuan", spot)
                if self.flag(fee, "in_electricity_bill", spot, default=False):
                    yuan += amount
                    extra = extra or amount > 0
            yield Charge(tenant, yuan, extra)


def add(total: Energy, part: Mapping[str, Fraction]) -> None:
    """Adds energies to a total, period by period."""
    for period, kwh in part.items():
        total[period] = total.get(period, Fraction()) + kwh


def _split(kwh: Energy, estimated: Fraction, parts: list[tuple[str, Fraction]], known: dict[str, Holder]) -> list[Use]:
    """A shared meter's energy by its shares, each period on its own, to 0.01 kWh by largest remainder."""
    split: list[Energy] = [{} for _ in parts]
    for period, energy in kwh.items():
        cut = by_largest_remainder([rounded(energy) * share for _, share in parts])
        for own, part in zip(split, cut, strict=True):
            own[period] = part
    roles = {role: Holder(role, role) for role in ("operator", "public")}
    holders = [known.get(name) or roles.get(name) or Holder("tenant", name) for name, _ in parts]
    return [Use(holder, own, estimated * share) for holder, own, (_, share) in zip(holders, split, parts, strict=True)]
