"""Which agent a request comes from: the token, in every place where a client of InfluxDB may put it."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from collector.ingest.agent_series import AgentIdentity, Agents
from collector.ingest.answers import Answer

MAX_TOKEN_CHARACTERS = 512


def identify(request: Request, agents: Agents, *, in_query: bool = False) -> AgentIdentity:
    """The agent of a request. ``in_query`` allows 1.x's ``p=``. Raises Answer 401.

    Where the guard has identified it already, that is the answer.
    """
    known: AgentIdentity | None = getattr(request.state, "agent", None)
    if known is not None:
        return known
    token = _from_header(request.headers.get("authorization", ""))
    if not token and in_query:
        token = request.query_params.get("p", "")
    identity = agents.agent_by_token(token) if 0 < len(token) <= MAX_TOKEN_CHARACTERS else None
    if identity is None:
        raise Answer(401, "unauthorized", "unauthorized access")
    return identity


def token_of(request: Request) -> str:
    """The token in the request's header; empty when there is none."""
    return _from_header(request.headers.get("authorization", ""))


def _from_header(header: str) -> str:
    scheme, _, value = header.partition(" ")
    value = value.strip()
    match scheme.lower():
        case "bearer":
            return value
        case "token":
            return value.rpartition(":")[2]  # 1.x clients of 2.x send «Token user:password»
        case "basic":
            return _password(value)
    return ""


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
