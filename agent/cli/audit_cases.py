"""`hubiao audit settle|template|check-bill`: what needs papers alone."""

from __future__ import annotations

import pathlib
from dataclasses import asdict
from typing import Any

import click

from agent.cli import Failure
from agent.cli.output import document, notice, styled, table
from agent.cli.words import t
from audit.bill_check import FINDINGS, BillCheck, check_bill
from audit.case_file import Case, read_cases
from audit.case_values import CaseError
from audit.cases import read_inputs
from audit.markup import REASONS
from audit.papers import PaperError, read_bill
from audit.settle import loss_shares, settle
from audit.templates import write_templates

_COLOURS = {
    "green": (("绿", "green"), "green"),
    "yellow": (("黄", "yellow"), "yellow"),
    "red": (("红", "red"), "red"),
    "grey": (("灰", "grey"), "bright_black"),
}


@click.command("settle")
@click.argument("file", metavar="CASE.json", type=click.Path(path_type=pathlib.Path))
@click.option("--json", "as_json", is_flag=True, help="one object, or [{id, result}] for cases")
def settle_file(file: pathlib.Path, as_json: bool) -> None:
    """按 settlement-method-1 结算案例文件 / settle a case file: what each tenant may be charged, and a colour."""
    try:
        cases = read_cases(file)
    except CaseError as error:
        raise Failure(_named(file, error.faults), 78) from error
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", 78) from error
    results, faults = [], []
    for case in cases:
        try:
            results.append(settle(case.inputs, case.config, case.path))
        except CaseError as error:
            faults += error.faults
    if faults:
        raise Failure(_named(file, faults), 78)
    for case in cases:
        _say_unused(case)
    if as_json and cases and cases[0].id is None:
        document(results[0])
    elif as_json:
        document([{"id": case.id, "result": result} for case, result in zip(cases, results, strict=True)])
    else:
        for case, result in zip(cases, results, strict=True):
            _show(case, result)


@click.command("template")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=pathlib.Path, file_okay=False))
def template(directory: pathlib.Path) -> None:
    """写出空白的电费账单和租户收费表 / write empty spreadsheets; a file that is there already is never replaced."""
    try:
        paths = write_templates(directory)
    except FileExistsError as error:
        raise Failure(t(f"{error.filename} 已存在", f"{error.filename} exists already"), 2) from error
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror or error}", 74) from error
    for path in paths:
        click.echo(str(path))


@click.command("check-bill")
@click.argument("file", metavar="F", type=click.Path(path_type=pathlib.Path))
@click.option("--json", "as_json", is_flag=True, help="{ok, lines, checked, sum_yuan, total_yuan, findings}")
def check_bill_file(file: pathlib.Path, as_json: bool) -> None:
    """核对电费账单：每行=数量×单价，各行之和=合计 / line = quantity × price, Σ lines = total; exit 3 if not."""
    try:
        check = check_bill(read_bill(file).rows)
    except PaperError as error:
        raise Failure(_named(file, str(error).splitlines()), 78) from error
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", 78) from error
    if as_json:
        document({"ok": not check.findings, **asdict(check)})
    else:
        _show_check(check)
    if check.findings:
        raise click.exceptions.Exit(3)


def _show_check(check: BillCheck) -> None:
    click.echo(
        t(
            f"{check.lines} 行，核对 {check.checked} 行，合计 {check.sum_yuan} 元",
            f"{check.lines} lines, {check.checked} recomputed, {check.sum_yuan} yuan in all",
        )
    )
    head = (t("行", "row"), t("问题", "finding"), t("账单", "stated"), t("应为", "computed"))
    rows = [(found.row or None, t(*FINDINGS[found.code]), found.stated, found.computed) for found in check.findings]
    if rows:
        table(head, rows)


def _named(file: pathlib.Path, faults: list[str]) -> str:
    return "\n".join(f"{file}: {fault}" for fault in faults)


def _say_unused(case: Case) -> None:
    for path in read_inputs(case.inputs, case.path).unused:
        notice(t(f"未使用：{path}", f"not used: {path}"))


def _show(case: Case, result: dict[str, Any]) -> None:
    """The verdict in a line, then one line a tenant."""
    reasons = ", ".join(f"{code} ({t(*REASONS[code])})" for code in result["park_reasons"])
    title = f"{case.id}: " if case.id is not None else ""
    click.echo(f"{title}{_colour(result['park_colour'])}  {reasons}")
    figures = (
        ("bill_passable_yuan", t("可转嫁账单", "passable bill")),
        ("allowed_max_tenants_yuan", t("应收上限", "allowed in all")),
        ("charged_tenants_yuan", t("实收", "charged")),
        ("park_overcharge_yuan", t("多收", "over")),
        ("loss_rate", t("损耗率", "loss rate")),
    )
    click.echo("  ".join(f"{name} {'-' if result[key] is None else result[key]}" for key, name in figures))
    losses = loss_shares(case.inputs)
    head = (
        *(
            t("租户", "tenant"),
            t("电量 kWh", "kWh"),
            t("应收", "allowed"),
            t("实收", "charged"),
            t("差额", "difference"),
        ),
        *(t("分摊损耗 kWh", "loss kWh"), t("结论", "verdict"), t("原因", "reason")),
    )
    keys = ("tenant", "energy_kwh", "allowed_yuan", "charged_yuan", "difference_yuan")
    rows = [
        (*(row[key] for key in keys), losses.get(row["tenant"]), t(*_COLOURS[row["colour"]][0]), row["reason"])
        for row in result["tenants"]
    ]
    table(head, rows)


def _colour(colour: str) -> str:
    word, ink = _COLOURS[colour]
    return styled(t(*word), fg=ink, bold=True)
