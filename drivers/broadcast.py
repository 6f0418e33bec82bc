"""The two broadcasts of DL/T 645 that a person may send: setting all clocks of a bus, freezing all registers at once.

    time     68 999999999999 68 08 06 ss mm hh DD MM YY CS 16     both editions; BCD, meter's local time
    freeze   68 999999999999 68 16 04 99 99 99 99 CS 16           2007 only: every meter freezes now

Nobody answers a broadcast. No line of the agent can send one: this opens the port itself, sends one frame through a
check of its own (`gate.permit_broadcast`), and closes it. Source: reference/dlt645.md, section 2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from drivers import gate
from drivers.dlt645.formats import Moment
from drivers.dlt645.frame import WAKE, Frame
from drivers.errors import Garbled
from drivers.ports import Port, Settings

ADDRESS = "9" * 12
TIME, FREEZE = 0x08, 0x16
PREAMBLE = bytes((WAKE,)) * 4
QUIET_S = 0.5  # longer than any pause between two bytes of a frame
NEVER_QUIET_S = 5.0
MIDNIGHT_S = 5 * 60  # meters refuse the time so near to midnight
DAY_S = 86_400


def time_frame(local: datetime) -> bytes:
    """The frame that sets every clock to `local`, whole seconds. Raises ValueError within five minutes of midnight,
    where meters refuse it because their daily freeze could happen twice or never."""
    since_midnight_s = (local.hour * 60 + local.minute) * 60 + local.second
    if not MIDNIGHT_S < since_midnight_s < DAY_S - MIDNIGHT_S:
        raise ValueError(f"{local:%H:%M:%S} is within five minutes of midnight")
    return Frame(ADDRESS, TIME, Moment("YYMMDDhhmmss").encode(f"{local:%Y-%m-%d %H:%M:%S}")).raw


def freeze_frame() -> bytes:
    """The frame that freezes the registers of every 2007 meter now."""
    return Frame(ADDRESS, FREEZE, b"\x99" * 4).raw


async def broadcast(port: Port, settings: Settings, kind: str, frame: Callable[[], bytes]) -> bytes:
    """Sends one broadcast on a port that nobody else holds, once the bus was silent for half a second.

    frame: called when the bus is silent, so that a time is that of its sending. Gives the bytes sent, preamble
    included. Raises ForbiddenRequest, PortBusy (naming the holder), PortGone, or Garbled where the bus never falls
    silent: another master is at work; in each case nothing was sent.
    """
    await port.open(settings)
    try:
        await _silence(port)
        data = PREAMBLE + frame()
        gate.permit_broadcast(kind, data)
        await port.write(data)
        await asyncio.sleep(settings.seconds(len(data)) + QUIET_S)  # it is on the wire before the port closes
        return data
    finally:
        await port.close()


async def _silence(port: Port) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + NEVER_QUIET_S
    while loop.time() < give_up:
        try:
            await asyncio.wait_for(port.read(), QUIET_S)
        except TimeoutError:
            return
    raise Garbled("the bus never falls silent: another master, or a device that talks without end")
