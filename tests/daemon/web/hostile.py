"""Hostile bytes for a listener: what is known to have ended servers, and seeded mutations of it and of good requests."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import h2.config
import h2.connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 1, 4, 8, 32
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 24)
H2C = ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings")
TARGETS = (
    "/",
    "/healthz",
    "/readyz",
    "/?q=fitness",
    "/v1/search?q=receita&limit=5&facets=country&explain=true",
    "/v1/search/export?format=csv&q=a",
    "/v1/autocomplete?q=fi",
    "/v1/creators/AAAAAAAAAAA",
    "/v1/lists?limit=2",
    "/static/page.css",
    "/v1/status",
    "/metrics",
    "/v1/dead-letters",
    "/v1/audit",
)
BODIES = (
    b'{"q": "fitness", "limit": 5}',
    b'{"name": "hostile"}',
    b'{"filter": {"and": [{"country": ["BR"]}]}}',
    b"[" * 5_000,
    b'{"q": "\\ud800"}',
    b"\xff\xfe",
)
TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"%00",
    b"%ff",
    b"%",
    b"..//",
    b" " * 300,
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade, keep-alive\r\n",
    b"Upgrade: h2c\r\n",
    b"Upgrade: websocket\r\n",
    b"Host: a\r\n",
    b"Range: bytes=9-1,-0\r\n",
    b"If-Match: \x80\r\n",
    b"Cookie: =;=\r\n",
    b"X-Forwarded-For: ::\r\n",
    b"HTTP/9.9",
    b"HTTP/2.0",
    PREFACE,
    struct.pack(">I", 0xFFFFFFFF),
)


class Hostile(NamedTuple):
    """``chunks`` are sent one after the other; then the client waits, closes its sending side, or resets."""

    name: str
    chunks: tuple[bytes, ...]
    ending: str


def request(target: str = "/", *headers: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def websocket_frame(opcode: int, payload: bytes, *, end: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """With a mask of zeros."""
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))
    head = bytes([end << 7 | reserved << 4 | opcode, size[0] | masked << 7]) + size[1:]
    return head + (bytes(4) if masked else b"") + payload


def http2(*headers: tuple[bytes, bytes], body: bytes = b"", leave_out: Iterable[bytes] = (), end: bool = True) -> bytes:
    """A request that need not be allowed."""
    peer = h2.connection.H2Connection(
        h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
    )
    peer.initiate_connection()
    given = {name for name, _ in headers} | set(leave_out)
    usual = [(b":method", b"GET"), (b":path", b"/healthz"), (b":scheme", b"http"), (b":authority", b"localhost")]
    peer.send_headers(1, [pair for pair in usual if pair[0] not in given] + list(headers), end_stream=end and not body)
    if body:
        peer.send_data(1, body, end_stream=end)
    data: bytes = peer.data_to_send()
    return data


def http2_frames(*frames: bytes) -> bytes:
    return PREFACE + frame(SETTINGS) + b"".join(frames)


def good_requests() -> dict[str, bytes]:
    plain = {f"GET {target}": request(target) for target in TARGETS}
    posts = {
        f"POST {number}": request("/v1/search", "Content-Type: application/json", method="POST", body=body)
        for number, body in enumerate(BODIES)
    }
    settings = base64.urlsafe_b64encode(struct.pack(">HI", 3, 100)).rstrip(b"=").decode()
    return {
        **plain,
        **posts,
        "HEAD": request("/", method="HEAD"),
        "OPTIONS": request("/", method="OPTIONS"),
        "HTTP/1.0": request("/healthz", version="1.0"),
        "absolute form": request("http://localhost/healthz"),
        "pipelined": request("/healthz") * 3,
        "chunked": request("/v1/search", "Transfer-Encoding: chunked", method="POST") + b"3\r\n{} \r\n0\r\n\r\n",
        "continue": request("/v1/search", "Expect: 100-continue", "Content-Length: 2", method="POST") + b"{}",
        "h2": http2(),
        "h2 search": http2((b":path", b"/v1/search?q=a")),
        "h2 post": http2((b":method", b"POST"), (b":path", b"/v1/search"), body=b'{"q": "a"}'),
        "h2c": request("/healthz", *H2C, f"HTTP2-Settings: {settings}") + http2_frames(),
        "websocket": request("/", *UPGRADE) + websocket_frame(1, b"hello") + websocket_frame(8, b"\x03\xe8"),
        "h2 websocket": http2(
            (b":method", b"CONNECT"), (b":protocol", b"websocket"), body=websocket_frame(1, b"hello")
        ),
    }


def killers() -> dict[str, bytes]:
    """Each has ended a server, or attacks what servers are known to forget."""
    head = http2()[len(PREFACE) :]
    return {
        "websocket with bytes behind its head": request("/", *UPGRADE) + b"trailing",
        "h2c with bad base64": request("/", *H2C, "HTTP2-Settings: abcde"),
        "h2c with half a setting": request("/", *H2C, "HTTP2-Settings: AAMA"),
        "h2c without settings": request("/", *H2C),
        "h2c twice": request("/", *H2C, "HTTP2-Settings: AAMAAABk") + http2(),
        "h2 with a raw byte in its path": http2((b":path", b"/\xff")),
        "h2 with a raw byte in its method": http2((b":method", b"G\xff")),
        "h2 without a path": http2(leave_out=[b":path"]),
        "h2 without a method": http2(leave_out=[b":method"]),
        "h2 with an empty path": http2((b":path", b"")),
        "h2 with no host": http2(leave_out=[b":authority"]),
        "h2 CONNECT without a protocol": http2((b":method", b"CONNECT")),
        "h2 with a name in capitals": http2((b"X-UPPER", b"1")),
        "h2 with line breaks in a value": http2((b"x", b"1\r\nHost: a")),
        "h2 data after the end": http2() + frame(DATA, END_STREAM, 1, b"late"),
        "h2 data on a stream that was answered": http2(end=False) + frame(DATA, 0, 1, b"x") * 20,
        "h2 taken back": http2() + frame(RST, 0, 1, struct.pack(">I", 8)),
        "h2 taken back a hundred times": PREFACE
        + head
        + b"".join(
            frame(HEADERS, END_STREAM | END_HEADERS, number, b"\x82\x84\x86\x01\x09localhost")
            + frame(RST, 0, number, struct.pack(">I", 8))
            for number in range(3, 203, 2)
        ),
        "h2 data on no stream": http2_frames(frame(DATA, 0, 0, b"x")),
        "h2 data on an idle stream": http2_frames(frame(DATA, 0, 7, b"x")),
        "h2 reset of an idle stream": http2_frames(frame(RST, 0, 5, bytes(4))),
        "h2 window of nothing": http2_frames(frame(WINDOW, 0, 0, bytes(4))),
        "h2 window too large": http2_frames(*[frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF))] * 2),
        "h2 window on an idle stream": http2_frames(frame(WINDOW, 0, 9, struct.pack(">I", 1))),
        "h2 settings flood": http2_frames(*[frame(SETTINGS)] * 500),
        "h2 settings of five bytes": http2_frames(frame(SETTINGS, 0, 0, bytes(5))),
        "h2 settings out of range": http2_frames(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0xFFFFFFFF))),
        "h2 frame size out of range": http2_frames(frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1))),
        "h2 window of zero": PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)) + head,
        "h2 table of nothing": PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 1, 0)) + head,
        "h2 ping flood": http2_frames(*[frame(PING, 0, 0, bytes(8))] * 500),
        "h2 ping of seven bytes": http2_frames(frame(PING, 0, 0, bytes(7))),
        "h2 headers never ending": http2_frames(
            frame(HEADERS, 0, 1, b"\x82"), *[frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 20)] * 200
        ),
        "h2 headers interrupted": http2_frames(frame(HEADERS, 0, 1, b"\x82"), frame(PING, 0, 0, bytes(8))),
        "h2 headers packed to a bomb": http2_frames(
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x01a\x7f\x81\x1e" + b"x" * 4_000 + b"\xbe" * 12_000)
        ),
        "h2 headers of a bad index": http2_frames(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\x0f")),
        "h2 headers of a bad huffman": http2_frames(
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x84\xff\xff\xff\xff")
        ),
        "h2 stream of an even number": http2_frames(frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x84\x86")),
        "h2 padding longer than its frame": http2_frames(frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff\x82")),
        "h2 depends on itself": http2_frames(frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 1)), head[9:]),
        "h2 depends in a circle": http2_frames(
            frame(PRIORITY, 0, 3, struct.pack(">IB", 5, 1)), frame(PRIORITY, 0, 5, struct.pack(">IB", 3, 1))
        ),
        "h2 priority of the root": http2_frames(frame(PRIORITY, 0, 0, bytes(5))),
        "h2 many priorities": http2_frames(
            *[frame(PRIORITY, 0, number, struct.pack(">IB", 0, 1)) for number in range(1, 3_001, 2)]
        ),
        "h2 push by a client": http2_frames(frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + b"\x82")),
        "h2 goaway": http2() + frame(GOAWAY, 0, 0, bytes(8)),
        "h2 frame of an unknown kind": http2_frames(frame(0xEE, 0xFF, 1, b"?")),
        "h2 frame larger than allowed": http2_frames(frame(DATA, 0, 1, b"x", length=0xFFFFFF)),
        "h2 preface only": PREFACE,
        "h2 preface cut": PREFACE[:-3] + b"XX\r\n",
        "lengths that differ": request("/", "Content-Length: 5", "Content-Length: 6", method="POST") + b"123456",
        "length and chunks": request(
            "/", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\nGET /x HTTP/1.1"
        ),
        "length with a sign": request("/", "Content-Length: +5", method="POST") + b"12345",
        "chunk size of a million digits": request("/", "Transfer-Encoding: chunked", method="POST") + b"f" * 30_000,
        "chunk without an end": request("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\n12345XX",
        "chunk extensions": request("/", "Transfer-Encoding: chunked", method="POST") + b"1;" + b"a" * 20_000,
        "trailers": request("/v1/search", "Transfer-Encoding: chunked", method="POST")
        + b"2\r\n{}\r\n0\r\nHost: b\r\nX: \xff\r\n\r\n",
        "header without a name": request("/", ": x"),
        "header folded": request("/", "X: a\r\n b"),
        "header of nulls": request("/", "X: \0\0"),
        "a thousand headers": request("/", *[f"X-{number}: 1" for number in range(1_000)]),
        "a header that is too long": request("/", "X: " + "x" * 40_000),
        "a path that is too long": request("/" + "a" * 15_000),
        "a query that is too long": request("/v1/search?q=" + "a" * 13_000),
        "no host": b"GET / HTTP/1.1\r\n\r\n",
        "two hosts": request("/", "Host: other"),
        "a host that is none": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "a host that is too long": b"GET / HTTP/1.1\r\nHost: " + b"a" * 70 + b"\r\n\r\n",
        "a target that is no url": request("http://[/"),
        "a target with another scheme": request("javascript:alert(1)"),
        "a target of an authority": request("localhost:80", method="CONNECT"),
        "a target of raw bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a target of half an escape": request("/%e2%82?q=%"),
        "a path upwards": request("/static/../../etc/passwd"),
        "a path upwards, escaped": request("/static/%2e%2e%2f%2e%2e%2fetc/passwd"),
        "an asterisk": request("*", method="OPTIONS"),
        "http 0.9": b"GET /\r\n",
        "line breaks only": b"\r\n" * 200,
        "nothing but zeros": bytes(4_096),
        "a tls greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        "a cookie of no sense": request("/", "Cookie: " + "=;" * 500),
        "a form that is none": request(
            "/v1/search", "Content-Type: multipart/form-data; boundary=", method="POST", body=b"--\r\n\r\n"
        ),
        "a charset that is none": request(
            "/v1/search", "Content-Type: application/json; charset=\x7f", method="POST", body=b"{}"
        ),
        "websocket to no url": request("http://[/", *UPGRADE),
        "websocket to a long host": request("/", *UPGRADE).replace(b"localhost", b"a" * 70),
        "websocket of another version": request("/", *UPGRADE[:2], "Sec-WebSocket-Version: 99", UPGRADE[3]),
        "websocket without a key": request("/", *UPGRADE[:3]),
        "websocket by POST": request("/", *UPGRADE, method="POST"),
        "websocket in http 1.0": request("/", *UPGRADE, version="1.0"),
        "websocket with a body": request("/", *UPGRADE, method="GET", body=b"12345"),
        "websocket with bad extensions": request("/", *UPGRADE, "Sec-WebSocket-Extensions: permessage-deflate; x=\x7f"),
        "websocket frame unmasked": request("/", *UPGRADE) + websocket_frame(1, b"a", masked=False),
        "websocket frame reserved": request("/", *UPGRADE) + websocket_frame(3, b"a", reserved=7),
        "websocket ping too long": request("/", *UPGRADE) + websocket_frame(9, b"a" * 200),
        "websocket text that is none": request("/", *UPGRADE) + websocket_frame(1, b"\xff\xff"),
        "websocket end of one byte": request("/", *UPGRADE) + websocket_frame(8, b"\x03"),
    }


def mutated(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """With one to three changes."""
    for _ in range(generator.randint(1, 3)):
        data = generator.choice(CHANGES)(data or b"-", generator, others)
    return data


def _flip(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    found = bytearray(data)
    for _time in range(generator.randint(1, 5)):
        found[generator.randrange(len(found))] = generator.randrange(256)
    return bytes(found)


def _cut(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    begin = generator.randrange(len(data))
    return data[:begin] + data[begin + generator.randint(1, 40) :]


def _truncate(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    return data[: generator.randrange(len(data)) + 1]


def _repeat(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    begin = generator.randrange(len(data))
    part = data[begin : begin + generator.randint(1, 200)]
    return data[:begin] + part * generator.randint(2, 20) + data[begin + len(part) :]


def _insert(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    ends = [at + 2 for at in range(len(data)) if data[at : at + 2] == b"\r\n"][:20] or [0]
    at = generator.choice(ends) if generator.random() < 0.6 else generator.randrange(len(data))
    return data[:at] + generator.choice(TOKENS) + data[at:]


def _splice(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    other = generator.choice(others)
    return data[: generator.randrange(len(data)) + 1] + other[generator.randrange(len(other)) :]


def _change_frame(data: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    """Length, kind, flags or stream of one HTTP/2 frame; other data gets such a frame at its end."""
    begin = data.find(PREFACE)
    starts = list(frames_of(data, begin + len(PREFACE))) if begin >= 0 else []
    if not starts:
        return data + frame(generator.randrange(11), generator.randrange(256), generator.randrange(4), b"\0" * 8)
    at = generator.choice(starts)
    found = bytearray(data)
    found[at + generator.choice((1, 2, 3, 4, 8))] = generator.choice((0, 1, 2, 3, 4, 5, 8, 9, 32, 255))
    return bytes(found)


def frames_of(data: bytes, at: int = 0) -> Iterator[int]:
    """Where each HTTP/2 frame begins."""
    while at + 9 <= len(data):
        yield at
        at += 9 + int.from_bytes(data[at : at + 3], "big")


CHANGES: tuple[Callable[[bytes, random.Random, list[bytes]], bytes], ...] = (
    _flip,
    _cut,
    _truncate,
    _repeat,
    _insert,
    _insert,
    _splice,
    _change_frame,
    _change_frame,
)
ENDINGS = ("wait",) * 4 + ("half", "reset")


class Corpus:
    """Input ``n`` of a seed is always the same: first everything as it was written down, then mutations."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._kinds = [list(killers().items()), list(good_requests().items())]
        self._known = [one for kind in self._kinds for one in kind]
        self._bytes = [data for _, data in self._known]

    def __getitem__(self, number: int) -> Hostile:
        if number < len(self._known):
            name, data = self._known[number]
            return Hostile(name, (data,), "wait")
        generator = random.Random(f"{self.seed}/{number}")
        name, data = generator.choice(generator.choice(self._kinds))
        data = mutated(data, generator, self._bytes)
        parts = sorted(generator.randrange(len(data) + 1) for _ in range(generator.choice((0, 0, 1, 3))))
        borders = [0, *parts, len(data)]
        chunks = tuple(data[begin:end] for begin, end in pairwise(borders) if begin < end)
        return Hostile(f"{name}, changed", chunks, generator.choice(ENDINGS))
