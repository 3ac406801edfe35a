"""Who may do what: keys of the API, sessions of browsers, tokens of an identity provider. A check is a dict look-up.

The daemon stands open (to the default tenant, on loopback) until there is a first key or an identity provider, unless
``http.require_key`` says otherwise; one that is revoked or has run out still counts, so that it never opens again by
itself.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec
import trio

from actors.token_bucket import TokenBucket
from proto.errors import DiskFull, PokedexError
from proto.records import DEFAULT_TENANT, ApiKey, AuditEvent, Tenant, WebSession
from stores.audit import append_audit
from stores.env import Environment, Txn
from stores.keys import (
    DEFAULT_SCOPES,
    SCOPES,
    create_key,
    drop_access,
    drop_sessions,
    keys_of,
    note_use,
    put_session,
    revoke_key,
    sessions_of,
)
from stores.tenants import check_ever_tenant, create_tenant, drop_owned, remove_tenant, removed_tenants, tenants

T = TypeVar("T")

KEY_BEGINS = "pkd_"
KEY_BYTES = 32
SESSION_BYTES = 32
MAX_TOKEN_CHARS = 16_384
FLUSH_SECONDS = 60.0
"""How late it may be written down when a key was last used."""
BUCKETS_KEPT = 10_000
AUTO, ALWAYS, NEVER = "auto", "always", "never"
ANONYMOUS = "anonymous"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a request is, and what it may do."""

    tenant_id: str
    actor: str
    """For the audit trail and visits of lists: ``key:…``, ``oidc:…`` or ``anonymous``."""
    scopes: frozenset[str]
    requests_per_minute: int = 0
    """0: no limit."""
    expires_at: int | None = None
    key_hash: str = ""
    is_open: bool = False
    """Nobody was asked who they are."""
    csrf_token: str = ""
    """Of a session: what a change that comes with the cookie has to bring along."""


OPEN = Identity(tenant_id=DEFAULT_TENANT, actor=ANONYMOUS, scopes=frozenset(SCOPES), is_open=True)
NOBODY = Identity(tenant_id=DEFAULT_TENANT, actor=ANONYMOUS, scopes=frozenset())
"""Who has not said who they are where that is asked."""


class Unauthenticated(PokedexError):
    """Nobody is known by what the request brought along. The text says what is wrong and the remedy."""

    def __init__(self, text: str, *, error: str = "") -> None:
        """``error``: RFC 6750's word, empty where nothing was brought along."""
        super().__init__(text)
        self.error = error


class Forbidden(PokedexError):
    """Known, and not allowed to. ``scope``: the one that is missing."""

    def __init__(self, text: str, *, scope: str = "", code: str = "insufficient_scope") -> None:
        super().__init__(text)
        self.scope, self.code = scope, code


class TooMany(PokedexError):
    """Asked too often."""

    def __init__(self, text: str, *, retry_after_seconds: float) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


Verify = Callable[[str], Awaitable[Identity]]
"""Of a signed token. Raises Unauthenticated and Forbidden."""


