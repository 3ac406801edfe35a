"""The OpenAPI 3.1 document, made from the types that are sent and the table of routes."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.web.authorising import ANYBODY, CSRF_HEADER, KNOWN, SESSION_COOKIE
from daemon.web.routes import ROUTES, SEARCH, Route
from proto.api import Problem
from stores.filter_ast import Node

ALWAYS = (403, 405, 414, 421, 500, 503)
"""What any route may answer."""
TITLES = {
    400: "A parameter, a body or a filter that is wrong: `pointer` names the place",
    401: "Nobody is known by this key, or none was given",
    403: "Foreign origin, or a scope that the key does not have",
    404: "Not found",
    405: "Another method than the path has",
    409: "What is to be changed is not as the request has it",
    412: "What `If-Match` names is not how it is stored now: `current` has that",
    413: "The body is too large",
    414: "The URL is too long",
    415: "The body is no JSON",
    421: "Foreign host",
    429: "The key has asked too often: `Retry-After` says when to come again",
    500: "A fault of the daemon; its log has the request id",
    503: "Loading, or out of time",
}
SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key (`pkd_…`) or a token of the identity provider. While there is neither key nor identity "
        "provider, nobody is asked for one. `x-scope` of an operation says which scope it takes.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SESSION_COOKIE,
        "description": f"Set by `POST /v1/session`. A change that comes with it brings `{CSRF_HEADER}` along.",
    },
}
LIMITS = ("enum", "minimum", "maximum", "maxLength", "items")
IF_MATCH = (
    {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
        "description": "The ETag as it was read: where it has changed since, it stays and 412 says how it is.",
    },
)
REF = "#/components/schemas/{name}"
TREE = "FilterTree"


def document(version: str) -> bytes:
    """JSON."""
    types = [one for route in ROUTES for one in (route.answer, route.body) if one is not None]
    schemas, components = msgspec.json.schema_components([*types, Node, Problem], ref_template=REF)
    by_type = dict(zip([repr(one) for one in types], schemas, strict=False))
    problem = {"content": {"application/problem+json": {"schema": schemas[-1]}}}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route, by_type, problem)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "pokedexd", "version": version, "license": {"name": "Apache-2.0"}},
            "paths": paths,
            "components": {"schemas": _refined(components) | {TREE: schemas[-2]}, "securitySchemes": SCHEMES},
        }
    )


def _operation(route: Route, by_type: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): _ok(route, by_type)}
    for status in route.also:
        responses[str(status)] = _ok(route, by_type) | {"description": TITLES[status]}
    if route.moves:
        responses["307"] = {"description": route.moves, "headers": {"Location": {"schema": {"type": "string"}}}}
    for status in route.empty:
        responses[str(status)] = {"description": "Done"}
    asked = (401, 429) if route.scope != ANYBODY else ()
    for status in sorted({*route.problems, *ALWAYS, *asked, *((412,) if route.versioned else ())}):
        responses.setdefault(str(status), {"description": TITLES[status]} | problem)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "parameters": [
            *_parameters(route, "path"),
            *_parameters(route, "query"),
            *(IF_MATCH if route.versioned else ()),
        ],
        "responses": responses,
    }
    if route.scope != ANYBODY:  # the last: while there is no key
        operation["security"] = [{"key": []}, {"session": []}, {}]
        operation["x-scope"] = "" if route.scope == KNOWN else route.scope
    if route.body is not None:
        schema = by_type[repr(route.body)]
        operation["requestBody"] = {"required": not route.optional, "content": {"application/json": {"schema": schema}}}
    return operation


def _ok(route: Route, by_type: dict[str, Any]) -> dict[str, Any]:
    if route.answer is None:
        return {"description": "Done"}
    schema = by_type[repr(route.answer)]
    return {"description": "OK", "content": {media.partition(";")[0]: {"schema": schema} for media in route.media}}


def _parameters(route: Route, place: str) -> list[dict[str, Any]]:
    """Lists are written with commas."""
    given = route.places if place == "path" else route.query
    return [
        {"name": name, "in": place, "required": place == "path" or name in route.required, "schema": schema}
        | {"description": about}
        | ({"explode": False} if schema.get("type") == "array" else {})
        for name, (schema, about) in given.items()
    ]


def _refined(components: dict[str, Any]) -> dict[str, Any]:
    """What the types do not say: trees of filters by their own schema, and that `fields` leaves creators' others out."""
    tree = {"$ref": REF.format(name=TREE)}
    for name in ("SearchRequest", "SimilarRequest"):
        fields = components[name]["properties"]
        fields["filter"]["anyOf"] = [tree if one.get("type") == "object" else one for one in fields["filter"]["anyOf"]]
        for field in fields.keys() & SEARCH.keys():
            schema, about = SEARCH[field]
            if field != "explain":  # a body may also say it by a boolean
                fields[field] |= {limit: schema[limit] for limit in LIMITS if limit in schema}
            fields[field]["description"] = about
    components["CreatorView"]["required"] = ["creator_id"]
    components["CreatorView"]["description"] = "With `fields`, only those; else all of them."
    return components
