"""What the demo says: each slot as it arrives, and at the end tenants, balance, proof, truth and a markup verdict.

Everything but the comparison with the simulator's truth is computed from the messages received.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

import click

from agent.cli.demo_markup import Markup, settle_demo
from agent.cli.output import styled, table
from agent.cli.places import local_text
from agent.cli.words import t
from contract.note import parse_verifier_key
from contract.records import PERIODS, Balance, Head, Interval, Reading, RecordError, decode, parse_instant, parse_slot
from contract.verify import Evidence, verify
from simulators.broker import Address
from simulators.park import Truth

PERIOD_NAMES = {
    "sharp": ("尖峰", "sharp"),
    "peak": ("高峰", "peak"),
    "flat": ("平段", "flat"),
    "valley": ("低谷", "valley"),
    "deep_valley": ("深谷", "deep valley"),
}


class Report:
    """Collects messages (on any thread) and tells the story."""

    def __init__(self, config: dict[str, Any], truth: Truth) -> None:
        self.intervals: dict[tuple[str | None, str | None, str], Interval] = {}
        self.balances: dict[str, Balance] = {}
        self.readings: list[Reading] = []
        self._config, self._truth = config, truth
        self._names = {tenant["id"]: tenant["name"] for tenant in config["private"]["tenants"]}
        self._offset_s = 8 * 3600
        self._records: dict[int, bytes] = {}
        self._hashes: dict[int, bytes] = {}
        self._checkpoints: list[str] = []
        self._lock = threading.Lock()
        self.verifier_key = ""  # the gateway's, learnt beside MQTT as any auditor must

    def open(self, address: Address) -> None:
        """The first lines."""
        park = self._config["settings"]["park"]
        meters = Counter(meter["protocol"] for meter in self._config["meters"])
        kinds = ", ".join(f"{count} × {name}" for name, count in sorted(meters.items()))
        click.echo(
            styled(t(f"户表演示:{self._config['private']['park_name']}", f"hubiao demo: park {park}"), bold=True)
        )
        click.echo(t(f"  电表 {kinds}", f"  meters: {kinds}"))
        click.echo(f"  {address.software} mqtt://{address.host}:{address.port}  hubiao/v1/{park}/#")
        click.echo(t("  按 Ctrl-C 结束", "  stop with Ctrl-C"))

    def receive(self, topic: str, payload: bytes) -> bool:
        """Takes a message; whether it is a record of the log."""
        name = topic.rsplit("/", 1)[-1]
        with self._lock:
            if name == "checkpoint":
                self._checkpoints.append(payload.decode())
                return False
            try:
                head, body = decode(payload)
            except RecordError:
                return False  # status, hashes, live
            self._records[head.seq] = payload
            self._keep(head, body)
        return True

    def _keep(self, head: Head, body: Any) -> None:
        if isinstance(body, Interval):
            self.intervals[body.tenant, body.point, body.start] = body
        elif isinstance(body, Reading):
            self.readings.append(body)
        elif isinstance(body, Balance) and parse_slot(body.to) - parse_slot(body.from_) < 86400:
            self.balances[body.from_] = body
            if body.revision == 0:
                self._say_slot(body)

    def _say_slot(self, balance: Balance) -> None:
        """One line a step: who got how much, and what the park balances to."""
        held = [i for i in self.intervals.values() if i.start == balance.from_ and i.tenant is not None]
        kwh = sum((interval.kwh for interval in held), Decimal(0))
        period = next(iter(balance.periods))
        flow = balance.periods[period]
        start, end = (local_text(parse_slot(bound), self._offset_s) for bound in (balance.from_, balance.to))
        highest = max(held, key=lambda interval: interval.kwh, default=None)
        most = "" if highest is None else f"{self._names.get(str(highest.tenant), highest.tenant)} {highest.kwh} kWh"
        rate = "" if balance.loss_rate is None else f"{balance.loss_rate * 100:.1f} %"
        click.echo(
            f"{start}–{end[-5:]} {t(*PERIOD_NAMES.get(period, (period, period)))} "
            + t(
                f"{len(held)} 户 {kwh:.2f} kWh,总表 {flow.import_} kWh,损耗 {rate},最大 {most}",
                f"{len(held)} tenants {kwh:.2f} kWh, master {flow.import_} kWh, loss {rate}, most {most}",
            )
        )

    def close(self) -> None:
        """The end: what a billing period would be made of, and how far it can be trusted."""
        if not self.intervals:
            click.echo(t("还没有完整的区间", "no interval was complete yet"))
            return
        self._tenants()
        self._balance()
        self._evidence()
        self._compare_with_truth()
        self._markup()
        click.echo(t("演示里没有审核方:不含回执", "no auditor takes part: there are no receipts"))

    def _tenants(self) -> None:
        sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
        qualities: dict[str, Counter[str]] = defaultdict(Counter)
        for (tenant, _, _), interval in self.intervals.items():
            if tenant is not None:
                sums[tenant][interval.period] += interval.kwh
                qualities[tenant][interval.quality] += 1
        steps = sorted({interval.start for interval in self.intervals.values()})
        hours = len(steps) * (self._config["settings"]["interval_s"]) / 3600
        click.echo()
        click.echo(
            styled(t(f"分户电量,{hours:g} 小时(kWh)", f"energy per tenant over {hours:g} hours, kWh"), bold=True)
        )
        head = [t("租户", "tenant"), *(t(*PERIOD_NAMES[p]) for p in PERIODS), t("合计", "total"), t("质量", "quality")]
        rows = []
        for tenant in sorted(sums):
            parts = sums[tenant]
            quality = " ".join(f"{name} {count}" for name, count in qualities[tenant].items())
            cells = [f"{parts[p]:.2f}" if parts[p] else None for p in PERIODS]
            rows.append([t(self._names.get(tenant, tenant), tenant), *cells, f"{sum(parts.values()):.2f}", quality])
        table(head, rows)

    def _balance(self) -> None:
        flows = [flow for balance in self.balances.values() for flow in balance.periods.values()]
        into = sum((flow.import_ + flow.pv - flow.export for flow in flows), Decimal(0))
        loss = sum((flow.loss for flow in flows), Decimal(0))
        rate = f"{loss / into * 100:.2f} %" if into else "-"
        click.echo()
        click.echo(
            t(
                f"平衡:进园 {into:.2f} kWh,各表 {into - loss:.2f} kWh,损耗 {loss:.2f} kWh({rate})",
                f"balance: {into:.2f} kWh came in, the meters took {into - loss:.2f} kWh, loss {loss:.2f} kWh ({rate})",
            )
        )

    def _evidence(self) -> None:
        """The log as received, verified with nothing but the gateway's public key."""
        size = max(self._records) + 1
        records = [self._records.get(seq) for seq in range(size)]
        key = parse_verifier_key(self.verifier_key).key
        result = verify(Evidence(records, None, self._checkpoints, []), key)
        click.echo(
            t(
                f"证据:{size} 条记录,{len(self._checkpoints)} 个检查点,"
                + ("核验通过" if result["ok"] else "核验发现问题"),
                f"evidence: {size} records, {len(self._checkpoints)} checkpoints, "
                + ("verified" if result["ok"] else "findings"),
            )
        )
        for finding in result["findings"][:5]:
            click.echo(f"  {finding['seq']} {finding['code']}: {finding['text']}")

    def _compare_with_truth(self) -> None:
        """Every register received against the simulator, at the instant it was read."""
        checked = wrong = 0
        models = {model["id"]: model["data"] for model in self._config["models"]}
        floats = {m["id"] for m in self._config["meters"] if "f32" in str(models[m["model"]].get("registers"))}
        for reading in self.readings:
            for source in reading.sources:
                if source.read_at is None:
                    continue
                exact = self._truth.exact(reading.meter, parse_instant(source.read_at))
                for name, value in source.registers.items():
                    checked += 1
                    wrong += not _is_within_a_count(value, exact[name], is_float=reading.meter in floats)
        click.echo(
            t(
                f"真值:{checked} 个示数与模拟器比较,{wrong} 个相差超过一个末位",
                f"truth: {checked} registers compared with the simulator, {wrong} differ by more than one count",
            )
        )

    def _markup(self) -> None:
        verdict = settle_demo(self.intervals.values(), self.balances.values())
        if verdict is not None:
            self._say_markup(verdict)

    def _say_markup(self, verdict: Markup) -> None:
        click.echo(
            t(
                f"加价核查(示例账单,{verdict.cheated} 被多收 9 %):园区 {verdict.colour},",
                f"markup (made-up bill, {verdict.cheated} charged 9 % too much): park {verdict.colour}, ",
            )
            + ", ".join(verdict.reasons)
        )
        for tenant, colour, reason, over in verdict.tenants:
            if colour != "green":
                click.echo(
                    f"  {t(self._names.get(tenant, tenant), tenant)}: {colour} {reason} {over} " + t("元", "yuan")
                )


def _is_within_a_count(value: Decimal, exact: Fraction, *, is_float: bool) -> bool:
    """Whether the meter can have shown this at about that instant: the register is cut to its count, then moves on."""
    count = Fraction(Decimal(1).scaleb(int(value.as_tuple().exponent)))
    if is_float:  # cut to 0.01, then to 24 bits of mantissa
        return abs(exact - Fraction(value)) <= Fraction(1, 100) + Fraction(2) ** (int(value).bit_length() - 24)
    return abs(exact // count * count - Fraction(value)) <= count
