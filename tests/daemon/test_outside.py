from __future__ import annotations

import gzip
import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from quart import Response, request
from quart_trio import QuartTrio

from daemon.outside import (
    MAX_REDIRECTS,
    Address,
    Outside,
    guarded_http,
    is_public,
    is_public_or_near,
    open_outside,
    resolve,
)
from proto.errors import Malformed, NotFound, PokedexError, Rejected, Throttled, Unavailable
from tests.daemon.web.conftest import Serve, serve

__all__ = ["serve"]  # a fixture that these tests share with those of the web

pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning")
"""A reply that is left half-read is closed by us, but the generators inside the client are left to the collector."""

MAX_BYTES = 1_000
PUBLIC = "93.184.215.14"


def names(**addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that knows these names; each label before .example, a comma between addresses."""

    async def answer(name: str, port: int) -> list[str]:
        try:
            return addresses[name.removesuffix(".example")].split(",")
        except KeyError as error:
            raise OSError(f"no such name: {name}") from error

    return answer


def loopback_only(address: Address) -> bool:
    """The opposite of the real rule, so that tests reach their own server and nothing else."""
    return address.is_loopback


class Reached:
    """A server that notes what reaches it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.app = QuartTrio("outside")
        self.app.config["SERVER_NAME"] = None
        self.app.before_request(self._note)
        self._routes()

    async def _note(self) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path, headers, await request.body))

    def _routes(self) -> None:
        app = self.app

        @app.route("/picture", methods=["GET", "POST"])
        async def picture() -> Response:
            return Response(b"bytes", content_type="Image/PNG; q=1", headers={"Set-Cookie": "seen=1"})

        @app.route("/size/<int:size>")
        async def size(size: int) -> Response:
            return Response(bytes(size))

        @app.route("/zip/<int:size>")
        async def zipped(size: int) -> Response:
            return Response(gzip.compress(bytes(size)), headers={"Content-Encoding": "gzip"})

        @app.route("/encoded/<name>")
        async def encoded(name: str) -> Response:
            return Response(b"not what it says", headers={"Content-Encoding": name})

        @app.route("/status/<int:status>")
        async def status(status: int) -> Response:
            return Response(b"", status, headers={"Retry-After": "17"})

        @app.route("/to", methods=["GET", "POST"])
        async def to() -> Response:
            return Response(b"", 302, headers={"Location": request.args["url"]})

        @app.route("/hops/<int:left>")
        async def hops(left: int) -> Response:
            return Response(b"", 307, headers={"Location": f"/hops/{left - 1}" if left > 1 else "/picture"})

        @app.route("/stuck")
        async def stuck() -> Response:
            await trio.sleep_forever()


@pytest.fixture
def reached() -> Iterator[Reached]:
    yield Reached()


async def base_of(serve_: Serve, reached: Reached) -> str:
    """The server's URL under the name ``here.example``."""
    return (await serve_(reached.app)).replace("127.0.0.1", "here.example")


def outside(http: httpx2.AsyncClient, *, total_seconds: float = 5.0, **addresses: str) -> Outside:
    return Outside(
        http,
        resolve=names(here="127.0.0.1", **addresses),
        allowed=loopback_only,
        max_bytes=MAX_BYTES,
        total_seconds=total_seconds,
    )


async def test_a_reply_comes_with_its_type(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        found = await outside(http).get(f"{base}/picture")
    assert (found.status, found.content_type, found.body) == (200, "image/png", b"bytes")
    assert found.url == f"{base}/picture"


async def test_the_name_is_kept_for_the_server_though_the_address_is_pinned(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        await outside(http).get(f"{base}/picture")
        await outside(http).get(f"{base}/picture")
    for _, _, headers, _ in reached.requests:
        assert headers["host"] == base.removeprefix("http://")
        assert "cookie" not in headers


async def test_a_name_is_resolved_once_a_hop_and_the_connection_goes_where_it_was_checked() -> None:
    """A second resolution could say something else."""
    asked: list[str] = []
    seen: list[httpx2.Request] = []

    async def rebinding(name: str, port: int) -> list[str]:
        asked.append(f"{name}:{port}")
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    def reply(one: httpx2.Request) -> httpx2.Response:
        seen.append(one)
        return httpx2.Response(200, stream=httpx2.ByteStream(b"x"))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reply)) as http:
        guarded = Outside(http, resolve=rebinding, allowed=is_public, max_bytes=9, total_seconds=5)
        await guarded.get("https://Bücher.example/a")
        with pytest.raises(Rejected) as caught:
            await guarded.get("https://bücher.example/a")
    assert caught.value.reason == "forbidden_address"
    assert asked == ["bücher.example:443"] * 2
    (one,) = seen
    assert (one.url.host, one.url.scheme, one.url.path) == (PUBLIC, "https", "/a")
    assert one.headers["host"] == one.extensions["sni_hostname"] == "xn--bcher-kva.example"


