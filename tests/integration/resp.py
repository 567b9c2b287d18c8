"""A small client for RESP2 and RESP3, so that tests see every byte that the server sends.

Texts are `str` (UTF-8 with surrogateescape, so that any bytes survive a round trip). An error reply is a RespError:
`call` raises it, `ask` returns it. Out-of-band pushes are kept in `pushes` and never taken for a reply.
"""
import socket


class RespError(Exception):
    """An error reply; `code` is its first word."""

    @property
    def code(self):
        return str(self).split(" ", 1)[0]

    def __eq__(self, other):
        return isinstance(other, RespError) and str(self) == str(other)

    __hash__ = Exception.__hash__


class Push(list):
    """A RESP3 push frame."""


def encode(words):
    """One request as bytes: an array of bulk strings."""
    out = bytearray(b"*%d\r\n" % len(words))
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")
        out += b"$%d\r\n%s\r\n" % (len(data), data)
    return bytes(out)


def as_map(reply):
    """A record as a dict, whichever version it came in: a map, or a flat array of names and values."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


class Connection:
    def __init__(self, port, host="127.0.0.1", protocol=2, timeout=30):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.pushes = []
        if protocol == 3:
            self.call("HELLO", 3)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        self.socket.sendall(encode(words))

    def send_bytes(self, data):
        self.socket.sendall(data)

    def ask(self, *words):
        """Send one command and return its reply; an error reply is returned as a RespError."""
        self.send(*words)
        return self.read()

    def call(self, *words):
        """Send one command and return its reply; an error reply is raised."""
        reply = self.ask(*words)
        if isinstance(reply, RespError):
            raise reply
        return reply

    def pipeline(self, *commands):
        """Send many commands at once and return their replies in order, errors among them."""
        self.socket.sendall(b"".join(encode(words) for words in commands))
        return [self.read() for _ in commands]

    def read(self):
        """The next reply. Pushes before it are put aside."""
        while True:
            value = self._value()
            if not isinstance(value, Push):
                return value
            self.pushes.append(value)

    def read_push(self):
        """The next push, waiting for it."""
        if self.pushes:
            return self.pushes.pop(0)
        value = self._value()
        if not isinstance(value, Push):
            raise AssertionError("expected a push, got %r" % (value,))
        return value

    def is_closed_by_server(self, seconds=10):
        """True if the server closes this connection within that time; what it still sends is dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def _fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.received += data

    def _line(self):
        while (end := self.received.find(b"\r\n")) < 0:
            self._fill()
        line = bytes(self.received[:end])
        del self.received[:end + 2]
        return line

    def _exactly(self, count):
        while len(self.received) < count:
            self._fill()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def _text(self, length):
        data = self._exactly(length + 2)
        assert data.endswith(b"\r\n"), data
        return data[:-2].decode("utf-8", "surrogateescape")

    def _items(self, count):
        return [self._value() for _ in range(count)]

    def _value(self):
        line = self._line()
        kind, rest = line[:1], line[1:].decode("utf-8", "surrogateescape")
        if kind == b"+":
            return rest
        if kind == b"-":
            return RespError(rest)
        if kind in (b":", b"("):
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._text(int(rest))
        if kind == b"*":
            return None if rest == "-1" else self._items(int(rest))
        if kind == b"_":
            return None
        if kind == b"#":
            return {"t": True, "f": False}[rest]
        if kind == b",":
            return float(rest)
        if kind == b"=":
            return self._text(int(rest))[4:]
        if kind == b"!":
            return RespError(self._text(int(rest)))
        if kind == b"~":
            return set(self._items(int(rest)))
        if kind == b">":
            return Push(self._items(int(rest)))
        if kind == b"%":
            items = self._items(2 * int(rest))
            return dict(zip(items[::2], items[1::2]))
        raise AssertionError("not RESP: %r" % line)
