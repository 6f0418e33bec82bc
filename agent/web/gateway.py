"""The gateway itself: what waits to be sent, who has receipts, whether the clock is trusted, how long disk lasts."""

from __future__ import annotations

from agent.web.frame import CLOCKS, MIB, Asked, facts, local, page
from agent.web.html import Child, Html, Say, el
from agent.web.reads import Kept
from agent.web.snapshot import Snapshot


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
    waiting = "–" if snapshot.waiting is None else str(snapshot.waiting)
    return facts(
        [
            (say("上行", "uplink"), uplink),
            (say("待送记录", "records waiting"), el("span", waiting, id="waiting")),
            (say("被拒收", "set aside"), str(kept.aside)),
            (say("记录总数", "records"), el("span", str(snapshot.size), id="size")),
            (say("已送达至", "delivered up to"), el("span", str(snapshot.delivered), id="delivered")),
            (say("纪元", "epoch"), snapshot.epoch),
        ]
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
    days = "–" if kept.room_days is None else say(f"约 {kept.room_days} 天", f"about {kept.room_days} days")
    return facts(
        [
            (say("已用", "used"), f"{kept.bytes / MIB:.1f} MiB"),
            (say("剩余", "free"), f"{kept.free_bytes / MIB:.0f} MiB"),
            (say("按近一周速度还够", "lasts, at last week's rate"), days),
        ]
    )
