"""The settings of access control."""

from __future__ import annotations

from typing import Literal

import msgspec


class AccessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may do what."""

    anonymous: Literal["none", "display", "county_admin"] = "none"
    """Who somebody on this very host is without logging in: a connection from loopback to loopback, passed on
    by no proxy. From the network nobody is anybody without a login. Leave none behind a reverse proxy."""
