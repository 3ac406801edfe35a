"""The doctor's checks of others: whether platforms accept the keys, and whether models' endpoints answer.

A call to a platform is booked like any other. A running daemon calls with the same keys all the time: then its own word
counts, and nobody is called twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import httpx2
import lmdb
import msgspec
import trio

from actors.platforms.adapter import PlatformAdapter
from actors.platforms.instagram import InstagramAdapter, Token
from actors.platforms.youtube import YouTubeAdapter
from daemon.app import budgets_of, open_client, token_bucket
from daemon.config import instagram_tokens, switched_off, youtube_keys
from daemon.doctor_patient import Patient
from daemon.findings import Finding, fault, note, warning
from proto.errors import AuthFailed, NotFound, PokedexError, Rejected, Throttled
from proto.ids import Platform, account_key
from proto.records import Job, JobKind, Priority
from stores.env import Environment
from stores.ledger import Ledger

TIMEOUT_SECONDS = 10.0
ANY_CHANNEL = "UC" + "x" * 21 + "A"
"""An id of the right shape; whether there is such a channel does not matter."""
ANY_USERNAME = "instagram"


class Probe(msgspec.Struct, frozen=True):
    """A key or token, and the call that tries it."""

    name: str
    adapter: PlatformAdapter
    job: Job
    bucket: str


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] = []


def keys(patient: Patient) -> list[Finding]:
    """Live; not while a daemon runs, which knows better."""
    if patient.holder:
        return []
    return trio.run(_keys, patient)


async def _keys(patient: Patient) -> list[Finding]:
    found: list[Finding] = []
    with _ledger(patient) as ledger:
        async with open_client() as client:
            for probe in probes(patient, client):
                found += await _tried(probe, ledger, patient.now)
    return found


@contextlib.contextmanager
def _ledger(patient: Patient) -> Iterator[Ledger | None]:
    """None where there is no store to book in, or none that can be used, which other checks say."""
    with contextlib.ExitStack() as stack:
        ledger = None
        with contextlib.suppress(PokedexError):
            if patient.has_store:
                env = Environment(patient.data_dir, map_size_bytes=patient.map_bytes)
                stack.callback(env.close)
                ledger = Ledger(env, budgets_of(patient.config))
        yield ledger


def probes(patient: Patient, client: httpx2.AsyncClient) -> Iterator[Probe]:
    """One of each key and token."""
    config, off, now = patient.config, switched_off(patient.config), time.time
    youtube, instagram = config.platforms.youtube, config.platforms.instagram
    if Platform.YOUTUBE not in off:
        everything = youtube_keys(youtube)
        for number, key in enumerate(everything, 1):
            adapter: PlatformAdapter = YouTubeAdapter(
                client,
                base_url=youtube.base_url,
                feeds_url=youtube.feeds_url,
                keys=[key],
                now=now,
                timeout_seconds=TIMEOUT_SECONDS,
            )
            job = _job(Platform.YOUTUBE, JobKind.PROFILE, ANY_CHANNEL, now())
            yield Probe(f"youtube key {number} of {len(everything)}", adapter, job, "general")
    if Platform.INSTAGRAM not in off:
        for one in instagram_tokens(config):
            bucket = token_bucket(one)
            token = Token(access_token=one.access_token, ig_user_id=one.ig_user_id, app_secret=one.app_secret)
            adapter = InstagramAdapter(
                client,
                base_url=instagram.base_url,
                tokens={bucket: token},
                now=now,
                timeout_seconds=TIMEOUT_SECONDS,
                media_limit=instagram.media_limit,
            )
            job = _job(Platform.INSTAGRAM, JobKind.LOOKUP, ANY_USERNAME, now())
            yield Probe(f"instagram token {one.name}", adapter, job, bucket)


def _job(platform: Platform, kind: JobKind, entity: str, now: float) -> Job:
    return Job(
        platform=platform,
        kind=kind,
        entity=entity,
        account_key=account_key(platform, entity) if kind is JobKind.PROFILE else None,
        priority=Priority.ON_DEMAND,
        due_at=int(now),
    )


async def _tried(probe: Probe, ledger: Ledger | None, now: float) -> list[Finding]:
    if ledger is not None:
        cost = probe.adapter.cost(probe.job.kind)
        try:
            (grant,) = await ledger.reserve(probe.job.platform, [((probe.bucket,), cost.units, False)], now)
        except (lmdb.Error, PokedexError) as error:
            return [fault("store", f"a call cannot be booked: {error}", "see what else is said of disk and map")]
        if not grant.granted:
            return [note("keys", f"{probe.name} was not tried: its budget is spent")]
    try:
        with trio.fail_after(TIMEOUT_SECONDS + 1):
            await probe.adapter.perform([probe.job], probe.bucket)
    except AuthFailed as error:
        return [fault("keys", f"{probe.name} is refused: {error}", "replace it, or renew it where it was given out")]
    except (NotFound, Rejected):
        return []  # it was let in, and told that there is no such thing
    except Throttled as error:
        return [
            warning(
                "keys", f"{probe.name}: the platform says not now: {error}", "it passes; the daemon waits by itself"
            )
        ]
    except (PokedexError, trio.TooSlowError) as error:
        remedy = "look at the network, the name service and the platform's base_url"
        return [fault("platform", f"{probe.name} cannot be tried: {error}", remedy)]
    return []


def endpoints(patient: Patient) -> Iterator[Finding]:
    """Language models and the embedding model, where they are asked over HTTP."""
    config = patient.config
    asked = {
        "llm": (config.llm.base_url, config.llm.model, config.llm.key),
        "llm.second": (config.llm.second.base_url, config.llm.second.model, config.llm.second.key),
    }
    if config.model.kind == "endpoint":
        asked["model"] = (config.model.url, config.model.name, config.model.key)
    for section, (url, model, key) in asked.items():
        if url:
            yield from _endpoint(section, url, model, key)


def _endpoint(section: str, url: str, model: str, key: str) -> Iterator[Finding]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx2.Client(trust_env=False, timeout=TIMEOUT_SECONDS, headers=headers) as client:
            reply = client.get(url.rstrip("/") + "/models")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        yield fault(section, f"{url} does not answer: {error}", f"start it, or correct {section}'s address")
        return
    if reply.status_code in (401, 403):
        yield fault(section, f"{url} refuses the key (status {reply.status_code})", f"correct {section}.key_file")
    elif reply.status_code >= 500:
        yield fault(section, f"{url} answers with status {reply.status_code}", "look into its log")
    elif reply.status_code == 200:
        with contextlib.suppress(msgspec.DecodeError):
            names = [one.id for one in msgspec.json.decode(reply.content, type=_Models).data]
            if names and model not in names:
                near = ", ".join(names[:5])
                yield fault(
                    section, f"{url} has no model {model!r}; it has {near}", f"correct {section}'s model, or load it"
                )


CHECKS = (keys, endpoints)
