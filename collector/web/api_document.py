"""The OpenAPI document of every route of the API, and a page that shows it without any script."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import collector
from collector.access import Permission, permitted
from collector.access.declaring import stated
from collector.web.api_declaring import schema_parts
from collector.web.api_types import ProblemAnswer
from collector.web.rendering import SecurityHeaders, page

PATH = "/api/v1/openapi.json"
REFERENCE = "#/components/schemas/{name}"
ABOUT = (
    "What the collector knows. Errors are application/problem+json (RFC 9457). Lists come in pages: `next` "
    "of one answer is `after` of the following question, null at the end. Times are ISO 8601 with their "
    "offset, rates bit/s at the IP layer. Unknown is null or «unknown», never zero."
)
WIRE = frozenset({Permission.AGENT, Permission.PUBLIC})
"""What agents speak with the collector has words of its own (ARCHITECTURE.md, «Contracts»)."""
PROBLEMS = {
    400: "The request is wrong.",
    401: "Nobody is logged in.",
    403: "Not allowed.",
    404: "Not known, or not the caller's.",
    405: "No such method.",
    413: "Too long.",
    503: "The store does not answer.",
}


def document_routes(routes: Iterable[BaseRoute], notice: str = "") -> list[BaseRoute]:
    """The document and its page, over those of ``routes`` that are of the API."""
    under = [route for route in routes if isinstance(route, Route) and route.path.startswith("/api/v1/")]
    document = functools.cache(lambda: document_of(under))

    async def as_json(_request: Request) -> Response:
        body = await run_in_threadpool(lambda: msgspec.json.encode(document()))
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def as_page(request: Request) -> Response:
        return await run_in_threadpool(
            lambda: page(
                request, "access/api.html", document=document(), operations=operations(document()),
                notice=notice, time_zone="Asia/Shanghai", pretty=_pretty,
            )
        )  # fmt: skip

    guarded = [Middleware(SecurityHeaders)]
    return [
        permitted(Permission.SIGNED_IN, Route(PATH, as_json)),
        permitted(Permission.SIGNED_IN, Route("/api/v1/docs", as_page, middleware=guarded)),
    ]


def document_of(under: list[Route]) -> dict[str, Any]:
    """The OpenAPI 3.1 document: typed routes in full, plain ones in short, those for agents not at all."""
    routes = [route for route in under if isinstance(route, APIRoute)]
    made = get_openapi(
        title="xiaotong",
        version=collector.__version__,
        description=ABOUT,
        routes=routes,
        openapi_version="3.1.0",
    )
    types = [ProblemAnswer]
    for route in routes:
        types += [shape for shape in schema_parts(route).values() if shape is not None]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_plain, ref_template=REFERENCE)
    named = dict(zip(map(id, types), schemas, strict=True))
    made["components"] = {
        "schemas": components,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    made["security"] = [{"token": []}]
    for route in routes:
        for method in route.methods or ():
            _complete(made["paths"][route.path_format][method.lower()], route, named)
    problem = {"application/problem+json": {"schema": named[id(ProblemAnswer)]}}
    for plain in under:
        if not isinstance(plain, APIRoute) and stated(plain).permission not in WIRE:
            made["paths"].setdefault(plain.path_format, {}).update(_in_short(plain, problem))
    return made


def _in_short(route: Route, problem: dict[str, Any]) -> dict[str, Any]:
    """A plain route: its words, its permission and the names in its path."""
    words = inspect.getdoc(route.endpoint) or ""
    operation = {
        "summary": words.partition("\n")[0],
        "description": words or route.name,
        "tags": [route.path.split("/")[3]],
        "x-permission": stated(route).permission.value,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in route.param_convertors
        ],
        "responses": {
            "200": {"description": "Well."},
            "default": {"description": "Not.", "content": problem},
        },
    }
    return {method.lower(): operation for method in (route.methods or ()) if method != "HEAD"}


def _complete(operation: dict[str, Any], route: APIRoute, named: dict[int, Any]) -> None:
    """What the endpoint gives and takes, and the problems that every one may answer."""
    gives, takes = (schema_parts(route)[part] for part in ("gives", "takes"))
    well: dict[str, Any] = {"description": "Well."}
    if gives is not None:
        well["content"] = {"application/json": {"schema": named[id(gives)]}}
    problem = {"application/problem+json": {"schema": named[id(ProblemAnswer)]}}
    problems = {str(code): {"description": words, "content": problem} for code, words in PROBLEMS.items()}
    operation["responses"] = {str(route.status_code): well, **problems}
    if takes is not None:
        operation["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": named[id(takes)]}},
        }  # fmt: skip


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every path, method and operation."""
    return [
        (path, method.upper(), operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _plain(shape: Any) -> dict[str, Any]:
    if issubclass(shape, int):
        return {"type": "integer"}
    if issubclass(shape, float):
        return {"type": "number"}
    return {"type": "string"}


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8")
