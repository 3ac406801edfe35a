"""Accounts go through the store's transactions as in the identity stage: what comes out follows from what is stored."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from actors.identity_clusters import Thresholds
from actors.identity_facts import facts_of
from actors.identity_resolution import Rules, settle, take_in
from actors.identity_weights import BELIEFS
from actors.reading import with_extracted
from daemon.evaluation.identity import Known
from daemon.evaluation.identity_world import known_accounts
from proto.identity import IdentityDecision, Standing
from proto.ids import AccountKey, CreatorId, Platform, creator_id_of
from proto.records import ContentItem, CreatorAccount, Enrichment, Normalised
from stores.belonging import Rearranged, members_of, present_id, row_of
from stores.catalog import CREATORS, get_account, get_creator, put_account, put_creator
from stores.env import DATABASES, Environment, Txn
from stores.erasure import Limits, erase_account, erase_expired, expired_of
from stores.identity import REVIEWS, decisions_of, get_facts, get_pair, handles_of, pairs_of, put_decision, review_page

RULES = Rules(weights=BELIEFS, thresholds=Thresholds(merge=0.9, review=0.5))
NOW = 1_790_000_000
CHANNEL, OTHER = "UCabcdefghijklmnopqrstuA", "UCzyxwvutsrqponmlkjihgfA"
CHANGE_LOG = ("identity_decisions", "audit", "events", "meta", "former_creators", "former_by_account")
"""What a merge that was taken back leaves: the words that were said, counters, and states to go back to."""


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    opened = Environment(tmp_path, map_size_bytes=1 << 28, durable=False)
    yield opened
    opened.close()


def youtube(user_id: str = CHANNEL, **fields: str) -> CreatorAccount:
    return _read(CreatorAccount(platform=Platform.YOUTUBE, platform_user_id=user_id, **fields))  # type: ignore[arg-type]


def instagram(user_id: str, **fields: str) -> CreatorAccount:
    return _read(CreatorAccount(platform=Platform.INSTAGRAM, platform_user_id=user_id, **fields))  # type: ignore[arg-type]


def _read(account: CreatorAccount) -> CreatorAccount:
    said = with_extracted(Normalised(account_key=account.key, account=account, items=[])).account
    assert said is not None
    return said


def arrive(env: Environment, *accounts: CreatorAccount, at: int = NOW) -> list[Rearranged]:
    """Each taken in as the stage does, one after the other."""
    return [_arrive(env, account, [], at + number) for number, account in enumerate(accounts)]


def _arrive(env: Environment, account: CreatorAccount, items: Sequence[ContentItem], at: int) -> Rearranged:
    def change(txn: Txn) -> Rearranged:
        put_account(txn, msgspec.structs.replace(account, fetched_at=at))
        facts = facts_of(account, items, former_handles=handles_of(txn, account.key))
        return settle(txn, take_in(txn, facts, RULES).stirred, RULES, at)

    return env.write_now(change)


def say(env: Environment, one: CreatorAccount, other: CreatorAccount, *, same: bool) -> Rearranged:
    first, second = sorted((one.key, other.key))

    def change(txn: Txn) -> Rearranged:
        put_decision(txn, IdentityDecision(first=first, second=second, same=same, at=NOW))
        return settle(txn, [first], RULES, NOW + 50)

    return env.write_now(change)


def creator_of(env: Environment, account: CreatorAccount) -> CreatorId:
    with env.snapshot() as txn:
        stored = get_account(txn, account.key)
        assert stored is not None
        assert stored.creator_id is not None
        return stored.creator_id


def together(env: Environment, *accounts: CreatorAccount) -> bool:
    return len({creator_of(env, account) for account in accounts}) == 1


def dump(env: Environment, *, without: Sequence[str] = ()) -> dict[str, dict[bytes, bytes]]:
    with env.snapshot() as txn:
        return {name: dict(txn.scan(name)) for name in DATABASES if name not in without}


def clusters(env: Environment) -> set[frozenset[AccountKey]]:
    with env.snapshot() as txn:
        ids = {key[:8] for key, _ in txn.scan("account_by_creator")}
        return {frozenset(members_of(txn, CreatorId(int.from_bytes(one, "big")))) for one in ids}


def check(env: Environment) -> None:
    """Every account has one creator, of its oldest account's making; counters and indexes agree."""
    with env.snapshot() as txn:
        creators = {int.from_bytes(key, "big") for key, _ in txn.scan("creators")}
        assert txn.counter(CREATORS) == len(creators) == txn.entries("rows")
        assert {int.from_bytes(key[:8], "big") for key, _ in txn.scan("account_by_creator")} == creators
        for creator_id in creators:
            members = members_of(txn, CreatorId(creator_id))
            creator = get_creator(txn, CreatorId(creator_id))
            assert creator is not None
            assert creator_id in {creator_id_of(member) for member in members}
            assert all(one.creator_id == creator_id for key in members if (one := get_account(txn, key)) is not None)
        review = sum(pair.standing is Standing.REVIEW for pair in review_page(txn, b"", 10_000)[0])
        assert review == txn.counter(REVIEWS) == txn.entries("identity_review")


