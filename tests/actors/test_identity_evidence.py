from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.identity_evidence import Crowd, evidence_of
from actors.identity_facts import facts_of, named_key
from actors.identity_names import core, fan_words, is_fan_bio, likeness, skeleton, words
from actors.identity_weights import BELIEFS, PRIOR, log_odds, probability, score_of
from actors.reading import with_extracted
from models.identity_weights import SHIPPED, FittedWeights, load_weights, save_weights
from proto.errors import Malformed
from proto.identity import BlockKey, IdentityFacts
from proto.ids import Platform
from proto.records import ContentItem, CreatorAccount, Normalised

CHANNEL = "UCabcdefghijklmnopqrstuA"


def facts(
    platform: Platform = Platform.YOUTUBE,
    user_id: str = CHANNEL,
    *,
    handle: str = "",
    name: str = "",
    bio: str = "",
    texts: tuple[str, ...] = (),
    country: str | None = None,
    former: tuple[str, ...] = (),
    avatar: bytes = b"",
) -> IdentityFacts:
    account = CreatorAccount(
        platform=platform, platform_user_id=user_id, handle=handle, display_name=name, bio=bio, country=country
    )
    read = with_extracted(Normalised(account_key=account.key, account=account, items=[])).account
    assert read is not None
    items = [
        ContentItem(content_id=str(at), account_key=account.key, description=text) for at, text in enumerate(texts)
    ]
    return facts_of(read, items, former_handles=former, avatar=avatar)


def instagram(
    handle: str, *, name: str = "", bio: str = "", former: tuple[str, ...] = (), avatar: bytes = b""
) -> IdentityFacts:
    user_id = f"id.{handle}"
    return facts(Platform.INSTAGRAM, user_id, handle=handle, name=name, bio=bio, former=former, avatar=avatar)


def crowd_of(*known: IdentityFacts) -> Crowd:
    counts: Counter[BlockKey] = Counter(key for one in known for key in one.keys)
    return lambda key: counts[key]


def levels(
    one: IdentityFacts, other: IdentityFacts, *others: IdentityFacts, cosine: float | None = None
) -> dict[str, str]:
    found = dict(evidence_of(one, other, crowd_of(one, other, *others), cosine))
    assert found == dict(evidence_of(other, one, crowd_of(one, other, *others), cosine)), "not symmetric"
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Соловьёв LIVE", ("solovev", "live")),
        ("Müller & Söhne", ("muller", "and", "sohne")),
        ("@the.real_Jess", ("the", "real", "jess")),
        ("मीरा 🎬", ("mira",)),
        ("", ()),
    ],
)
def test_names_are_compared_in_one_alphabet_without_marks(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Gearbox Official", "gearbox"),
        ("LilMoseyVEVO", "lilmosey"),
        ("The Apple Inc.", "apple"),
        ("officialjess", "jess_tv"),
        ("Josh King Channel", "josh.king"),
    ],
)
def test_common_words_make_no_difference(one: str, other: str) -> None:
    assert core(one) == core(other)


@given(st.text(max_size=80))
def test_any_text_has_a_core_where_it_has_letters(text: str) -> None:
    assert bool(core(text)) == bool(skeleton(text))
    assert core(core(text)) in core(text)
    assert len(core(text)) <= len(skeleton(text))


@given(st.text(max_size=30), st.text(max_size=30))
def test_likeness_is_symmetric_and_a_share(one: str, other: str) -> None:
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    assert 0 <= likeness(one, other) <= 1


@pytest.mark.parametrize(
    ("handle", "name", "expected"),
    [
        ("gearbox", "", "same_rare"),
        ("kim", "", "same_short_rare"),
        ("gearboxofficial", "", "core_rare"),
        ("gearboxworldtour", "", "within"),
        ("gaerbox", "", "near"),
        ("zanzibar", "Gearbox", "named"),
        ("zanzibar", "", "other"),
    ],
)
def test_levels_of_handles(handle: str, name: str, expected: str) -> None:
    mine = "kim" if handle == "kim" else "gearbox"
    assert levels(facts(handle=mine), instagram(handle, name=name))["handle"] == expected


def test_a_name_stands_in_for_a_handle_that_is_not_known() -> None:
    assert levels(facts(name="Gear Box"), instagram("gearbox"))["handle"] == "same_rare"
    assert "handle" not in levels(facts(name=""), instagram("gearbox"))


def test_the_more_accounts_have_a_name_the_less_it_says() -> None:
    one, other = facts(handle="gearbox"), instagram("gearbox")
    more = [facts(user_id=f"UC{number:021}A", name="gearbox") for number in range(3)]
    assert levels(one, other, more[0])["handle"] == "same_few"
    assert levels(one, other, *more)["handle"] == "same_many"


