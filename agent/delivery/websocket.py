"""MQTT inside a WebSocket, compressed where the broker agrees: what paho takes for its socket.

    up    CONNECT ─▶ one message, as it is    PUBLISH PUBLISH … ─▶ one message, deflated ─▶ TLS ─▶ TCP
    down  bytes ─▶ messages, inflated ─▶ one stream of MQTT packets, taken as paho asks for it

Framing (RFC 6455) and permessage-deflate (RFC 7692) are the library `websockets`, without its I/O; this file moves
bytes between it and a socket that does not wait. Imported only where the broker's URL is ws:// or wss://.

The context of deflate lives as long as the connection, so what is repeated from record to record costs a few bits.
CONNECT, the first message, is left out of it: it holds the password, and lengths of later messages, some of whose bytes
a meter's owner may choose, would tell whether they resemble it.
"""

from __future__ import annotations

import socket
import ssl
import time

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidState
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import BINARY, CLOSE, CONT, TEXT, CloseCode, Frame
from websockets.protocol import SEND_EOF, State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from agent.delivery.faults import UplinkError

MQTT = Subprotocol("mqtt")  # MQTT 5, 6.0: both name it
HANDSHAKE_S = 10.0  # from the request to the whole answer
CHUNK = 4096  # read at a time: with MESSAGE_BYTES it bounds what a flood of compressed zeros takes
MESSAGE_BYTES = 2**20  # inflated, far more than the packets a broker may send us unanswered
CANNOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class WebSocket:
    """Over a connected TCP or TLS socket, which it owns: the methods that paho and the event loop call, and `cork`.

    What the other end breaks is an UplinkError, never an OSError: paho would keep its words to itself.
    """

    def __init__(self, held: socket.socket, where: WebSocketURI, largest: int) -> None:
        """Shakes hands; waits for it. largest: bytes of the largest MQTT packet to come down.

        Raises OSError, UplinkError; the socket is then closed.
        """
        self._held, self._largest = held, largest
        self._protocol = ClientProtocol(
            where,
            extensions=[ClientPerMessageDeflateFactory()],
            subprotocols=[MQTT],
            max_size=MESSAGE_BYTES,
        )
        self._packets = bytearray()  # of the message that is being put together
        self._wire = bytearray()  # frames that the socket has not taken yet
        self._inbox = bytearray()  # of MQTT packets
        self._corked = self._greeted = False
        self._fault = ""  # why nothing more will come
        try:
            self._shake_hands()
        except BaseException:
            held.close()
            raise

    @property
    def compressed(self) -> bool:
        """Whether the broker agreed to it."""
        return bool(self._protocol.extensions)

    @property
    def unsent(self) -> bool:
        """Whether something waits until the socket takes more."""
        return bool(self._wire)

    def cork(self, corked: bool) -> None:
        """Packets sent while corked leave as one message. Raises OSError."""
        self._corked = corked
        if not corked and self._packets:
            self._frame()

    def send(self, data: bytes | bytearray) -> int:
        """Takes all of a packet or, while earlier ones wait, raises BlockingIOError. Raises OSError."""
        if self._wire:
            self.flush()
        if self._wire:
            raise BlockingIOError
        self._packets += data
        if not self._corked:
            self._frame()
        return len(data)

    def flush(self) -> None:
        """Hands the socket what it takes. Raises OSError."""
        while self._wire:
            try:
                del self._wire[: self._held.send(self._wire)]
            except CANNOT_NOW:
                return

    def recv(self, size: int) -> bytes:
        """At most so many bytes of MQTT; b"": the connection is over.

        Raises BlockingIOError and ssl.SSLWantReadError when nothing is there, OSError, UplinkError.
        """
        if size > self._largest:
            raise UplinkError(f"the broker sends a packet of {size} bytes, {self._largest} are the most")
        if not self._inbox and not self._fault:
            data = self._held.recv(CHUNK)
            if not data:
                return b""
            self._protocol.receive_data(data)
            self._take()
        if not self._inbox:
            if self._fault:
                raise UplinkError(self._fault)
            raise BlockingIOError
        taken = bytes(self._inbox[:size])
        del self._inbox[:size]
        return taken

    def pending(self) -> int:
        """Whether more than 0 can be had, bytes or a fault, without the socket becoming readable."""
        decrypted = self._held.pending() if isinstance(self._held, ssl.SSLSocket) else 0
        return decrypted + len(self._inbox) + bool(self._fault)

    def close(self) -> None:
        """Says so if the socket takes it at once."""
        try:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._push()
        except OSError:
            pass  # gone already
        finally:
            self._held.close()

    def fileno(self) -> int:
        return self._held.fileno()

    def setblocking(self, flag: bool) -> None:
        self._held.setblocking(flag)

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self._held.setsockopt(level, name, value)

    def _frame(self) -> None:
        packets, self._packets = self._packets, bytearray()
        agreed = self._protocol.extensions
        if not self._greeted:
            self._protocol.extensions = []
        try:
            self._protocol.send_binary(packets)
        except InvalidState as error:
            raise ConnectionError(str(error)) from error
        finally:
            self._protocol.extensions = agreed
        self._greeted = True
        self._push()

    def _push(self) -> None:
        for data in self._protocol.data_to_send():
            if data is not SEND_EOF:
                self._wire += data
        self.flush()

    def _take(self) -> None:
        self._push()  # a pong, or why we close
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):
                continue  # the answer to the handshake
            if frame.opcode in (BINARY, CONT):
                self._inbox += frame.data
            elif frame.opcode is TEXT:
                self._fault = "the broker sends text"
            elif frame.opcode is CLOSE:
                self._fault = f"the broker closed: {self._protocol.close_rcvd}"
        if self._protocol.parser_exc is not None:
            self._fault = f"the broker breaks the WebSocket: {self._protocol.close_sent}"

    def _shake_hands(self) -> None:
        self._protocol.send_request(self._protocol.connect())
        self._held.sendall(b"".join(self._protocol.data_to_send()))
        until = time.monotonic() + HANDSHAKE_S
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            if time.monotonic() > until:
                raise TimeoutError("no answer as a WebSocket")
            if data := self._held.recv(CHUNK):
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
        fault = self._protocol.handshake_exc
        if isinstance(fault, InvalidHandshake):
            raise UplinkError(str(fault)) from fault
        if fault is not None:
            raise UplinkError("the connection ended before it was a WebSocket") from fault
        if self._protocol.subprotocol != MQTT:
            raise UplinkError("a WebSocket, but not for MQTT")
        self._take()  # what came with it
