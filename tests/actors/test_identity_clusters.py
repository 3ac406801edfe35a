from __future__ import annotations

from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.identity_clusters import CHAIN_LOG_ODDS, RIVAL_LOG_ODDS, Resolved, Thresholds, pair_of, resolve
from proto.identity import IdentityDecision, IdentityPair, Standing
from proto.ids import AccountKey, split_account_key

THRESHOLDS = Thresholds(merge=0.9, review=0.5)
SURE = THRESHOLDS.merge_from + 2 * CHAIN_LOG_ODDS
ENOUGH = THRESHOLDS.merge_from + 0.1
YT, YT2, IG, IG2, TT = (
    AccountKey(f"{one}") for one in ("youtube:a", "youtube:b", "instagram:a", "instagram:b", "tiktok:a")
)
EVERYBODY = [YT, YT2, IG, IG2, TT, AccountKey("tiktok:b"), AccountKey("x:a")]


def pair(one: AccountKey, other: AccountKey, score: float, *, explicit: bool = False) -> IdentityPair:
    first, second = pair_of(one, other)
    return IdentityPair(first=first, second=second, score=score, explicit=explicit)


def word(one: AccountKey, other: AccountKey, *, same: bool) -> IdentityDecision:
    first, second = pair_of(one, other)
    return IdentityDecision(first=first, second=second, same=same, at=1)


def resolved(*pairs: IdentityPair, words: tuple[IdentityDecision, ...] = ()) -> Resolved:
    return resolve(EVERYBODY, pairs, words, THRESHOLDS)


def together(found: Resolved, *accounts: AccountKey) -> bool:
    return any(set(accounts) <= set(cluster) for cluster in found.clusters)


def why(found: Resolved, one: AccountKey, other: AccountKey) -> str:
    return next(known.why for known in found.pairs if (known.first, known.second) == pair_of(one, other))


def test_what_scores_enough_is_merged_and_the_rest_waits() -> None:
    found = resolved(pair(YT, IG, ENOUGH), pair(YT2, IG2, THRESHOLDS.merge_from - 0.1))
    assert together(found, YT, IG)
    assert not together(found, YT2, IG2)
    assert [known.standing for known in found.pairs] == [Standing.MERGED, Standing.REVIEW]


def test_of_two_that_fit_about_as_well_neither_is_merged() -> None:
    found = resolved(pair(YT, IG, SURE), pair(YT, IG2, SURE - RIVAL_LOG_ODDS / 2))
    assert not together(found, YT, IG)
    assert "fits as well" in why(found, YT, IG)
    clear = resolved(pair(YT, IG, SURE), pair(YT, IG2, SURE - 2 * RIVAL_LOG_ODDS))
    assert together(clear, YT, IG)
    assert not together(clear, YT, IG2)


def test_two_accounts_of_a_platform_need_both_bios_or_an_operator() -> None:
    assert not together(resolved(pair(YT, IG, SURE), pair(IG, TT, SURE), pair(TT, YT2, SURE)), YT, YT2)
    assert together(resolved(pair(YT, YT2, SURE, explicit=True)), YT, YT2)
    assert together(resolved(words=(word(YT, YT2, same=True),)), YT, YT2)
    both = resolved(pair(YT, YT2, SURE, explicit=True), pair(YT, IG, SURE), pair(YT2, IG, SURE))
    assert together(both, YT, YT2, IG)


def test_a_weak_link_ties_nobody_to_strangers() -> None:
    weak = resolved(pair(YT, IG, SURE), pair(IG, TT, ENOUGH))
    assert not together(weak, IG, TT)
    assert "too weak" in why(weak, IG, TT)
    assert together(resolved(pair(YT, IG, SURE), pair(IG, TT, SURE)), YT, IG, TT)
    backed = resolved(pair(YT, IG, SURE), pair(IG, TT, ENOUGH), pair(YT, TT, THRESHOLDS.review_from + 0.1))
    assert together(backed, YT, IG, TT)


def test_an_operator_s_word_outranks_every_rule() -> None:
    apart = resolved(pair(YT, IG, SURE), words=(word(YT, IG, same=False),))
    assert not together(apart, YT, IG)
    assert apart.pairs[0].standing is Standing.REJECTED
    assert together(resolved(words=(word(YT, IG, same=True),)), YT, IG)
    through = resolved(pair(YT, TT, SURE), pair(TT, IG, SURE), words=(word(YT, IG, same=False),))
    assert not together(through, YT, IG)


scores = st.sampled_from([-1.0, 0.5, THRESHOLDS.tied_from + 0.1, ENOUGH, ENOUGH + 0.7, SURE, SURE + 2])
drawn_pairs = st.lists(
    st.tuples(st.sampled_from(list(combinations(EVERYBODY, 2))), scores, st.booleans()),
    max_size=14,
    unique_by=lambda one: one[0],
)
drawn_words = st.lists(
    st.tuples(st.sampled_from(list(combinations(EVERYBODY, 2))), st.booleans()),
    max_size=4,
    unique_by=lambda one: one[0],
)


@given(drawn_pairs, drawn_words, st.randoms(use_true_random=False))
def test_whatever_the_order_the_clusters_are_the_same_and_keep_the_rules(
    drawn: list[tuple[tuple[AccountKey, AccountKey], float, bool]],
    said: list[tuple[tuple[AccountKey, AccountKey], bool]],
    dice: object,
) -> None:
    pairs = [pair(*at, score, explicit=explicit) for at, score, explicit in drawn]
    words = tuple(word(*at, same=same) for at, same in said)
    found = resolved(*pairs, words=words)
    dice.shuffle(pairs)  # type: ignore[attr-defined]
    assert resolve(list(reversed(EVERYBODY)), pairs, words[::-1], THRESHOLDS).clusters == found.clusters
    assert sorted(account for cluster in found.clusters for account in cluster) == sorted(EVERYBODY)
    allowed = {pair_of(*at) for at, same in said if same} | {(one.first, one.second) for one in pairs if one.explicit}
    apart = {pair_of(*at) for at, same in said if not same}
    for cluster in found.clusters:
        for at in combinations(sorted(cluster), 2):
            assert at not in apart
            if split_account_key(at[0])[0] == split_account_key(at[1])[0] and not any(same for _, same in said):
                assert at in allowed


def test_who_was_called_another_is_no_rival() -> None:
    pairs = (pair(YT, IG, SURE), pair(YT, IG2, SURE))
    assert not together(resolved(*pairs), YT, IG)
    assert together(resolved(*pairs, words=(word(YT, IG2, same=False),)), YT, IG)


def test_accounts_that_are_one_already_do_not_compete() -> None:
    found = resolved(pair(YT, IG, SURE), pair(YT, IG2, SURE), words=(word(IG, IG2, same=True),))
    assert together(found, YT, IG, IG2)


def test_who_only_names_one_of_two_that_name_each_other_does_not_part_them() -> None:
    mutual = msgspec.structs.replace(pair(YT, IG, SURE), evidence=[("link:mutual", 3.8)])
    stranger = msgspec.structs.replace(pair(YT, IG2, SURE - RIVAL_LOG_ODDS / 2), evidence=[("link:bio_sole", 5.4)])
    assert together(resolved(mutual, stranger), YT, IG)
    twin = msgspec.structs.replace(stranger, evidence=[("link:mutual_among", 4.3)])
    assert not together(resolved(mutual, twin), YT, IG)
