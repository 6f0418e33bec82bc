"""The ledger: from register values at slots and the plan of the park to every derived record (pure).

    value at slots ──▶ interval ──▶ day, statement        of a subject     `energy`, `totals`
                  └──▶ balance of a step ──▶ balance      of the park      `balance`

The one door for the gateway, which writes these records, and for auditors, who recompute them: same values in, same
records out, always of revision 0. What was written before, and so which revision comes next, is the caller's matter.
"""

from contract.balance import balance_interval, balance_sum, skew_of
from contract.energy import RolloverAt, SlotValue, ValueAt, interpolate, interval, no_rollover
from contract.totals import is_sure, join, total

__all__ = [
    "RolloverAt",
    "SlotValue",
    "ValueAt",
    "balance_interval",
    "balance_sum",
    "interpolate",
    "interval",
    "is_sure",
    "join",
    "no_rollover",
    "skew_of",
    "total",
]
