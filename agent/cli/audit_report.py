"""`hubiao audit report`: bill, charges and evidence to a verdict, as HTML, JSON, CSV and xlsx."""

from __future__ import annotations

import gc
import pathlib
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import click

from agent.cli import Failure
from agent.cli.audit_papers import Files, read_all
from agent.cli.audit_store import KEYS, PATH, open_store, pin_keys
from agent.cli.output import document, notice, styled, table
from agent.cli.words import language, t
from audit.case_values import CaseError
from audit.markup import REASONS, Thresholds
from audit.names import Matcher, Notes, load_notes, save_unmatched
from audit.papers import PaperError
from audit.park_evidence import Days, ParkEvidence
from audit.report import make_report
from audit.report_html import render
from audit.report_model import Papers
from audit.report_tables import bundle, write_tables
from audit.report_tenants import tenant_files, write_tenant_files
from audit.report_words import COLOURS
from audit.rule import Rule, load_rule
from audit.series import part_periods, series_part
from audit.store import Store
from audit.verify_store import verify_store
from audit.written import month_span, parse_date, parse_span

INK = {"green": "green", "yellow": "yellow", "red": "red", "grey": "bright_black"}
EVIDENCE_DAYS = 2  # beside the days asked for, so that estimates at their ends can be judged


@click.command("report")
@click.option("--park", required=True)
@click.option("--bill", "bills", type=PATH, multiple=True, metavar="F")
@click.option("--charges", "charges", type=PATH, multiple=True, metavar="F")
@click.option("--prices", type=PATH, multiple=True, metavar="F", help=t("公布的电价表", "published price tables"))
@click.option("--refunds", type=PATH, multiple=True, metavar="F", help=t("退费记录", "what was paid back"))
@click.option("--deadline", default=None, metavar="2026-09-30", help=t("退清期限", "for the refunds"))
@click.option(
    "--rule", "rule", type=PATH, default=None, metavar="F.yaml", help=t("所依据的规定", "the text it rests on")
)
@click.option("--store", type=PATH, default=None, metavar="DIR")
@click.option("--month", default=None, metavar="2026-07")
@click.option("--from", "from_", default=None, metavar="2026-07-01")
@click.option("--to", default=None, metavar="2026-08-01")
@click.option("--out", type=PATH, default=None, metavar="report.html")
@click.option("--tables", type=PATH, default=None, metavar="F.xlsx|F.csv")
@click.option("--zip", "zip_", type=PATH, default=None, metavar="F.zip")
@click.option(
    "--slips", type=PATH, default=None, metavar="DIR", help=t("租户核对单和证明", "tenants' slips and proofs")
)
@click.option(
    "--slip-address", default=None, metavar="URL", help=t("二维码所指 verify.html 的网址", "of verify.html, in QR")
)
@click.option(
    "--notes", type=PATH, default=None, metavar="F.json", help=t("名称对应等，可保存", "saved names and terms")
)
@click.option("--common", type=click.Choice(["shared", "recovered_elsewhere"]), default=None)
@click.option(
    "--tax", type=click.Choice(["incl", "excl"]), default=None, help=t("收费表未注明时", "where charges say not")
)
@click.option("--no-verify", is_flag=True, help=t("刚核验过时", "where the store was verified just now"))
@KEYS
@click.option("--json", "as_json", is_flag=True)
def report(
    park: str,
    bills: tuple[pathlib.Path, ...],
    charges: tuple[pathlib.Path, ...],
    prices: tuple[pathlib.Path, ...],
    refunds: tuple[pathlib.Path, ...],
    deadline: str | None,
    rule: pathlib.Path | None,
    store: pathlib.Path | None,
    month: str | None,
    from_: str | None,
    to: str | None,
    out: pathlib.Path | None,
    tables: pathlib.Path | None,
    zip_: pathlib.Path | None,
    slips: pathlib.Path | None,
    slip_address: str | None,
    notes: pathlib.Path | None,
    common: str | None,
    tax: str | None,
    no_verify: bool,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """园区核查报告 / the report on a park; without --store it tests the documents alone."""
    days, until = _days(month, from_, to), _deadline(deadline)
    said, text = _notes(notes, common), _rule(rule)
    read = read_all(Files(bills, charges, prices, refunds), said, tax)
    papers = read.papers
    opened = None if store is None else open_store(store)
    gc.disable()  # many small objects, no cycles
    try:
        evidence = verified = None
        if opened is not None:
            pin_keys(opened, keys)
            evidence, verified = _evidence(opened, park, days or (papers.bill.days if papers.bill else None), no_verify)

        def report_on(some: Papers, span: Days | None) -> dict[str, Any]:
            return make_report(
                park,
                some,
                evidence=evidence,
                days=span,
                notes=said,
                verified=verified,
                prices=read.prices,
                rule=text,
            )

        made = report_on(papers, days)
        periods, unplaced = part_periods(papers.bills, papers.charges.rows)
        if len(periods) > 1 or (periods and refunds):
            matcher = Matcher([row["tenant"] for row in made["tenants"]], {}, said)
            limits = Thresholds.parse(said.limits, "limits")
            made["series"] = series_part(
                periods, report_on, read.refunds, matcher, deadline=until, tolerance=limits.tolerance_yuan
            )
            made["series"]["unplaced"] = [{"row": row.row, "who": row.who} for row in unplaced]
    except CaseError as error:
        raise Failure("\n".join(error.faults), 78) from error
    finally:
        gc.enable()
    try:
        page = render(made, language())
        if out is not None:
            out.write_text(page, encoding="utf-8")
        if tables is not None:
            write_tables(made, tables)
        files = tenant_files(made, language(), opened, evidence, slip_address) if slips or zip_ else {}
        if slips is not None:
            write_tenant_files(files, slips)
        if zip_ is not None:
            bundle(made, page, zip_, [*bills, *charges, *prices, *refunds], opened, park, files)
        if notes is not None and made["unmatched"]:
            save_unmatched(notes, [row["who"] for row in made["unmatched"]])
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror or error}", 74) from error
    if as_json:
        document(made)
    else:
        _show(made)
    if made["unmatched"] and notes is None:
        notice(
            t("有收费行对不上租户，请用 --notes 保存对应关系", "rows match no tenant: keep their names with --notes F")
        )


