"""What `pokedexd eval identity` does with its options, and how its figures look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from daemon.config import Config
from daemon.evaluation.identity import Figure, Mistake, Speed, Tell
from daemon.evaluation.identity_files import Report, evaluate
from daemon.evaluation.identity_fit import fit_all
from daemon.evaluation.identity_made_up import MadeUpReport, evaluate_made_up
from daemon.pipeline import identity_rules
from models.identity_weights import FittedWeights, save_weights
from proto.errors import Malformed

BAR_CHARS = 40


def run(
    folders: Sequence[Path], truth: Path | None, accounts: int, seed: int, fit: Path | None, config: Config, tell: Tell
) -> Report | MadeUpReport | FittedWeights:
    """Raises Malformed for options that do not go together, and for files that cannot be read."""
    rules = identity_rules(config)
    if bool(folders) != bool(truth):
        raise Malformed("--world and --truth go together: the accounts, and which of them are one person's")
    if truth is None:
        if fit is not None:
            raise Malformed("--fit needs known pairs: --world DIR --truth FILE")
        return evaluate_made_up(accounts, seed, rules, tell)
    if fit is None:
        return evaluate(folders, truth, rules, tell)
    fitted = fit_all(folders, truth, rules.thresholds, tell)
    save_weights(fit, fitted)
    return fitted


def pictures(report: Report | MadeUpReport | FittedWeights) -> Iterator[Table | Text]:
    if isinstance(report, FittedWeights):
        yield Text(f"fitted on {report.pairs:,} pairs, {report.matches:,} of them one person's")
        yield _weights(report.weights)
    elif isinstance(report, Report):
        yield from _files(report)
    else:
        yield from _made_up(report)


def _files(report: Report) -> Iterator[Table | Text]:
    groups = {
        "self declared and high": report.self_declared_and_high,
        "high and medium": report.high_and_medium,
        "curated": report.curated,
    }
    yield _figures(groups | {f"plain rule: {name.replace('_', ' ')}": one for name, one in report.plain_rules.items()})
    for name, curve in report.curves.items():
        yield _curve(name, curve)
    for name, kinds in report.by_evidence.items():
        yield _by_evidence(name, kinds)
    yield Text(
        f"of the rows of low quality, which are no truth, {report.low_merged:.1%} were merged; "
        f"{report.extraction['share']:.1%} of {report.extraction['n']:,} handles were read off descriptions"
    )
    yield from _mistakes([one for found in report.worst.values() for one in found])
    yield _speed(report.speed)


def _made_up(report: MadeUpReport) -> Iterator[Table | Text]:
    plain = {f"plain rule: {name.replace('_', ' ')}": one for name, one in report.plain_rules.items()}
    yield _figures({"made-up world": report.figure} | plain)
    yield _curve("made-up world", report.curve)
    yield _by_evidence("made-up world", report.by_evidence)
    yield Text(f"wrong merges by look-alike: {report.wrong_by_trap or 'none'}")
    yield from _mistakes(report.worst)
    yield _speed(report.speed)


def _figures(figures: Mapping[str, Figure]) -> Table:
    table = _table("", "precision", "95 %", "recall", "95 %", "F1", "95 %", "pairs", "merged", "wrong")
    for name, one in figures.items():
        table.add_row(
            name,
            f"{one.precision:.4f}",
            _interval(one.precision_interval),
            f"{one.recall:.4f}",
            _interval(one.recall_interval),
            f"{one.f1:.4f}",
            _interval(one.f1_interval),
            f"{one.n:,}",
            f"{one.merged:,}",
            f"{one.wrong:,}",
        )
    return table


def _curve(name: str, curve: Mapping[str, Figure]) -> Table:
    """Recall drawn, precision written: what each threshold gives."""
    table = _table(f"{name}: from this probability on", "precision", "recall", "")
    for threshold, one in curve.items():
        bar = "█" * round(BAR_CHARS * one.recall)
        table.add_row(threshold, f"{one.precision:.4f}", f"{one.recall:.4f}", bar)
    return table


def _by_evidence(name: str, kinds: Mapping[str, Mapping[str, float | int]]) -> Table:
    table = _table(f"{name}: merged for", "pairs", "precision")
    for kind, one in kinds.items():
        table.add_row(kind, f"{one['merged']:,}", f"{one['precision']:.4f}")
    return table


def _mistakes(found: Sequence[Mistake]) -> Iterator[Text]:
    for one in found:
        said = ", ".join(f"{part} {weight:+.1f}" for part, weight in one.evidence)
        yield Text(f"wrong, log-odds {one.score:.1f}: {one.names[0]} = {one.names[1]} ({said})")


def _speed(speed: Speed) -> Text:
    tenths = ", ".join(f"{one:.2f}" for one in speed.milliseconds_per_account)
    return Text(
        f"{speed.accounts:,} accounts in {speed.seconds:.0f} s, {speed.accounts_per_second:,.0f} a second; "
        f"{speed.compared_per_account:.2f} candidates compared an account; ms an account by tenths: {tenths}"
    )


def _weights(weights: Mapping[str, float]) -> Table:
    table = _table("evidence", "log-odds")
    for name, weight in weights.items():
        table.add_row(name, f"{weight:+.2f}")
    return table


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 or not heading else "right")
    return table
