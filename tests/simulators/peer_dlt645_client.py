"""A DL/T 645-2007 master made by the PyPI package dlt645 alone: `peer_dlt645_client.py rtu PORT | tcp HOST PORT`.

Reads meter 202208310002 and prints {item: value} as JSON; what it could not read is null.
"""

import json
import sys

from dlt645 import MeterClientService, disable_logging

ADDRESS = "202208310002"
ITEMS = {"total": 0x00010000, "voltage_a": 0x02010100, "current_a": 0x02020100}


def main(kind: str, *where: str) -> None:
    disable_logging()
    if kind == "rtu":
        client = MeterClientService.new_rtu_client(where[0], 2400, 8, 1, "N", 3.0)
    else:
        client = MeterClientService.new_tcp_client(where[0], int(where[1]), 3.0)
    client.address = bytearray.fromhex(ADDRESS)[::-1]  # text would go on the wire high byte first
    assert client.connect()
    read = {"total": client.read_00, "voltage_a": client.read_02, "current_a": client.read_02}
    said = {name: read[name](di) for name, di in ITEMS.items()}
    sys.stdout.write(json.dumps({name: None if item is None else str(item.value) for name, item in said.items()}))
    client.disconnect()


if __name__ == "__main__":
    main(*sys.argv[1:])
