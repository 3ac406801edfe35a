"""The admin side of searching: weights, what others would change, and the log of queries."""

from __future__ import annotations

from typing import Annotated

import msgspec
from quart import Response, request
from quart_trio import QuartTrio

from daemon.query_log import QueryLog
from daemon.tenancy import Tenancy
from daemon.web.params import decode_body, only_known, whole_number
from daemon.web.replies import json_response
from proto.records import DEFAULT_TENANT
from stores.audit import OPERATOR

PAGE = 500
MOST_TRIED = 1_000


class Trial(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Weights to be tried on the latest queries."""

    weights: dict[str, float]
    queries: Annotated[int, msgspec.Meta(ge=1, le=MOST_TRIED)] = 100


def register(app: QuartTrio, log: QueryLog, tenancy: Tenancy) -> None:
    async def tenant() -> str:
        """That the request asks about. Raises NotFound."""
        return await tenancy.present(request.args.get("tenant", DEFAULT_TENANT))

    @app.get("/v1/weights")
    async def weights() -> Response:
        only_known(request.args, ("tenant",))
        return json_response(tenancy.weights_shown(await tenant()))

    @app.put("/v1/weights")
    async def set_weights() -> Response:
        """Body: weights by name, the others stay; null: those of the settings again. In force at once."""
        data = await request.get_data()
        only_known(request.args, ("tenant",))
        changes = decode_body(data, dict[str, float] | None)  # type: ignore[arg-type]
        return json_response(await tenancy.set_weights(await tenant(), changes, OPERATOR.actor))

    @app.post("/v1/weights/what-if")
    async def what_if() -> Response:
        """Body: weights by name and how many of the latest queries; answer: how their first hits would change."""
        data = await request.get_data()
        only_known(request.args, ("tenant",))
        trial = decode_body(data, Trial)
        return json_response(await log.what_if(await tenant(), trial.weights, trial.queries))

    @app.get("/v1/queries")
    async def queries() -> Response:
        """Logged queries behind a number, a line of JSON each; nothing behind the last."""
        only_known(request.args, ("tenant", "after", "limit"))
        after = whole_number(request.args, "after", 0, 0, 1 << 53)
        limit = whole_number(request.args, "limit", PAGE, 1, PAGE)
        lines = [msgspec.json.encode(one) + b"\n" for one in await log.page(await tenant(), after, limit)]
        return Response(b"".join(lines), content_type="application/x-ndjson")
