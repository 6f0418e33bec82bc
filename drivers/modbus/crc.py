"""The checksum of a serial Modbus frame (no I/O), for those who need no PDU: importing pymodbus costs 2 MB.

unit | function | … | CRC low | CRC high
"""

from __future__ import annotations

RTU_REPLY_BYTES = 5  # besides the registers: unit, function, byte count, CRC
_POLYNOMIAL = 0xA001


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ _POLYNOMIAL if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16 of an RTU frame's bytes; sent low byte first. Source: MODBUS over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def crc_is_right(frame: bytes) -> bool:
    """Whether the last two bytes are the CRC of those before."""
    return len(frame) >= 4 and crc16(frame[:-2]) == frame[-2] | frame[-1] << 8
