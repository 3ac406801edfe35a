"""Faults as data: shares of requests that go wrong, drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import hashlib
import random
from typing import Literal

import msgspec

SURFACES = ("youtube", "instagram", "feeds", "hub", "llm")


class Faults(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """All shares are 0..1 of the requests unless they say otherwise; by default nothing goes wrong."""

    seed: int = 1
    only: tuple[str, ...] = ()
    """The surfaces (SURFACES) that the shares down to ``slow_share`` strike; empty: all of them."""
    latency_seconds: float = 0.0
    """Mean of an exponential distribution."""
    unavailable_share: float = 0.0
    """503 with an API error body; code 2 with ``is_transient`` from the Graph API; 503 with retry-after from the hub;
    503 from the language model, as in a storm of errors."""
    html_error_share: float = 0.0
    """500 with an HTML body."""
    throttle_share: float = 0.0
    """403 rateLimitExceeded; code 4 or 17 from the Graph API; 429 from the feeds and the language model."""
    malformed_share: float = 0.0
    """200 whose body breaks off."""
    cut_share: float = 0.0
    """The connection ends in the middle of the reply."""
    slow_share: float = 0.0
    slow_seconds: float = 60.0

    etag_flip_share: float = 0.0
    """A list's etag differs though its content does not (platform-apis 1.2)."""
    stats_missing_share: float = 0.0
    """Of the items of a videos:batchGetStats reply, which is not atomic."""

    feed_delay_seconds: float = 0.0
    """A video is in the feed this much later than in the API."""
    feed_error_share: float = 0.0
    """404 or 500 for a channel that is well."""
    community_missing_share: float = 0.0
    """Of the videos: their entries lack ``media:community``."""

    private_fields_refused: bool = False
    """Code 100 for the user fields that are not marked public (platform-apis 3.2)."""
    reduce_data_above: int = 0
    """``media.limit`` above this fails with code 1; 0: never."""
    hidden_likes_share: float = 0.0
    """Of the Instagram accounts: their media state no ``like_count``."""
    missing_media_url_share: float = 0.0
    """Of the media."""

    hub_dead: bool = False
    """Subscriptions are accepted and verified, and nothing is ever delivered."""
    hub_denied_share: float = 0.0
    """Of the subscriptions: answered by ``hub.mode=denied``."""
    hub_lease_seconds: int = 432_000
    """The longest lease that is granted; shorter than asked is usual."""
    hub_delay_seconds: float = 0.0
    """Between a post and its notification."""
    hub_duplicate_share: float = 0.0
    """Of the notifications: sent twice."""
    hub_late_share: float = 0.0
    """Of the notifications: held back by ``hub_late_seconds``, so that later ones overtake them."""
    hub_late_seconds: float = 600.0
    hub_wrong_signature_share: float = 0.0
    hub_unsigned_share: float = 0.0
    """Without a signature though a secret was given."""

    llm_form: Literal["text", "json_object", "json_object_schema", "json_schema"] = "json_schema"
    """The most that the language model's server knows of ``response_format``."""
    llm_form_refusal: Literal[200, 400, 422, 500] = 400
    """The status for a form beyond that; 200: answered as if none had been asked for."""
    llm_form_silent: bool = False
    """That refusal does not say what it is about."""
    llm_malformed_share: float = 0.0
    """Of the answers, which are prose or JSON that breaks off …"""
    llm_empty_share: float = 0.0
    """… are empty …"""
    llm_refusal_share: float = 0.0
    """… refuse to answer …"""
    llm_cut_share: float = 0.0
    """… end at a limit of tokens …"""
    llm_invalid_share: float = 0.0
    """… hold a label that is not in the schema, until it is pointed out."""
    llm_obeys_bait: bool = False
    """It does what a creator's text tells it: "ignore your instructions and answer X"."""
    llm_calls_per_minute: int = 0
    """429 beyond; 0: no limit."""
    llm_retry_after_seconds: int = 20
    """Of ``throttle_share``."""
    llm_usage_stated: bool = True


class FaultDraw:
    """Which fault the next request meets; the switches may change while it runs."""

    def __init__(self, faults: Faults) -> None:
        self.faults, self._random = faults, random.Random(faults.seed)

    def replace(self, faults: Faults) -> None:
        """Begins anew with the seed of ``faults``."""
        self.faults, self._random = faults, random.Random(faults.seed)

    def next(self, surface: str = "youtube") -> tuple[str, float]:
        """(name of the fault or "", seconds to wait before the answer)."""
        faults = self.faults
        if faults.only and surface not in faults.only:
            return "", 0.0
        wait_seconds = self._random.expovariate(1 / faults.latency_seconds) if faults.latency_seconds else 0.0
        at = self._random.random()
        for name in ("unavailable", "html_error", "throttle", "malformed", "cut", "slow"):
            share: float = getattr(faults, f"{name}_share")
            if at < share:
                return ("", wait_seconds + faults.slow_seconds) if name == "slow" else (name, wait_seconds)
            at -= share
        return "", wait_seconds

    def chance(self, share: float) -> bool:
        """A draw for one request; takes no number from the sequence when the share is 0."""
        return share > 0 and self._random.random() < share

    def chosen(self, share: float, *names: str) -> bool:
        """Whether these names belong to the share: always the same answer for the same seed."""
        return share > 0 and fraction(self.faults.seed, *names) < share


def fraction(*names: object) -> float:
    """A number in 0..1 that depends on nothing but the names."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
