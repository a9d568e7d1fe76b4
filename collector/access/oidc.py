"""Logging in by the county's own login service: OpenID Connect Core 1.0, authorization code with PKCE.

Sources: OpenID Connect Core 1.0 sections 3.1.2 and 3.1.3.7, Discovery 1.0 section 4, RFC 7636 (PKCE, S256),
RFC 9207 (the issuer in the answer), RFC 9700 (best practice). Its address comes from settings alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import sqlalchemy as sa
import urllib3

from collector.access.saying import Refused
from collector.access.settings import OidcSettings
from collector.access.tables import OidcLoginRow, UserRow
from collector.access.users import User, read_user
from collector.bodies import json_of
from collector.registry import Registry
from collector.registry.tokens import digest_of, new_token
from config.words import message

if TYPE_CHECKING:
    from joserfc import jwk

LOGIN_SECONDS = 600
LEEWAY_SECONDS = 60
MAX_ANSWER_BYTES = 256 * 1024
MAX_LOGINS = 10_000
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures alone: ``none`` and shared secrets never."""


class OidcError(Refused):
    """Why nobody was let in, in one line without secrets."""


class Provider(msgspec.Struct, frozen=True):
    """What the service says of itself (Discovery 1.0 section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Begun(NamedTuple):
    """A login that has begun: where the browser goes, and what it must bring back."""

    url: str
    state: str


class Oidc:
    """One login service."""

    def __init__(self, registry: Registry, settings: OidcSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._http = urllib3.PoolManager(
            timeout=settings.timeout,
            retries=False,
            ca_certs=settings.ca_file or None,
            cert_reqs="CERT_REQUIRED",
        )
        self._lock = threading.Lock()
        self._provider: Provider | None = None
        self._keys: jwk.KeySet | None = None

    def begin(self, redirect_uri: str, after: str) -> Begun:
        """Begin a login that leads to the page ``after``. Raises OidcError."""
        provider = self._known_provider()
        state, nonce, verifier = new_token(), new_token(), secrets.token_urlsafe(64)
        now = datetime.now(UTC)
        row = {
            "digest": digest_of(state), "nonce": nonce, "verifier": verifier, "after": after,
            "expires_at": now + timedelta(seconds=LOGIN_SECONDS),
        }  # fmt: skip
        with self._registry.writing() as connection:
            connection.execute(sa.delete(OidcLoginRow).where(OidcLoginRow.expires_at <= now))
            if (connection.scalar(sa.select(sa.func.count()).select_from(OidcLoginRow)) or 0) >= MAX_LOGINS:
                raise OidcError(message("too many logins have begun; try again in some minutes"))
            connection.execute(sa.insert(OidcLoginRow).values(row))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": redirect_uri,
            "scope": "openid profile", "state": state, "nonce": nonce,
            "code_challenge": challenge.decode(), "code_challenge_method": "S256",
        }  # fmt: skip
        join = "&" if "?" in provider.authorization_endpoint else "?"
        return Begun(f"{provider.authorization_endpoint}{join}{urlencode(query)}", state)

    def finish(self, answer: Mapping[str, str], state_cookie: str, redirect_uri: str) -> tuple[User, str]:
        """The user whom the service names, and the page to go to. Raises OidcError."""
        nonce, verifier, after = self._taken(answer.get("state", ""), state_cookie)
        provider = self._known_provider()
        if answer.get("iss", provider.issuer) != provider.issuer:
            raise OidcError(message("the answer is another service's"))
        if "error" in answer or not answer.get("code"):
            raise OidcError(message("the login service let nobody in"))
        claims = self._claims(self._exchanged(provider, answer["code"], verifier, redirect_uri), nonce)
        name = claims.get(self._settings.claim)
        if not isinstance(name, str) or not name:
            raise OidcError(message("the login service gives no claim {claim}"), claim=self._settings.claim)
        return self._user(name), after

    def forget_old(self) -> None:
        """Drop logins that were never finished."""
        with self._registry.writing() as connection:
            over = OidcLoginRow.expires_at <= datetime.now(UTC)
            connection.execute(sa.delete(OidcLoginRow).where(over))

    def _taken(self, state: str, cookie: str) -> tuple[str, str, str]:
        """What was kept of this login, which can be finished once and by the browser that began it."""
        digest = digest_of(state)
        if digest is None or not hmac.compare_digest(state.encode(), cookie.encode()):
            raise OidcError(message("this login was not begun here"))
        wanted = OidcLoginRow.digest == digest
        with self._registry.writing() as connection:
            row = connection.execute(sa.select(OidcLoginRow.__table__).where(wanted)).first()
            if row is None or not connection.execute(sa.delete(OidcLoginRow).where(wanted)).rowcount:
                raise OidcError(message("this login is over; begin again"))
        if row.expires_at <= datetime.now(UTC):
            raise OidcError(message("this login took too long; begin again"))
        return row.nonce, row.verifier, row.after

    def _user(self, name: str) -> User:
        wanted = sa.select(UserRow.__table__).where(UserRow.oidc_name == name, UserRow.disabled_at.is_(None))
        with self._registry.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise OidcError(
                message("the login service knows you, this collector does not: ask the county admin")
            )
        return read_user(row)

    def _known_provider(self) -> Provider:
        with self._lock:
            if self._provider is None:
                base = self._settings.issuer.rstrip("/")
                found = self._asked("GET", f"{base}/.well-known/openid-configuration", Provider)
                if found.issuer != self._settings.issuer:
                    raise OidcError(message("the login service names another issuer than access.oidc.issuer"))
                self._provider = found
            return self._provider

    def _exchanged(self, provider: Provider, code: str, verifier: str, redirect_uri: str) -> str:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._settings.client_secret_file:
            headers["Authorization"] = f"Basic {self._basic()}"
        else:
            form["client_id"] = self._settings.client_id
        answer = self._asked("POST", provider.token_endpoint, dict[str, Any], urlencode(form), headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise OidcError(message("the login service gave no ID token"))
        return token

    def _basic(self) -> str:
        """RFC 6749 section 2.3.1: both parts are form-encoded first."""
        try:
            secret = Path(self._settings.client_secret_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise OidcError(
                message("access.oidc.client_secret_file cannot be read: {reason}"), reason=error.strerror
            ) from None
        pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
        return base64.b64encode(pair.encode()).decode()

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """Check an ID token: signature, issuer, audience, times, nonce (Core 1.0 section 3.1.3.7)."""
        from joserfc import jwt  # noqa: PLC0415 (20 MB that a county without a login service does not need)
        from joserfc.errors import JoseError  # noqa: PLC0415

        try:
            try:
                decoded = jwt.decode(token, self._known_keys(anew=False), algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                decoded = jwt.decode(token, self._known_keys(anew=True), algorithms=ALGORITHMS)
            rules = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self._settings.issuer},
                aud={"essential": True, "value": self._settings.client_id},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            rules.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise OidcError(
                message("the ID token is refused: {reason}"), reason=type(error).__name__
            ) from None
        claims: dict[str, Any] = decoded.claims
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1:
            azp = claims.get("azp")
            if azp != self._settings.client_id:
                raise OidcError(message("the ID token is refused: it was made for another client"))
        return claims

    def _known_keys(self, *, anew: bool) -> jwk.KeySet:
        """The service's public keys; read again when they do not fit: they are replaced now and then."""
        from joserfc import jwk  # noqa: PLC0415

        provider = self._known_provider()
        with self._lock:
            if self._keys is None or anew:
                found = self._asked("GET", provider.jwks_uri, dict[str, Any])
                self._keys = jwk.KeySet.import_key_set(found)
            return self._keys

    def _asked(self, method: str, url: str, shape: Any, body: str | None = None, headers: Any = None) -> Any:
        try:
            answer = self._http.request(
                method, url, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                content = answer.read(MAX_ANSWER_BYTES + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise OidcError(
                message("the login service does not answer: {reason}"), reason=type(error).__name__
            ) from None
        if answer.status != 200 or len(content) > MAX_ANSWER_BYTES:
            raise OidcError(message("the login service answers with status {status}"), status=answer.status)
        try:
            return json_of(content, shape)
        except msgspec.DecodeError:
            raise OidcError(message("the login service's answer cannot be read")) from None
