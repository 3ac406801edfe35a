"""Tokens of an identity provider: signed by one of its keys, for us, and not outdated. Needs the extra ``oidc``.

Only RS256 and ES256 are taken: with none and with HMAC, whoever knows the provider's public key could sign.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from daemon.access import Forbidden, Identity, Unauthenticated
from daemon.config import OidcConfig
from daemon.outside import is_public, is_public_or_near, open_outside
from proto.errors import ConfigError, PokedexError, Rejected, Unavailable
from stores.keys import SCOPES

if TYPE_CHECKING:
    from jwt import PyJWK

log = structlog.get_logger("oidc")

ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
"""And the type of key that each is made with."""
REFRESH_FLOOR_SECONDS = 30.0
"""An unknown key id has the keys read again, no more often than so: anybody can make ids up."""
REFRESH_SECONDS = 3_600.0
"""So long the keys hold without a look: one that the provider withdraws ends with it."""
STALE_SECONDS = 86_400.0
"""So long they hold where the provider does not answer."""
MAX_JWKS_BYTES = 1 << 20
MAX_SUBJECT_CHARS = 100

Fetch = Callable[[], Awaitable[bytes]]
"""The provider's keys as JSON. Raises Unavailable."""


def is_available() -> bool:
    return importlib.util.find_spec("jwt") is not None and importlib.util.find_spec("cryptography") is not None


class JwksCache:
    """The provider's keys by their ids."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: dict[str, PyJWK] = {}
        self._read_at = self._tried_at = -math.inf
        self._turn = trio.Lock()

    async def key(self, key_id: str) -> PyJWK | None:
        """None for an id that the provider does not have. Raises Unavailable while there are no keys at all."""
        if self._wanting(key_id):
            async with self._turn:
                if self._wanting(key_id):
                    await self._refresh()
        if self._clock() - self._read_at > STALE_SECONDS:
            raise Unavailable("the identity provider's keys cannot be read; try again later, or use an API key")
        return self._keys.get(key_id)

    def _wanting(self, key_id: str) -> bool:
        now = self._clock()
        wanted = key_id not in self._keys or now - self._read_at > REFRESH_SECONDS
        return wanted and now - self._tried_at >= REFRESH_FLOOR_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            self._keys = read_keys(await self._fetch())
        except Unavailable as error:
            log.warning("the identity provider's keys could not be read", reason=str(error))
            return
        self._read_at = self._clock()


class TokenVerifier:
    """From a token to who it stands for."""

    def __init__(
        self,
        config: OidcConfig,
        keys: JwksCache,
        *,
        now: Callable[[], float],
        is_tenant: Callable[[str], bool],
    ) -> None:
        self._config, self._keys, self._now, self._is_tenant = config, keys, now, is_tenant

    async def verify(self, token: str) -> Identity:
        """Raises Unauthenticated, Forbidden for who is of no tenant here, and Unavailable."""
        claims = self._claims(token, await self._key_of(token))
        tenant_id = self._tenant_of(claims)
        subject = str(claims["sub"])
        if len(subject) > MAX_SUBJECT_CHARS or not subject.isprintable():
            raise _invalid("its subject is longer than an id is")
        return Identity(
            tenant_id=tenant_id,
            actor=f"oidc:{subject}",
            scopes=self._scopes_of(claims),
            requests_per_minute=self._config.requests_per_minute,
            expires_at=int(claims["exp"]),
        )

    async def _key_of(self, token: str) -> PyJWK:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _invalid(f"it cannot be read: {error}") from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise _invalid(f"it is signed by {str(algorithm)[:20]!r}; expected one of {', '.join(ALGORITHMS)}")
        if not isinstance(key_id, str):
            raise _invalid("it does not say which key it is signed with (kid)")
        key = await self._keys.key(key_id)
        if key is None or key.key_type != ALGORITHMS[algorithm] or key.algorithm_name != algorithm:
            raise _invalid("the identity provider has no such key for signatures of that kind")
        return key

    def _claims(self, token: str, key: PyJWK) -> Mapping[str, Any]:
        """By our own clock, which tests set."""
        import jwt

        options: Any = {"require": ["exp", "iss", "aud", "sub"]}
        options |= dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat"), False)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._config.audience,
                issuer=self._config.issuer,
                options=options,
            )
            self._check_times(claims)
        except jwt.PyJWTError as error:
            raise _invalid(str(error)[:200]) from error
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._now(), self._config.leeway_seconds
        for name in ("exp", "nbf", "iat"):
            value = claims.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise _invalid(f"{name} is no number of seconds")
        if claims["exp"] <= now - leeway:
            raise _invalid("it has run out; get a new one")
        if claims.get("nbf", 0) > now + leeway or claims.get("iat", 0) > now + leeway:
            raise _invalid("it is not valid yet; do the clocks agree?")

    def _tenant_of(self, claims: Mapping[str, Any]) -> str:
        name = self._config.tenant_claim
        stated = claims.get(name) if name else None
        tenant_id = self._config.tenant if stated is None else stated
        if not isinstance(tenant_id, str) or not tenant_id:
            raise Forbidden(f"the token names no tenant: its claim {name!r} is missing or no text", code="no_tenant")
        if not self._is_tenant(tenant_id):
            text = f"there is no tenant {tenant_id[:40]!r} here; `pokedexd ctl tenants create` makes one"
            raise Forbidden(text, code="no_tenant")
        return tenant_id

    def _scopes_of(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Never `admin` without the operator's word: a provider's users may choose the scopes that they ask for."""
        stated = claims.get(self._config.scopes_claim, [])
        words = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else []
        allowed = [one for one in SCOPES if one != "admin" or self._config.allow_admin]
        return frozenset(one for one in (*self._config.scopes, *words) if one in allowed)


