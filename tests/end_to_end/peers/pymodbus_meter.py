"""A Modbus device made by pymodbus alone: `pymodbus_meter.py PORT [tcp]` serves unit 12 until its input ends.

Holding registers from 0: u32 123456789, f32 1234.5, i16 -7. Input registers from 72: f32 43473.16.
All others: exception 2.
"""

import asyncio
import sys

from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

HOLDING = [
    SimData(0, values=123456789, datatype=DataType.UINT32),
    SimData(2, values=1234.5, datatype=DataType.FLOAT32),
    SimData(4, values=-7, datatype=DataType.INT16),
]
INPUT = [SimData(72, values=43473.16, datatype=DataType.FLOAT32)]
BITS = [SimData(0, values=False, datatype=DataType.BITS)]


async def main(port: str, kind: str = "rtu") -> None:
    device = SimDevice(12, simdata=(BITS, BITS, HOLDING, INPUT))
    server: ModbusSerialServer | ModbusTcpServer
    if kind == "tcp":
        server = ModbusTcpServer(device, address=("127.0.0.1", int(port)), ignore_missing_devices=True)
    else:
        server = ModbusSerialServer(device, port=port, baudrate=9600, ignore_missing_devices=True)
    await server.serve_forever(background=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
