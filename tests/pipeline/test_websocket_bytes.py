"""Any bytes from the other end of a WebSocket are MQTT, an error of ours, or the end: nothing else gets through."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from websocket_server import BINARY, CLOSE, CONT, DEFLATE, PING, RSV1, TEXT, deflated, frame, upgrade
from websockets.uri import WebSocketURI

from agent.delivery.mqtt import UplinkError
from agent.delivery.websocket import WebSocket

WHERE = WebSocketURI(False, "b.example", 80, "/mqtt", "")
LARGEST = 1000


class Wire:
    """A socket that has received what it was given, and then ends."""

    def __init__(self, extension: str, *, head: bytes | None = None, then: bytes = b"", step: int = 4096) -> None:
        self._head, self._then, self._extension, self._step = head, then, extension, step
        self._waiting = b""
        self.closed = False

    def sendall(self, request: bytes) -> None:
        key = request.decode().split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
        head = upgrade(key, self._extension).encode() if self._head is None else self._head
        self._waiting = head + self._then

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, size: int) -> bytes:
        taken, self._waiting = self._waiting[: min(size, self._step)], self._waiting[min(size, self._step) :]
        return taken

    def close(self) -> None:
        self.closed = True


def opened(wire: Any) -> WebSocket:
    return WebSocket(wire, WHERE, LARGEST)


def heard(made: WebSocket) -> bytes:
    """All the MQTT up to the end or the fault."""
    came = b""
    while True:
        try:
            data = made.recv(100)
        except BlockingIOError:
            continue
        except UplinkError:
            return came
        if not data:
            return came
        came += data


WORDS = (
    *(b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 200 x\r\n", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n"),
    *(b"Sec-WebSocket-Accept: x\r\n", b"Sec-WebSocket-Extensions: permessage-deflate", b"; server_max_window_bits="),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"ffffffffffff\r\n", b'="', b",,", b": ", b"\r\n"),
)
PIECE = st.one_of(st.binary(max_size=40), st.sampled_from(WORDS))
FRAME = st.builds(
    frame,
    st.one_of(st.integers(0, 255), st.sampled_from([BINARY, BINARY | RSV1, CONT, 0x02, 0x00, TEXT, PING, CLOSE])),
    st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(deflated)),
    st.booleans(),
)


@given(st.lists(PIECE, max_size=12).map(b"".join), st.sampled_from([1, 7, 4096]))
@settings(max_examples=300, deadline=None)
def test_whatever_answers_the_handshake_is_refused_and_closed(head: bytes, step: int) -> None:
    wire = Wire("", head=head, step=step)
    try:
        opened(wire)
    except (UplinkError, ValueError):
        assert wire.closed
    else:
        raise AssertionError("taken for a WebSocket")


@given(st.lists(st.one_of(FRAME, st.binary(max_size=20)), max_size=12).map(b"".join), st.sampled_from(["", DEFLATE]))
@settings(max_examples=500, deadline=None)
def test_whatever_follows_ends_as_mqtt_or_as_our_fault(then: bytes, extension: str) -> None:
    heard(opened(Wire(extension, then=then, step=7)))


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), st.sampled_from([1, 5, 4096]), st.data())
@settings(max_examples=200, deadline=None)
def test_what_was_said_is_heard_however_it_was_cut(messages: list[bytes], step: int, data: st.DataObject) -> None:
    then = b""
    for message in messages:
        packed = data.draw(st.booleans())
        payload = deflated(message) if packed else message
        cut = data.draw(st.integers(0, len(payload)))
        head = BINARY | RSV1 if packed else BINARY
        then += frame(head ^ 0x80, payload[:cut]) + frame(PING, b"x") + frame(CONT, payload[cut:])
    extension = f"{DEFLATE}; server_no_context_takeover"
    assert heard(opened(Wire(extension, then=then, step=step))) == b"".join(messages)
