"""The one client for URLs that came from outside (avatars, webhooks, links): it reaches public addresses only.

A name is resolved here, every address it has is checked, and the connection goes to a checked address: no second
resolution can lead elsewhere. Redirects are followed by hand and checked like the first URL.
"""

from __future__ import annotations

import ipaddress
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
import msgspec
import trio

from proto.errors import Malformed, NotFound, Rejected, Throttled, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Name and port → addresses. Raises OSError when there is none."""

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
CLOSE_SECONDS = 2.0
GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""The only part of IPv6 handed out as global unicast; mapped, compatible and NAT64 addresses lie outside it."""
NEAR = tuple(
    ipaddress.ip_network(one)
    for one in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


class Fetched(msgspec.Struct, kw_only=True, frozen=True):
    """A reply with status 2xx."""

    url: str
    """After redirects."""
    status: int
    content_type: str
    """Without parameters, lower case; empty when not stated."""
    body: bytes
    """Decoded."""


class Outside:
    """Every failure is a PokedexError: Malformed (no such URL), Rejected, NotFound, Throttled or Unavailable."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        resolve: Resolve,
        allowed: Callable[[Address], bool],
        max_bytes: int,
        total_seconds: float,
    ) -> None:
        self._http, self._resolve, self._allowed = http, resolve, allowed
        self._max_bytes, self._total_seconds = max_bytes, total_seconds

    async def get(self, url: str, *, redirects: int = MAX_REDIRECTS) -> Fetched:
        """Follows so many redirects at most."""
        return await self._within_time(url, self._follow(_parsed(url), redirects))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Fetched:
        """A redirect is refused: a signed body goes where it was addressed and nowhere else."""
        return await self._within_time(url, self._post(_parsed(url), body, headers))

    async def _within_time(self, url: str, work: Awaitable[Fetched]) -> Fetched:
        try:
            with trio.fail_after(self._total_seconds):
                return await work
        except trio.TooSlowError as error:
            raise Unavailable(f"{url}: no full answer within {self._total_seconds:g} s") from error
        except (httpx2.TransportError, OSError) as error:
            raise Unavailable(f"{url}: {error}") from error

    async def _follow(self, url: httpx2.URL, redirects: int) -> Fetched:
        for _ in range(redirects + 1):
            reply = await self._exchange("GET", url, b"", {})
            if isinstance(reply, Fetched):
                return reply
            url = reply
        raise Rejected(f"{url}: more than {redirects} redirects", reason="redirects", status=0)

    async def _post(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str]) -> Fetched:
        reply = await self._exchange("POST", url, body, headers)
        if isinstance(reply, Fetched):
            return reply
        raise Rejected(f"{url}: redirects to {reply}", reason="redirects", status=0)

    async def _exchange(
        self, method: str, url: httpx2.URL, body: bytes, headers: Mapping[str, str]
    ) -> Fetched | httpx2.URL:
        """The reply, or where it redirects to."""
        address = await self._address_of(url)
        stated = {**headers, "Host": url.netloc.decode("ascii"), "Accept-Encoding": "gzip, identity"}
        request = self._http.build_request(
            method,
            url.copy_with(host=str(address)),
            headers=stated,
            content=body or None,
            extensions={"sni_hostname": url.raw_host.decode("ascii")},  # the certificate is checked for the name
        )
        reply = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            if reply.status_code in REDIRECTS and "location" in reply.headers:
                return _parsed_location(url, reply.headers["location"])
            _raise_for(url, reply)
            return Fetched(
                url=str(url),
                status=reply.status_code,
                content_type=reply.headers.get("content-type", "").partition(";")[0].strip().lower(),
                body=await self._body(url, reply),
            )
        finally:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await reply.aclose()

    async def _address_of(self, url: httpx2.URL) -> Address:
        """The address to connect to, once all of the name's addresses have passed."""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = [ipaddress.ip_address(one) for one in await self._resolve(url.host, port)]
        if not found:
            raise Unavailable(f"{url}: the name has no address")
        for address in found:
            if not self._allowed(address):
                raise Rejected(f"{url}: {address} is not a public address", reason="forbidden_address", status=0)
        return found[0]

    async def _body(self, url: httpx2.URL, reply: httpx2.Response) -> bytes:
        """Counts decoded bytes and never decodes more than it would keep, so a small reply cannot grow huge."""
        encoding = reply.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip"):
            raise Rejected(f"{url}: encoding {encoding!r} was not asked for", reason="encoding", status=0)
        inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        body = bytearray()
        async with aclosing(reply.aiter_raw()) as chunks:
            async for chunk in chunks:
                room = self._max_bytes + 1 - len(body)
                try:
                    body += inflate.decompress(chunk, room) if inflate else chunk[:room]
                except zlib.error as error:
                    raise Malformed(f"{url}: the gzip body is damaged: {error}") from error
                if len(body) > self._max_bytes:
                    raise Rejected(f"{url}: more than {self._max_bytes} bytes", reason="too_large", status=0)
        return bytes(body)


def is_public(address: Address) -> bool:
    """Whether it is a global unicast address: not private, loopback, link-local, shared, multicast or reserved, nor
    an IPv6 form that wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or address.is_reserved)
    return address in GLOBAL_V6 and address.is_global and address.sixtofour is None


def is_public_or_near(address: Address) -> bool:
    """Loopback and private networks too, for what the operator placed there; never link-local, where clouds keep secrets."""
    return is_public(address) or any(address in one for one in NEAR)


@asynccontextmanager
async def open_outside(
    *, max_bytes: int, total_seconds: float, allowed: Callable[[Address], bool] = is_public
) -> AsyncIterator[Outside]:
    """For real use: the system's resolver, public addresses only, certificates checked."""
    http = guarded_http()
    try:
        yield Outside(http, resolve=resolve, allowed=allowed, max_bytes=max_bytes, total_seconds=total_seconds)
    finally:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await http.aclose()


def guarded_http() -> httpx2.AsyncClient:
    """No proxy from the environment, no cookies, and no connection used twice: a kept one is found by its
    address, so it could serve a name whose certificate was never checked."""
    return httpx2.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=20, max_keepalive_connections=0),
        timeout=httpx2.Timeout(10.0, connect=5.0),
        headers={"User-Agent": "pokedexd"},
    )