@pytest.mark.parametrize(
    ("bio", "texts", "expected"),
    [
        ("instagram.com/gearbox", (), "bio_sole"),
        ("instagram.com/gearbox instagram.com/friend", (), "bio_among"),
        ("", ("instagram.com/gearbox",), "content_sole"),
        ("", ("instagram.com/gearbox",) * 2, "content_again"),
        ("", ("instagram.com/gearbox",) * 3, "content_steady"),
        ("", ("instagram.com/gearbox instagram.com/friend", "instagram.com/gearbox"), "content_mostly"),
        ("", ("instagram.com/gearbox instagram.com/friend",), "content_first"),
        ("", ("instagram.com/friend instagram.com/gearbox",), "content_among"),
        ("", ("no link",), None),
    ],
)
def test_levels_of_links(bio: str, texts: tuple[str, ...], expected: str | None) -> None:
    channel = facts(name="Something Else", bio=bio, texts=texts)
    assert levels(channel, instagram("gearbox")).get("link") == expected


def test_links_both_ways_are_mutual_and_among_others_less_so() -> None:
    back = instagram("gearbox", bio=f"youtube.com/channel/{CHANNEL}")
    assert levels(facts(bio="instagram.com/gearbox"), back)["link"] == "mutual"
    busy = instagram("gearbox", bio=f"youtube.com/channel/{CHANNEL} youtube.com/channel/UC{'b' * 21}A")
    assert levels(facts(bio="instagram.com/gearbox instagram.com/friend"), busy)["link"] == "mutual_among"


def test_a_link_to_a_handle_that_two_had_leads_to_neither_for_sure() -> None:
    channel = facts(bio="instagram.com/gearbox")
    taken_over, moved_on = instagram("gearbox"), instagram("oldgear", former=("gearbox",))
    assert levels(channel, taken_over)["link"] == "bio_sole"
    assert levels(channel, moved_on)["link"] == "bio_sole"
    assert levels(channel, taken_over, moved_on)["link"] == "disputed"
    assert levels(channel, moved_on, taken_over)["link"] == "disputed"


def test_who_names_somebody_else_is_somebody_else() -> None:
    channel = facts(handle="gearbox", bio="instagram.com/realgear")
    assert levels(channel, instagram("gearbox"))["elsewhere"] == "bio"
    assert "elsewhere" not in levels(channel, instagram("realgear"))


def test_links_and_names_that_agree_say_more() -> None:
    assert (
        levels(facts(handle="gearbox", bio="instagram.com/gearbox"), instagram("gearbox"))["accord"] == "link_and_name"
    )
    assert "accord" not in levels(facts(handle="zanzibar", bio="instagram.com/gearbox"), instagram("gearbox"))


def test_an_agency_s_website_says_little_and_shared_hosts_nothing() -> None:
    one, other = facts(bio="https://gear.example.com"), instagram("x.y", bio="gear.example.com")
    more = [instagram(f"n{number}", bio="https://gear.example.com") for number in range(4)]
    assert levels(one, other)["site"] == "same_rare"
    assert levels(one, other, *more)["site"] == "same_many"
    assert "site" not in levels(facts(bio="https://bit.ly/a"), instagram("x.y", bio="https://bit.ly/b"))
    page = levels(facts(bio="linktr.ee/gearbox"), instagram("x.y", bio="https://linktr.ee/gearbox"))
    assert page["site"] == "same_rare"
    other_page = levels(facts(bio="linktr.ee/gearbox"), instagram("x.y", bio="https://linktr.ee/other"))
    assert other_page["site"] == "other"


def test_mail_country_bio_and_alias() -> None:
    text = "mail me: a@gear.example and more about cars and boats every day"
    one, other = facts(bio=text, country="US"), instagram("gear", bio=text)
    assert levels(one, other)["email"] == "same_rare"
    assert levels(one, other)["bio"] == "same"
    assert "country" not in levels(one, other)
    assert levels(facts(), instagram("a"), cosine=0.95)["bio"] == "same"
    assert levels(facts(), instagram("a"), cosine=0.1)["bio"] == "unlike"
    assert levels(facts(bio="twitter.com/gearboxes"), instagram("gearboxes"))["alias"] == "same"


def test_an_alias_tells_nothing_where_handles_or_links_do() -> None:
    one = facts(handle="anna", bio="twitter.com/annasmith")
    assert levels(one, instagram("annasmith"))["alias"] == "same"
    assert "alias" not in levels(facts(handle="annasmith", bio="twitter.com/annasmith"), instagram("annasmith"))
    assert "alias" not in levels(facts(handle="anna", bio="instagram.com/annasmith"), instagram("annasmith"))
    assert levels(facts(handle="annasmith", bio="twitter.com/zanzibar"), instagram("annasmith"))["alias"] == "other"


def test_fan_pages_differ_from_whom_they_are_about() -> None:
    star = facts(handle="alexmorgan", name="Alex Morgan")
    for page in (
        instagram("alexmorganfans", name="Alex Morgan"),
        instagram("alexmorgan.daily", bio="Fan page of Alex Morgan. Not affiliated."),
    ):
        assert levels(star, page)["fan"] == "one"
    assert fan_words("Alex Morgan Fans") == ["fans"]
    assert not is_fan_bio("I love my fans and make videos about cars")


