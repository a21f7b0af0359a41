"""Framed messages between the grader and a worker, over a stream socket.

A message is `MAGIC | u32 header length | u64 payload length | header | payload`. The header is a tree of
`wire`, packed by msgpack; the payload is what its arrays hold. Sizes are bounded before anything is
allocated, and a deadline bounds a whole message, however slowly its bytes come.

This module is also loaded inside the sandbox and therefore imports nothing of the engine but the wire codec.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from autograder.sandbox.wire import MAX_HEADER, MAX_NODES, MAX_PAYLOAD, WireError

MAGIC = b"AGK1"
MAX_CONTAINERS = 4 * MAX_NODES
"""Lists and maps in a header: a dictionary of n pairs takes 2n and a few."""


class PeerClosed(Exception):
    """The other side closed the connection or died."""


class Deadline(Exception):
    """The peer did not answer in time."""


class _Counter:
    """Counts lists and maps while they are unpacked: an empty one is 1 byte on the wire and 56 in memory."""

    def __init__(self, most: int) -> None:
        self._left = most

    def count(self, container: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise WireError("the header has too many parts")
        return container


class Channel:
    """Framed messages over a stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self.socket.fileno()

    def send(
        self, header: Any, buffers: Sequence[Any] = (), nbytes: int = 0, deadline: float | None = None
    ) -> None:
        """Send one message. `deadline` is on `time.monotonic`'s clock. Raises `PeerClosed`, `Deadline`,
        `WireError`.
        """
        import msgpack

        try:
            packed = msgpack.packb(header, use_bin_type=True)
        except (ValueError, OverflowError, UnicodeEncodeError) as error:
            raise WireError(f"the value cannot be encoded: {error}") from error
        if len(packed) > MAX_HEADER or nbytes > MAX_PAYLOAD:
            raise WireError("the message is too large")
        head = MAGIC + struct.pack("<IQ", len(packed), nbytes) + packed
        try:
            self._set_timeout(deadline)
            if nbytes < 1 << 16:
                self.socket.sendall(head + b"".join(buffers))
                return
            self.socket.sendall(head)
            for buffer in buffers:
                self._set_timeout(deadline)
                self.socket.sendall(buffer)
        except TimeoutError as error:
            raise Deadline from error
        except OSError as error:
            raise PeerClosed from error

    def receive(self, deadline: float | None = None) -> tuple[Any, bytearray]:
        """One message: header and payload. `deadline` bounds the whole message, however slowly its bytes
        drip.
        """
        import msgpack

        head = self._exactly(16, deadline)
        if head[:4] != MAGIC:
            raise WireError("the message does not begin as one")
        header_length, payload_length = struct.unpack("<IQ", head[4:])
        if header_length > MAX_HEADER or payload_length > MAX_PAYLOAD:
            raise WireError("the message is too large")
        raw = self._exactly(header_length, deadline)
        containers = _Counter(MAX_CONTAINERS)
        try:
            header = msgpack.unpackb(
                raw, raw=False, strict_map_key=True, use_list=True, max_ext_len=0, max_map_len=64,
                max_array_len=MAX_NODES, list_hook=containers.count, object_hook=containers.count,
            )  # fmt: skip
        except (
            Exception
        ) as error:  # msgpack raises ValueError, its own StackError, UnicodeDecodeError and others
            raise WireError(f"the header is malformed ({type(error).__name__})") from error
        return header, self._exactly(payload_length, deadline)

    def _set_timeout(self, deadline: float | None) -> None:
        if deadline is None:
            self.socket.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise Deadline
        self.socket.settimeout(left)

    def _exactly(self, count: int, deadline: float | None) -> bytearray:
        # Grows with what has arrived: a peer that announces 512 MiB and sends nothing costs nothing.
        received = bytearray(min(count, 1 << 20))
        got = 0
        while got < count:
            if got == len(received):
                received.extend(bytes(min(count - got, max(got, 1 << 20))))
            self._set_timeout(deadline)
            try:
                n = self.socket.recv_into(memoryview(received)[got:])
            except TimeoutError as error:
                raise Deadline from error
            except OSError as error:
                raise PeerClosed from error
            if n == 0:
                raise PeerClosed
            got += n
        return received
