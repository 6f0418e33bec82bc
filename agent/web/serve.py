"""Runs the status page on a thread and event loop of its own, so that no view ever keeps a line waiting.

What is wrong with the configuration is refused at once; a port that is taken is tried again, since the meters are read
without a page too. Imported only where the page is switched on.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import cast

from agent.app import Agent
from agent.web.access import Access
from agent.web.page import LATE, Pages
from agent.web.snapshot import Looker

logger = logging.getLogger(__name__)
MOST_CONNECTIONS = 64
REQUEST_S = 10.0  # for a request's headers to arrive
AGAIN_S = 30.0  # between attempts to get a port that is taken
CLOSING_S = 2.0


class PageServer:
    """The page of one agent, from `start` to `stop`."""

    def __init__(self, looker: Looker, access: Access) -> None:
        self.address = ""  # http://host:port once it listens
        self._looker, self._access = looker, access
        self._thread = threading.Thread(target=self._run, name="status-page", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._open: set[StreamWriter] = set()

    def start(self, wait_s: float = 0.0) -> bool:
        """Starts the thread; True if the page listens within so many seconds."""
        self._thread.start()
        return self._ready.wait(wait_s)

    def stop(self) -> None:
        """Closes every connection and ends the thread."""
        if self._loop is not None and self._end is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(CLOSING_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        pages = Pages(self._looker, self._access)

        async def converse(reader: StreamReader, writer: StreamWriter) -> None:
            await self._converse(pages, reader, writer)

        server = await self._listen(converse)
        if server is not None:
            host, port = server.sockets[0].getsockname()[:2]
            self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            logger.info("status page at %s", self.address)
            self._ready.set()
            await self._end.wait()
            server.close()
        for writer in list(self._open):
            writer.close()
        pages.close()

    async def _listen(self, converse: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> asyncio.Server | None:
        """Waits for the port if it is taken; None if the end comes first."""
        assert self._end is not None
        complained = False
        while not self._end.is_set():
            try:
                return await asyncio.start_server(converse, self._access.host, self._access.port)
            except OSError as error:
                if not complained:
                    logger.warning("status page: %s:%d: %s", self._access.host, self._access.port, error.strerror)
                complained = True
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._end.wait()
            except TimeoutError:
                continue
        return None

    async def _converse(self, pages: Pages, reader: StreamReader, writer: StreamWriter) -> None:
        """One connection: one request, one answer."""
        if len(self._open) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._open.add(writer)
        late = asyncio.get_running_loop().call_later(REQUEST_S, writer.close)
        LATE.set(late)
        try:
            await pages.app.handle_request(reader, cast(StreamWriter, _Writer(writer)))
        except asyncio.CancelledError:
            if self._end is None or not self._end.is_set():
                raise  # at the end nobody waits for this answer, and asyncio's streams would log it as an error
        finally:
            late.cancel()
            self._open.discard(writer)
            writer.close()


class _Writer:
    """A StreamWriter under the names that microdot calls."""

    def __init__(self, writer: StreamWriter) -> None:
        self._writer = writer
        self.get_extra_info = writer.get_extra_info

    async def awrite(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def page_of(agent: Agent) -> PageServer:
    """The page that the agent's configuration asks for, not started. Raises AccessFault."""
    return PageServer(Looker(agent), Access.of(agent.config["private"]["web"]))
