"""The settings of access control."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from collector.access.origin import is_address
from config.units import Seconds

DAY_SECONDS = 86400
AUDIT_AT_LEAST = 180 * DAY_SECONDS
"""等保 2.0 (GB/T 22239-2019) and art. 21 of the Cybersecurity Law ask for logs of six months."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class PasswordSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Passwords and guesses at them."""

    characters: Annotated[int, msgspec.Meta(ge=8, le=128)] = 10
    """A new password has at least so many."""
    link: Seconds = Seconds(3600)
    """How long a one-time link to set a password is valid."""
    memory_mebibytes: Annotated[int, msgspec.Meta(ge=8, le=1024)] = 19
    """Of one argon2id hash (RFC 9106); 19 MiB with 2 rounds is the least that OWASP advises."""
    rounds: Annotated[int, msgspec.Meta(ge=1, le=20)] = 2
    """Of one argon2id hash."""
    hashing_at_once: Count = 2
    """Passwords compared at one time; others wait their turn."""
    free_tries: Count = 5
    """Wrong passwords of one address for one user before the first wait."""
    first_wait: Seconds = Seconds(2)
    """The first wait; it doubles with each further wrong password."""
    longest_wait: Seconds = Seconds(900)
    """The longest wait. It holds for that address and that user alone."""


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A login service of the county's own, by OpenID Connect (authorization code with PKCE)."""

    issuer: str
    """Its issuer: https://, or http:// on loopback."""
    client_id: str
    """What it calls this collector."""
    client_secret_file: str = ""
    """A file of mode 0600 with this client's secret; empty for a public client."""
    ca_file: str = ""
    """Certificates that the service's must follow from; empty means the system's."""
    claim: str = "sub"
    """The claim that names a user (``users add --oidc``): one that the service never gives to another."""
    timeout: Seconds = Seconds(10)
    """Of one request to it."""


class AccessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may do what."""

    anonymous: Literal["none", "display", "county_admin"] = "none"
    """Who somebody on this very host is without logging in: a connection from loopback to loopback, passed on
    by no proxy. From the network nobody is anybody without a login. Leave none behind a reverse proxy."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    session_idle: Seconds = Seconds(2 * 3600)
    """A login ends after so long without a request."""
    session: Seconds = Seconds(12 * 3600)
    """And after so long in any case."""
    display_session: Seconds = Seconds(90 * DAY_SECONDS)
    """Both, for the role display: a screen on a wall."""
    token: Seconds = Seconds(400 * DAY_SECONDS)
    """The longest that an API token may be valid."""
    audit: Seconds = Seconds(400 * DAY_SECONDS)
    """How long the log of who did what is kept: at least 180d."""
    passwords: PasswordSettings = PasswordSettings()
    oidc: OidcSettings | None = None
    """The login service; absent, users have passwords."""

    def contradictions(self) -> Iterator[tuple[bool, str]]:
        """What cannot be: whether it is so, and what to say."""
        yield self.audit < AUDIT_AT_LEAST, "key access.audit: at least 180d is allowed"
        yield self.session < self.session_idle, "key access.session: at least access.session_idle is allowed"
        yield min(self.session_idle, self.token) <= 0, "key access: durations above 0 are allowed"
        for proxy in self.proxies:
            yield not is_address(proxy), f"key access.proxies: {proxy!r} is no address"
        if self.oidc is not None:
            yield (
                not _is_safe(self.oidc.issuer),
                "key access.oidc.issuer: https:// is allowed, and http:// on loopback",
            )
            yield not self.oidc.client_id, "key access.oidc.client_id: is empty"


class CountySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A county of the region."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,39}\Z")]
    """Its name here."""
    url: str
    """Where its collector answers, https://county.example."""
    token_file: str
    """A file of mode 0600 with a token of that county, of a user with role regional."""
    name: str = ""
    """What people call it."""
    ca_file: str = ""
    """Certificates that the county's must follow from; empty means the system's."""


class RegionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several counties, read from above by each one's API."""

    counties: tuple[CountySettings, ...] = ()
    """The counties, in the order in which they are shown."""
    every: Seconds = Seconds(300)
    """How often each is asked."""
    timeout: Seconds = Seconds(15)
    """Of one question."""

    def contradictions(self) -> Iterator[tuple[bool, str]]:
        """What cannot be: whether it is so, and what to say."""
        ids = [county.id for county in self.counties]
        yield len(set(ids)) < len(ids), "key region.counties: an id twice"
        for county in self.counties:
            yield (
                not _is_origin(county.url) or not _is_safe(county.url),
                f"key region.counties: {county.id}: url: https:// is allowed, and http:// on loopback",
            )


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in {"http", "https"}
            and bool(url.hostname)
            and not url.username
            and url.path in {"", "/"}
        )
    except ValueError:
        return False


def _is_safe(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    if url.username or not url.hostname:
        return False
    return url.scheme == "https" or (
        url.scheme == "http" and url.hostname in {"127.0.0.1", "::1", "localhost"}
    )
