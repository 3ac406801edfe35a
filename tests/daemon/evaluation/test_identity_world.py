"""The identity world: the same from the same seed, true to its shares, and solvable from what it shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from difflib import SequenceMatcher

import pytest

from actors.extraction import handles, is_link_page
from actors.extraction_links import host_of, platform_of
from actors.reading import with_extracted
from daemon.evaluation.identity import Known
from daemon.evaluation.identity_world import TRAPS, known_accounts
from proto.ids import Platform
from proto.records import CreatorAccount, Normalised

SEED, COUNT = 11, 5_000
YOUTUBE, INSTAGRAM = Platform.YOUTUBE, Platform.INSTAGRAM


@pytest.fixture(scope="module")
def known() -> list[Known]:
    print(f"seed {SEED}, {COUNT} accounts")
    return known_accounts(COUNT, SEED)


@pytest.fixture(scope="module")
def people(known: list[Known]) -> dict[str, list[Known]]:
    found = defaultdict(list)
    for one in known:
        found[one.person].append(one)
    return found


def own_names(account: CreatorAccount) -> set[tuple[str, str]]:
    """As texts may name the account."""
    name = account.handle.lower()
    if account.platform is INSTAGRAM:
        return {(INSTAGRAM, name)}
    return {(YOUTUBE, f"@{name}"), (YOUTUBE, account.platform_user_id)}


def said_in_bio(one: Known) -> set[tuple[str, str]]:
    return {(found.platform, found.handle) for found in handles(f"{one.account.website}\n{one.account.bio}")}


def said_in_items(one: Known) -> set[tuple[str, str]]:
    texts = (f"{item.title_or_caption}\n{item.description}" for item in one.items)
    return {(found.platform, found.handle) for text in texts for found in handles(text)}


def sites(account: CreatorAccount) -> set[str]:
    """Own websites and pages of links; profiles on platforms are not among them."""
    urls = [url for url in account.links if platform_of(host_of(url)) is None]
    return {url if is_link_page(url) else host_of(url) for url in urls}


def plain(handle: str) -> str:
    return "".join(letter for letter in handle.lower() if letter.isalnum())


def traces(one: Known, other: Known) -> set[str]:
    """What tells that both are one person's."""
    a, b = one.account, other.account
    first, second = plain(a.handle), plain(b.handle)
    said, also_said = said_in_bio(one), said_in_bio(other)
    found = {
        "handle": first in second or second in first or SequenceMatcher(None, first, second).ratio() > 0.8,
        "bio": bool(said & own_names(b) or also_said & own_names(a)),
        "items": bool(said_in_items(one) & own_names(b)),
        "site": bool(sites(a) & sites(b)),
        "email": bool(set(a.emails) & set(b.emails)),
        "prose": a.bio.split("\n")[0] == b.bio.split("\n")[0],
        "elsewhere": bool(said & also_said or b.handle.lower() in {handle for _, handle in said}),
    }
    return {name for name, is_there in found.items() if is_there}


def pairs(people: dict[str, list[Known]]) -> list[tuple[Known, Known]]:
    """The first channel and the profile of everyone who has both."""
    found = []
    for accounts in people.values():
        by_platform = {one.account.platform: one for one in reversed(accounts)}
        if len(by_platform) == 2:
            found.append((by_platform[YOUTUBE], by_platform[INSTAGRAM]))
    return found


def test_the_same_seed_gives_the_same_world_and_another_one_another() -> None:
    assert known_accounts(300, 1) == known_accounts(300, 1)
    assert known_accounts(300, 1) != known_accounts(300, 2)


@pytest.mark.parametrize("count", [0, 1, 7, 299])
def test_a_smaller_world_is_the_beginning_of_a_larger_one(count: int) -> None:
    assert known_accounts(count, 3) == known_accounts(300, 3)[:count]


def test_keys_contents_and_handles_are_unique(known: list[Known]) -> None:
    assert len({one.account.key for one in known}) == COUNT
    assert len({(one.account.platform, one.account.handle.lower()) for one in known}) == COUNT
    items = [item for one in known for item in one.items]
    assert len({item.content_id for item in items}) == len(items)


def test_records_are_as_the_normaliser_writes_them(known: list[Known]) -> None:
    for one in known[:1_000]:
        account = one.account
        read = with_extracted(Normalised(account_key=account.key, account=account, items=one.items))
        assert read.account == account
        assert read.items == one.items
        assert 3 <= len(one.items) <= 6
        assert all(item.account_key == account.key for item in one.items)
        assert account.fetched_at
        if account.platform is YOUTUBE:
            assert account.platform_user_id.startswith("UC")
            assert len(account.platform_user_id) == 24
            assert not account.website
        else:
            assert account.platform_user_id.isdigit()
            assert account.handle.islower() or not any(letter.isalpha() for letter in account.handle)