ALEX, ALEX_IG = (
    youtube(handle="alexmorgan", display_name="Alex Morgan", bio="instagram.com/alex.morgan"),
    instagram("1", handle="alex.morgan", display_name="Alex Morgan"),
)


def test_two_accounts_of_one_person_are_one_creator_that_keeps_the_older_id(env: Environment) -> None:
    arrive(env, ALEX)
    before = creator_of(env, ALEX)
    (done,) = arrive(env, ALEX_IG, at=NOW + 10)
    assert together(env, ALEX, ALEX_IG)
    assert creator_of(env, ALEX_IG) == before == creator_id_of(ALEX.key)
    assert done.changed == [before]
    check(env)


def test_the_id_of_a_creator_that_was_merged_leads_to_the_other_and_its_row_is_kept(env: Environment) -> None:
    stranger = instagram("1", handle="alex.morgan")
    arrive(env, youtube(handle="somebody"), stranger)
    late = creator_of(env, stranger)
    with env.snapshot() as txn:
        row = row_of(txn, late)
    done = say(env, youtube(), stranger, same=True)
    assert done.retired == {late: row}
    with env.snapshot() as txn:
        assert get_creator(txn, late) is None
        assert present_id(txn, late) == creator_id_of(youtube().key)
        assert row_of(txn, late) == row
    check(env)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_order_of_arrival_the_outcome_is_the_same(tmp_path: Path, seed: int) -> None:
    """Clusters, pairs, queue: everything but which account came first."""
    world = known_accounts(160, seed)
    found = []
    for order in range(3):
        known: list[Known] = random.Random(order).sample(world, len(world))
        env = Environment(tmp_path / str(order), map_size_bytes=1 << 28, durable=False)
        for number, one in enumerate(known):
            _arrive(env, one.account, one.items, NOW + number)
        check(env)
        names = ("identity_facts", "identity_keys", "identity_pairs", "identity_review")
        found.append((clusters(env), {name: dump(env)[name] for name in names}))
        env.close()
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) < len(world)


def test_accounts_that_come_again_change_nothing(env: Environment) -> None:
    known = known_accounts(80, 3)
    for one in known:
        _arrive(env, one.account, one.items, NOW)
    before = dump(env, without=CHANGE_LOG)
    for one in known:
        assert _arrive(env, one.account, one.items, NOW) == Rearranged()
    assert dump(env, without=CHANGE_LOG) == before


