"""`hubiao audit verify`: every log of the store as `hubiao verify` does it, and completeness by meter and slot.

Findings of `contract.verify`, with readings decoded again from their raw frames and tariff periods from the texts in
the log; beside them what only a store can show: forks, keys that changed, alarms of listeners, logs without a key,
and how a gateway's logs follow one another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from audit.periods import periods_from_texts
from audit.store import Log, LogId, Store
from audit.succession import lives, successions
from contract.eras import GRACE_SLOTS
from contract.grid import parse_utc_offset
from contract.plan import Plan
from contract.records import parse_instant, parse_slot
from contract.tree import HASH_BYTES
from contract.verify import Evidence, verify
from drivers.redecode import Redecoder

_QUESTIONS = {
    "epoch_unexplained": "a new epoch that names none before it, although this gateway had one",
    "epoch_twice": "another log names the same epoch before it: two boxes from one backup?",
}


def verify_store(
    store: Store,
    *,
    park: str | None = None,
    auditors: Sequence[str] = (),
    progress: Callable[[LogId], None] | None = None,
) -> dict[str, Any]:
    """{ok, logs: [{park, gateway, epoch, size, held, ok, key, first_bad, findings, completeness, follows}], alarms}."""
    logs = []
    for which in store.logs(park):
        if progress is not None:
            progress(which)
        logs.append(verify_one(store, which, store.key(which), auditors))
    _follow(store, logs)
    alarms = [entry for entry in store.alarms() if park is None or entry.get("park", park) == park]
    return {"ok": bool(logs) and not alarms and all(log["ok"] for log in logs), "logs": logs, "alarms": alarms}


def _follow(store: Store, logs: Sequence[dict[str, Any]]) -> None:
    """Adds to each log how it follows from the gateway's log before (see audit.succession), null for the first."""
    by_id = {LogId(log["park"], log["gateway"], log["epoch"]): log for log in logs}
    for _, ids in groupby(sorted(by_id), key=lambda which: which[:2]):
        of_gateway = lives(store, list(ids))
        for life, follows in zip(of_gateway, [None, *successions(of_gateway)], strict=True):
            log = by_id[life.which]
            log["follows"] = follows
            if follows is not None and follows["code"] is not None:
                log["ok"] = False
                log["first_bad"] = 0
                log["findings"].append({"code": follows["code"], "seq": 0, "text": _QUESTIONS[follows["code"]]})


def verify_one(store: Store, which: LogId, key: str | None, auditors: Sequence[str] = ()) -> dict[str, Any]:
    """One log; see verify_store. Without the gateway's key its signatures are not checked, and that is a finding."""
    log = store.log(which)
    hashes = store.hashes(which)
    size = max(log.size, max(hashes, default=-1) + 1)
    leaves = [log.places[seq].leaf if seq in log.places else hashes.get(seq, bytes(HASH_BYTES)) for seq in range(size)]
    result = verify(
        Evidence(
            (log.record(seq) for seq in range(size)),
            leaves,
            store.notes(which, "checkpoints"),
            store.notes(which, "receipts"),
        ),
        bytes(HASH_BYTES) if key is None else base64.b64decode(key),
        auditors=auditors,
        decode_reading=Redecoder(),
        periods_of=periods_from_texts,
    )
    findings = list(result["findings"])
    if key is None:
        findings = [f for f in findings if f["code"] not in ("checkpoint", "receipt", "unsigned")]
        text = "no key of this gateway: its signatures were not checked (--key, from the gateway's `hubiao key show`)"
        findings.insert(0, {"code": "no_key", "seq": None, "text": text})
    for seq, others in sorted(log.forks.items()):
        text = f"{1 + len(others)} different records at {seq}, all kept"
        findings.append({"code": "fork", "seq": seq, "text": text})
    for seq, leaf in sorted(hashes.items()):
        if seq in log.places and log.places[seq].leaf != leaf:
            findings.append({"code": "fork", "seq": seq, "text": f"record {seq} is not that of the published hash"})
    bad = [finding["seq"] for finding in findings if finding["seq"] is not None]
    return {
        **which._asdict(),
        "size": size,
        "held": len(log.places),
        "ok": not findings,
        "key": key,
        "first_bad": min(bad, default=None),
        "findings": findings,
        "completeness": completeness(log),
    }


def completeness(log: Log) -> list[dict[str, Any]]:
    """By meter: slots owed from the first configuration to the newest record, and how they were answered."""
    answers: dict[str, dict[int, str]] = {}
    configs: list[tuple[int, Mapping[str, Any]]] = []
    now_ms = 0
    for _, record in log.records(("config", "reading", "gap")):
        raw = json.loads(record)
        if raw["at"] is not None:
            now_ms = max(now_ms, parse_instant(raw["at"]))
        if raw["kind"] == "config":
            configs.append((now_ms, raw))
        elif raw["kind"] == "reading" and raw["slot"] is not None:
            answers.setdefault(raw["meter"], {})[parse_slot(raw["slot"])] = raw["quality"]
        elif raw["kind"] == "gap" and configs:
            step_s = configs[-1][1]["settings"]["interval_s"]
            for slot in range(parse_slot(raw["from_slot"]), parse_slot(raw["to_slot"]) + 1, step_s):
                answers.setdefault(raw["meter"], {}).setdefault(slot, "gap")
    rows: dict[str, dict[str, Any]] = {}
    for n, (from_ms, config) in enumerate(configs):
        step_s = config["settings"]["interval_s"]
        until_ms = configs[n + 1][0] if n + 1 < len(configs) else now_ms - GRACE_SLOTS * step_s * 1000
        _count(config, from_ms // 1000, until_ms // 1000, answers, rows)
    return [rows[meter] for meter in sorted(rows)]


def _count(
    config: Mapping[str, Any],
    from_s: int,
    until_s: int,
    answers: Mapping[str, Mapping[int, str]],
    rows: dict[str, dict[str, Any]],
) -> None:
    plan = Plan.from_config(config, lambda _s, _n: ("unclassified", ""))
    manual = {meter["id"] for meter in config["meters"] if meter["protocol"] == "manual"}
    step_s = plan.interval_s
    first = from_s + step_s - (from_s + parse_utc_offset(config["settings"]["utc_offset"])) % step_s
    for slot in range(first, until_s, step_s):
        for meter in plan.meters_in_force(slot):
            if meter in manual:
                continue
            row = rows.setdefault(meter, {"meter": meter, "slots": 0, "missing": 0})
            answer = answers.get(meter, {}).get(slot, "missing")
            row["slots"] += 1
            row[answer] = row.get(answer, 0) + 1