def test_platforms_can_look_the_handles_up(known: list[Known]) -> None:
    for one in known:
        handle = one.account.handle
        url = f"https://{one.account.platform.value}.com/{'@' if one.account.platform is YOUTUBE else ''}{handle}"
        assert [found.handle.removeprefix("@") for found in handles(url)] == [handle.lower()], url


def test_some_descriptions_lost_their_newlines(known: list[Known]) -> None:
    long = [item.description for one in known for item in one.items if "http" in item.description]
    assert 0.03 < sum("\n" not in text for text in long) / len(long) < 0.2


def test_traps_have_their_shares(known: list[Known]) -> None:
    counts = Counter(one.trap for one in known)
    assert set(counts) == {"", *TRAPS}
    for name, trap in TRAPS.items():
        assert counts[name] / COUNT == pytest.approx(trap.share, abs=0.016), name  # the last agency may be large
    assert counts[""] / COUNT == pytest.approx(0.88, abs=0.02)


def test_just_under_half_of_the_people_are_on_both_platforms(people: dict[str, list[Known]]) -> None:
    assert len(pairs(people)) / len(people) == pytest.approx(0.45, abs=0.04)


def test_nearly_everyone_on_both_platforms_leaves_a_trace(people: dict[str, list[Known]]) -> None:
    found = [traces(*pair) for pair in pairs(people)]
    assert sum(not one for one in found) / len(found) <= 0.03
    shares = {name: count / len(found) for name, count in Counter(name for one in found for name in one).items()}
    print({name: round(share, 3) for name, share in shares.items()})
    expected = {"handle": 0.8, "bio": 0.7, "items": 0.62, "site": 0.3, "email": 0.29, "prose": 0.25}
    for name, share in expected.items():
        assert shares[name] == pytest.approx(share, abs=0.08), name


def test_one_account_per_platform_save_channels_that_link_each_other(people: dict[str, list[Known]]) -> None:
    second_channels = 0
    for accounts in people.values():
        counts = Counter(one.account.platform for one in accounts)
        assert counts[INSTAGRAM] <= 1
        assert counts[YOUTUBE] <= 2
        if counts[YOUTUBE] == 2:
            one, other = (one for one in accounts if one.account.platform is YOUTUBE)
            assert said_in_bio(one) & own_names(other.account)
            assert said_in_bio(other) & own_names(one.account)
            second_channels += 1
    assert 0.003 < second_channels / len(people) < 0.02


def test_strangers_share_no_address_outside_of_traps(known: list[Known]) -> None:
    owners = defaultdict(set)
    for one in known:
        if not one.trap:
            for name in (*one.account.emails, *sites(one.account)):
                owners[name].add(one.person)
    assert {name: people for name, people in owners.items() if len(people) > 1} == {}


def of_trap(known: list[Known], trap: str) -> list[Known]:
    return [one for one in known if one.trap == trap]


def test_common_handles_are_of_two_people(known: list[Known]) -> None:
    owner = {(one.account.platform, one.account.handle.lower()): one.person for one in of_trap(known, "common_handle")}
    both = [handle for platform, handle in owner if platform is YOUTUBE and (INSTAGRAM, handle) in owner]
    assert sum(owner[YOUTUBE, handle] != owner[INSTAGRAM, handle] for handle in both) >= 10


@pytest.mark.parametrize("trap", ["twins", "fan", "brand_family"])
def test_these_strangers_link_each_other_in_their_bios(known: list[Known], trap: str) -> None:
    named = {name: one.person for one in known for name in own_names(one.account)}
    linking = [
        one for one in of_trap(known, trap) if {named.get(name, one.person) for name in said_in_bio(one)} - {one.person}
    ]
    assert len(linking) > 0.3 * len(of_trap(known, trap))


def test_agencies_share_an_address(known: list[Known]) -> None:
    owners = defaultdict(set)
    for one in of_trap(known, "agency"):
        for name in (*one.account.emails, *sites(one.account)):
            owners[name].add(one.person)
    sizes = sorted(len(people) for people in owners.values())
    assert sizes[-1] >= 8
    assert any(2 <= size <= 4 for size in sizes)


def test_hosts_name_several_strangers(known: list[Known]) -> None:
    named = {name: one.person for one in known for name in own_names(one.account)}
    hosts = [one for one in of_trap(known, "guest") if one.account.platform is YOUTUBE]
    assert hosts
    for host in hosts:
        assert len({named.get(name) for name in said_in_items(host)} - {host.person, None}) >= 2
