"""How the figures of `pokedexd eval niche` look: tables on a terminal, a confusion matrix as a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from daemon.evaluation.niche import Report, Score, Source
from models.taxonomy import Taxonomy
from proto.errors import Malformed

SHOWN = 12
"""Most languages, countries and mistaken niches in a picture."""
STYLE = """
body{font:14px system-ui,sans-serif;margin:2rem;color:#222;background:#fff}table{border-collapse:collapse;margin:1rem 0 2rem}
th,td{padding:.25rem .5rem;text-align:right;border:1px solid #ddd}th:first-child{text-align:left}
thead th{writing-mode:vertical-rl;text-align:left;vertical-align:bottom}.right{outline:2px solid #2a7}
"""


def pictures(report: Report) -> Iterator[Table | Text]:
    """One after the other, for a terminal."""
    for name, source in report.sources.items():
        rows = {f"{name}, local classifier": source} | source.baselines
        yield _scores(rows)
        if len(source.by_language) > 1:
            yield _by_language(source)
        if len(source.by_country) > 1:
            yield _scores({f"country {one}": group for one, group in list(source.by_country.items())[:SHOWN]})
        yield _abstention(source)
    yield Text(
        f"{report.part} creators; {report.model}; taxonomy {report.taxonomy_version}; "
        f"{report.creators_per_second:,.0f} creators labelled a second. Every label counts alike, but for the columns "
        "called plain; abstaining is wrong."
    )


def write_page(path: Path, report: Report, taxonomy: Taxonomy) -> None:
    """Confusion matrices as one HTML file without scripts. Raises Malformed where it cannot be written."""
    parts = [f"<!doctype html><meta charset=utf-8><title>What creators are about</title><style>{STYLE}</style>"]
    for name, source in report.sources.items():
        parts.append(f"<h2>{html.escape(name)}: label against niche, share of the label's creators in %</h2>")
        parts.append(_matrix(source, taxonomy))
    try:
        path.write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise Malformed(f"{path}: cannot be written ({error.strerror}); name another file") from error


def _matrix(source: Source, taxonomy: Taxonomy) -> str:
    said = sorted({niche for counts in source.confusion.values() for niche in counts})
    heads = "".join(f"<th>{html.escape(taxonomy.name_of(niche) if niche else 'nothing')}" for niche in said)
    rows = []
    for label, counts in source.confusion.items():
        total = sum(counts.values())
        cells = "".join(_cell(counts.get(niche, 0) / total) for niche in said)
        rows.append(f"<tr><th>{html.escape(label)} ({total})</th>{cells}")
    return f"<table><thead><tr><th></th>{heads}</thead>{''.join(rows)}</table>"


def _cell(share: float) -> str:
    return f'<td style="background:rgba(20,110,180,{share:.2f})">{100 * share:.0f}' if share >= 0.005 else "<td>"


def _scores(rows: Mapping[str, Score]) -> Table:
    table = _table("", "creators", "balanced", "top 3", "macro F1", "surest half", "plain", "half plain", "abstained")
    for name, one in rows.items():
        shares = (one.balanced, one.top3, one.macro_f1, one.confident_half, one.top1, one.confident_half_plain)
        table.add_row(name, f"{one.n:,}", *(f"{share:.3f}" for share in shares), f"{one.abstained:.1%}")
    return table


def _by_language(source: Source) -> Table:
    """Balanced, beside the baselines."""
    table = _table(
        "balanced, by language", "creators", "local classifier", *source.baselines_by_language, "surest half"
    )
    for language, one in list(source.by_language.items())[:SHOWN]:
        beside = [f"{found[language]:.3f}" for found in source.baselines_by_language.values()]
        row = [f"{one.n:,}", f"{one.balanced:.3f}", *beside, f"{one.confident_half:.3f}"]
        table.add_row(language, *row)
    return table


def _abstention(source: Source) -> Table:
    table = _table("from this confidence on", "labelled", "right", "")
    for threshold, coverage, right in source.abstention:
        table.add_row(f"{threshold:.1f}", f"{coverage:.1%}", f"{right:.1%}", "█" * round(40 * right))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 or not heading else "right")
    return table
