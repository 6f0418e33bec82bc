"""From the `port` of a configured line to the port that serves it. Opens nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from drivers.ports import Port
from drivers.ports.serial import DIRECTIONS, SerialPort
from drivers.ports.tcp import TcpPort

PLAIN = ("socket", "tcp")  # the same connection; what differs are the frames in it
NETWORK_LATENCY_S = 0.5  # there and back through a converter that packs bytes, over a site's radio or 4G link


def port_for(url: str, *, direction: str = "auto") -> Port:
    """`/dev/…`, `socket://host:port`, `tcp://host:port` (Modbus TCP) or `rfc2217://host:port`. Raises ValueError.

    direction: who switches the RS-485 transmitter of a device file: `auto`, `kernel` or `rts`.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction {direction!r} is none of {', '.join(DIRECTIONS)}")
    if "://" not in url:
        return SerialPort(url, direction=direction)
    parts = urlsplit(url)
    if parts.scheme not in (*PLAIN, "rfc2217"):
        raise ValueError(f"port {url!r}: {parts.scheme}:// is none of socket://, tcp://, rfc2217://")
    try:
        host, number = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"port {url!r}: {error}") from error
    if not host or not number:
        raise ValueError(f"port {url!r} is not like {parts.scheme}://host:port")
    if parts.scheme in PLAIN:
        return TcpPort(host, number, scheme=parts.scheme)
    from drivers.ports.rfc2217 import Rfc2217Port  # its library brings a megabyte that few lines need

    return Rfc2217Port(host, number)


def latency_s(url: str) -> float:
    """Time allowed for the way to the wire and back, on top of what the meter takes: 0 at a device file."""
    return NETWORK_LATENCY_S if "://" in url else 0.0