def test_a_merge_that_is_taken_back_leaves_everything_as_it_was(env: Environment) -> None:
    one, other = youtube(handle="gearbox"), instagram("7", handle="zanzibar")
    arrive(env, one, other)

    def label(txn: Txn) -> None:
        for account in (one, other):
            creator = get_creator(txn, creator_id_of(account.key))
            assert creator is not None
            enrichment = Enrichment(
                method="local", model="m", prompt_version="1", taxonomy_version="1", input_hash="x", at=NOW
            )
            put_creator(txn, msgspec.structs.replace(creator, name=account.handle, enrichment=enrichment))

    env.write_now(label)
    before = dump(env, without=(*CHANGE_LOG, "identity_pairs"))
    say(env, one, other, same=True)
    assert together(env, one, other)
    assert dump(env, without=(*CHANGE_LOG, "identity_pairs")) != before
    done = say(env, one, other, same=False)
    assert not together(env, one, other)
    assert dump(env, without=(*CHANGE_LOG, "identity_pairs")) == before
    assert sorted(done.changed) == sorted((creator_id_of(one.key), creator_id_of(other.key)))
    check(env)


def test_a_creator_of_two_that_was_merged_and_taken_back_is_as_old_as_it_was(env: Environment) -> None:
    """Why each account belongs to it, and since when, is as before; the other creator is the older one."""
    older = youtube(OTHER, handle="gearbox")
    arrive(env, older, ALEX, ALEX_IG)
    before = dump(env, without=(*CHANGE_LOG, "identity_pairs"))
    for same in (True, False):
        say(env, older, ALEX, same=same)
        say(env, older, ALEX_IG, same=same)
        assert together(env, older, ALEX) == together(env, older, ALEX_IG) == same
    assert dump(env, without=(*CHANGE_LOG, "identity_pairs")) == before
    check(env)


def test_what_an_operator_said_survives_whatever_comes(env: Environment) -> None:
    arrive(env, ALEX, ALEX_IG)
    say(env, ALEX, ALEX_IG, same=False)
    arrive(env, msgspec.structs.replace(ALEX, bio=ALEX.bio + " hello"), ALEX_IG, at=NOW + 60)
    assert not together(env, ALEX, ALEX_IG)
    with env.snapshot() as txn:
        pair = get_pair(txn, *sorted((ALEX.key, ALEX_IG.key)))
        assert pair is not None
        assert pair.standing is Standing.REJECTED
        assert review_page(txn, b"", 10)[0] == []


def test_a_renamed_account_stays_with_its_creator(env: Environment) -> None:
    """The bio still links the old handle; the account is known by its id."""
    arrive(env, ALEX, ALEX_IG)
    arrive(env, instagram("1", handle="alexinparis", display_name="Alex in Paris"), at=NOW + 60)
    assert together(env, ALEX, ALEX_IG)
    check(env)


def test_who_takes_over_a_handle_does_not_take_over_the_creator(env: Environment) -> None:
    channel = youtube(handle="gearbox", display_name="Gear", bio="instagram.com/zanzibar")
    old = instagram("1", handle="zanzibar", display_name="Gear", bio=f"youtube.com/channel/{CHANNEL}")
    arrive(env, channel, old)
    assert together(env, channel, old)
    thief = instagram("2", handle="zanzibar", display_name="Somebody")
    arrive(env, msgspec.structs.replace(old, handle="zanzibar.moved"), thief, at=NOW + 60)
    assert not together(env, channel, thief)
    assert together(env, channel, old)
    check(env)


def test_a_handle_taken_over_leaves_a_one_way_link_in_doubt(env: Environment) -> None:
    channel = youtube(handle="gearbox", display_name="Gear Works", bio="instagram.com/zanzibar")
    old = instagram("1", handle="zanzibar", display_name="Gear Works")
    arrive(env, channel, old)
    assert together(env, channel, old)
    thief = instagram("2", handle="zanzibar", display_name="Somebody")
    arrive(env, msgspec.structs.replace(old, handle="moved"), thief, at=NOW + 60)
    assert not together(env, channel, thief)
    assert not together(env, channel, old)
    check(env)


