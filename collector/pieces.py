"""Many things in pieces: what is written at once holds others up as long as it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def pieces(things: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """«a b c d e» by two → «a b», «c d», «e»."""
    left = iter(things)
    while piece := tuple(islice(left, size)):
        yield piece
