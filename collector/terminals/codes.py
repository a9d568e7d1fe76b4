"""Schools' short codes: made once, the same on every poster until somebody asks for a new one."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from collector.access import Who, audit
from collector.access.who import NOBODY
from collector.registry import Registry, RegistryError
from collector.terminals.tables import SchoolCodeRow

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, 1, I and O, which people mix up on paper."""
CHARACTERS = 8
"""Forty random bits: with ``code_tries`` an hour nobody finds one of a thousand by guessing."""


def code_of(registry: Registry, school_id: str, *, anew: bool = False, by: Who = NOBODY) -> str:
    """The code of a school, made when it has none or ``anew``. Raises RegistryError for an unknown school."""
    if registry.school(school_id) is None:
        raise RegistryError(f"school {school_id}: is not known")
    with registry.writing() as connection:
        if anew:
            connection.execute(sa.delete(SchoolCodeRow).where(SchoolCodeRow.school_id == school_id))
        held = _held(connection, school_id)
        if held is not None:
            return held
        code = "".join(secrets.choice(ALPHABET) for _ in range(CHARACTERS))
        values: dict[str, Any] = {"school_id": school_id, "code": code, "created_at": datetime.now(UTC)}
        connection.execute(sa.insert(SchoolCodeRow).values(values))
        audit.record(connection, by, "schools.code", school_id, at=values["created_at"], anew=anew)
        return code


def school_of_code(registry: Registry, code: str) -> str | None:
    """The school that has this code, written in any case and with spaces or dashes; None for none."""
    wanted = normal(code)
    if len(wanted) != CHARACTERS:
        return None
    with registry.reading() as connection:
        chosen = sa.select(SchoolCodeRow.school_id).where(SchoolCodeRow.code == wanted)
        found: str | None = connection.scalar(chosen)
    return found if found and registry.school(found) else None


def normal(code: str) -> str:
    """A code as it is kept; what is no character of one is left out."""
    return "".join(letter for letter in code.upper() if letter in ALPHABET)


def shown(code: str) -> str:
    """A code as people read it: «ABCD-EFGH»."""
    return f"{code[:4]}-{code[4:]}"


def _held(connection: Connection, school_id: str) -> str | None:
    found: str | None = connection.scalar(
        sa.select(SchoolCodeRow.code).where(SchoolCodeRow.school_id == school_id)
    )
    return found
