"""A DL/T 645-2007 meter made by the PyPI package dlt645 alone: `dlt645_meter.py PORT` until its input ends.

Meter 202208310002: forward energy 123456.78, tariff 2 99.01, combined energy -5.25, voltage A 220.5, current A -1.234.
The package answers everybody (a frame for another address gets an error frame) and has no blocks, so one meter a line.
"""

import sys

from dlt645 import MeterServerService

ADDRESS = "202208310002"


def main(port: str) -> None:
    meter = MeterServerService.new_rtu_server(port, 8, 1, 9600, "N", 1.0)
    meter.set_address(bytes.fromhex(ADDRESS)[::-1])  # text would go on the wire high byte first
    for di, value in ((0x00010000, 123456.78), (0x00010200, 99.01), (0x00000000, -5.25)):
        assert meter.set_00(di, value)
    for di, value in ((0x02010100, 220.5), (0x02020100, -1.234)):
        assert meter.set_02(di, value)
    assert meter.server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    meter.server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
