"""The reading requests of DL/T 645 as exchanges (no I/O): read, read on, read address, load records, freezes.

    2007  11H  DI0–DI3 [N [mm hh DD MM YY]]     12H  DI0–DI3 SEQ     13H  –, address AA…
    1997  01H  DI0 DI1                          02H  DI0 DI1

There is no way here to write, freeze, set a clock or switch a relay.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlt645.formats import Moment
from drivers.dlt645.frame import OVERHEAD, WAKE, WILDCARD, Frame
from drivers.dlt645.identifiers import lookup, wire
from drivers.dlt645.replies import ADDRESS_BYTES, ReplyReader
from drivers.exchange import Exchange

READ_2007, FOLLOW_2007, READ_ADDRESS = 0x11, 0x12, 0x13
READ_1997, FOLLOW_1997 = 0x01, 0x02

USUAL_REGISTERS = 5  # of a tariff block: total and four tariffs; only predicts a length
TARIFF_BLOCK = 15  # a block that could hold this many registers is one of tariffs
ENERGY_CLASS = 4  # of load records: active energies and combined reactive
MOST_RECORDS = 9  # some meters read N as BCD, some masters send a plain byte: the same up to 9
LAST_SEQ = 0xFF  # is followed by 01, never 00


@dataclass(frozen=True, slots=True)
class Manners:
    """How a meter wants to be spoken to.

    wake: FE before each request; four wake every receiver seen. reply_timeout_s: the standard allows 0.5 s to the first
    byte, meters in the wild take longer. quiet_before_s: 20 ms suits most, 100–200 ms the slow ones.
    """

    wake: int = 4
    reply_timeout_s: float = 1.0
    quiet_before_s: float = 0.02


USUAL = Manners()


def read(edition: str, address: str, di: str, manners: Manners = USUAL, *, commissioning: bool = False) -> Exchange:
    """Reads one DI: 8 hex digits in the 2007 edition, 4 in the 1997. Raises ValueError on a malformed DI or address.

    A wildcard or short address (AA bytes in front) is answered by every meter it fits: only for one meter on the bus.
    """
    request = Frame(address, READ_1997 if edition == "1997" else READ_2007, _di(edition, di))
    return _exchange(edition, request, manners, di=request.data, data=_data_length(di), commissioning=commissioning)


def read_on(edition: str, address: str, di: str, seq: int, manners: Manners = USUAL) -> Exchange:
    """Asks for the next part of an answer that said more follows (B1, A1). seq: 1 first, see `next_seq`; 2007 only."""
    code = _di(edition, di)
    if edition == "1997":
        return _exchange(edition, Frame(address, FOLLOW_1997, code), manners, di=code)
    return _exchange(edition, Frame(address, FOLLOW_2007, code + bytes((seq,))), manners, di=code, seq=seq)


def next_seq(seq: int) -> int:
    """The SEQ after this one."""
    return 1 if seq == LAST_SEQ else seq + 1


def read_address(manners: Manners = USUAL, *, address: str = WILDCARD) -> Exchange:
    """Asks the only meter on the bus for its address (2007); several collide into noise."""
    return _exchange(
        "2007", Frame(address, READ_ADDRESS), manners, length=ADDRESS_BYTES, data=ADDRESS_BYTES, commissioning=True
    )


def load_records(
    address: str,
    kind: int,
    *,
    since: str | None = None,
    oldest: bool = False,
    count: int = 1,
    manners: Manners = USUAL,
) -> Exchange:
    """Asks for load records (2007) of a class 1–6, 0 for all: the latest, the oldest, or those from a moment on.

    since: `YYYY-MM-DD hh:mm` of the meter's clock. count: records, 1 to 9; of the latest there is always one.
    Raises ValueError.
    """
    if not 0 <= kind <= 6 or not 1 <= count <= MOST_RECORDS:
        raise ValueError(f"class {kind} or count {count}: classes are 0–6, counts 1–{MOST_RECORDS}")
    select, parameters = "02", b""
    if since is not None:
        select, parameters = "01", bytes((count,)) + Moment("YYMMDDhhmm").encode(since)
    elif oldest:
        select, parameters = "00", bytes((count,))
    elif count != 1:
        raise ValueError("the latest record is one")
    di = wire(f"06{kind:02X}00{select}")
    return _exchange("2007", Frame(address, READ_2007, di + parameters), manners, di=di)


def freeze(address: str, kind: int, content: int, back: int, manners: Manners = USUAL) -> Exchange:
    """Reads a freeze (2007): kind 0 timed, 1 instant, 4 hourly, 6 daily; content 0 its time, 1 forward active, …;
    back 1 is the latest. Raises ValueError."""
    if not 1 <= back <= 0xFF:
        raise ValueError(f"freeze {back} back: 1 is the latest")
    return read("2007", address, f"05{kind:02X}{content:02X}{back:02X}", manners)


def _exchange(
    edition: str,
    request: Frame,
    manners: Manners,
    *,
    di: bytes = b"",
    seq: int | None = None,
    length: int | None = None,
    data: int = 0,
    commissioning: bool = False,
) -> Exchange:
    return Exchange(
        protocol=f"dlt645-{edition}",
        request=request.raw,
        reader=lambda: ReplyReader(request, di=di, seq=seq, length=length),
        preamble=bytes((WAKE,)) * manners.wake,
        reply_bytes=OVERHEAD + len(di) + data if data else 0,
        reply_timeout_s=manners.reply_timeout_s,
        quiet_before_s=manners.quiet_before_s,
        commissioning=commissioning,
    )


def _di(edition: str, di: str) -> bytes:
    code = wire(di)
    if len(code) != (2 if edition == "1997" else 4):
        raise ValueError(f"{di!r} is no DI of the {edition} edition")
    return code


def _data_length(di: str) -> int:
    """Bytes of data to expect behind the DI; 0 if nobody can know."""
    found = lookup(di)
    if found is None or found.groups:
        return 0
    registers = len(found.items) // found.stride
    if found.block and registers >= TARIFF_BLOCK:
        return found.register_length * USUAL_REGISTERS
    return found.length
