"""The words of the judge's codes: why a verdict is what it is, and what would settle an unknown one.

A name in braces is a value of the reason; names that end in ``bits_per_second``, ``bytes`` or ``seconds`` are
written with their units.
"""

from __future__ import annotations

from config.words import message

REASONS: dict[str, str] = {
    "no_evidence": message("Nothing has been measured yet."),
}

SETTLES: dict[str, str] = {
    "verify": message("a verify test of the line"),
}
