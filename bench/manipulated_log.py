"""Manipulations of records: without the key, with the key against a receipt, and with the key where nobody witnessed.

What the key's holder writes anew behind the last receipt has right hashes and signatures; the frames, the registers and
the rules of contract §4 must contradict him.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bench.manipulated import METERS, Case, Scene, by_evidence, by_evidence_anew, last_good, point, scenes
from contract import tree
from contract.records import canonical, instant, parse_instant
from drivers.dlt645.frame import Frame, decode, encode

SCENES: list[Scene] = []
plain = scenes("records, no key", by_evidence, SCENES)
witnessed = scenes("records, key, witnessed", by_evidence_anew, SCENES)
fresh = scenes("records, key, not witnessed", by_evidence_anew, SCENES)


def _seq(case: Case) -> int:
    return case.find("reading", 500)


def _more(text: str) -> str:
    """A register ten higher."""
    whole, dot, part = text.partition(".")
    return f"{int(whole) + 10}{dot}{part}"


@plain("a field of a record", "hash")
def _(case: Case) -> int:
    return case.put(_seq(case), attempts=2)


@plain("a record deleted", "hole")
def _(case: Case) -> int:
    del case.records[_seq(case)]
    return _seq(case)


@plain("a record deleted with its hash", "root")
def _(case: Case) -> int:
    seq = _seq(case)
    del case.records[seq], case.hashes[seq]
    return last_good(case.sizes, seq)


@plain("a record put in", "hash")
def _(case: Case) -> int:
    seq = _seq(case)
    case.records.insert(seq, canonical({**case.raw(seq), "attempts": 9}))
    return seq


@plain("a record appended", "extra")
def _(case: Case) -> int:
    case.records.append(canonical({**case.raw(_seq(case)), "seq": len(case.records)}))
    return len(case.records) - 1


@plain("two records exchanged", "order")
def _(case: Case) -> int:
    seq = _seq(case)
    case.records[seq], case.records[seq + 9] = case.records[seq + 9], case.records[seq]
    return seq


@plain("a record twice", "order")
def _(case: Case) -> int:
    seq = _seq(case)
    case.records.insert(seq + 1, case.records[seq])
    return seq


@plain("a record written with other spaces", "form")
def _(case: Case) -> int:
    seq = _seq(case)
    case.records[seq] = case.records[seq].replace(b'":', b'": ')
    return seq


@plain("the tail cut off with its hashes", "truncated")
def _(case: Case) -> int:
    size = len(case.records) - 30
    del case.records[size:], case.hashes[size:]
    return size


@plain("one hash", "hash")
def _(case: Case) -> int:
    seq = _seq(case)
    case.hashes[seq] = bytes(32)
    return seq


@witnessed("one digit of a register, all written anew", "receipt")
def _(case: Case) -> int:
    seq = case.find("reading", point(case.receipts[0]).size + 20)
    registers = case.raw(seq)["registers"]
    case.put(seq, registers={**registers, "import": _more(registers["import"])})
    return last_good([point(text).size for text in case.receipts], seq)


@witnessed("a sweep left out, all numbered and written anew", "receipt")
def _(case: Case) -> int:
    seq = case.find("reading", 30)
    case.records = [*case.records[:seq], *case.records[seq + METERS :]]
    return 0


def _late(case: Case, kind: str, **wanted: Any) -> int:
    """The first record of a kind that no receipt covers."""
    return case.find(kind, case.witnessed + 1, **wanted)


@fresh("a reading's register", "registers")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    registers = case.raw(seq)["registers"]
    case.put(seq, registers={**registers, "import": _more(registers["import"])})
    return seq


@fresh("a reading's register and what its source says", "frames")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    raw = case.raw(seq)
    value = _more(raw["registers"]["import"])
    raw["registers"]["import"] = raw["sources"][0]["registers"]["import"] = value
    case.records[seq] = canonical(raw)
    return seq


def _frame_says(exchange: dict[str, Any], value: str) -> None:
    """The reply made anew with another total, checksum and all."""
    reply = decode(bytes.fromhex(exchange["reply"]))
    total = bytes.fromhex(value.replace(".", "").zfill(8))[::-1]
    exchange["reply"] = encode(Frame(reply.address, reply.control, reply.data[:4] + total + reply.data[8:])).hex()


@fresh("register, source and frame, checksum and all", "unconfirmed")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    raw = case.raw(seq)
    value = _more(raw["registers"]["import"])
    raw["registers"]["import"] = raw["sources"][0]["registers"]["import"] = value
    _frame_says(raw["sources"][0]["exchanges"][0], value)
    case.records[seq] = canonical(raw)
    return seq


@fresh("register, source, frame and the frame that confirms it", "registers")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    raw = case.raw(seq)
    value = _more(raw["registers"]["import"])
    raw["registers"]["import"] = raw["sources"][0]["registers"]["import"] = value
    _frame_says(raw["sources"][0]["exchanges"][0], value)
    _frame_says(raw["sources"][0]["confirm"][0], value)
    case.records[seq] = canonical(raw)
    return next(
        n
        for n in range(seq, len(case.records))
        if any(seq in (s["start_seq"], s["end_seq"]) and s["start"] for s in case.raw(n).get("segments", ()))
    )


@fresh("the frames of another meter", "frames")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live", meter="m-1")
    other = case.raw(_late(case, "reading", method="live", meter="m-5"))
    source = case.raw(seq)["sources"][0]
    case.put(seq, sources=[{**source, "exchanges": other["sources"][0]["exchanges"]}])
    return seq


@fresh("the confirming exchange left out", "unconfirmed")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    case.put(seq, sources=[{**case.raw(seq)["sources"][0], "confirm": []}])
    return seq


@fresh("a live reading read a minute off its slot", "not_measured")
def _(case: Case) -> int:
    seq = _late(case, "reading", quality="measured")
    source = case.raw(seq)["sources"][0]
    case.put(seq, sources=[{**source, "read_at": instant(parse_instant(source["read_at"]) + 60_000)}])
    return seq


@fresh("a reading made a second answer to its neighbour's slot", "duplicate")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live", meter="m-5")
    first = _late(case, "reading", method="live", meter="m-1")
    kept = {name: case.raw(first)[name] for name in ("meter", "point", "slot", "registers", "sources", "serial")}
    case.put(max(seq, first), **kept)
    return max(seq, first)


@fresh("a revision without what it supersedes", "revision")
def _(case: Case) -> int:
    return case.put(_late(case, "reading", method="live", revision=0), revision=1)


@fresh("a record said to be written hours later", "late")
def _(case: Case) -> int:
    seq = _late(case, "reading", method="live")
    case.put(seq, at=instant(parse_instant(case.raw(seq)["at"]) + 7_200_000))
    return seq


@fresh("an interval's energy, sums and all", "kwh")
def _(case: Case) -> int:
    seq = _late(case, "interval", role="tenant")
    segments = case.raw(seq)["segments"]
    segments[0]["kwh"] = _more(segments[0]["kwh"])
    case.put(seq, segments=segments, kwh=_more(case.raw(seq)["kwh"]))
    return seq


@fresh("an interval's sum alone", "sum")
def _(case: Case) -> int:
    seq = _late(case, "interval", role="tenant")
    case.put(seq, kwh=_more(case.raw(seq)["kwh"]))
    return seq


@fresh("a multiplier, energy to match", "plan")
def _(case: Case) -> int:
    seq = _late(case, "interval", role="tenant")
    segments = case.raw(seq)["segments"]
    kwh = Decimal(segments[0]["kwh"]) * 2
    segments[0] |= {"multiplier": str(Decimal(segments[0]["multiplier"]) * 2), "kwh": format(kwh, "f")}
    case.put(seq, segments=segments, kwh=format(kwh, "f"))
    return seq


@fresh("an interval given to another tenant", "plan")
def _(case: Case) -> int:
    return case.put(_late(case, "interval", tenant="t-5"), tenant="t-3")


@fresh("a tariff period", "period")
def _(case: Case) -> int:
    seq = _late(case, "interval", role="tenant")
    case.put(seq, period="valley" if case.raw(seq)["period"] != "valley" else "sharp")
    return seq


@fresh("an interval's quality", "quality")
def _(case: Case) -> int:
    return case.put(_late(case, "interval", role="tenant", quality="measured"), quality="estimated")


@fresh("an interval turned into an event", "missing_interval")
def _(case: Case) -> int | None:
    seq = _late(case, "interval", role="tenant")
    raw = case.raw(seq)
    head = {name: raw[name] for name in HEAD}
    event = {"kind": "event", "scope": "gateway", "id": "gw-1", "code": "accepted", "details": {}}
    case.records[seq] = canonical({**head, **event, "from": raw["at"], "to": raw["at"]})
    due_ms = parse_instant(raw["start"]) + 4 * 900_000  # GRACE_SLOTS and the step itself
    return next(n for n in range(seq, len(case.records)) if parse_instant(case.raw(n)["at"]) >= due_ms)


HEAD = ("v", "park", "gateway", "epoch", "seq", "boot", "boot_ms", "at", "clock", "clock_error_ms", "config", "salt")


@fresh("a day's total and periods", "total")
def _(case: Case) -> int:
    seq = _late(case, "day", role="tenant")
    raw = case.raw(seq)
    name = next(iter(raw["periods"]))
    quality = next(iter(raw["quality_kwh"]))
    raw["periods"][name] = _more(raw["periods"][name])
    raw["quality_kwh"][quality] = _more(raw["quality_kwh"][quality])
    raw["total"] = _more(raw["total"])
    case.records[seq] = canonical(raw)
    return seq


@fresh("energy of a day moved to a cheaper period", "total")
def _(case: Case) -> int:
    seq = _late(case, "day", role="tenant")
    raw = case.raw(seq)
    first, second = list(raw["periods"])[:2]
    raw["periods"][first], raw["periods"][second] = raw["periods"][second], raw["periods"][first]
    case.records[seq] = canonical(raw)
    return seq


@fresh("a balance's loss", "sum")
def _(case: Case) -> int:
    seq = _late(case, "balance")
    raw = case.raw(seq)
    period = next(iter(raw["periods"]))
    raw["periods"][period]["loss"] = _more(raw["periods"][period]["loss"])
    case.records[seq] = canonical(raw)
    return seq


@fresh("an index", "seq")
def _(case: Case) -> int:
    seq = _late(case, "reading")
    case.put(seq, seq=seq + 1)
    return seq


@fresh("a record of another gateway", "identity")
def _(case: Case) -> int:
    return case.put(_late(case, "reading"), gateway="gw-2")


@fresh("a kind that is none", "malformed")
def _(case: Case) -> int:
    return case.put(_late(case, "reading"), kind="bonus")


@fresh("a number with a fraction", "malformed")
def _(case: Case) -> int:
    seq = _late(case, "reading")
    case.records[seq] = case.records[seq].replace(b'"attempts":1', b'"attempts":1.5')
    return seq


@fresh("a time where there was no clock", "clock")
def _(case: Case) -> int:
    return case.put(_late(case, "reading"), clock="none")


@fresh("another configuration named", "config")
def _(case: Case) -> int:
    return case.put(_late(case, "reading"), config=tree.leaf_hash(case.records[0]).hex())


@fresh("a whole epoch without receipts: the text of a schedule", "config")
def _(case: Case) -> int:
    """The receipts in its witness records contradict it as well: from the very beginning."""
    seq = case.find("config")
    raw = case.raw(seq)
    schedule = raw["schedules"][0]
    schedule["text"] = schedule["text"].replace("valley", "peak", 1)
    before = tree.leaf_hash(case.records[seq]).hex().encode()
    case.records[seq] = canonical(raw)
    after = tree.leaf_hash(case.records[seq]).hex().encode()
    case.records = [record.replace(b'"config":"' + before, b'"config":"' + after) for record in case.records]
    case.receipts = []
    return 0
