"""Tokens of an identity provider: what is taken and, mostly, what is not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import jwt
import msgspec
import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from quart import Response
from quart_trio import QuartTrio

from daemon.access import Access, Forbidden, Identity, TooMany, Unauthenticated
from daemon.config import OidcConfig
from daemon.oidc import REFRESH_FLOOR_SECONDS, STALE_SECONDS, JwksCache, TokenVerifier, check_oidc, fetcher, read_keys
from daemon.web.app import create_app
from daemon.web.views import instant
from proto.errors import ConfigError, Unavailable
from stores.env import Environment
from tests.daemon.web.conftest import connect, serve  # noqa: F401
from tests.daemon.web.fakes import problem
from tests.daemon.web.test_lists_api import Noted

NOW = 1_790_000_000
ISSUER, AUDIENCE = "https://id.example", "pokedexd"
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
P384_KEY = ec.generate_private_key(ec.SECP384R1())
CONFIG = OidcConfig(issuer=ISSUER, audience=AUDIENCE, jwks_file="keys.json", tenant_claim="org", scopes=["search"])
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ana", "exp": NOW + 600, "org": "acme", "scope": "lists openid admin"}


def public(key: Any, key_id: str, **more: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"keys": keys or (public(RSA_KEY, "r1", alg="RS256", use="sig"), public(EC_KEY, "e1"))})


def token(claims: Mapping[str, Any] = CLAIMS, *, key: Any = RSA_KEY, alg: str = "RS256", kid: str | None = "r1") -> str:
    return jwt.encode(dict(claims), key, algorithm=alg, headers={"kid": kid} if kid else {})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: Mapping[str, Any], secret: bytes = b"") -> str:
    """As an attacker makes it, whom no library refuses anything."""
    text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(CLAIMS).encode())
    return text + "." + (b64(hmac.new(secret, text.encode(), hashlib.sha256).digest()) if secret else "")


class Provider:
    """Hands out keys, and counts how often."""

    def __init__(self) -> None:
        self.keys, self.fetches, self.down = jwks(), 0, False

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.down:
            raise Unavailable("down")
        return self.keys


def verifier(provider: Provider | None = None, config: OidcConfig = CONFIG) -> TokenVerifier:
    keys = JwksCache((provider or Provider()).fetch, trio.current_time)
    return TokenVerifier(config, keys, now=lambda: NOW, is_tenant=lambda one: one in ("acme", "default"))


async def test_a_token_says_who_whose_and_what(autojump_clock: object) -> None:
    for one in (token(), token(key=EC_KEY, alg="ES256", kid="e1")):
        known = await verifier().verify(one)
        assert (known.tenant_id, known.actor, known.expires_at) == ("acme", "oidc:ana", NOW + 600)
        assert known.scopes == {"search", "lists"}
    listed = await verifier().verify(token({**CLAIMS, "scope": ["export", 5], "aud": ["other", AUDIENCE]}))
    assert listed.scopes == {"search", "export"}
    without = {name: value for name, value in CLAIMS.items() if name != "org"}
    assert (await verifier().verify(token(without))).tenant_id == "default"


async def test_a_token_has_admin_only_where_the_operator_allows_it(autojump_clock: object) -> None:
    for stated in ("admin search", ["admin", "search", {}]):
        claims = {**CLAIMS, "scope": stated}
        assert (await verifier().verify(token(claims))).scopes == {"search"}
        allowed = msgspec.structs.replace(CONFIG, allow_admin=True)
        assert (await verifier(config=allowed).verify(token(claims))).scopes == {"search", "admin"}
    careless = msgspec.structs.replace(CONFIG, scopes=["admin"])
    assert (await verifier(config=careless).verify(token())).scopes == {"lists"}


PEM = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (forged({"alg": "none", "kid": "r1"}), "signed by 'none'"),
        (forged({"alg": "None", "kid": "r1"}), "signed by 'None'"),
        (forged({"alg": "HS256", "kid": "r1"}, PEM), "signed by 'HS256'"),
        (forged({"alg": "RS256", "kid": "r1"}, PEM), "ignature"),
        (forged({"alg": "RS256", "kid": "r1"}), "ignature"),
        (forged({"alg": ["RS256"], "kid": "r1"}, PEM), "signed by"),
        (forged({"kid": "r1"}, PEM), "signed by 'None'"),
        (token(alg="RS512"), "signed by 'RS512'"),
        (token(alg="PS256"), "signed by 'PS256'"),
        (token(key=EC_KEY, alg="ES256", kid="r1"), "no such key"),
        (token(kid="e1"), "no such key"),
        (token(kid="nobody"), "no such key"),
        (token(kid=None), "kid"),
        (token(key=OTHER_RSA_KEY), "ignature"),
        (token({**CLAIMS, "exp": NOW - 31}), "run out"),
        (token({**CLAIMS, "nbf": NOW + 31}), "not valid yet"),
        (token({**CLAIMS, "iat": NOW + 31}), "not valid yet"),
        (token({**CLAIMS, "aud": "other"}), "udience"),
        (token({**CLAIMS, "aud": ["other"]}), "udience"),
        (token({**CLAIMS, "iss": "https://evil.example"}), "ssuer"),
        (token({**CLAIMS, "iss": ISSUER + "/"}), "ssuer"),
        (token({**CLAIMS, "sub": "a\nb"}), "subject"),
        (token({**CLAIMS, "sub": "a" * 101}), "subject"),
        *((token({name: value for name, value in CLAIMS.items() if name != gone}), gone) for gone in ("exp", "aud", "iss", "sub")),
        ("a.b.c", "cannot be read"),
        ("..", "cannot be read"),
        (token()[:-6] + "AAAAAA", "ignature"),
    ],
)  # fmt: skip
async def test_what_is_no_token_for_us_is_refused(bad: str, words: str, autojump_clock: object) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await verifier().verify(bad)
    assert words in str(refused.value)
    assert refused.value.error == "invalid_token"


async def test_the_clocks_may_be_a_little_apart(autojump_clock: object) -> None:
    near = {**CLAIMS, "exp": NOW - 29, "nbf": NOW + 29, "iat": NOW + 29}
    assert (await verifier().verify(token(near))).tenant_id == "acme"


@pytest.mark.parametrize("org", ["nobody", "", 5, ["acme"], "acme\0"])
async def test_who_is_of_no_tenant_here_is_told_so(org: object, autojump_clock: object) -> None:
    with pytest.raises(Forbidden) as refused:
        await verifier().verify(token({**CLAIMS, "org": org}))
    assert refused.value.code == "no_tenant"


async def test_keys_are_read_again_for_an_unknown_id_but_not_for_each(autojump_clock: object) -> None:
    provider = Provider()
    one = verifier(provider)
    for _ in range(3):
        await one.verify(token())
    assert provider.fetches == 1
    fresh = token(key=OTHER_RSA_KEY, kid="r2")
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await one.verify(token(kid=f"made-up-{number}"))
    assert provider.fetches == 1
    provider.keys = jwks(public(OTHER_RSA_KEY, "r2"))
    await trio.sleep(REFRESH_FLOOR_SECONDS)
    assert (await one.verify(fresh)).actor == "oidc:ana"
    assert provider.fetches == 2
    with pytest.raises(Unauthenticated):
        await one.verify(token())


async def test_keys_hold_for_a_day_where_the_provider_is_down(autojump_clock: object) -> None:
    provider = Provider()
    one = verifier(provider)
    provider.down = True
    with pytest.raises(Unavailable):
        await one.verify(token())
    provider.down = False
    await trio.sleep(REFRESH_FLOOR_SECONDS)
    await one.verify(token())
    provider.down = True
    await trio.sleep(STALE_SECONDS - 10)
    await one.verify(token())
    await trio.sleep(20)
    with pytest.raises(Unavailable):
        await one.verify(token())


async def test_many_at_once_read_the_keys_once(autojump_clock: object) -> None:
    provider = Provider()
    one = verifier(provider)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one.verify, token())
    assert provider.fetches == 1


def test_keys_that_are_not_for_us_are_left_out() -> None:
    found = read_keys(
        jwks(
            public(RSA_KEY, "good"),
            public(RSA_KEY, "for-encryption", use="enc"),
            public(RSA_KEY, "other-algorithm", alg="RS512"),
            public(P384_KEY, "other-curve"),
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        )
    )
    assert list(found) == ["good"]
    for data in (b"", b"[]", b'{"keys": 5}', b'{"key": []}'):
        with pytest.raises(Unavailable):
            read_keys(data)


def test_a_file_without_keys_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    config = msgspec.structs.replace(CONFIG, jwks_file=str(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        check_oidc(config)
    file.write_bytes(b'{"keys": []}')
    with pytest.raises(ConfigError, match="has no key for RS256 or ES256"):
        check_oidc(config)
    file.write_bytes(jwks())
    check_oidc(config)
    check_oidc(OidcConfig())


@pytest.mark.filterwarnings("ignore:Async generator 'httpcore2:ResourceWarning")
async def test_keys_are_read_over_http_with_a_limit_of_time_and_size(serve: Any, nursery: trio.Nursery) -> None:  # noqa: F811
    app, asked = QuartTrio("provider"), list[str]()

    @app.get("/<what>")
    async def answer(what: str) -> Response:
        asked.append(what)
        if what == "slow":
            await trio.sleep_forever()
        if what == "moved":
            return Response(b"", 302, headers={"Location": "/keys"})
        return Response(b"x" * (2 << 20) if what == "large" else jwks(), 500 if what == "failed" else 200)

    url = await serve(app)

    async def fetched(what: str, *, near: bool = True) -> bytes:
        config = msgspec.structs.replace(
            CONFIG, jwks_file="", jwks_url=f"{url}/{what}", timeout_seconds=0.3, allow_private_address=near
        )
        return await fetcher(config)()

    assert await fetched("keys") == jwks()
    for what, words in (
        ("slow", "within 0.3 s"),
        ("large", "more than"),
        ("failed", "status 500"),
        ("moved", "more than 0 redirects"),
    ):
        with pytest.raises(Unavailable, match=words):
            await fetched(what)
    asked.clear()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 is not a public address; oidc\.allow_private_address"):
        await fetched("keys", near=False)
    assert not asked


async def test_a_token_opens_the_api_and_logs_in(env: Environment, connect: Any) -> None:  # noqa: F811
    noted = Noted(env)
    access = Access(env, now=lambda: NOW, clock=lambda: 0.0, verify=verifier().verify)
    await access.load()
    await access.create_tenant("acme", "", "test")
    noted.world.access = access
    http: httpx2.AsyncClient = await connect(create_app(noted.world.services()))
    assert (await http.get("/v1/lists")).status_code == 401
    bearer = {"Authorization": f"Bearer {token()}"}
    assert (await http.get("/v1/lists", headers=bearer)).status_code == 200
    assert (await http.get("/v1/search/export", headers=bearer)).status_code == 403
    stranger = await http.get("/v1/lists", headers={"Authorization": f"Bearer {token({**CLAIMS, 'org': 'x'})}"})
    assert (stranger.status_code, problem(stranger)["code"]) == (403, "no_tenant")
    view = (await http.post("/v1/session", json={"key": token()})).json()
    assert (view["actor"], view["tenant_id"]) == ("oidc:ana", "acme")
    assert view["expires_at"] == instant(NOW + 600)
    assert (await http.get("/v1/lists")).status_code == 200
    await access.remove_tenant("acme", "test")
    assert (await http.get("/v1/lists")).status_code == 401


async def test_a_token_s_session_keeps_its_limit(env: Environment, connect: Any) -> None:  # noqa: F811
    """Beside the token, over several sessions, and after a restart: they have one limit together."""
    noted, clock = Noted(env), [0.0]
    few = verifier(config=msgspec.structs.replace(CONFIG, requests_per_minute=4))

    async def opened() -> httpx2.AsyncClient:
        access = Access(env, now=lambda: NOW, clock=lambda: clock[0], verify=few.verify)
        await access.load()
        noted.world.access = access
        if not access.is_tenant("acme"):
            await access.create_tenant("acme", "", "test")
        http: httpx2.AsyncClient = await connect(create_app(noted.world.services()))
        return http

    http = await opened()
    for _ in range(2):
        assert (await http.post("/v1/session", json={"key": token()})).status_code == 200
    cookies = dict(http.cookies)
    bearer = {"Authorization": f"Bearer {token()}"}
    assert [(await http.get("/v1/lists")).status_code for _ in range(2)] == [200, 200]
    assert (await http.get("/v1/lists")).status_code == 429
    assert (await http.get("/v1/lists", headers=bearer)).status_code == 429
    assert (await http.post("/v1/session", json={"key": token()})).status_code == 429
    clock[0] += 15
    assert (await http.get("/v1/lists")).status_code == 200
    again = await opened()
    again.cookies.update(cookies)
    assert [(await again.get("/v1/lists")).status_code for _ in range(5)] == [200] * 4 + [429]
    untrusting = Access(env, now=lambda: NOW, clock=lambda: clock[0])
    await untrusting.load()
    with pytest.raises(Unauthenticated):
        untrusting.by_session(cookies["pokedexd_session"])


def test_a_limit_in_use_outlives_many_others(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.access.BUCKETS_KEPT", 3)
    access = Access(env, now=lambda: NOW, clock=lambda: 0.0)

    def spend(subject: str) -> None:
        access.spend(Identity(tenant_id="acme", actor=subject, scopes=frozenset(), requests_per_minute=5))

    for number in range(5):
        spend("busy")
        spend(f"other-{number}")
    with pytest.raises(TooMany):
        spend("busy")
