"""Weights of identity evidence, estimated from pairs of which it is known whether they are one person's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.identity_clusters import Pair, Thresholds
from actors.identity_evidence import Evidence
from actors.identity_resolution import Rules
from actors.identity_weights import BELIEFS, PRIOR, Weights
from daemon.evaluation.identity import Tell, World, mixed, pairs_by_person, take_in_world
from daemon.evaluation.identity_files import training
from daemon.evaluation.identity_world import known_accounts
from models.identity_weights import FittedWeights
from proto.ids import AccountKey, split_account_key

SPREAD = 4.0
"""Variance of a weight around what is believed of it (log-odds squared): what few pairs show moves it little."""
GENERATED_SHARE, GENERATED_ACCOUNTS, GENERATED_SEED = 2.0, 60_000, 7
"""The made-up world teaches what real files do not have, such as bios of both sides and look-alikes; its pairs count as
twice as much as all real ones. It is another one than figures are measured on."""
ROUNDS, CLOSE_ENOUGH = 100, 1e-9


class Example(msgspec.Struct, kw_only=True, frozen=True):
    """``count``: how much the pair counts."""

    evidence: Evidence
    same: bool
    count: float = 1.0


def examples_of(world: World, truth: Mapping[Pair, bool | None]) -> list[Example]:
    """The candidate pairs that touch an account of the truth.

    Where the truth does not know, a pair without any likeness of names that is named in passing counts as two people:
    such links are mostly guests', editors' and labels'. Other unknown pairs teach nothing.
    """
    touched: set[AccountKey] = {key for pair in truth for key in pair}
    found = []
    for pair, evidence in world.evidence.items():
        if not touched & set(pair):
            continue
        same = truth.get(pair, False)
        if same is None and not _in_passing(evidence):
            continue
        found.append(Example(evidence=evidence, same=bool(same)))
    return found


def fit_all(folders: Sequence[Path], truth: Path, thresholds: Thresholds, tell: Tell) -> FittedWeights:
    """From the files and a made-up world. Raises Malformed for files that cannot be read."""
    rules = Rules(weights=BELIEFS, thresholds=thresholds)
    known, pairs = training(folders, truth)
    real = examples_of(take_in_world(known, rules, tell, "accounts of the files"), pairs)
    made_up = mixed(known_accounts(GENERATED_ACCOUNTS, GENERATED_SEED), GENERATED_SEED)
    world = take_in_world(made_up, rules, tell, "accounts made up")
    right = pairs_by_person(made_up)
    learned = [
        Example(evidence=evidence, same=pair in right)
        for pair, evidence in sorted(world.evidence.items())
        if split_account_key(pair[0])[0] != split_account_key(pair[1])[0]
    ]
    return fit([*real, *weighted(learned, GENERATED_SHARE * len(real))])


def fit(examples: Sequence[Example], beliefs: Weights = BELIEFS, spread: float = SPREAD) -> FittedWeights:
    """Logistic regression on levels of evidence, each weight drawn to what is believed of it (a normal prior).

    Newton's method on the posterior, which has one maximum. Without examples of a level its weight is the belief.
    """
    names = sorted(beliefs)
    mean = np.array([beliefs[name] for name in names])
    rows = _rows(examples, names)
    same = np.array([example.same for example in examples], float)
    counts = np.array([example.count for example in examples])
    weights = mean.copy()

    def unlikeliness(at: NDArray[np.float64]) -> float:
        odds = rows @ at
        return float(counts @ (np.logaddexp(0, odds) - same * odds) + ((at - mean) ** 2).sum() / (2 * spread))

    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -500, 500)))
        slope = rows.T @ (counts * (same - chance)) - (weights - mean) / spread
        bend = (rows.T * (counts * chance * (1 - chance))) @ rows + np.eye(len(names)) / spread
        step = np.linalg.solve(bend, slope)
        while unlikeliness(weights + step) > unlikeliness(weights) and np.abs(step).max() >= CLOSE_ENOUGH:
            step /= 2  # far from the maximum a whole step may lead past it
        weights += step
        if np.abs(step).max() < CLOSE_ENOUGH:
            break
    fitted = {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}
    return FittedWeights(pairs=len(examples), matches=int(same.sum()), weights=fitted)


def weighted(examples: Iterable[Example], total: float) -> list[Example]:
    """The same examples, counting as much as ``total`` together."""
    found = list(examples)
    return [msgspec.structs.replace(example, count=total / len(found)) for example in found]


def _rows(examples: Sequence[Example], names: Sequence[str]) -> NDArray[np.float64]:
    """One row an example: 1 for the prior and for each level met."""
    place = {name: number for number, name in enumerate(names)}
    rows = np.zeros((len(examples), len(names)))
    rows[:, place[PRIOR]] = 1.0
    for row, example in zip(rows, examples, strict=True):
        row[[place[f"{kind}:{level}"] for kind, level in example.evidence]] = 1.0
    return rows


def _in_passing(evidence: Evidence) -> bool:
    levels = dict(evidence)
    return levels.get("handle") == "other" and levels.get("link", "") in (
        "content_sole",
        "content_first",
        "content_among",
        "content_popular",
    )
