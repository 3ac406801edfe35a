"""The admin side of searching: weights, what others would change, and the log of queries."""

from __future__ import annotations

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.query_log import QueryLog
from daemon.tenancy import Tenancy
from daemon.web.params import decode_body, only_known, whole_number
from daemon.web.replies import json_response
from proto.records import DEFAULT_TENANT

PAGE = 500
OPERATOR = "operator"
MOST_TRIED = 1_000


class Trial(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Weights to be tried on the latest queries."""

    weights: dict[str, float]
    queries: int = 100


def register(app: QuartTrio, log: QueryLog, tenancy: Tenancy) -> None:
    @app.get("/v1/weights")
    async def weights() -> Response:
        only_known(request.args, ("tenant",))
        return json_response(tenancy.weights_shown(_tenant()))

    @app.put("/v1/weights")
    async def set_weights() -> Response:
        """Body: weights by name, the others stay; null: those of the settings again. In force at once."""
        data = await request.get_data()
        only_known(request.args, ("tenant",))
        changes = decode_body(data, dict[str, float] | None)  # type: ignore[arg-type]
        return json_response(await tenancy.set_weights(_tenant(), changes, OPERATOR))

    @app.post("/v1/weights/what-if")
    async def what_if() -> Response:
        """Body: weights by name and how many of the latest queries; answer: how their first hits would change."""
        data = await request.get_data()
        only_known(request.args, ("tenant",))
        trial = decode_body(data, Trial)
        queries = max(0, min(trial.queries, MOST_TRIED))
        return json_response(await log.what_if(_tenant(), trial.weights, queries))

    @app.get("/v1/queries")
    async def queries() -> Response:
        """Logged queries behind a number, a line of JSON each; nothing behind the last."""
        only_known(request.args, ("tenant", "after", "limit"))
        after = whole_number(request.args, "after", 0, 0, 1 << 53)
        limit = whole_number(request.args, "limit", PAGE, 1, PAGE)
        lines = [msgspec.json.encode(one) + b"\n" for one in await log.page(_tenant(), after, limit)]
        return Response(b"".join(lines), content_type="application/x-ndjson")


def _tenant() -> str:
    return request.args.get("tenant", DEFAULT_TENANT)