@pytest.mark.parametrize("backlink", ["", f"youtube.com/channel/{CHANNEL}"])
def test_who_takes_over_a_handle_and_links_back_does_not_take_over_the_creator(env: Environment, backlink: str) -> None:
    channel = youtube(handle="gearbox", display_name="Gear", bio="instagram.com/zanzibar")
    old = instagram("1", handle="zanzibar", display_name="Gear", bio=backlink)
    arrive(env, channel, old)
    thief = instagram("2", handle="zanzibar", display_name="Somebody", bio=f"youtube.com/channel/{CHANNEL}")
    arrive(env, msgspec.structs.replace(old, handle="zanzibar.moved"), thief, at=NOW + 60)
    assert not together(env, channel, thief)
    assert together(env, channel, old) == bool(backlink)
    check(env)


def test_a_word_on_a_pair_that_is_worth_little_takes_it_off_the_queue(env: Environment) -> None:
    channel = youtube(handle="gearbox", display_name="Zander", bio="instagram.com/quite.other")
    profile = instagram("1", handle="quite.other", display_name="Zander")
    speaking = [msgspec.structs.replace(one, language="en") for one in (channel, profile)]
    arrive(env, *speaking)
    first, second = sorted((channel.key, profile.key))
    with env.snapshot() as txn:
        (pair,) = review_page(txn, b"", 10)[0]
        assert RULES.thresholds.kept_from <= pair.score < RULES.thresholds.tied_from
    env.write_now(lambda txn: put_decision(txn, IdentityDecision(first=first, second=second, same=False, at=NOW)))
    arrive(env, *speaking, at=NOW + 60)
    with env.snapshot() as txn:
        assert review_page(txn, b"", 10)[0] == []
    check(env)


@pytest.mark.parametrize("seed", range(2))
def test_what_was_said_before_leaves_no_trace(tmp_path: Path, seed: int) -> None:
    """Bios, names and operators' words that were others for a while end where those end that never were."""
    dice = random.Random(seed)
    world = {one.account.key: one for one in known_accounts(70, seed)}
    straight, detour = (
        Environment(tmp_path / name, map_size_bytes=1 << 28, durable=False) for name in ("straight", "detour")
    )
    for number, one in enumerate(world.values()):
        _arrive(straight, one.account, one.items, NOW + number)
        _arrive(detour, one.account, one.items, NOW + number)
    with straight.snapshot() as txn:
        waiting = [(pair.first, pair.second) for pair in review_page(txn, b"", 1_000)[0]][-4:]
    drawn = [sorted(dice.sample(sorted(world), 2)) for _ in range(4)]
    words = [(first, second, dice.random() < 0.5) for first, second in (*waiting, *drawn)]
    for number in range(40):
        one, other = world[dice.choice(sorted(world))], world[dice.choice(sorted(world))]
        name = dice.choice((one, other)).account.display_name
        changed = msgspec.structs.replace(one.account, bio=other.account.bio, display_name=name, links=[], emails=[])
        _arrive(detour, _read(changed), one.items, NOW + 100 + number)
    for env in (straight, detour):
        for first, second, same in words:
            for said in (not same, same) if env is detour else (same,):
                decision = IdentityDecision(first=first, second=second, same=said, at=NOW)
                env.write_now(lambda txn, decision=decision: put_decision(txn, decision))  # type: ignore[misc]
                for key in (first, second):
                    _arrive(env, world[key].account, world[key].items, NOW + 200)
    for one in world.values():
        _arrive(detour, one.account, one.items, NOW + 300)
    names = ("identity_facts", "identity_keys", "identity_words", "identity_pairs", "identity_review")
    assert clusters(detour) == clusters(straight)
    assert {name: dump(detour)[name] for name in names} == {name: dump(straight)[name] for name in names}
    for env in (straight, detour):
        check(env)
        env.close()


def test_a_bio_link_that_changes_to_somebody_else_takes_the_creator_along(env: Environment) -> None:
    channel = youtube(handle="gearbox", display_name="Gear Box", bio="instagram.com/first.one")
    first = instagram("1", handle="first.one", display_name="Gear Box")
    second = instagram("2", handle="second.one", display_name="Gear Box")
    arrive(env, channel, first, second)
    assert together(env, channel, first)
    assert not together(env, channel, second)
    arrive(env, _read(msgspec.structs.replace(channel, bio="instagram.com/second.one", links=[])), at=NOW + 60)
    assert together(env, channel, second)
    assert not together(env, channel, first)
    check(env)


