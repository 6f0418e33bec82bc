"""The kernel's marks for damaged bytes, taken out of the stream of a terminal with INPCK and PARMRK (no I/O).

    FF FF        a good byte FF
    FF 00 xx     the byte xx came with a parity or framing error (a break: FF 00 00)

A mark may be split over reads anywhere. Source: termios(3), PARMRK.
"""

from __future__ import annotations

from drivers.ports import Chunk

MARK = 0xFF


class MarkReader:
    """Turns what was read from the terminal into chunks; keeps a mark that is not whole until the rest comes."""

    def __init__(self) -> None:
        self._mark = b""  # FF or FF 00: the beginning of a mark

    def feed(self, raw: bytes) -> list[Chunk]:
        chunks: list[Chunk] = []
        good = bytearray()
        for byte in raw:
            if not self._mark:
                if byte == MARK:
                    self._mark = b"\xff"
                else:
                    good.append(byte)
            elif len(self._mark) == 1 and byte == 0:
                self._mark = b"\xff\x00"
            elif len(self._mark) == 1:
                # FF FF is a good FF; FF followed by anything else is not the kernel's doing: both bytes are kept
                good += b"\xff" if byte == MARK else bytes((MARK, byte))
                self._mark = b""
            else:
                self._mark = b""
                chunks.append(Chunk(bytes(good), damaged=True))
                good.clear()
        if good:
            chunks.append(Chunk(bytes(good)))
        return chunks
