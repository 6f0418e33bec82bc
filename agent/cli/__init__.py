"""The `hubiao` command: one file a family of verbs, loaded only when its verb is asked for.

Exit codes: 0 ok · 1 failed while running · 2 wrong usage · 3 a check, scan or verification found something ·
69 port or broker unavailable · 74 disk · 78 configuration or input file · 130 Ctrl-C.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from typing import Any

import click

from agent.cli.verbs import Failure as Failure  # which verbs end with
from agent.cli.verbs import ReaderLeft, Verbs
from agent.cli.words import set_language, t

VERBS = {
    "demo": ("demo", "演示:模拟园区、内置消息代理、采集、结算", "a simulated park, end to end, on this machine"),
    "run": ("run", "运行采集代理", "run the agent"),
    "check": ("check", "检查配置,预测巡检时间和流量", "validate a configuration, predict sweep and traffic"),
    "simulate": ("simulate", "模拟配置中的全部电表", "play all meters of a configuration"),
    "read": ("read", "读一次电表", "read a meter once"),
    "ports": ("ports", "串口:固定名、占用者、udev 规则", "serial ports: stable names, holders, udev rules"),
    "scan": ("scan", "查找总线上的电表", "find the meters on a bus"),
    "watch": ("watch", "实时表格;哪块表在动", "live grid; which meter moved"),
    "doctor": ("doctor", "通信诊断:可能的原因与下一步", "likely causes of bad communication, what to try next"),
    "broadcast": ("broadcast", "人工广播:校时、冻结(缺省禁止)", "set clocks or freeze by broadcast; off by default"),
    "commission": ("commission", "现场验收", "site acceptance"),
    "listen": ("listen", "只听不发地监听总线", "listen to a bus without transmitting"),
    "frame": ("frame", "解析报文", "decode frames"),
    "tariff": ("tariff", "查询时刻所属的峰谷时段", "which tariff period an instant is in"),
    "sheet": ("sheet", "抄表单", "the meter-reading sheet"),
    "statement": ("statement", "任意时段结算单", "statements for any bounds"),
    "reading": ("reading", "人工抄表", "readings by people"),
    "replace-meter": ("replace_meter", "换表", "a meter change with hand-over readings"),
    "tenancy": ("tenancy", "租户进出", "move-out and move-in"),
    "status": ("status", "当前状态", "what the agent is doing"),
    "export": ("export", "导出记录、证据", "export records and evidence"),
    "verify": ("verify", "离线核验存储或证据", "verify a store or evidence files offline"),
    "proof": ("proof", "包含证明、一致性证明", "inclusion and consistency proofs"),
    "receipt": ("receipt", "导入审计回执", "import an auditor's receipts"),
    "db": ("db", "存储维护", "look after the store"),
    "key": ("key", "网关签名密钥", "the gateway's signing key"),
    "audit": ("audit", "上游审核:结算、加价核查", "upstream: settlement and markup checks"),
    "version": ("version", "版本", "version"),
}


@click.group(cls=Verbs, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--lang", type=click.Choice(["zh", "en"]), default=None, help="zh | en")
def cli(lang: str | None) -> None:
    """户表 hubiao: 转供电园区的可信分户电量 / trustworthy per-tenant energy in resale parks."""
    if lang:
        set_language(lang)


def main() -> None:
    """Runs the command; output survives C and GBK terminals, a closed pipe, a full disk and Ctrl-C."""
    nowhere = open(os.devnull, "w")  # noqa: SIM115 open as long as the process
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere  # None where the caller closed them
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code = cli(standalone_mode=False)
        if isinstance(code, int):  # click gives back what a verb passed to Exit, instead of raising it
            sys.exit(code)
    except click.Abort:
        sys.exit(130)
    except (KeyboardInterrupt, asyncio.CancelledError):  # the latter where a time-out ran out at the same instant
        sys.exit(130)
    except click.ClickException as failure:
        failure.show()
        sys.exit(failure.exit_code)
    except ReaderLeft:
        _say_no_more()
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _say_no_more()
        click.echo(t(f"标准输出写不下:{error.strerror}", f"standard output: {error.strerror}"), err=True)
        sys.exit(74)


def _say_no_more() -> None:
    """Nothing is written to standard output any more, not even what is left of it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
