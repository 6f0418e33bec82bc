"""The gateway itself: what waits to be sent, who has receipts, whether the clock is trusted, how long disk lasts."""

from __future__ import annotations

from agent.web.frame import CLOCKS, Asked, bytes_text, facts, local, page
from agent.web.html import Child, Html, Say, el
from agent.web.reads import DAY_S, Kept
from agent.web.snapshot import Snapshot

MANY_DAYS = 3650


def gateway_page(snapshot: Snapshot, asked: Asked, kept: Kept) -> Html:
    say = asked.say
    return page(
        snapshot,
        asked,
        say("网关", "Gateway"),
        el("h2", say("上行", "Uplink")),
        _uplink(snapshot, kept, say),
        el("h2", say("回执", "Receipts")),
        _receipts(snapshot, kept, say),
        el("h2", say("时钟", "Clock")),
        _clock(snapshot, say),
        el("h2", say("磁盘", "Disk")),
        _disk(kept, say),
    )


def _uplink(snapshot: Snapshot, kept: Kept, say: Say) -> Html:
    if snapshot.waiting is None:
        uplink = say("未配置,记录只留在本机", "none: records stay on this machine")
    else:
        uplink = say("已连接", "connected") if snapshot.connected else say("断开", "down")
        uplink += say(",已压缩", ", compressed") if snapshot.compressed else ""
    waiting = "–" if snapshot.waiting is None else str(snapshot.waiting)
    return facts(
        [
            (say("上行", "uplink"), uplink),
            (say("待送记录", "records waiting"), el("span", waiting, id="waiting")),
            (say("被拒收", "set aside"), str(kept.aside)),
            (say("记录总数", "records"), el("span", str(snapshot.size), id="size")),
            (say("已送达至", "delivered up to"), el("span", str(snapshot.delivered), id="delivered")),
            (say("上行流量", "traffic"), _traffic(snapshot, say)),
            (say("纪元", "epoch"), el("code", snapshot.epoch)),
        ]
    )


def _traffic(snapshot: Snapshot, say: Say) -> str:
    """Sent since the start, beside what was foreseen for a month."""
    if snapshot.sent_bytes is None:
        return "–"
    sent, days = snapshot.sent_bytes / 10**6, snapshot.life_s / DAY_S
    before = say("(压缩前)", " before compression") if snapshot.compressed else ""
    return say(
        f"启动 {days:.1f} 天以来 {sent:.1f} MB{before};预计每月 {snapshot.uplink_mb} MB",
        f"{sent:.1f} MB{before} in {days:.1f} days since the start; foreseen {snapshot.uplink_mb} MB a month",
    )


def _receipts(snapshot: Snapshot, kept: Kept, say: Say) -> Html:
    if not snapshot.witnessed:
        return el("p", say("未指定审核方:代理确认即算送达", "no auditor is pinned: the broker's word is delivery"))
    stamps = {name: (size, seconds) for name, size, seconds in kept.receipts}
    pairs: list[tuple[str, Child]] = []
    for name, size in snapshot.witnessed.items():
        if name not in stamps:
            pairs.append((name, say("本纪元还没有回执", "none in this epoch yet")))
            continue
        when, behind = local(snapshot, stamps[name][1], "%Y-%m-%d %H:%M:%S"), snapshot.size - size
        pairs.append(
            (name, say(f"{when},至 {size},落后 {behind} 条", f"{when}, up to {size}, {behind} records behind"))
        )
    return facts(pairs)


def _clock(snapshot: Snapshot, say: Say) -> Html:
    error = say("由现场担保", "vouched for by the site")
    if snapshot.clock == "none":
        error = "–"
    elif snapshot.clock_error_ms is not None:
        error = f"±{snapshot.clock_error_ms} ms"
    return facts(
        [
            (say("状态", "state"), say(*CLOCKS[snapshot.clock])),
            (say("误差", "error"), error),
            (say("园区时间", "time in the park"), local(snapshot, snapshot.now_s, "%Y-%m-%d %H:%M:%S")),
        ]
    )


def _disk(kept: Kept, say: Say) -> Html:
    days = "–"
    if kept.room_days is not None and kept.room_days > MANY_DAYS:
        days = say("十年以上", "more than ten years")
    elif kept.room_days is not None:
        days = say(f"约 {kept.room_days} 天", f"about {kept.room_days} days")
    return facts(
        [
            (say("已用", "used"), bytes_text(kept.bytes)),
            (say("剩余", "free"), bytes_text(kept.free_bytes)),
            (say("按近一周速度还够", "lasts, at last week's rate"), days),
        ]
    )
