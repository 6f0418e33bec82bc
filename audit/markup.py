"""The colour code `hubiao-colour-1`: what a comparison of charges with the allowed amounts means (pure).

Our own proposal, never the official 转供电费码, whose thresholds are not known. Green means nothing found and the
evidence complete; without evidence the answer is grey. Settlement reference §6; all numbers are configuration.
It computes no amounts: `settle` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple

from audit.case_values import CaseError, Values

ZERO = Fraction()
GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "grey"

# Every reason code: when it is given, zh and en
REASONS: dict[str, tuple[str, str]] = {
    "OK": ("未发现问题，证据完整", "nothing found and the evidence is complete"),
    "EXTRA_FEE": ("电费账单中有其他收费", "another fee stands on the electricity bill"),
    "CAP_EXCEEDED_LITERAL": ("向租户收取的总额超过电网账单", "tenants together are charged more than the grid bill"),
    "CAP_EXCEEDED": ("向租户收取的总额超过应收上限", "tenants together are charged more than their allowed amounts"),
    "TENANT_OVER": ("租户多付", "a tenant is charged more than the allowed amount"),
    "TENANT_GREY": ("有租户证据不足", "a tenant's evidence is not enough"),
    "ESTIMATED_TOO_MUCH": ("估算电量占比过高", "too much of the energy is estimated"),
    "BALANCE_IMPLAUSIBLE": ("损耗率不合理", "the loss rate is implausible"),
    "BILL_MISSING": ("缺少电网账单", "there is no grid bill"),
    "MASTER_MISSING": ("缺少总表电量", "there is no energy of the master"),
    "POINTS_MISSING": ("缺少分表电量", "there is no energy of any sub-meter"),
    "PERIOD_MISMATCH": ("收费周期与账单周期相差一天以上", "charged days differ from the bill's by more than one day"),
    "CHARGE_MISSING": ("有用电而没有收费记录", "energy was used and there is no charge"),
    "CHARGE_UNMATCHED": ("有收费记录对不上租户", "a charge matches no tenant of the evidence"),
    "TAX_UNKNOWN": ("收费表未注明是否含税", "the charges do not say whether tax is included"),
    "KWH_MISMATCH": ("计费电量与电表不符", "the energy charged is not that of the meter"),
    "PV_UNRESOLVED": ("结论取决于光伏电价如何认定", "the answer depends on what may be asked for solar power"),
    "CORRECTION_UNRESOLVED": (
        "结论取决于账单中属于其他月份用户的退补",
        "the answer depends on a correction in the bill that belongs to another month's users",
    ),
    "READINGS_MISSING": ("读数缺失过多", "too many readings are missing"),
    "METER_EXCHANGED": (
        "电表被更换或示数突变而没有工单",
        "a meter was exchanged, or its register leapt, without a work order",
    ),
    "METER_NOT_ACCEPTED": (
        "电表型号只有单一来源，未经现场验收",
        "a meter's model rests on one source and nobody accepted it on site",
    ),
    "EVIDENCE_BAD": ("证据核验发现问题", "verification of the evidence found something"),
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of the verdict; ratios are fractions. A value on a limit is within it."""

    tolerance_yuan: Fraction = Fraction(1)
    yellow_max_ratio: Fraction = Fraction(5, 100)
    estimate_max_ratio: Fraction = Fraction(10, 100)
    loss_rate_min: Fraction = Fraction(-5, 1000)
    loss_rate_max: Fraction = Fraction(15, 100)

    @classmethod
    def parse(cls, config: Mapping[str, Any] | None, path: str = "config") -> Thresholds:
        """Reads decimal texts; what is not named keeps its default. Raises CaseError, also for names not known."""
        values = Values()
        known = [field.name for field in fields(cls)]
        body = values.object(config or {}, path, None)
        for name in body:
            if name not in known:
                values.fault(f"{path}.{name}", f"none of {', '.join(known)}")
        limits = {name: values.number(body, name, path) for name in known if name in body}
        if values.faults:
            raise CaseError(values.faults)
        return cls(**limits)


