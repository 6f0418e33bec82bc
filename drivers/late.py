"""Answers that a line still owes after it went on: which they are, and which next question they could fool (no I/O).

    question 1 … silence, given up ………………………… late answer 1
                                 question 2 (same unit) ↑ taken for answer 2, unless the line hears it out first

Asking the same again needs no wait: whichever answer comes is one to this question, and dead meters cost no more than
their timeouts. But then one answer more is owed before anything else is asked that it could fool.

A late answer harms only a question that it seems to answer. Modbus RTU repeats neither register nor transaction, so
any two questions to one unit with one function can be mixed up. DL/T 645 repeats address, function and DI (and the
sequence number of 12H), so only reads whose DATA says more than that can: load records by time, follow-on reads
of 1997. All others may be asked at once: what comes late for them is told from what they asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.exchange import Exchange, ReplyReader

LATE_FACTOR = 3  # of the reply timeout: a meter that has not begun by then does not answer any more


def mistakable(earlier: Exchange, later: Exchange) -> bool:
    """Whether the answer to `earlier`, coming late, can pass for the answer to `later`."""
    if earlier.protocol != later.protocol:
        return False
    one, other = earlier.request, later.request
    if earlier.protocol == "modbus-rtu":
        return one != other and one[:2] == other[:2]  # unit and function; an exception answer fits any count
    if earlier.protocol == "modbus-tcp":
        return one[:2] == other[:2]  # transaction number
    if one[1:7] != other[1:7] or one[8] != other[8]:
        return False
    if earlier.protocol == "dlt645-1997":
        return one[8] == 0x02 and one[10:12] == other[10:12]
    asks_by_time = one[9] > 4 or other[9] > 4
    return one[8] == 0x11 and one[10:14] == other[10:14] and asks_by_time


@dataclass(slots=True)
class _Owed:
    exchange: Exchange
    reader: ReplyReader
    until: float


class OwedAnswers:
    """The exchanges of one line that got no answer in time; `now` and `until` are the event loop's seconds."""

    def __init__(self) -> None:
        self._owed: list[_Owed] = []

    def owe(self, exchange: Exchange, reader: ReplyReader, until: float) -> None:
        """`reader` has seen all bytes since the question, and goes on with what `hear` gives it."""
        self._owed.append(_Owed(exchange, reader, until))

    def forget(self, now: float) -> None:
        """Drops what is not expected any more. Only when every byte that has arrived so far was given to `hear`."""
        self._owed = [owed for owed in self._owed if owed.until > now]

    def hear(self, data: bytes, damaged: bool) -> int:
        """Takes what arrived; returns how many late answers it completed, which are then no more owed.

        Bytes may have waited while nobody read them: an answer settles the oldest equal question, its time over or
        not. Otherwise it would settle a later one, whose own answer is still to come.
        """
        kept: list[_Owed] = []
        answered: list[bytes] = []
        for owed in self._owed:
            is_answered = bool(data) and owed.reader.feed(data) is not None
            if is_answered and owed.exchange.request not in answered:
                answered.append(owed.exchange.request)
                continue
            if is_answered:  # one answer settles one of several equal questions
                owed.reader = owed.exchange.reader()
            elif damaged:
                owed.reader.damage()
            kept.append(owed)
        self._owed = kept
        return len(answered)

    def until(self, exchange: Exchange, now: float) -> float:
        """When `exchange` may be asked at the earliest: `now` unless an answer that could fool it is still owed."""
        due = (owed.until for owed in self._owed if owed.until > now and mistakable(owed.exchange, exchange))
        return max(due, default=now)

    def is_repeated(self, exchange: Exchange, now: float) -> bool:
        """Whether an answer to the very same request is still owed, and may come as the answer to this one."""
        return any(owed.exchange.request == exchange.request and owed.until > now for owed in self._owed)
