"""The snapshot as Prometheus text: what an alarm can stand on. Floats here are for watching, never for billing.

Names and labels are an interface (docs/status-page.md): one may be added, none renamed.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.web.reads import Kept
from agent.web.snapshot import BAD, Snapshot


def metrics_text(snapshot: Snapshot, kept: Kept) -> bytes:
    """The whole exposition, text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposed(snapshot, kept))
    return generate_latest(registry)


class _Exposed(Collector):
    def __init__(self, snapshot: Snapshot, kept: Kept) -> None:
        self._snapshot, self._kept = snapshot, kept

    def collect(self) -> Iterator[Metric]:
        yield from self._gateway()
        yield from self._lines()
        yield from self._meters()

    def _gateway(self) -> Iterator[Metric]:
        snapshot, kept = self._snapshot, self._kept
        about = {
            "version": snapshot.version,
            "park": snapshot.park,
            "gateway": snapshot.gateway,
            "epoch": snapshot.epoch,
        }
        yield InfoMetricFamily("hubiao", "program and log", value=about)
        yield _gauge("hubiao_log_records", "records committed in this epoch", snapshot.size)
        yield _gauge("hubiao_log_delivered", "records delivered, counted from the first", snapshot.delivered)
        if snapshot.waiting is not None:
            yield _gauge("hubiao_outbox_waiting", "records that the broker has not acknowledged", snapshot.waiting)
            yield _gauge("hubiao_outbox_connected", "1 while connected to the broker", int(bool(snapshot.connected)))
            sent = CounterMetricFamily("hubiao_outbox_sent_bytes", "topics and payloads sent since the start")
            sent.add_metric([], snapshot.sent_bytes or 0)
            yield sent
        yield _gauge("hubiao_outbox_set_aside", "records that the broker refused", kept.aside)
        witnessed = GaugeMetricFamily(
            "hubiao_witnessed_records", "size of an auditor's last receipt", labels=["auditor"]
        )
        for auditor, size in snapshot.witnessed.items():
            witnessed.add_metric([auditor], size)
        yield witnessed
        stamped = GaugeMetricFamily("hubiao_receipt_timestamp_seconds", "time in the last receipt", labels=["auditor"])
        for auditor, _, seconds in kept.receipts:
            stamped.add_metric([auditor], seconds)
        yield stamped
        yield _gauge("hubiao_time_seconds", "wall clock of the gateway", snapshot.now_s)
        states = GaugeMetricFamily("hubiao_clock_state", "1 for the clock's state", labels=["state"])
        for state in ("none", "held", "disciplined"):
            states.add_metric([state], int(state == snapshot.clock))
        yield states
        if snapshot.clock_error_ms is not None:
            yield _gauge("hubiao_clock_error_seconds", "estimated error of the clock", snapshot.clock_error_ms / 1000)
        yield _gauge("hubiao_disk_used_bytes", "the store on disk", kept.bytes)
        yield _gauge("hubiao_disk_free_bytes", "free on the store's disk", kept.free_bytes)

    def _lines(self) -> Iterator[Metric]:
        open_ = GaugeMetricFamily("hubiao_line_open", "1 while the port is open", labels=["line"])
        sweep = GaugeMetricFamily("hubiao_line_sweep_seconds", "length of the last sweep", labels=["line"])
        busy = CounterMetricFamily("hubiao_line_busy_seconds", "airtime since the start", labels=["line"])
        asked = CounterMetricFamily(
            "hubiao_line_exchanges", "requests since the start, by outcome", labels=["line", "outcome"]
        )
        work = CounterMetricFamily("hubiao_line_work_seconds", "time by kind of work", labels=["line", "work"])
        for line in self._snapshot.lines.values():
            open_.add_metric([line.id], int(line.is_open))
            sweep.add_metric([line.id], line.sweep_s)
            busy.add_metric([line.id], line.busy_s)
            for outcome in ("answered", "silent", "garbled"):
                asked.add_metric([line.id, outcome], getattr(line, outcome))
            for kind, seconds in line.spent_s.items():
                work.add_metric([line.id, kind], seconds)
        yield from (open_, sweep, busy, asked, work)

    def _meters(self) -> Iterator[Metric]:
        counts = self._snapshot.counted()
        states = GaugeMetricFamily("hubiao_meters", "meters by state", labels=["state"])
        for state in ("ok", "waiting", "manual", *BAD):
            states.add_metric([state], counts.get(state, 0))
        labels = ["meter", "line"]
        up = GaugeMetricFamily("hubiao_meter_up", "1 while the meter answers", labels=labels)
        aged = GaugeMetricFamily("hubiao_meter_age_seconds", "since the last accepted look", labels=labels)
        register = CounterMetricFamily("hubiao_meter_register_kwh", "register as the meter shows it", labels=labels)
        power = GaugeMetricFamily("hubiao_meter_power_kw", "mean of the last step, with the multiplier", labels=labels)
        for meter in self._snapshot.meters.values():
            names = [meter.id, meter.line]
            up.add_metric(names, int(meter.state == "ok"))
            if meter.seen_s is not None:
                aged.add_metric(names, self._snapshot.now_s - meter.seen_s)
            if meter.value is not None:
                register.add_metric(names, float(meter.value))
            if meter.kw is not None:
                power.add_metric(names, float(meter.kw))
        yield from (states, up, aged, register, power)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