async def resolve(name: str, port: int) -> list[str]:
    """By the system's resolver, which also reads odd spellings such as ``127.1``."""
    try:
        found = await trio.socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise Malformed(f"{name!r} is not a host name") from error
    return [str(address[0]) for _, _, _, _, address in found]


def _parsed(text: str) -> httpx2.URL:
    """Raises Malformed for anything but an absolute http(s) URL without credentials."""
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise Malformed(f"{text[:200]!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise Malformed(f"{text[:200]!r} is not an absolute http or https URL")
    if url.port is not None and not 0 < url.port < 65_536:
        raise Malformed(f"{text[:200]!r} names no port that exists")
    if url.userinfo:
        raise Malformed(f"a URL with credentials is refused: {url.scheme}://…@{url.host}")
    return url


def _parsed_location(base: httpx2.URL, location: str) -> httpx2.URL:
    try:
        target = base.join(location)
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise Malformed(f"{base}: redirects to {location[:200]!r}, which is not a URL: {error}") from error
    return _parsed(str(target))


def _raise_for(url: httpx2.URL, reply: httpx2.Response) -> None:
    status = reply.status_code
    if 200 <= status < 300:
        return
    text = f"{url}: status {status}"
    if status in (404, 410):
        raise NotFound(text)
    if status == 429:
        after = reply.headers.get("retry-after", "")
        seconds = float(after) if after.isascii() and after.isdecimal() else None
        raise Throttled(text, bucket=url.host, daily=False, retry_after_seconds=seconds)
    if status >= 500:
        raise Unavailable(text)
    raise Rejected(text, reason="http_status", status=status)