class Access:
    """Reads in memory; writes are durable and audited on return."""

    def __init__(
        self,
        env: Environment,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        require_key: str = AUTO,
        session_seconds: int = 43_200,
        verify: Verify | None = None,
    ) -> None:
        """``now``: wall time, by which keys run out; ``clock``: seconds that only go forward, for the limits;
        ``verify``: tokens of an identity provider, None where there is none."""
        self._env, self._now, self._clock = env, now, clock
        self._require_key, self._session_seconds, self._verify = require_key, session_seconds, verify
        self._keys: dict[str, ApiKey] = {}
        self._identities: dict[str, Identity] = {}
        self._sessions: dict[str, WebSession] = {}
        self._tenants: frozenset[str] = frozenset((DEFAULT_TENANT,))
        self._used: dict[str, int] = {}
        self._buckets: OrderedDict[tuple[str, int], TokenBucket] = OrderedDict()

    async def load(self) -> None:
        """Once, before anybody is asked; drops what tenants that are gone left behind, with the next start where there is no
        room for that."""
        with suppress(DiskFull):
            for tenant_id in await self._env.read(removed_tenants):
                await self._drop(tenant_id)
        keys, sessions, found = await self._env.read(lambda txn: (keys_of(txn), sessions_of(txn), tenants(txn)))
        self._tenants = frozenset(one.tenant_id for one in found)
        self._sessions = {one.session_hash: one for one in sessions}
        for key in keys:
            self._take(key)

    @property
    def asks(self) -> bool:
        """Whether a request has to say who it is."""
        if self._require_key == NEVER:
            return False
        return self._require_key == ALWAYS or self.has_keys

    @property
    def has_keys(self) -> bool:
        """Whether anybody could say so."""
        return bool(self._keys) or self._verify is not None

    def is_tenant(self, tenant_id: str) -> bool:
        return tenant_id in self._tenants

    async def identify(self, token: str) -> Identity:
        """By a key or a signed token. Raises Unauthenticated and Forbidden."""
        if token.startswith(KEY_BEGINS):
            return self.by_key(token)
        if self._verify is not None and token.count(".") == 2 and len(token) <= MAX_TOKEN_CHARS:
            return await self._verify(token)
        raise Unauthenticated(
            "this is no key of this daemon; `pokedexd ctl keys create` makes one", error="invalid_token"
        )

    def by_key(self, key: str) -> Identity:
        """Raises Unauthenticated. Digests are looked up, so that no time tells anything of a key."""
        key_hash = digest(key)
        identity = self._identities.get(key_hash)
        if identity is None:
            gone = "was revoked" if key_hash in self._keys else "is not known"
            raise Unauthenticated(f"the key {gone}; `pokedexd ctl keys create` makes one", error="invalid_token")
        return self._alive(identity)

    def by_session(self, cookie: str) -> Identity:
        """Raises Unauthenticated."""
        session = self._sessions.get(digest(cookie))
        identity = self._of_session(session) if session is not None else None
        if session is None or identity is None or session.expires_at <= self._now():
            raise Unauthenticated("the session has ended; log in again", error="invalid_token")
        return msgspec.structs.replace(identity, expires_at=session.expires_at, csrf_token=csrf_token_of(cookie))

    def spend(self, identity: Identity) -> None:
        """Counts a request. Raises TooMany."""
        if identity.key_hash:
            self._used[identity.key_hash] = int(self._now())
        if not identity.requests_per_minute:
            return
        name = (identity.key_hash or f"{identity.tenant_id} {identity.actor}", identity.requests_per_minute)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = TokenBucket(
                identity.requests_per_minute / 60.0, identity.requests_per_minute
            )
            if len(self._buckets) > BUCKETS_KEPT:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)  # one in use is not dropped, and full again, because others came
        wait_seconds = bucket.try_take(self._clock())
        if wait_seconds:
            text = f"this key may ask {identity.requests_per_minute} times a minute"
            raise TooMany(text, retry_after_seconds=wait_seconds)

    async def log_in(self, identity: Identity) -> tuple[str, Identity]:
        """What the cookie is to hold, and who is known by it; counts as a request. Raises TooMany, and as
        `stores.keys.put_session`."""
        self.spend(identity)
        cookie, now = secrets.token_urlsafe(SESSION_BYTES), int(self._now())
        ends = [now + self._session_seconds, *([identity.expires_at] if identity.expires_at else [])]
        session = WebSession(
            session_hash=digest(cookie),
            tenant_id=identity.tenant_id,
            actor=identity.actor,
            scopes=[] if identity.key_hash else sorted(identity.scopes),
            key_hash=identity.key_hash,
            requests_per_minute=identity.requests_per_minute,
            created_at=now,
            expires_at=min(ends),
        )
        await self._audited(
            lambda txn: put_session(txn, session, now), identity.tenant_id, identity.actor, "session", "logged in"
        )
        self._sessions = {name: one for name, one in self._sessions.items() if one.expires_at > now}
        self._sessions[session.session_hash] = session
        return cookie, self.by_session(cookie)

    async def log_out(self, cookie: str) -> None:
        session = self._sessions.pop(digest(cookie), None)
        if session is not None:
            await self._audited(
                lambda txn: drop_sessions(txn, [session]), session.tenant_id, session.actor, "session", "logged out"
            )

    async def keys(self, tenant_id: str = "") -> list[ApiKey]:
        """Of a tenant, or all; oldest first, with their last use up to now. Raises NotFound."""

        def look(txn: Txn) -> list[ApiKey]:
            if tenant_id:
                check_ever_tenant(txn, tenant_id)
            return keys_of(txn, tenant_id)

        found = await self._env.read(look)
        return [
            msgspec.structs.replace(one, last_used_at=self._used.get(one.key_hash, one.last_used_at)) for one in found
        ]

    async def create_key(
        self,
        tenant_id: str,
        *,
        name: str = "",
        scopes: Sequence[str] = DEFAULT_SCOPES,
        lifetime_seconds: int | None = None,
        requests_per_minute: int = 0,
        actor: str,
    ) -> tuple[str, ApiKey]:
        """The key, which nobody can show again, and what is known of it. Raises as `stores.keys.create_key`."""
        key, now = new_key(), int(self._now())

        def change(txn: Txn) -> ApiKey:
            return create_key(
                txn,
                digest(key),
                tenant_id,
                name=name,
                scopes=scopes,
                expires_at=now + lifetime_seconds if lifetime_seconds is not None else None,
                requests_per_minute=requests_per_minute,
                now=now,
            )

        made = await self._audited(change, tenant_id, actor, "key", lambda one: f"created {key_words(one)}")
        self._take(made)
        return key, made

    async def revoke_key(self, key_id: str, actor: str) -> ApiKey:
        """In force at once. Raises as `stores.keys.revoke_key`."""
        now = int(self._now())

        def change(txn: Txn) -> ApiKey:
            gone = revoke_key(txn, key_id, now)
            append_audit(txn, _entry(now, gone.tenant_id, actor, "key", f"revoked {key_words(gone)}"))
            return gone

        gone = await self._env.write(change, synced=True)
        self._take(gone)
        self._sessions = {name: one for name, one in self._sessions.items() if one.key_hash != gone.key_hash}
        return gone

    async def all_tenants(self) -> list[Tenant]:
        return await self._env.read(tenants)

    async def create_tenant(self, tenant_id: str, name: str, actor: str) -> Tenant:
        """Raises as `stores.tenants.create_tenant`."""
        now = int(self._now())
        made = await self._audited(
            lambda txn: create_tenant(txn, tenant_id, name, now), tenant_id, actor, "tenant", "created"
        )
        self._tenants |= {tenant_id}
        return made

    async def remove_tenant(self, tenant_id: str, actor: str) -> int:
        """Nobody of it gets in any more, and then all that it noted goes; returns how many rows. Raises as
        `stores.tenants.remove_tenant`."""
        now = int(self._now())

        def change(txn: Txn) -> None:
            remove_tenant(txn, tenant_id, now)
            drop_access(txn, tenant_id, now)

        await self._audited(change, tenant_id, actor, "tenant", "removed")
        self._tenants -= {tenant_id}
        self._sessions = {name: one for name, one in self._sessions.items() if one.tenant_id != tenant_id}
        for key in await self._env.read(lambda txn: keys_of(txn, tenant_id)):
            self._take(key)
        return await self._drop(tenant_id)

    async def flush(self) -> None:
        """Writes down when keys were last used; what a full disk refuses at the end of the daemon is lost."""
        used, self._used = self._used, {}
        try:
            if used:
                await self._env.write(partial(note_use, used=used))
        except DiskFull:
            pass
        except BaseException:
            self._used = used | self._used
            raise

    def _of_session(self, session: WebSession) -> Identity | None:
        if session.key_hash:
            identity = self._identities.get(session.key_hash)
            return self._alive(identity) if identity is not None else None
        if self._verify is None or not self.is_tenant(session.tenant_id):  # no provider is trusted any more
            return None
        return Identity(
            tenant_id=session.tenant_id,
            actor=session.actor,
            scopes=frozenset(session.scopes),
            requests_per_minute=session.requests_per_minute,
        )

    def _alive(self, identity: Identity) -> Identity:
        if identity.expires_at is not None and identity.expires_at <= self._now():
            raise Unauthenticated("the key has run out; ask for another", error="invalid_token")
        return identity

    def _take(self, key: ApiKey) -> None:
        """Every key counts; only one that was not revoked opens anything."""
        self._keys[key.key_hash] = key
        if key.revoked_at:
            self._identities.pop(key.key_hash, None)
        else:
            self._identities[key.key_hash] = identity_of(key)

    async def _drop(self, tenant_id: str) -> int:
        rows = 0
        while piece := await self._env.write(lambda txn: drop_owned(txn, tenant_id), synced=True):
            rows += piece
        return rows

    async def _audited(
        self, change: Callable[[Txn], T], tenant_id: str, actor: str, action: str, detail: str | Callable[[T], str]
    ) -> T:
        """The change and its place in the audit trail are one transaction."""
        now = int(self._now())

        def both(txn: Txn) -> T:
            result = change(txn)
            said = detail if isinstance(detail, str) else detail(result)
            append_audit(txn, _entry(now, tenant_id, actor, action, said))
            return result

        return await self._env.write(both, synced=True)


def new_key() -> str:
    """256 random bits."""
    return KEY_BEGINS + secrets.token_urlsafe(KEY_BYTES)


def digest(text: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def csrf_token_of(cookie: str) -> str:
    """Known to who has the cookie, and to nobody who can merely make a browser send it."""
    return digest(f"csrf {cookie}")


def identity_of(key: ApiKey) -> Identity:
    return Identity(
        tenant_id=key.tenant_id,
        actor=f"key:{key.key_id}",
        scopes=frozenset(key.scopes),
        requests_per_minute=key.requests_per_minute,
        expires_at=key.expires_at,
        key_hash=key.key_hash,
    )


def key_words(key: ApiKey) -> str:
    name = f" ({key.name})" if key.name else ""
    return f"{key.key_id}{name}: {', '.join(key.scopes)}"


async def note_uses(access: Access, stop: trio.Event) -> None:
    """Now and then, and at the end."""
    while not stop.is_set():
        with trio.move_on_after(FLUSH_SECONDS):
            await stop.wait()
        await access.flush()


def _entry(at: int, tenant_id: str, actor: str, action: str, detail: str) -> AuditEvent:
    return AuditEvent(at=at, tenant_id=tenant_id, actor=actor, action=action, detail=detail)