def _days(month: str | None, from_: str | None, to: str | None) -> Days | None:
    if month is not None and (from_ or to):
        raise click.UsageError("--month | --from --to")
    if (from_ is None) != (to is None):
        raise click.UsageError("--from --to")
    try:
        if month is not None:
            first, _ = parse_span(month)
            return month_span(first.year, first.month)
        if from_ is not None and to is not None:
            days = parse_date(from_), parse_date(to)
            if days[0] >= days[1]:
                raise click.UsageError(t("--to 应在 --from 之后", "--to must be after --from"))
            return days
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return None


def _deadline(text: str | None) -> date | None:
    try:
        return None if text is None else parse_date(text)
    except ValueError as error:
        raise click.UsageError(f"--deadline: {error}") from error


def _rule(path: pathlib.Path | None) -> Rule:
    try:
        return load_rule() if path is None else load_rule(path)
    except PaperError as error:
        raise Failure("\n".join(f"{path}: {line}" for line in str(error).splitlines()), 78) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", 78) from error


def _notes(path: pathlib.Path | None, common: str | None) -> Notes:
    try:
        notes = load_notes(path)
    except PaperError as error:
        raise Failure(f"{path}: {error}", 78) from error
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", 78) from error
    return replace(notes, common=common or notes.common)


def _evidence(
    store: Store, park: str, days: Days | None, no_verify: bool
) -> tuple[ParkEvidence, dict[str, Any] | None]:
    around: Days | None = None
    if days is not None:
        margin = timedelta(days=EVIDENCE_DAYS)
        around = date.fromordinal(max(1, (days[0] - margin).toordinal())), days[1] + margin
    try:
        evidence = ParkEvidence(store, park, around)
    except LookupError as error:
        raise Failure(str(error), 78) from error
    if no_verify or not all(store.key(which) for which in evidence.logs):
        return evidence, None
    result = verify_store(store, park=park)
    logs = [
        {key: log[key] for key in ("gateway", "epoch", "size", "held", "ok", "first_bad")} for log in result["logs"]
    ]
    findings = [finding for log in result["logs"] for finding in log["findings"]]
    return evidence, {"ok": result["ok"], "logs": logs, "findings": findings[:50], "alarms": result["alarms"][:50]}


def _show(made: dict[str, Any]) -> None:
    colour = made["verdict"]["colour"]
    reasons = ", ".join(f"{code} ({t(*REASONS[code])})" for code in made["verdict"]["reasons"])
    click.echo(
        f"{made['park']}  {made['from']} – {made['to']}  " + styled(t(*COLOURS[colour]), fg=INK[colour], bold=True)
    )
    click.echo(reasons)
    figures = made["figures"]
    names = (
        ("passable_yuan", t("可转嫁账单", "passable bill")),
        ("allowed_tenants_yuan", t("应收上限", "allowed")),
        ("charged_yuan", t("实收", "charged")),
        ("over_bill_yuan", t("超过账单", "over the bill")),
        ("loss_rate", t("损耗率", "loss rate")),
    )
    click.echo("  ".join(f"{name} {figures[key] or '-'}" for key, name in names))
    head = (
        *(t("租户", "tenant"), t("电量", "kWh"), t("计费电量", "charged kWh"), t("应收", "allowed")),
        *(t("实收", "charged"), t("多收", "over"), t("结论", "verdict"), t("原因", "reason")),
    )
    keys = ("tenant", "energy_kwh", "charged_kwh", "allowed_yuan", "charged_yuan", "over_yuan")
    rows = [
        (*(row[key] for key in keys), t(*COLOURS[row["colour"]]), " ".join(row["reasons"])) for row in made["tenants"]
    ]
    table(head, rows)