def test_a_lost_link_splits_and_the_old_id_stays_with_the_oldest(env: Environment) -> None:
    channel = youtube(handle="gearbox", bio="instagram.com/zanzibar")
    other = instagram("1", handle="zanzibar", bio=f"youtube.com/channel/{CHANNEL}")
    arrive(env, channel, other)
    assert together(env, channel, other)
    arrive(env, youtube(handle="gearbox"), instagram("1", handle="zanzibar"), at=NOW + 60)
    assert creator_of(env, channel) == creator_id_of(channel.key)
    assert creator_of(env, other) == creator_id_of(other.key)
    check(env)


def test_whoever_is_erased_leaves_no_trace_and_never_comes_back_through_others(env: Environment) -> None:
    third = youtube(OTHER, handle="alex.morgan", display_name="Alex Morgan")
    arrive(env, ALEX, ALEX_IG, third)

    def erase(txn: Txn) -> None:
        while not erase_account(txn, ALEX.key, now=NOW).done:
            pass

    env.write_now(erase)
    names = (CHANNEL.encode(), b"alexmorgan")
    for database, rows in dump(env).items():
        if database not in ("identity_facts", "accounts"):
            assert not [key for key, value in rows.items() if any(name in key + value for name in names)], database
    with env.snapshot() as txn:
        assert get_account(txn, ALEX.key) is None
        assert pairs_of(txn, ALEX.key) == []
        assert decisions_of(txn, ALEX.key) == []
    arrive(env, ALEX_IG, third, at=NOW + 60)
    assert creator_of(env, ALEX_IG) != creator_id_of(ALEX.key)
    with env.snapshot() as txn:
        assert present_id(txn, creator_id_of(ALEX.key)) is None
    assert all(ALEX.key not in cluster for cluster in clusters(env))
    check(env)


def test_what_was_read_too_long_ago_is_not_kept_to_go_back_to(env: Environment) -> None:
    """Both accounts were read again since; the handle that one had, and the creators they were, are too old."""
    one, other = youtube(handle="gearbox"), instagram("7", handle="zanzibar")
    arrive(env, one, other)
    say(env, one, other, same=True)
    arrive(env, youtube(handle="geartwo"), other, at=NOW + 100)
    limits = Limits(fields_before=NOW + 50, refresh_before=0, statistics_before=0, derives=True, asked_by_handle=False)
    with env.snapshot() as txn:
        assert set(handles_of(txn, one.key)) == {"gearbox", "geartwo"}
        assert txn.entries("former_creators") > 0
        assert expired_of(txn, one.key, limits, NOW + 200).former > 1
    expired = env.write_now(lambda txn: erase_expired(txn, one.key, limits, NOW + 200))
    assert not expired.fields
    with env.snapshot() as txn:
        assert set(handles_of(txn, one.key)) == {"geartwo"}
        assert txn.entries("former_by_account") == 0 or txn.entries("former_creators") > 0
        assert expired_of(txn, one.key, limits, NOW + 200).former == 0


def test_fields_that_expire_take_the_facts_along(env: Environment) -> None:
    """Nothing that the platform said stays readable, and who was compared with it is weighed anew."""
    arrive(env, ALEX, ALEX_IG)
    limits = Limits(fields_before=NOW + 1, refresh_before=0, statistics_before=0, derives=True, asked_by_handle=False)
    assert env.write_now(lambda txn: erase_expired(txn, ALEX.key, limits, NOW + 200)).fields
    with env.snapshot() as txn:
        assert get_facts(txn, ALEX.key) is None
        assert not [key for key, _ in txn.scan("identity_keys") if key.endswith(ALEX.key.encode())]
        assert handles_of(txn, ALEX.key) == {}
        work = [value for _, value in txn.scan("work")]
    assert any(ALEX_IG.key.encode() in value and b"AccountEmbedded" in value for value in work)
