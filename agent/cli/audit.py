"""`hubiao audit`: the upstream side. What needs papers alone works on any gateway, the rest with its extra."""

from __future__ import annotations

import click

from agent.cli.verbs import Verbs

VERBS = {
    "settle": ("audit_cases:settle_file", "按案例文件结算", "settle a case file by settlement-method-1"),
    "template": ("audit_cases", "空白的账单和收费表", "empty spreadsheets for bill and charges"),
    "check-bill": ("audit_cases:check_bill_file", "核对电费账单", "whether a grid bill agrees with itself"),
    "report": ("audit_report", "账单、收费和证据:结论", "bill, charges and evidence to a verdict"),
    "import": ("audit_collect:import_", "导入证据", "take in exported evidence"),
    "listen": ("audit_collect", "经 MQTT 收集证据", "collect evidence over MQTT"),
    "verify": ("audit_verify", "核验全部证据", "verify everything in the store"),
    "survey": ("audit_survey", "各园区概览", "parks in figures"),
    "sheet": ("audit_sheet", "抄表单", "the meter-reading sheet"),
    "key": ("audit_store", "审计方见证密钥", "the auditor's cosigning key"),
    "rekey": ("audit_store", "网关换了密钥", "a gateway has a new key"),
}


@click.group(cls=Verbs, verbs=VERBS)
def audit() -> None:
    """上游审核:结算、加价核查 / upstream: settlement and markup checks."""
