"""Prepared creators in the store: what is written with which work, and who is known or forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.aggregation import aggregate, language_in
from actors.cadence import visits
from actors.given import Prepared
from actors.given_packing import pack
from actors.identity_resolution import settle
from actors.labelling import basis_of, stands
from actors.policy import derivable, policies
from actors.taking_in import TakenIn, TakingIn
from actors.vital_signs import history_since
from daemon.config import Config
from daemon.pipeline import identity_rules, visit_policies
from proto.identity import IdentityDecision
from proto.ids import AccountKey, Platform, creator_id_of
from proto.messages import AccountUpserted, CreatorAggregated, CreatorEnriched
from stores.belonging import founder_of, get_link, members_of
from stores.catalog import (
    account_vectors,
    creator_bundle,
    creator_embeddings,
    get_account,
    get_creator,
)
from stores.checking import find_faults
from stores.content import recent_items
from stores.env import DATABASES, Environment, Txn
from stores.identity import decisions_of, first_put_off, put_decision
from stores.labels import get_labelling
from stores.schedule import jobs_of
from stores.suppression import Suppression
from tests.actors.test_given import NICHE, NOW, STYLE, TAXONOMY, account, creator, item, lines, prepared

CHANNEL, PROFILE = AccountKey("youtube:UC1"), AccountKey("instagram:7")


@pytest.fixture
def suppression(tmp_path: Path) -> Iterator[Suppression]:
    journal = Suppression.open(tmp_path / "suppressed")
    yield journal
    journal.close()


Take = Callable[..., TakenIn]


@pytest.fixture
def take(env: Environment, suppression: Suppression) -> Take:
    """Takes in one prepared line at an instant."""

    def take(said: Prepared, now: int = NOW) -> TakenIn:
        taking = TakingIn(suppression=suppression, visits_of=visit_policies(Config()), now=now)
        return env.write_now(partial(taking.put, packed=pack(said, TAXONOMY)))

    return take


def look(env: Environment, read: Callable[..., Any], *arguments: Any) -> Any:
    with env.snapshot() as txn:
        return read(txn, *arguments)


def rows(env: Environment) -> dict[str, int]:
    with env.snapshot() as txn:
        return {name: txn.entries(name) for name in DATABASES if name != "meta" and txn.entries(name)}


def pair(**more: Any) -> dict[str, Any]:
    return creator(account(), account(platform="instagram", platform_user_id="7", handle="somebody.else"), **more)


def faults(env: Environment) -> list[Any]:
    return list(look(env, find_faults, {}, lambda *_: None))


def test_a_whole_creator_is_stored_with_all_that_follows(env: Environment, take: Take) -> None:
    said = prepared(pair(primary_niche=NICHE))
    taken = take(said)
    creator_id = creator_id_of(CHANNEL)
    assert taken.verdict == "added"
    assert [type(one) for one in taken.work] == [CreatorEnriched]
    assert taken.bundle is not None
    assert taken.bundle.creator == look(env, get_creator, creator_id)
    assert look(env, members_of, creator_id) == [PROFILE, CHANNEL]
    assert look(env, creator_embeddings, creator_id) == said.bundle.embeddings
    for part, items in zip(said.bundle.accounts, said.items, strict=True):
        key = part.account.key
        assert look(env, account_vectors, key) == part.vectors
        assert look(env, recent_items, key, 100) == items
        stored = look(env, get_account, key)
        planned = visits(stored, [one.published_at for one in items], visit_policies(Config())[stored.platform], NOW)
        assert stored.next_due_at == planned[0].due_at
        assert {(job.kind, job.due_at) for job in look(env, jobs_of, key, 10)} == {
            (job.kind, job.due_at) for job in planned
        }
    assert look(env, first_put_off, 10) == [PROFILE, CHANNEL]
    assert faults(env) == []


def test_the_first_of_a_line_founds_it_and_stays_its_founder(env: Environment, take: Take) -> None:
    """Also once the identity stage has looked at it, which goes by who came first and then by the key."""
    take(prepared(pair(primary_niche=NICHE)))
    creator_id = creator_id_of(CHANNEL)
    assert look(env, founder_of, creator_id).account_key == CHANNEL
    links = [look(env, get_link, key) for key in (CHANNEL, PROFILE)]
    assert [(one.creator_id, one.decided_by) for one in links] == [(creator_id, "rule"), (creator_id, "operator")]
    (decision,) = look(env, decisions_of, CHANNEL)
    assert (decision.same, decision.actor) == (True, "import")
    rearranged = env.write_now(lambda txn: settle(txn, [PROFILE], identity_rules(Config()), NOW + 9))
    assert (rearranged.changed, rearranged.retired) == ([], {})
    assert look(env, members_of, creator_id) == [PROFILE, CHANNEL]


def test_who_lacks_vectors_goes_to_the_embedder_and_the_others_wait(env: Environment, take: Take) -> None:
    bare = account(platform="instagram", platform_user_id="7", vectors=[])
    taken = take(prepared(creator(account(), bare, primary_niche=NICHE)))
    assert taken.bundle is None
    assert [(type(one), one.entity) for one in taken.work] == [(AccountUpserted, PROFILE)]
    assert look(env, first_put_off, 10) == [CHANNEL]
    assert faults(env) == []


def test_who_lacks_labels_goes_to_the_enricher(env: Environment, take: Take) -> None:
    taken = take(prepared(creator()))
    assert [type(one) for one in taken.work] == [CreatorAggregated]
    assert taken.bundle is None
    assert look(env, first_put_off, 10) == [CHANNEL]


def test_what_a_language_model_said_stands_as_its_answer(env: Environment, take: Take) -> None:
    said = {"method": "llm", "model": "m", "prompt_version": "2", "taxonomy_version": "1", "input_hash": "h", "at": 5}
    taken = take(prepared(creator(primary_niche=NICHE, content_style=STYLE, llm_summary="S.", enrichment=said)))
    assert taken.bundle is not None
    labelling = look(env, get_labelling, taken.bundle.creator.creator_id)
    assert stands(labelling, basis_of(taken.bundle), TAXONOMY)
    assert (labelling.primary_niche, labelling.content_style, labelling.summary) == (NICHE, STYLE, "S.")
    assert (labelling.model, labelling.digest, labelling.at) == ("m", "h", 5)
    assert faults(env) == []


@pytest.mark.parametrize("name", ["7", "@Somebody.Else"])
def test_of_a_line_with_somebody_forgotten_nothing_is_kept(
    env: Environment, take: Take, suppression: Suppression, name: str
) -> None:
    suppression.add([(Platform.INSTAGRAM, name)])
    taken = take(prepared(pair(primary_niche=NICHE)))
    assert (taken.verdict, taken.work, taken.bundle) == ("forgotten", [], None)
    assert rows(env) == {}


def test_the_same_line_again_is_known_and_no_work(env: Environment, take: Take) -> None:
    said = pair(primary_niche=NICHE)
    take(prepared(said))
    before = rows(env)
    taken = take(prepared(said), NOW + 60)
    assert (taken.verdict, taken.work) == ("known", [])
    assert rows(env) == before


def test_news_of_a_known_account_go_the_way_of_a_visit(env: Environment, take: Take) -> None:
    take(prepared(creator(primary_niche=NICHE)))
    due_at = look(env, get_account, CHANNEL).next_due_at
    older = take(prepared(creator(account(bio="Old.", fetched_at=NOW - 90, items=[], vectors=[]))))
    assert (older.verdict, older.work) == ("known", [])
    news = account(bio="New.", fetched_at=NOW, items=[item(99)], vectors=[], importance=7.0)
    newer = take(prepared(creator(news, primary_niche="no such niche")))
    assert [(type(one), one.entity) for one in newer.work] == [(AccountUpserted, CHANNEL)]
    stored = look(env, get_account, CHANNEL)
    assert (stored.bio, stored.importance, stored.next_due_at) == ("New.", 1.0, due_at)
    assert stored.creator_id == creator_id_of(CHANNEL)
    assert len(look(env, recent_items, CHANNEL, 100)) == 9
    assert look(env, get_creator, creator_id_of(CHANNEL)).primary_niche == NICHE
    assert faults(env) == []


def test_an_account_stays_as_it_is_known_where_a_line_would_lose_some_of_it(env: Environment, take: Take) -> None:
    take(prepared(creator(account(display_name=""), primary_niche=NICHE)))
    before = look(env, get_account, CHANNEL)
    bare = {"platform": "youtube", "platform_user_id": "UC1", "bio": "New.", "items": [item(50)]}
    taken = take(prepared(creator(bare)), NOW + 60)
    assert taken.notes == [
        'an account stays as it is known, of which the line does not say handle, followers (say all, be it "" or null)'
    ]
    assert look(env, get_account, CHANNEL) == before
    assert [one.entity for one in taken.work] == [CHANNEL]
    assert len(look(env, recent_items, CHANNEL, 100)) == 9
    assert take(prepared(creator(bare | {"fetched_at": NOW - 90})), NOW + 60).notes == [], (
        "it is older than what is known"
    )
    whole = bare | {"handle": "", "display_name": "", "followers": None}
    assert take(prepared(creator(whole)), NOW + 60).notes == []
    after = look(env, get_account, CHANNEL)
    assert (after.handle, after.bio, after.followers, after.fetched_at) == ("", "New.", None, NOW)
    assert faults(env) == []


def test_a_known_account_stays_where_it_is_and_a_new_one_comes_in_by_itself(env: Environment, take: Take) -> None:
    take(prepared(creator(primary_niche=NICHE)))
    taken = take(prepared(pair(primary_niche=NICHE)))
    assert taken.verdict == "known"
    assert [(type(one), one.entity) for one in taken.work] == [(AccountUpserted, PROFILE)]
    assert look(env, members_of, creator_id_of(CHANNEL)) == [CHANNEL]
    assert look(env, get_account, PROFILE).creator_id is None
    assert look(env, decisions_of, PROFILE) == []
    assert look(env, jobs_of, PROFILE, 10)
    assert faults(env) == []


def test_an_account_whose_own_creator_is_retired_stays_with_the_other(env: Environment, take: Take) -> None:
    take(prepared(creator(account(platform="instagram", platform_user_id="7"), primary_niche=NICHE)))
    take(prepared(creator(primary_niche=NICHE)), NOW + 1)

    def merge(txn: Txn) -> None:
        put_decision(txn, IdentityDecision(first=CHANNEL, second=PROFILE, same=True, at=NOW, actor="somebody"))
        assert list(settle(txn, [CHANNEL], identity_rules(Config()), NOW + 2).retired) == [creator_id_of(CHANNEL)]

    env.write_now(merge)
    taken = take(prepared(creator(account(fetched_at=NOW, display_name="New"), primary_niche=NICHE)), NOW + 3)
    assert taken.verdict == "known"
    assert look(env, get_creator, creator_id_of(CHANNEL)) is None
    assert look(env, get_account, CHANNEL).creator_id == creator_id_of(PROFILE)
    assert len(taken.work) == 1
    assert faults(env) == []


def test_what_is_stored_is_what_the_aggregator_makes_of_the_store(env: Environment, take: Take) -> None:
    take(prepared(pair(primary_niche=NICHE)))
    bundle = look(env, creator_bundle, creator_id_of(CHANNEL), 5, history_since(NOW))
    permitted = derivable(bundle.accounts, policies("granted"))
    made, embeddings = aggregate(bundle, derived_from=permitted, language=language_in(permitted), now=NOW)
    assert made == bundle.creator
    assert {one.field: one for one in embeddings} == bundle.embeddings


@given(st.lists(lines, min_size=1, max_size=4), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_taken_in_leaves_a_sound_store(
    env: Environment, take: Take, found: list[list[dict[str, Any]]], labelled: bool
) -> None:
    for at, accounts in enumerate(found):
        more = {"primary_niche": NICHE} if labelled else {}
        assert take(prepared(creator(*accounts, **more)), NOW + at).verdict in ("added", "known")
    assert faults(env) == []
