"""One family of faults for everything between us and a meter.

A fault is never a number: a caller either gets a value that was checked, or one of these. `retry`
says whether asking the same question again can help.
"""

from __future__ import annotations

from typing import ClassVar


class DriverError(Exception):
    """A fault of line or meter. `frame` holds the bytes that showed it, as received."""

    retry: ClassVar[bool] = False
    why: ClassVar[str] = "refused"  # the word of a `gap` record for this fault

    def __init__(self, message: str, *, frame: bytes = b"") -> None:
        super().__init__(message)
        self.frame = frame


class LineError(DriverError):
    """The wire failed; asking again can help."""

    retry = True
    why = "noise"


class PortGone(LineError):
    """The port cannot be opened or has vanished (unplugged, connection closed)."""

    why = "port"


class PortBusy(PortGone):
    """Another process holds the port."""


class Silent(LineError):
    """No byte of an answer within the time allowed."""

    why = "timeout"


class Garbled(LineError):
    """Bytes came, but no whole valid answer to this request: noise, parity, collision, foreign frames."""


class MeterError(DriverError):
    """The meter answered clearly; asking the same again will not help."""


class Refused(MeterError):
    """An error answer: DL/T 645 ERR bits or a Modbus exception. `code` is the byte sent."""

    def __init__(self, message: str, *, code: int, frame: bytes = b"") -> None:
        super().__init__(message, frame=frame)
        self.code = code


class Unexpected(MeterError):
    """A valid frame whose content cannot be a value: wrong length, not BCD, filler, impossible date."""


class ForbiddenRequest(DriverError):
    """The gate found bytes that are not exactly a permitted reading request. Nothing was sent."""
