"""The status page's routes: who may look, which view answers, under which headers. The one file that imports microdot.

    request ─▶ name and access ─▶ Looker.take (memory) or one reading on the worker ─▶ view ─▶ HTML, JSON, events, text

Only GET and HEAD; nothing here changes anything.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from typing import Any, TypeVar

from microdot import Microdot, Request, Response
from microdot.sse import SSE, sse_response

from agent.evidence.reader import StoreError
from agent.web import day, energy, gateway, reads
from agent.web.access import Access
from agent.web.frame import Asked
from agent.web.html import Html
from agent.web.live import MOST_STREAMS, MOST_UNSENT, TICK_S, Stream
from agent.web.park import Sparks, park_page
from agent.web.snapshot import Looker, Snapshot
from contract.grid import DAY_S

logger = logging.getLogger(__name__)
T = TypeVar("T")
Answer = tuple[Any, int, dict[str, str]]
LANGUAGES = ("zh", "en")
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
STATIC = ("hubiao.css", "hubiao.js", "day.js", "icon.svg", "uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE.txt")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
WRONG_PASSWORD_S = 1.0  # a wrong one waits, alone: a guess a second
LONGEST_SHEET_S = 62 * DAY_S
LATE: ContextVar[asyncio.TimerHandle] = ContextVar("late")  # closes a connection whose request does not arrive
KEPT_S = 10.0  # how long what the disk holds is believed


@dataclass
class Pages:
    """The pages of one agent. `app` is what serves them."""

    looker: Looker
    access: Access
    app: Microdot = field(init=False)
    _sparks: Sparks = field(init=False, default_factory=Sparks)
    _streams: int = field(init=False, default=0)
    _worker: ThreadPoolExecutor = field(init=False)
    _guard: asyncio.Lock = field(init=False)
    _kept: tuple[float, reads.Kept] | None = field(init=False, default=None)
    _ended: threading.Event = field(init=False, default_factory=threading.Event)
    _static: dict[str, bytes] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="page-reads")
        self._guard = asyncio.Lock()
        self.app = Microdot()
        self.app.before_request(self._before)
        self.app.after_request(self._after)
        self.app.after_error_request(self._after)
        self.app.errorhandler(404)(lambda _request: ("not found", 404))
        self.app.errorhandler(StoreError)(self._unreadable)
        self.app.errorhandler(sqlite3.Error)(self._unreadable)
        for path, view in (
            ("/", self._park),
            ("/tenants", self._tenants),
            ("/balance", self._balance),
            ("/sheet", self._sheet),
            ("/gateway", self._gateway),
            ("/meter/<meter>", self._meter),
            ("/meter/<meter>/day.json", self._meter_json),
            ("/metrics", self._metrics),
            ("/live", self._live),
            ("/static/<name>", self._file),
        ):
            self.app.get(path)(view)

    def close(self) -> None:
        self._ended.set()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _before(self, request: Request) -> Answer | None:
        """Under an unknown name, or without the password: no."""
        LATE.get().cancel()
        if not self.access.admits_host(request.headers.get("Host", "")):
            return "this page answers to localhost only, where no password is set", 421, {}
        offered = request.headers.get("Authorization", "")
        if self.access.knows(offered):
            return None
        async with self._guard:
            admitted: bool = bool(offered) and await self._work(self.access.admits, offered)
            if admitted:
                self.access.remember(offered)
                return None
            if offered:
                logger.warning("status page: refused peer=%s", request.client_addr[0])
                await asyncio.sleep(WRONG_PASSWORD_S)
        return "401", 401, {"WWW-Authenticate": 'Basic realm="hubiao", charset="UTF-8"'}

    async def _after(self, request: Request, response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _park(self, request: Request) -> Answer:
        return self._html(request, lambda snapshot, asked: park_page(snapshot, asked, self._sparks))

    async def _gateway(self, request: Request) -> Answer:
        kept = await self._disk()
        return self._html(request, lambda snapshot, asked: gateway.gateway_page(snapshot, asked, kept))

    async def _meter(self, request: Request, meter: str) -> Answer:
        snapshot = self.looker.take()
        if meter not in snapshot.meters:
            return "not found", 404, {}
        found = await self._day(snapshot, meter, _asked(request).get("day"))
        if isinstance(found, str):
            return found, 400, {}
        return self._html(request, lambda _, asked: day.day_page(snapshot, asked, snapshot.meters[meter], found))

    async def _meter_json(self, request: Request, meter: str) -> Answer:
        snapshot = self.looker.take()
        if meter not in snapshot.meters:
            return "not found", 404, {}
        found = await self._day(snapshot, meter, _asked(request).get("day"))
        if isinstance(found, str):
            return found, 400, {}
        return day.day_document(snapshot, found), 200, {}

    async def _day(self, snapshot: Snapshot, meter: str, asked: str) -> day.Day | str:
        """A day from memory, or from the store where it is older; a text where it is none."""
        today_s = snapshot.plan.day_of(snapshot.now_s)[0]
        from_s = today_s if not asked else _seconds(f"{asked}T00:00", snapshot)
        if from_s is None or not 0 < from_s <= today_s:
            return "day=2026-07-14"
        read = None
        if from_s < today_s - DAY_S:
            try:
                read = await self._work(reads.values_between, snapshot.data, self._ended, from_s, from_s + DAY_S)
            except (LookupError, reads.TooLong):
                read = {}
        return day.day_of(snapshot, snapshot.meters[meter], from_s, read)

    async def _tenants(self, request: Request) -> Answer:
        snapshot, asked = self.looker.take(with_books=True), _asked(request)
        span = energy.span_of(snapshot, asked.get("span"))
        missing = energy.missing_in(snapshot, span)
        if span.name == "period":
            today = energy.span_of(snapshot, "today")
            totals = await self._totals(snapshot, span.from_s)
            energies = energy.with_days(energy.intervals_in(snapshot, today), totals)
            missing = energy.missing_with(energy.missing_in(snapshot, today), totals, snapshot.interval_s)
        else:
            energies = energy.intervals_in(snapshot, span)
        return self._html(request, lambda _, asked: energy.tenants_page(snapshot, asked, span, energies, missing))

    async def _balance(self, request: Request) -> Answer:
        snapshot, asked = self.looker.take(with_books=True), _asked(request)
        span = energy.span_of(snapshot, asked.get("span"))
        balances = energy.balances_in(snapshot, span)
        if span.name == "period":
            balances = energy.balances_in(snapshot, energy.span_of(snapshot, "today"))
            balances += (await self._totals(snapshot, span.from_s)).balances
        return self._html(request, lambda _, asked: energy.balance_page(snapshot, asked, span, balances))

    async def _totals(self, snapshot: Snapshot, from_s: int) -> reads.Totals:
        """The days before today; none where the log has none, or too many records to look through."""
        try:
            totals = await self._work(reads.totals_since, snapshot.data, self._ended, from_s)
        except (LookupError, reads.TooLong):
            return reads.Totals()
        return totals

    async def _sheet(self, request: Request) -> Answer:
        snapshot, asked = self.looker.take(), _asked(request)
        texts = [asked.get("at")] if asked.get("at") else [asked.get("from"), asked.get("to")]
        if not any(texts):
            return self._html(request, lambda snapshot, asked: energy.sheet_page(snapshot, asked, []))
        bounds = [bound for text in texts if (bound := _seconds(text, snapshot)) is not None]
        rows, wrong = [], ""
        if len(bounds) < len(texts):
            wrong = asked.say("日期和时间写成 2026-07-14T10:00", "a date and time is 2026-07-14T10:00")
        elif len(bounds) == 2 and not 0 < bounds[1] - bounds[0] <= LONGEST_SHEET_S:
            wrong = asked.say("止要晚于起,最多 62 天", "to must be after from, by 62 days at most")
        else:
            try:
                rows = await self._work(reads.sheet_rows, snapshot.data, self._ended, bounds)
            except (LookupError, ValueError) as error:
                wrong = str(error)
            except reads.TooLong:
                wrong = asked.say("记录太多,请用 hubiao sheet", "too much to read for a page: use hubiao sheet")
        return self._html(request, lambda snapshot, asked: energy.sheet_page(snapshot, asked, rows, wrong))

    async def _metrics(self, request: Request) -> Answer:
        try:
            from agent.web.metrics import metrics_text
        except ImportError:
            return "prometheus-client is not installed: pip install 'hubiao[metrics]'\n", 501, {}
        text = metrics_text(self.looker.take(), await self._disk())
        return text, 200, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}

    async def _live(self, request: Request) -> Any:
        if self._streams >= MOST_STREAMS:
            return "too many open pages", 503, {"Retry-After": "60"}
        signs = request.headers.get("Last-Event-ID") or request.args.get("signs") or ""
        return sse_response(request, self._tell, Stream(_asked(request).language, self._sparks, signs))

    async def _tell(self, request: Request, sse: SSE, stream: Stream) -> None:
        self._streams += 1
        try:
            while len(sse.queue) < MOST_UNSENT:
                if stream.is_stale(self.looker.signs()):
                    await sse.send(stream.message(self.looker.take()), event_id=stream.signs)
                else:
                    await sse.send(stream.time(*self.looker.time()))
                await asyncio.sleep(TICK_S)
        finally:
            self._streams -= 1

    async def _file(self, request: Request, name: str) -> Answer:
        if name not in STATIC:
            return "not found", 404, {}
        if name not in self._static:
            self._static[name] = files("agent.web").joinpath("static", name).read_bytes()
        kind = KINDS[name.rpartition(".")[2]]
        return self._static[name], 200, {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "max-age=600"}

    def _html(self, request: Request, view: Callable[[Snapshot, Asked], Html]) -> Answer:
        """The view's page; a language that was asked for is remembered by the browser."""
        asked = _asked(request)
        headers = {"Content-Type": "text/html; charset=utf-8"}
        if request.args.get("lang") in LANGUAGES:
            headers["Set-Cookie"] = f"lang={asked.language}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"
        body = view(self.looker.take(), asked).encode()
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            # a thousand meters are 0.9 MB, a second on a tunnel or a weak signal; packed 0.04, for a millisecond's work
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return body, 200, headers

    async def _disk(self) -> reads.Kept:
        loop = asyncio.get_running_loop()
        if self._kept is None or loop.time() > self._kept[0] + KEPT_S:
            self._kept = (loop.time(), await self._work(reads.kept, self.looker.data))
        return self._kept[1]

    def _work(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """On the one worker: readings of several pages queue."""
        return asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    async def _unreadable(self, request: Request, error: Exception) -> Answer:
        logger.warning("status page: store cannot be read: %s", error)
        return "the store cannot be read now", 503, {"Retry-After": "10"}


def _asked(request: Request) -> Asked:
    """Language: the query's, the cookie's, the browser's, Chinese."""
    named = request.args.get("lang") or request.cookies.get("lang") or ""
    if named not in LANGUAGES:
        preferred = request.headers.get("Accept-Language", "zh").lower()
        named = "en" if preferred.startswith("en") else "zh"
    query = tuple((key, request.args[key]) for key in request.args if key != "lang")
    return Asked(named, request.path, query)


def _seconds(text: str, snapshot: Snapshot) -> int | None:
    """A park-local date and time as UTC seconds; None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(timedelta(seconds=snapshot.plan.utc_offset_s)))
    return int(moment.timestamp()) if 1970 < moment.year < 9999 else None
