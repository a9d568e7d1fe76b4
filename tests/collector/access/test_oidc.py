"""Logging in by a real login service on loopback, and everything that may be wrong with its answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from joserfc import jwk

from collector.access.permissions import Role
from tests.collector.access.oidc_server import CLIENT, SECRET, Service, login_service
from tests.collector.access.visitor import BY, Visitor
from tests.collector.running import Answered, Running, running, settings_in


class Both(NamedTuple):
    collector: Running
    service: Service


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("oidc")
    (folder / "secret").write_text(f"{SECRET}\n")
    with login_service() as service:
        oidc = {
            "issuer": service.issuer,
            "client_id": CLIENT,
            "client_secret_file": str(folder / "secret"),
        }
        with running(settings_in(folder / "data", access={"anonymous": "none", "oidc": oidc})) as collector:
            users = collector.rooms.access.users
            users.add("wang", Role.COUNTY_ADMIN, oidc_name="employee-17", by=BY)
            yield Both(collector, service)


@pytest.fixture(autouse=True)
def _honest(both: Both) -> None:
    both.service.spoil, both.service.subject = {}, "employee-17"
    both.service.key, both.service.algorithm = both.service.published, "RS256"


def walked(visitor: Visitor, after: str = "/") -> Answered:
    """To the service and back, as a browser walks."""
    led = visitor.get(f"/login/oidc?next={after}")
    assert led.status == 303, led.body
    service = Visitor(urlsplit(led.headers["location"]).port or 0)
    parts = urlsplit(led.headers["location"])
    back = urlsplit(service.get(f"{parts.path}?{parts.query}").headers["location"])
    return visitor.get(f"{back.path}?{back.query}")


def test_whom_the_service_names_is_in(both: Both) -> None:
    visitor = Visitor(both.collector.port)
    answer = walked(visitor, "/users")
    assert (answer.status, answer.headers["location"]) == (303, "/users")
    assert visitor.get("/users").status == 200


def test_a_name_that_is_not_declared_here_is_nobody(both: Both) -> None:
    both.service.subject = "employee-18"
    visitor = Visitor(both.collector.port)
    answer = walked(visitor)
    assert answer.status == 401
    assert "xiaotong_session" not in visitor.cookies


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    "spoil",
    [
        {"iss": "https://evil.test"},
        {"aud": "another"},
        {"aud": ["another", CLIENT]},
        {"aud": None},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"iat": int(time.time()) + 3600},
    ],
)
def test_an_id_token_that_is_not_for_this_login_is_refused(both: Both, spoil: dict[str, Any]) -> None:
    both.service.spoil = spoil
    assert walked(Visitor(both.collector.port)).status == 401


@pytest.mark.fault(24)
def test_a_token_signed_by_another_key_is_refused(both: Both) -> None:
    both.service.key = jwk.RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256"}, private=True)
    assert walked(Visitor(both.collector.port)).status == 401


@pytest.mark.fault(24)
@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_token_signed_by_what_everybody_knows_is_refused(both: Both, algorithm: str) -> None:
    """The key confusion, an HMAC whose secret is the service's public key; and no signature at all."""
    both.service.algorithm = algorithm
    assert walked(Visitor(both.collector.port)).status == 401


@pytest.mark.fault(24)
def test_an_answer_is_good_once_and_for_the_browser_that_asked(both: Both) -> None:
    visitor, other = Visitor(both.collector.port), Visitor(both.collector.port)
    led = urlsplit(visitor.get("/login/oidc").headers["location"])
    back = urlsplit(Visitor(led.port or 0).get(f"{led.path}?{led.query}").headers["location"])
    assert other.get(f"{back.path}?{back.query}").status == 401, "another browser has no cookie for it"
    kept = dict(visitor.cookies)
    assert visitor.get(f"{back.path}?{back.query}").status == 303
    visitor.cookies = kept
    assert visitor.get(f"{back.path}?{back.query}").status == 401


def test_a_service_that_is_away_is_said(both: Both) -> None:
    from collector.access.oidc import Oidc, OidcError  # noqa: PLC0415
    from collector.access.settings import OidcSettings  # noqa: PLC0415

    gone = Oidc(both.collector.rooms.registry, OidcSettings("http://127.0.0.1:9", "county"))
    with pytest.raises(OidcError, match="does not answer"):
        gone.begin("http://127.0.0.1/", "/")
