"""A list of accounts brought in through the page: a file, or lines; a verdict for each row."""

from __future__ import annotations

from collections import Counter

from quart import Response, abort, request
from quart_trio import QuartTrio

from daemon.importing import mark_duplicates, rows_of
from daemon.web.authorising import needs
from daemon.web.forms import posted
from daemon.web.rendering import Pages
from daemon.web.services import PublicServices
from daemon.web.viewer import ADMIN, viewer_with
from proto.errors import Malformed

MOST_ROWS = 10_000
"""The command line takes any number."""
SHOWN = 500


def register(app: QuartTrio, services: PublicServices, pages: Pages) -> None:
    @app.get("/import")
    @needs(ADMIN)
    async def import_page() -> Response:
        return pages.render("import.html", viewer_with(ADMIN), verdicts=None, counts={}, shown=SHOWN, wrong="")

    @app.post("/import")
    @needs(ADMIN)
    async def import_file() -> Response:
        who = viewer_with(ADMIN)
        form = await posted(who)
        if services.operations is None:
            abort(404)
        try:
            rows = await _rows(form.get("lines", ""))
        except Malformed as error:
            return pages.render("import.html", who, 400, verdicts=None, counts={}, shown=SHOWN, wrong=str(error))
        verdicts = mark_duplicates(list(await services.operations.import_rows(rows, who.by)), rows)
        return pages.render(
            "import.html",
            who,
            verdicts=verdicts[:SHOWN],
            counts=Counter(one.verdict for one in verdicts),
            shown=SHOWN,
            wrong="",
        )


async def _rows(lines: str) -> list[tuple[int, str]]:
    """Of the file, else of the lines. Raises Malformed."""
    file = (await request.files).get("file")
    name, data = ("lines.csv", lines.encode()) if file is None else (file.filename or "", file.read())
    if not data.strip():
        name, data = "lines.csv", lines.encode()
    rows = list(rows_of(data, name))
    if not rows:
        raise Malformed("choose a file, or write a line for each account")
    if len(rows) > MOST_ROWS:
        raise Malformed(f"{len(rows):,} rows are too many for this page; say: pokedexd import FILE")
    return rows