async def test_an_ipv6_address_can_be_pinned() -> None:
    seen: list[httpx2.Request] = []

    def reply(one: httpx2.Request) -> httpx2.Response:
        seen.append(one)
        return httpx2.Response(200, stream=httpx2.ByteStream(b"x"))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reply)) as http:
        guarded = Outside(http, resolve=names(six="2606:2800:21f::1"), allowed=is_public, max_bytes=9, total_seconds=5)
        await guarded.get("http://six.example:8080/")
    assert str(seen[0].url) == "http://[2606:2800:21f::1]:8080/"
    assert seen[0].headers["host"] == "six.example:8080"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://here.example/",
        "file:///etc/passwd",
        "gopher://here.example/",
        "//here.example/",
        "here.example",
        "http://",
        "http:///path",
        "",
        "http://user:secret@here.example/",
        "http://user@here.example/",
        "http://here.example:99999999/",
        "http://[::1/",
        "http://a\x00b/",
    ],
)
async def test_what_is_no_plain_web_url_is_refused_before_anything_is_asked(url: str) -> None:
    asked: list[str] = []

    async def note(name: str, port: int) -> list[str]:
        asked.append(name)
        return [PUBLIC]

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200))) as http:
        guarded = Outside(http, resolve=note, allowed=is_public, max_bytes=9, total_seconds=5)
        with pytest.raises(Malformed) as caught:
            await guarded.get(url)
    assert "secret" not in str(caught.value)
    assert not asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
        "2002:7f00:1::", "2001:0:1::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", PUBLIC, "2606:4700:4700::1111", "2a00:1450:4001::200e"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("address", "reached"),
    [("127.0.0.1", True), ("::1", True), ("192.168.1.9", True), ("fd00::1", True), ("8.8.8.8", True),
     ("169.254.169.254", False), ("fe80::1", False), ("0.0.0.0", False), ("100.64.0.1", False),
     ("::ffff:127.0.0.1", False), ("224.0.0.1", False)],
)  # fmt: skip
def test_what_an_operator_may_place_near(address: str, reached: bool) -> None:
    assert is_public_or_near(ipaddress.ip_address(address)) == reached


@given(st.ip_addresses())
def test_no_address_is_public_that_python_calls_private(address: Address) -> None:
    local = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert not (is_public(address) and (local or address.is_reserved or address.is_unspecified))


@pytest.mark.parametrize("addresses", ["10.0.0.1", f"{PUBLIC},127.0.0.1", f"127.0.0.1,{PUBLIC}", "::ffff:127.0.0.1"])
async def test_one_address_that_is_not_public_refuses_the_name(addresses: str) -> None:
    connected: list[httpx2.Request] = []

    def reply(one: httpx2.Request) -> httpx2.Response:
        connected.append(one)
        return httpx2.Response(200)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reply)) as http:
        guarded = Outside(http, resolve=names(odd=addresses), allowed=is_public, max_bytes=9, total_seconds=5)
        with pytest.raises(Rejected) as caught:
            await guarded.get("http://odd.example/")
    assert caught.value.reason == "forbidden_address"
    assert not connected


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:7f00:1]", "localhost"]
)
async def test_the_real_client_does_not_reach_loopback_however_it_is_spelt(
    serve: Serve, reached: Reached, host: str
) -> None:
    port = (await serve(reached.app)).rpartition(":")[2]
    async with open_outside(max_bytes=MAX_BYTES, total_seconds=5) as guarded:
        with pytest.raises(PokedexError) as caught:
            await guarded.get(f"http://{host}:{port}/picture")
    assert isinstance(caught.value, (Rejected, Malformed))
    assert not reached.requests