def read_keys(data: bytes) -> dict[str, PyJWK]:
    """Those that sign as we take it, by their ids; others are left out. Raises Unavailable for what is no set of keys."""
    import jwt

    try:
        found = msgspec.json.decode(data, type=dict[str, Any])["keys"]
        usable = [one for one in found if isinstance(one, dict) and _usable(one)]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Unavailable(f"this is no set of keys (JWKS): {error!r}") from error
    keys: dict[str, PyJWK] = {}
    for one in usable:
        algorithm = next(name for name, kind in ALGORITHMS.items() if kind == one["kty"])
        try:
            keys[one["kid"]] = jwt.PyJWK(one, algorithm)
        except (jwt.PyJWTError, ValueError) as error:
            log.warning("a key of the identity provider is not usable", key_id=one["kid"], reason=str(error))
    return keys


def fetcher(config: OidcConfig) -> Fetch:
    """From the file, or by HTTP through the guard of outside URLs, with a limit of time and size, where no redirect leads on."""

    async def from_file() -> bytes:
        try:
            return await trio.Path(config.jwks_file).read_bytes()
        except OSError as error:
            raise Unavailable(f"{config.jwks_file}: cannot be read: {error.strerror}") from error

    async def from_url() -> bytes:
        allowed = is_public_or_near if config.allow_private_address else is_public
        try:
            async with open_outside(
                max_bytes=MAX_JWKS_BYTES, total_seconds=config.timeout_seconds, allowed=allowed
            ) as outside:
                return (await outside.get(config.jwks_url, redirects=0)).body
        except Rejected as error:
            remedy = "; oidc.allow_private_address allows it" if error.reason == "forbidden_address" else ""
            raise Unavailable(f"{error}{remedy}") from error
        except PokedexError as error:
            raise Unavailable(str(error)) from error

    return from_file if config.jwks_file else from_url


def check_oidc(config: OidcConfig) -> None:
    """Raises ConfigError where the keys of a file cannot be used: better at the start than at the first token."""
    if not config.issuer:
        return
    if not is_available():
        raise ConfigError("oidc.issuer: needs PyJWT, which is not installed: pip install 'pokedexd[oidc]'")
    if config.jwks_file:
        try:
            keys = read_keys(Path(config.jwks_file).read_bytes())
        except (OSError, Unavailable) as error:
            raise ConfigError(f"oidc.jwks_file: {config.jwks_file}: cannot be read: {error}") from error
        if not keys:
            raise ConfigError(f"oidc.jwks_file: {config.jwks_file}: has no key for {' or '.join(ALGORITHMS)}")


def _usable(one: Mapping[str, Any]) -> bool:
    """Of the right type, for signatures, and for no other algorithm."""
    kind, algorithm = one.get("kty"), one.get("alg")
    right = kind in ALGORITHMS.values() and one.get("use", "sig") == "sig" and isinstance(one.get("kid"), str)
    curve = kind != "EC" or one.get("crv") == "P-256"
    return right and curve and algorithm in (None, *(name for name, of in ALGORITHMS.items() if of == kind))


def _invalid(text: str) -> Unauthenticated:
    return Unauthenticated(f"the token is refused: {text}", error="invalid_token")