class Verdict(NamedTuple):
    """A colour and its reason codes, in the order of the code's table."""

    colour: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenantFacts:
    """What is known of one tenant, in yuan. `allowed` is None where it cannot be worked out; `missing` says why."""

    extra_fee: bool
    charged: Fraction
    allowed: Fraction | None
    estimated_ratio: Fraction
    missing: str
    doubts: tuple[str, ...] = ()  # why the evidence is not enough, found by the report
    hints: tuple[str, ...] = ()  # found beside the money: no green with them

    @property
    def over(self) -> Fraction:
        return Fraction() if self.allowed is None else max(Fraction(), self.charged - self.allowed)


@dataclass(frozen=True, slots=True)
class ParkFacts:
    """What is known of the park, in yuan. `loss_rate` None: something came out of nothing. `missing`: absent inputs."""

    charged: Fraction
    passable: Fraction | None
    cap: Fraction | None
    loss_rate: Fraction | None
    estimated_ratio: Fraction
    missing: tuple[str, ...]
    comparable: bool = True  # bill and charges cover the same days
    doubts: tuple[str, ...] = ()  # like missing inputs
    gaps: tuple[str, ...] = ()  # no green with them, and no other colour changed
    doubtful: Fraction = Fraction()  # over the cap, but only for energy that the evidence may lack


def tenant_verdict(tenant: TenantFacts, limits: Thresholds) -> Verdict:
    """The first rule that matches wins."""
    if tenant.extra_fee:
        return Verdict(RED, ("EXTRA_FEE",))
    if tenant.doubts:
        return Verdict(GREY, tenant.doubts)
    if tenant.estimated_ratio > limits.estimate_max_ratio:
        return Verdict(GREY, ("ESTIMATED_TOO_MUCH",))
    if tenant.allowed is None:
        return Verdict(GREY, (tenant.missing,))
    if tenant.over > limits.tolerance_yuan:
        return Verdict(_degree(tenant.over, tenant.allowed, limits), ("TENANT_OVER", *tenant.hints))
    return Verdict(YELLOW, tenant.hints) if tenant.hints else Verdict(GREEN, ("OK",))


def park_verdict(park: ParkFacts, tenants: Sequence[Verdict], limits: Thresholds) -> Verdict:
    """The first group that gives a reason wins; all reasons of that group are listed."""
    of_tenants = {reason for tenant in tenants for reason in tenant.reasons}
    documents = []
    if "EXTRA_FEE" in of_tenants:
        documents.append("EXTRA_FEE")
    is_over = park.passable is not None and park.charged - park.passable > limits.tolerance_yuan
    if is_over and park.comparable:
        documents.append("CAP_EXCEEDED_LITERAL")
    if documents:
        return Verdict(RED, tuple(documents))
    doubts = []
    if not _plausible(park, limits):
        doubts.append("BALANCE_IMPLAUSIBLE")
    if park.estimated_ratio > limits.estimate_max_ratio:
        doubts.append("ESTIMATED_TOO_MUCH")
    doubts += [*park.missing, *park.doubts]
    if doubts:
        return Verdict(GREY, tuple(doubts))
    over = ZERO if park.cap is None else park.charged - park.cap - park.doubtful
    if park.cap is not None and over > limits.tolerance_yuan:
        return Verdict(_degree(over, park.cap, limits), ("CAP_EXCEEDED", *park.gaps))
    single: list[str] = [reason for reason in ("TENANT_OVER", "KWH_MISMATCH") if reason in of_tenants]
    if any(tenant.colour == GREY and set(tenant.reasons) - set(park.gaps) for tenant in tenants):
        single.append("TENANT_GREY")
    if single:
        return Verdict(YELLOW, (*single, *park.gaps))
    return Verdict(GREY, park.gaps) if park.gaps else Verdict(GREEN, ("OK",))


def _degree(over: Fraction, allowed: Fraction, limits: Thresholds) -> str:
    return RED if allowed <= 0 or over / allowed > limits.yellow_max_ratio else YELLOW


def _plausible(park: ParkFacts, limits: Thresholds) -> bool:
    if "MASTER_MISSING" in park.missing:
        return True  # no balance to doubt: the missing master is the reason
    return park.loss_rate is not None and limits.loss_rate_min <= park.loss_rate <= limits.loss_rate_max
