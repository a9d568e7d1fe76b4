"""The OpenAPI document against the API that runs: every answer as documented, and no request breaks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from collector.access.permissions import Role
from tests.collector.access.visitor import BY, Visitor, add_user
from tests.collector.running import Running, running, settings_in

EXAMPLES = 4
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = settings_in(tmp_path_factory.mktemp("api"), verdicts={"plans": ("shandan",)})
    with running(settings) as started:
        add_user(started, "wang", Role.COUNTY_ADMIN)
        yield started


def test_everything_of_the_api_is_in_the_document(collector: Running) -> None:
    document = collector.request("GET", "/api/v1/openapi.json", agent=None).json
    assert document["openapi"] == "3.1.0"
    for path in (
        "schools",
        "lines",
        "agents",
        "plans",
        "tokens",
        "users",
        "audit",
        "schools/{school_id}/series",
    ):
        assert f"/api/v1/{path}" in document["paths"]
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["x-permission"]
            assert operation["description"]
            well = min(operation["responses"])
            answer = operation["responses"][well]
            assert well == "204" or "default" in operation["responses"] or _schema(answer)


def _schema(answer: Any) -> Any:
    return answer["content"]["application/json"]["schema"]


def test_the_page_shows_the_document(collector: Running) -> None:
    page = Visitor(collector.port).get("/api/v1/docs?lang=en")
    assert page.status == 200
    assert "GET /api/v1/schools/{school_id}/verdicts" in page.body.decode()
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_no_request_breaks_the_api(collector: Running) -> None:
    """Drawn by schemathesis from the document; a full token, so that changes are tried too."""
    admin = collector.rooms.access.users.named("wang")
    _, secret = collector.rooms.access.logins.add_token(admin, "schemathesis", "full", 1, by=BY)
    document = collector.request("GET", "/api/v1/openapi.json", agent=None).json
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{collector.port}")
    headers = {"Authorization": f"Bearer {secret}"}
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            nonlocal tried
            tried += 1
            if case.path_parameters.get("name") == "wang":
                return
            case.call_and_validate(headers=headers, checks=list(CHECKS))

        ask()
    assert tried > 60


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/nothing", 404),
        ("/api/v1/schools/none", 404),
        ("/api/v1/schools?limit=0", 400),
        ("/api/v1/schools?limit=many", 400),
        ("/api/v1/audit?after=x", 400),
        ("/api/v1/audit?since=yesterday", 400),
        ("/api/v1/schools/s1/outages?month=x", 400),
    ],
)
def test_every_error_is_a_problem(collector: Running, path: str, status: int) -> None:
    answer = collector.request("GET", path, agent=None)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert answer.json["detail"]


def test_a_method_that_is_not_served_is_a_problem(collector: Running) -> None:
    answer = collector.request("PUT", "/api/v1/schools", agent=None)
    assert (answer.status, answer.headers["content-type"]) == (405, "application/problem+json")


def test_pages_are_stable_while_things_are_added(collector: Running) -> None:
    """Whoever goes on after the last id sees each once, whatever was added before it meanwhile."""
    from config.school import School  # noqa: PLC0415

    registry = collector.rooms.registry
    registry.put_schools([School(f"p{number:02}") for number in range(10)])
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        path = f"/api/v1/schools?limit=4&after={following}"
        answer = collector.request("GET", path, agent=None).json
        seen += [school["id"] for school in answer["schools"]]
        following = answer["next"]
        registry.put_school(School(f"a{len(seen)}"))
    assert [each for each in seen if each.startswith("p")] == [f"p{number:02}" for number in range(10)]
    assert len(seen) == len(set(seen))


def test_a_json_body_is_checked_strictly(collector: Running) -> None:
    for body in ('{"name": 1}', "[]", "{", '{"name": "x", "more": 1}', "x" * 100_000):
        answer = collector.request("POST", "/api/v1/users", body, agent=None)
        assert answer.status in {400, 413}, body[:20]
        assert json.loads(answer.body)["detail"]
