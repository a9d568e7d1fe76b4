"""How a room adds to the API: ``api_route`` makes a route of FastAPI that states its permission.

What an endpoint gives is a msgspec struct; the same struct is the schema in the OpenAPI document, so that
what is documented is what is encoded. An endpoint is a plain function, runs in a thread, and raises Problem.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from collector.access import Permission, permitted
from collector.bodies import TooLong, body_of, json_of
from collector.registry import RegistryError
from collector.store.interface import StoreUnavailable
from collector.web.problems import Problem, answer_of, as_json

GIVES = "xiaotong_gives"
TAKES = "xiaotong_takes"
MAX_BODY_BYTES = 64 * 1024
MAX_ROWS = 1000
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows of one answer.")]
After = Annotated[
    str, Query(max_length=200, description="Rows after this one: what «next» of the answer before gave.")
]


def api_route(
    permission: Permission,
    path: str,
    endpoint: Callable[..., object],
    *,
    gives: Any,
    method: str = "GET",
    takes: Any = None,
    status: HTTPStatus = HTTPStatus.OK,
) -> APIRoute:
    """A route under ``/api/v1`` whose endpoint gives a struct of type ``gives``, None for 204.

    ``takes`` is the struct of the JSON body, which the endpoint gets as ``body``.
    """
    route = APIRoute(
        f"/api/v1{path}",
        _answering(endpoint, status, takes),
        methods=[method],
        name=getattr(endpoint, "__name__", path),
        summary=(inspect.getdoc(endpoint) or "").partition("\n")[0],
        description=inspect.getdoc(endpoint) or "",
        response_model=None,
        status_code=int(status),
        tags=[path.split("/")[1]],
        openapi_extra={"x-permission": permission.value},
    )
    setattr(route, GIVES, gives)
    setattr(route, TAKES, takes)
    return permitted(permission, route)


def page_of(
    rows: list[Any], after: str, limit: int, key: Callable[[Any], str]
) -> tuple[list[Any], str | None]:
    """One page of ``rows``, which are sorted by ``key``, and the key to go on after; None at the end."""
    rest = [row for row in rows if key(row) > after]
    page = rest[:limit]
    return page, key(page[-1]) if len(rest) > limit else None


def _answering(endpoint: Callable[..., object], status: HTTPStatus, takes: Any) -> Callable[..., Any]:
    """The endpoint with its answers and problems encoded, and with FastAPI's own view of its parameters."""
    signature = inspect.signature(endpoint, eval_str=True)
    if takes is not None:
        return _taking(endpoint, signature, status, takes)

    @functools.wraps(endpoint)
    def answer(**values: Any) -> Response:
        return _answered(lambda: endpoint(**values), status)

    answer.__signature__ = signature.replace(return_annotation=inspect.Signature.empty)  # type: ignore[attr-defined]
    return answer


def _taking(
    endpoint: Callable[..., object], signature: inspect.Signature, status: HTTPStatus, takes: Any
) -> Callable[..., Any]:
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415

    others = [each for name, each in signature.parameters.items() if name not in {"body", "request"}]
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)

    async def answer(request: Request, **values: Any) -> Response:
        try:
            body = await _decoded(request, takes)
        except Problem as problem:
            return answer_of(problem)
        given = {"request": request} if "request" in signature.parameters else {}
        return await run_in_threadpool(_answered, lambda: endpoint(body=body, **given, **values), status)

    answer.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
    answer.__name__ = getattr(endpoint, "__name__", "answer")
    return answer


async def _decoded(request: Request, takes: Any) -> Any:
    try:
        return json_of(await body_of(request, MAX_BODY_BYTES), takes)
    except TooLong:
        said = f"at most {MAX_BODY_BYTES} bytes are allowed"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said) from None
    except TimeoutError:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the body was not whole in time") from None
    except msgspec.DecodeError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None


def _answered(endpoint: Callable[[], object], status: HTTPStatus) -> Response:
    try:
        given = endpoint()
    except Problem as problem:
        return answer_of(problem)
    except RegistryError as error:
        return answer_of(Problem(HTTPStatus.BAD_REQUEST, str(error)))
    except StoreUnavailable as error:
        return answer_of(Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))
    if isinstance(given, Response):
        return given
    if status is HTTPStatus.NO_CONTENT:
        return Response(status_code=int(status))
    return as_json(given, int(status))


def schema_parts(route: APIRoute) -> Mapping[str, Any]:
    """The types that a route gives and takes."""
    return {"gives": getattr(route, GIVES, None), "takes": getattr(route, TAKES, None)}