def test_a_name_of_words_that_many_have_is_not_rare() -> None:
    one, other = facts(handle="mariasilva", name="Maria Silva"), instagram("mariasilva")
    crowds = crowd_of(one, other)

    def crowded(key: BlockKey) -> int:
        return 21 if key[:1] == b"t" else crowds(key)

    assert dict(evidence_of(one, other, crowds))["handle"] == "same_rare"
    assert dict(evidence_of(one, other, crowded))["handle"] == "same_common"
    everyday = dict(evidence_of(one, other, lambda key: 201 if key[:1] == b"t" else crowds(key)))
    assert everyday["handle"] == "same_everyday"


@pytest.mark.parametrize(
    ("handle", "expected"), [("gearboxclips", "perhaps"), ("daily.gearbox", "perhaps"), ("gearboxtv", None)]
)
def test_some_words_may_mark_an_account_about_somebody(handle: str, expected: str | None) -> None:
    assert levels(facts(handle="gearbox"), instagram(handle)).get("fan") == expected


def test_a_catalogue_of_links_is_read_up_to_a_bound() -> None:
    bio = " ".join(f"instagram.com/account{number}" for number in range(400))
    known = facts(bio=bio, texts=(bio,))
    assert len(known.bio_named) == len(known.content_named) == 100
    assert len(known.keys) < 600


def test_names_of_accounts_are_stored_as_hashes() -> None:
    """What is said of others must not be found under their names once they are forgotten."""
    known = facts(bio="instagram.com/secretperson and twitch.tv/other", texts=("instagram.com/secretguest",))
    stored = b"".join([*known.keys, *known.bio_named, *(name for name, _, _ in known.content_named)])
    assert b"secret" not in stored
    assert named_key("instagram", "SecretPerson") in known.bio_named


@given(st.floats(0.001, 0.999))
def test_probabilities_and_log_odds_are_two_ways_to_say_it(share: float) -> None:
    assert probability(log_odds(share)) == pytest.approx(share)


def test_a_score_is_the_sum_of_its_parts() -> None:
    score, parts = score_of([("handle", "same_rare"), ("fan", "one")], BELIEFS)
    assert score == pytest.approx(BELIEFS[PRIOR] + sum(weight for _, weight in parts))
    assert [name for name, _ in parts] == ["handle:same_rare", "fan:one"]


def test_shipped_weights_know_every_level_and_files_that_do_not_are_refused(tmp_path: Path) -> None:
    assert set(load_weights(SHIPPED, BELIEFS)) == set(BELIEFS)

    path = tmp_path / "weights.json"
    with pytest.raises(Malformed, match="no fitted weights"):
        load_weights(path, BELIEFS)
    save_weights(path, FittedWeights(pairs=1, matches=1, weights={"prior": 0.0}))
    with pytest.raises(Malformed, match="lacks"):
        load_weights(path, BELIEFS)


def test_equal_handles_under_two_names_are_a_conflict() -> None:
    one = facts(handle="glowdesol", name="Matt Stanham")
    assert levels(one, instagram("glowdesol", name="Sam Woodfield"))["name"] == "conflict"
    assert "name" not in levels(one, instagram("glowdesol", name="Matt Stanham"))
    assert "name" not in levels(one, instagram("glowdesol", name="Glow de Sol"))


def test_however_many_strangers_name_them_two_that_name_each_other_stay_so() -> None:
    channel = facts(handle="gearbox", bio="instagram.com/gear.box")
    profile = instagram("gear.box", bio=f"youtube.com/channel/{CHANNEL}")
    strangers = [
        instagram(f"stranger{number}", bio=f"youtube.com/channel/{CHANNEL} instagram.com/gear.box")
        for number in range(60)
    ]
    assert levels(channel, profile)["link"] == "mutual"
    assert levels(channel, profile, *strangers)["link"] == "mutual"
    assert levels(channel, strangers[0], *strangers)["link"] == "bio_popular"


def test_pictures_alike_speak_for_a_pair_unless_many_have_them() -> None:
    bits, scaled, other = b"\x0f" * 8, b"\x0f" * 7 + b"\x0e", b"\xf0" * 8
    mine = facts(handle="gearbox", avatar=bits)
    many = [facts(user_id=f"UC{number:021}A", avatar=bits) for number in range(4)]
    assert levels(mine, instagram("zanzibar", avatar=scaled))["avatar"] == "same_rare"
    assert levels(mine, instagram("zanzibar", avatar=scaled), *many)["avatar"] == "same_many"
    assert "avatar" not in levels(mine, instagram("zanzibar", avatar=other))
    assert "avatar" not in levels(mine, instagram("zanzibar"))
