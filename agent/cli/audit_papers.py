"""Reads all papers of a report at once: bills, charges, price tables, refunds; every fault of every file, exit 78."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.cli import Failure
from audit.bill import Bill, read_lines
from audit.bill_check import check_bill
from audit.charges import Charges, read_rows
from audit.names import Notes
from audit.papers import PaperError, read_bill, read_charges
from audit.price_list import Price, load_prices
from audit.refunds import Refund, load_refunds
from audit.report_model import Papers
from audit.series import bills_by_period, join_bills


class Files(NamedTuple):
    """What was named on the command line."""

    bills: Sequence[pathlib.Path]
    charges: Sequence[pathlib.Path]
    prices: Sequence[pathlib.Path] = ()
    refunds: Sequence[pathlib.Path] = ()


@dataclass
class Read:
    """What stands in the files. `bills`: one a file; in `papers` they are joined."""

    papers: Papers = field(default_factory=lambda: Papers(None, Charges()))
    bills: list[Bill] = field(default_factory=list)
    prices: list[Price] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)


def read_all(files: Files, notes: Notes, tax: str | None) -> Read:
    """Raises Failure with all faults."""
    read, faults, findings = Read(), list[str](), list[Any]()
    charge_tax = notes.tax.get("charges") if tax is None else tax == "incl"

    def bill(path: pathlib.Path) -> None:
        paper = read_bill(path, notes.columns)
        findings.extend(check_bill(paper.rows).findings)
        read.bills.append(read_lines(paper, tax=notes.tax.get("bill")))

    def charges(path: pathlib.Path) -> None:
        more, all_ = read_rows(read_charges(path, notes.columns), tax=charge_tax, fees=notes.fees), read.papers.charges
        all_.rows += more.rows
        all_.findings += more.findings
        all_.skipped += more.skipped
        all_.unread += more.unread

    readers: tuple[tuple[Sequence[pathlib.Path], Callable[[pathlib.Path], object]], ...] = (
        (files.bills, bill),
        (files.charges, charges),
        (files.prices, lambda path: read.prices.extend(load_prices(path, notes.columns))),
        (files.refunds, lambda path: read.refunds.extend(load_refunds(path, notes.columns))),
    )
    for paths, reader in readers:
        for path in paths:
            try:
                reader(path)
            except PaperError as error:
                faults += [f"{path}: {line}" for line in str(error).splitlines()]
            except OSError as error:
                faults.append(f"{path}: {error.strerror or error}")
    if faults:
        raise Failure("\n".join(faults), 78)
    named = [path for paths in files for path in paths]
    read.papers.files = [{"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in named]
    read.papers.bill, read.papers.bill_findings = join_bills(read.bills), findings
    read.papers.bills = bills_by_period(read.bills)
    return read
