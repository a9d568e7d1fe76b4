"""Settings of the enrolment room."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.units import Seconds

DAY_SECONDS = 86400
Count = Annotated[int, msgspec.Meta(ge=1)]


class EnrolmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enrolment of agents, their tokens, and their configuration by the county."""

    ca_file: str = ""
    """The county's own CA, or its self-signed certificate, as PEM: agents are told its pin with their code.
    Empty: listen.tls.ca, or, without one, a certificate that every system trusts."""
    key_file: str = ""
    """Seals SNMP secrets in the registry; mode 0600, made at the first secret. Empty: secrets.key in the data
    directory. Collectors that share a registry need the same file."""
    code_valid: Seconds = Seconds(3600)
    """How long a code for one agent may be used."""
    sheet_valid: Seconds = Seconds(7 * DAY_SECONDS)
    """How long the codes of a printed sheet may be used."""
    code_valid_max: Seconds = Seconds(31 * DAY_SECONDS)
    """The longest that may be asked for."""
    rotate_every: Seconds = Seconds(30 * DAY_SECONDS)
    """An agent's token older than this is replaced, by the agent itself."""
    overlap: Seconds = Seconds(60)
    """How long a replaced token still opens, for requests under way."""
    guesses_per_address: Count = 10
    """Wrong codes from one address (IPv6: one /64) before it has to wait."""
    guess_pause: Seconds = Seconds(10)
    """After so long it may try once more."""
    guesses_in_all: Count = 100
    """Wrong codes from everywhere, a minute, before addresses that were wrong have to wait; one that was not
    has its tries whatever others do."""
    addresses_remembered: Count = 20000
    """Of so many addresses the wrong codes are counted; the oldest are forgotten."""


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate that the collector serves with; «tls make» makes one."""

    certificate: str
    """PEM file: the server's certificate, then those it was signed by."""
    key: str
    """PEM file with its private key, mode 0600."""
    ca: str = ""
    """PEM file of the CA that agents shall trust; empty when every system does."""
