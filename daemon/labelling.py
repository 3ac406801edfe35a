"""Puts the language model together from the settings, and has every creator labelled anew when that changes labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import httpx2
import structlog
import trio

from actors import Meter, Outbox
from actors.labeller import Asking, Labeller, Tier
from actors.labelling import LabelRules
from actors.policy import Policy
from daemon.config import LlmConfig
from daemon.metered import MeteredModel, Observe
from models.classification import PROMPT_VERSION
from models.language_model import LanguageModel
from models.taxonomy import Taxonomy
from proto.api import LabelStatus, ModelSpend
from proto.ids import CreatorId, Platform
from proto.messages import AnyWork, CreatorAggregated
from stores.catalog import Catalog, label_counts
from stores.codec import unpack_id
from stores.env import Environment, Txn
from stores.journal import Journal
from stores.labels import Allowance, spent_on, waiting
from stores.work import enqueue

log = structlog.get_logger("daemon")

LABELLED_WITH = "labelled_with"
"""Name in the store's ``meta``: what the labels of all creators depend on besides the creators."""
RELABEL_PAGE = 1_000
DAY_SECONDS = 86_400
MILLION = 1_000_000


def label_rules(config: LlmConfig, taxonomy: Taxonomy) -> LabelRules | None:
    """None where no language model is set."""
    if not config.base_url:
        return None
    return LabelRules(
        taxonomy_version=taxonomy.version,
        prompt_version=PROMPT_VERSION,
        language=config.language,
        drift_cosine=config.drift_cosine,
        max_age_seconds=config.max_age_days * DAY_SECONDS,
    )


def tiers_of(config: LlmConfig, client: httpx2.AsyncClient, observe: Observe) -> list[Tier]:
    """The first model, and the second where one is set. ``observe`` is told of each question."""
    first = LanguageModel(
        client,
        base_url=config.base_url,
        model=config.model,
        key=config.key,
        name=f"llm/{config.model}",
        timeout_seconds=config.timeout_seconds,
    )
    below = config.second.below_confidence if config.second.base_url else 0.0
    tiers = [
        Tier(
            model=MeteredModel(first, observe),
            prices=(config.prompt_price, config.completion_price),
            promote_below=below,
        )
    ]
    if config.second.base_url:
        second = LanguageModel(
            client,
            base_url=config.second.base_url,
            model=config.second.model,
            key=config.second.key,
            name=f"llm/{config.second.model}",
            timeout_seconds=config.timeout_seconds,
        )
        tiers.append(
            Tier(
                model=MeteredModel(second, observe), prices=(config.second.prompt_price, config.second.completion_price)
            )
        )
    return tiers


def asking_of(config: LlmConfig, rules: LabelRules) -> Asking:
    return Asking(
        rules=rules,
        allowance=Allowance(tokens=config.tokens_per_day, micros=round(config.cost_per_day * MILLION)),
        creators_per_call=config.creators_per_call,
        creator_tokens=config.creator_tokens,
        concurrency=config.concurrency,
        min_confidence=config.min_confidence,
    )


def labeller_maker(
    config: LlmConfig,
    client: httpx2.AsyncClient,
    *,
    env: Environment,
    catalog: Catalog,
    journal: Journal,
    taxonomy: Taxonomy,
    policies: Mapping[Platform, Policy],
    recent_items: int,
    now: Callable[[], float],
    answering: Callable[[bool], None],
    observe: Observe,
) -> Callable[[Meter, Outbox[AnyWork], trio.Event], Labeller] | None:
    """None where no language model is set."""
    rules = label_rules(config, taxonomy)
    if rules is None:
        return None
    tiers, asking = tiers_of(config, client, observe), asking_of(config, rules)

    def make(meter: Meter, outbox: Outbox[AnyWork], stop: trio.Event) -> Labeller:
        return Labeller(
            outbox,
            env=env,
            catalog=catalog,
            journal=journal,
            tiers=tiers,
            asking=asking,
            taxonomy=taxonomy,
            policies=policies,
            recent_items=recent_items,
            now=now,
            answering=answering,
            stop=stop,
            meter=meter,
        )

    return make


def label_status(txn: Txn, now: float) -> LabelStatus:
    """From kept counters and a look at the queue's head."""
    return LabelStatus(
        creators=label_counts(txn),
        waiting=waiting(txn, int(now)),
        spent=[
            ModelSpend(
                model=name,
                calls=one.calls,
                prompt_tokens=one.prompt_tokens,
                completion_tokens=one.completion_tokens,
                cost=one.micros / MILLION,
            )
            for name, one in spent_on(txn, now).items()
        ],
    )


async def relabel_all(
    env: Environment, catalog: Catalog, *, classifier_id: str, taxonomy: Taxonomy, config: LlmConfig, now: float
) -> None:
    """Puts every creator back to the Enricher when taxonomy, classifier, prompt or language are other than before.

    The work is durable; the Sweeper sends it. Labels stand until the new ones are there.
    """
    mark = " ".join([taxonomy.version, classifier_id, *([PROMPT_VERSION, config.language] if config.base_url else [])])
    before = await catalog.meta(LABELLED_WITH)
    if before == mark:
        return
    after, creators = b"", 0
    while before and (keys := await env.read(partial(_creator_keys, after=after))):
        after, creators = keys[-1], creators + len(keys)
        await env.write(partial(_enqueue_all, keys=keys, now=now))
    if creators:
        log.info("every creator is labelled anew", creators=creators, because=f"{before} became {mark}")
    await catalog.put_meta(LABELLED_WITH, mark)


def _creator_keys(txn: Txn, after: bytes) -> list[bytes]:
    scan = txn.scan("creators", start=after + b"\0" if after else None)
    return [key for (key, _), _ in zip(scan, range(RELABEL_PAGE), strict=False)]


def _enqueue_all(txn: Txn, keys: Sequence[bytes], now: float) -> None:
    for key in keys:
        enqueue(txn, CreatorAggregated(creator_id=CreatorId(unpack_id(key))), now)
