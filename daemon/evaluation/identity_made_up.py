"""How well accounts of one person are found in a made-up world, of which everything is known."""

from __future__ import annotations

from collections import Counter

import msgspec

from actors.identity_resolution import Rules
from daemon.evaluation.identity import (
    Figure,
    Mistake,
    Speed,
    Tell,
    by_evidence,
    curve,
    measure,
    mistakes,
    mixed,
    pairs_by_person,
    take_in_world,
)
from daemon.evaluation.identity_files import linked_and_alike, same_strings
from daemon.evaluation.identity_world import known_accounts


class MadeUpReport(msgspec.Struct, kw_only=True):
    figure: Figure
    wrong_by_trap: dict[str, int]
    """Wrong merges by the look-alikes that both accounts are part of; ``strangers`` are part of none in common."""
    by_evidence: dict[str, dict[str, float | int]]
    curve: dict[str, Figure]
    plain_rules: dict[str, Figure]
    worst: list[Mistake]
    speed: Speed


def evaluate_made_up(accounts: int, seed: int, rules: Rules, tell: Tell) -> MadeUpReport:
    """A pure function of the rules, the number of accounts and the seed, but for the time that it takes."""
    known = mixed(known_accounts(accounts, seed), seed)
    world = take_in_world(known, rules, tell)
    right, everybody = pairs_by_person(known), {one.account.key for one in known}
    traps = {one.account.key: one.trap for one in known}
    wrong = Counter(
        traps[one] if traps[one] == traps[other] and traps[one] else "strangers" for one, other in world.merged - right
    )
    return MadeUpReport(
        figure=measure(world, right, everybody, right),
        wrong_by_trap=dict(sorted(wrong.items())),
        by_evidence=by_evidence(world, everybody, right, rules),
        curve=curve(world, right, everybody, right, rules),
        plain_rules={
            "same_string": measure(world, right, everybody, right, merged=same_strings(known)),
            "link_and_likeness": measure(world, right, everybody, right, merged=linked_and_alike(known)),
        },
        worst=mistakes(world, everybody, right, rules),
        speed=world.speed,
    )