async def test_the_systems_resolver_reads_addresses_and_refuses_odd_names() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with pytest.raises(Malformed):
        await resolve("a" * 64 + ".é", 80)


async def test_redirects_are_followed_to_a_limit(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        found = await outside(http).get(f"{base}/hops/{MAX_REDIRECTS}")
        assert (found.url, found.body) == (f"{base}/picture", b"bytes")
        with pytest.raises(Rejected) as caught:
            await outside(http).get(f"{base}/hops/{MAX_REDIRECTS + 1}")
    assert caught.value.reason == "redirects"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("http://inside.example/", Rejected),
        ("file:///etc/passwd", Malformed),
        ("http://user:pw@here.example/", Malformed),
        ("http://[::1/", Malformed),
        ("http://absent.example/", Unavailable),
    ],
)
async def test_every_hop_is_checked(serve: Serve, reached: Reached, target: str, kind: type[PokedexError]) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        with pytest.raises(kind):
            await outside(http, inside="10.0.0.1").get(str(httpx2.URL(f"{base}/to", params={"url": target})))
    assert len(reached.requests) == 1


async def test_a_post_carries_its_body_and_is_not_redirected(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        guarded = outside(http)
        await guarded.post(f"{base}/picture", b'{"a":1}', {"Content-Type": "application/json", "X-Signature": "s"})
        with pytest.raises(Rejected) as caught:
            await guarded.post(str(httpx2.URL(f"{base}/to", params={"url": f"{base}/picture"})), b"signed", {})
    assert caught.value.reason == "redirects"
    (method, _, headers, body), _ = reached.requests
    assert (method, body, headers["x-signature"], headers["content-type"]) == (
        "POST", b'{"a":1}', "s", "application/json",
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/size/{}", "/zip/{}"])
async def test_a_body_may_have_so_many_decoded_bytes_and_no_more(serve: Serve, reached: Reached, path: str) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        guarded = outside(http)
        assert (await guarded.get(base + path.format(MAX_BYTES))).body == bytes(MAX_BYTES)
        for size in (MAX_BYTES + 1, 50_000_000):
            with pytest.raises(Rejected) as caught:
                await guarded.get(base + path.format(size))
            assert caught.value.reason == "too_large"


async def test_an_encoding_that_was_not_asked_for_or_is_damaged_is_refused(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        with pytest.raises(Rejected):
            await outside(http).get(f"{base}/encoded/zstd")
        with pytest.raises(Malformed):
            await outside(http).get(f"{base}/encoded/gzip")


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (410, NotFound), (403, Rejected), (304, Rejected), (500, Unavailable)]
)
async def test_a_status_becomes_a_kind_of_failure(
    serve: Serve, reached: Reached, status: int, kind: type[PokedexError]
) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        with pytest.raises(kind, match=str(status)):
            await outside(http).get(f"{base}/status/{status}")


async def test_a_throttled_request_says_how_long_to_wait(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        with pytest.raises(Throttled) as caught:
            await outside(http).get(f"{base}/status/429")
    assert (caught.value.retry_after_seconds, caught.value.bucket, caught.value.daily) == (17.0, "here.example", False)


async def test_the_whole_exchange_has_a_deadline(serve: Serve, reached: Reached) -> None:
    base = await base_of(serve, reached)
    async with guarded_http() as http:
        with trio.fail_after(5), pytest.raises(Unavailable, match=r"within 0\.05 s"):
            await outside(http, total_seconds=0.05).get(f"{base}/stuck")


async def test_a_server_that_is_not_there_is_unavailable(serve: Serve, reached: Reached) -> None:
    async with guarded_http() as http:
        for url in ("http://here.example:1/", "http://absent.example/"):
            with pytest.raises(Unavailable):
                await outside(http).get(url)
        with pytest.raises(Unavailable, match="no address"):
            await Outside(http, resolve=_nothing, allowed=is_public, max_bytes=1, total_seconds=5).get(
                "http://a.example"
            )


async def _nothing(name: str, port: int) -> list[Any]:
    return []
