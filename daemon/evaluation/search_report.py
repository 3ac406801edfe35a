"""How the figures of `pokedexd eval search` look: run tables with bars on a terminal, and as a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table
from rich.text import Text

from daemon.evaluation.search import (
    HYBRID,
    HYBRID_RRF,
    KEYWORD,
    PLAIN,
    SEMANTIC,
    SHUFFLED,
    Figures,
    Gap,
    Report,
    Reports,
)
from proto.errors import Malformed

BAR_CHARS = 40
BAR_PIXELS, ROW_PIXELS, LABEL_PIXELS = 480, 22, 190
NAMES = {
    KEYWORD: "keyword",
    SEMANTIC: "semantic, best field",
    HYBRID: "hybrid, weighted",
    HYBRID_RRF: "hybrid, reciprocal ranks",
    PLAIN: "plain BM25",
    SHUFFLED: "hybrid, judgments shuffled",
}
COLOURS = {KEYWORD: "#8aa5c9", SEMANTIC: "#b9a3cf", HYBRID: "#2a9d6f", HYBRID_RRF: "#7cc4a4", PLAIN: "#c9c9c9"}
STYLE = "body{font:14px system-ui,sans-serif;margin:2rem;color:#222;background:#fff}svg text{font-size:13px}"


def pictures(reports: Reports) -> Iterator[Table | Text]:
    """One after the other, for a terminal."""
    for name, report in _parts(reports).items():
        yield _run_table(name, report)
        for method, gap in report.differences.items():
            yield Text(f"{NAMES[method]} less {NAMES[gap.against]}: {_gap(gap)}")
    weights = reports.weights
    yield Text(
        f"{reports.model}; weights: keyword {weights.keyword:g}, vector {weights.vector:g}, quality {weights.quality:g}; "
        "intervals: 95 %, by resampling queries; every set counts alike in the mean"
    )
    if reports.sweep:
        yield _sweep_table(reports)


def write_page(path: Path, reports: Reports) -> None:
    """nDCG@10 with intervals as one HTML file without scripts. Raises Malformed where it cannot be written."""
    parts = [f"<!doctype html><meta charset=utf-8><title>How well search ranks</title><style>{STYLE}</style>"]
    for name, report in _parts(reports).items():
        parts.append(f"<h2>{html.escape(_title(name, report))}: nDCG@10</h2>{_bars(report)}")
        gaps = (f"{NAMES[method]} less {NAMES[gap.against]}: {_gap(gap)}" for method, gap in report.differences.items())
        parts.append("".join(f"<p>{html.escape(text)}" for text in gaps))
    try:
        path.write_text("\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise Malformed(f"{path}: cannot be written ({error.strerror}); name another file") from error


def _parts(reports: Reports) -> Mapping[str, Report]:
    return reports.sets if len(reports.sets) == 1 else reports.sets | {"mean": reports.mean}


def _title(name: str, report: Report) -> str:
    return f"{name}, {report.queries:,} queries ({report.part}), {report.documents:,} documents"


def _figures(report: Report) -> dict[str, Figures]:
    """In the order in which they are shown."""
    return {
        KEYWORD: report.keyword,
        SEMANTIC: report.semantic,
        HYBRID: report.hybrid,
        HYBRID_RRF: report.hybrid_rrf,
        PLAIN: report.plain_bm25,
        SHUFFLED: report.shuffled,
    }


def _run_table(name: str, report: Report) -> Table:
    table = _table(_title(name, report), "nDCG@10", "95 %", "MAP", "recall@100", "MRR", "")
    for method, one in _figures(report).items():
        label = f"{NAMES[method]} ({report.semantic_field})" if method == SEMANTIC else NAMES[method]
        _add(table, label, one, report.intervals[method])
    for field, one in report.fields.items():
        if field != report.semantic_field:
            _add(table, f"field {field}", one, None)
    return table


def _add(table: Table, label: str, one: Figures, interval: tuple[float, float] | None) -> None:
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    shares = (f"{share:.3f}" for share in (one.map, one.recall_100, one.mrr))
    table.add_row(label, f"{one.ndcg_10:.3f}", between, *shares, "█" * round(BAR_CHARS * one.ndcg_10))


def _gap(gap: Gap) -> str:
    verdict = "better" if gap.low > 0 else "worse" if gap.high < 0 else "no clear difference"
    return f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}): {verdict}"


def _sweep_table(reports: Reports) -> Table:
    """Best first."""
    names = list(reports.sets)
    table = _table("keyword, on the odd queries", "vector", "quality", *names, "mean", "")
    for one in sorted(reports.sweep, key=lambda point: -point.mean):
        shares = (f"{share:g}" for share in (one.keyword, one.vector, one.quality))
        figures = (f"{figure:.3f}" for figure in (*(one.sets[name] for name in names), one.mean))
        table.add_row(*shares, *figures, "█" * round(BAR_CHARS * one.mean))
    return table


def _bars(report: Report) -> str:
    """Bars with whiskers for the intervals."""
    shown = [(method, one) for method, one in _figures(report).items() if method in COLOURS]
    rows = []
    for place, (method, one) in enumerate(shown):
        top, (low, high) = place * ROW_PIXELS, report.intervals[method]
        middle = top + ROW_PIXELS / 2
        ends = [LABEL_PIXELS + BAR_PIXELS * share for share in (one.ndcg_10, low, high)]
        rows.append(
            f'<text x="0" y="{middle + 4:.0f}">{html.escape(NAMES[method])}</text>'
            f'<rect x="{LABEL_PIXELS}" y="{top + 3}" width="{BAR_PIXELS * one.ndcg_10:.1f}" height="{ROW_PIXELS - 6}" '
            f'fill="{COLOURS[method]}"/>'
            f'<path d="M{ends[1]:.1f} {middle}H{ends[2]:.1f}" stroke="#222" fill="none"/>'
            f'<text x="{ends[2] + 6:.1f}" y="{middle + 4:.0f}">{one.ndcg_10:.3f}</text>'
        )
    width, height = LABEL_PIXELS + BAR_PIXELS + 60, len(shown) * ROW_PIXELS
    return f'<svg width="{width}" height="{height}" role="img">{"".join(rows)}</svg>'


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2), title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 or not heading else "right")
    return table
