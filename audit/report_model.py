"""What a report is worked out of: the papers, who pays, and the case with everything that was settled (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from audit.bill import Bill, own_bill
from audit.charges import ChargeRow, Charges, Fee
from audit.markup import Thresholds
from audit.names import Notes
from audit.park_evidence import Days, Flow, ParkEvidence, Use
from audit.price_list import Price
from audit.report_case import Settled
from contract.plan import Subject

ZERO = Fraction()
KWH_SLACK = Fraction(2, 100)  # charged energy may differ so much from the meter's: registers are not read at midnight
KWH_LEAST = Fraction(2)  # kWh, below which a difference is none
SLACK_DAYS = 1
LONG_DAYS = 85  # from about three months on, days at the ends no longer decide


@dataclass(slots=True)
class Papers:
    """What the park and the grid sent. `bills`: one a billing period where there are several; `bill` joins them."""

    bill: Bill | None
    charges: Charges
    bills: Sequence[Bill] = ()
    bill_findings: Sequence[Any] = ()
    files: Sequence[Mapping[str, str]] = ()


@dataclass(slots=True)
class Payer:
    """A tenant in the report: who, its rows, and over which days."""

    name: str
    rows: list[ChargeRow] = field(default_factory=list)
    days: Days | None = None
    use: Use | None = None  # over the bill's days
    own_use: Use | None = None  # over the charge's own days, where they are others
    hints: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    breaks: Sequence[Mapping[str, Any]] = ()  # events after which a register is no longer what it was

    @property
    def is_shifted(self) -> bool:
        return self.own_use is not None

    @property
    def charged_kwh(self) -> Fraction | None:
        known = [row.kwh for row in self.rows if row.kwh is not None]
        return sum(known, ZERO) if known else None


@dataclass(slots=True)
class Case:
    """Everything worked out, before it is written down."""

    park: str
    days: Days | None
    papers: Papers
    evidence: ParkEvidence | None
    notes: Notes
    limits: Thresholds
    common: str
    is_common_known: bool
    payers: list[Payer]
    unmatched: list[ChargeRow]
    uses: list[Use]
    flow: Flow | None
    strict: Settled
    with_pv: Settled | None
    pv_yuan: Fraction
    as_billed: tuple[Settled, Settled | None] | None  # with corrections for other months' users; None: there are none
    comparable: bool
    verified: Mapping[str, Any] | None
    prices: Sequence[Price] = ()  # published, of any month
    months: Sequence[tuple[date, Mapping[str, Mapping[str, Fraction]]]] = ()  # first day, tenant → period → kWh
    demands: Mapping[Subject, Mapping[date, Decimal]] = field(default_factory=dict)  # of the twelve months

    @property
    def bill(self) -> Bill | None:
        """What the grid asks for the days: the papers' bill without corrections for other months' users."""
        return None if self.papers.bill is None else own_bill(self.papers.bill, self.days)

    def parts(self, fee: Fee) -> tuple[bool, bool]:
        """Whether a fee counts towards what the tenant pays for electricity, and whether it is another fee."""
        if not fee.in_bill:
            return False, False
        own = fee.kind == "grid" or (fee.kind == "common" and self.common == "shared")
        return True, not own and fee.yuan > 0

    def charged(self, rows: Sequence[ChargeRow]) -> Fraction:
        fees = sum((fee.yuan for row in rows for fee in row.fees if self.parts(fee)[0]), ZERO)
        return sum((row.yuan for row in rows), ZERO) + fees

    def extra(self, rows: Sequence[ChargeRow]) -> Fraction:
        return sum((fee.yuan for row in rows for fee in row.fees if self.parts(fee)[1]), ZERO)
