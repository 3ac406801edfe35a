"""The OpenAPI 3.1 document, made from the types that are sent and a table of routes."""

from __future__ import annotations

from typing import Any

import msgspec

from proto.api import CreatorDetail, CreatorIdentity, CreatorSchedule, Problem, ReadyAnswer, ReviewPage, SearchAnswer

QUERY = {"type": "string", "maxLength": 512}
MOVED = "An id of a creator that was merged into another leads there."
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/search": {
        "summary": "Find creators: keywords and meaning, ranked and explained.",
        "type": SearchAnswer,
        "query": {
            "q": (QUERY, "Words to look for; empty lists everyone by quality."),
            "limit": ({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "Hits on this page."),
            "cursor": ({"type": "string"}, "The `cursor` of the page before, with the same `q`."),
            "explain": ({"type": "boolean", "default": True}, "Whether hits say how their score comes about."),
        },
        "problems": (400,),
    },
    "/v1/creators/{creator_id}": {
        "summary": "One creator with accounts, labels, vital signs and recent content.",
        "type": CreatorDetail,
        "path": {"creator_id": ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "The creator's id.")},
        "moves": MOVED,
        "problems": (400, 404),
    },
    "/v1/creators/{creator_id}/schedule": {
        "summary": "When the creator's accounts are looked at next, why, and what that costs.",
        "type": CreatorSchedule,
        "path": {"creator_id": ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "The creator's id.")},
        "moves": MOVED,
        "problems": (400, 404),
    },
    "/v1/creators/{creator_id}/identity": {
        "summary": "Why each account belongs to the creator, and which others may.",
        "type": CreatorIdentity,
        "path": {"creator_id": ({"type": "string", "pattern": "^[0-9]{1,19}$"}, "The creator's id.")},
        "moves": MOVED,
        "problems": (400, 404),
    },
    "/v1/reviews": {
        "summary": "Pairs of accounts that may be one person's and wait for an operator's word.",
        "type": ReviewPage,
        "query": {
            "cursor": ({"type": "string"}, "The `cursor` of the page before."),
            "limit": ({"type": "integer", "minimum": 1, "maximum": 100, "default": 50}, "Pairs at most."),
        },
        "problems": (400,),
    },
    "/healthz": {"summary": "Alive.", "type": dict[str, str]},
    "/readyz": {
        "summary": "What is loaded, how much is stored and what is pending; 503 until keyword search serves.",
        "type": ReadyAnswer,
        "also": (503,),
    },
    "/openapi.json": {"summary": "This document.", "type": dict[str, Any]},
}
ALWAYS = (403, 405, 421, 500, 503)
"""What any route may answer."""
TITLES = {
    400: "Bad request",
    403: "Foreign origin",
    404: "Not found",
    405: "Another method than GET",
    421: "Foreign host",
    500: "A fault of the daemon; its log has the request id",
    503: "Loading, or out of time",
}


def document(version: str) -> bytes:
    """JSON."""
    types = [route["type"] for route in ROUTES.values()]
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template="#/components/schemas/{name}")
    problem = {"content": {"application/problem+json": {"schema": schemas[-1]}}}
    paths = {
        path: {"get": _operation(route, schema, problem)}
        for (path, route), schema in zip(ROUTES.items(), schemas, strict=False)
    }
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "pokedexd", "version": version, "license": {"name": "Apache-2.0"}},
            "paths": paths,
            "components": {"schemas": components},
        }
    )


def _operation(route: dict[str, Any], schema: Any, problem: dict[str, Any]) -> dict[str, Any]:
    ok = {"description": "OK", "content": {"application/json": {"schema": schema}}}
    responses: dict[str, Any] = {"200": ok}
    for status in route.get("also", ()):
        responses[str(status)] = ok | {"description": TITLES[status]}
    if "moves" in route:
        responses["307"] = {"description": route["moves"], "headers": {"Location": {"schema": {"type": "string"}}}}
    for status in (*route.get("problems", ()), *ALWAYS):
        responses.setdefault(str(status), {"description": TITLES[status]} | problem)
    return {
        "summary": route["summary"],
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "schema": of, "description": text}
            for place in ("path", "query")
            for name, (of, text) in route.get(place, {}).items()
        ],
        "responses": responses,
    }
