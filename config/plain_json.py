"""JSON that others sent: one kind of error, whatever is wrong with it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded(text: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """What it says. Raises msgspec.DecodeError, also for what msgspec itself raises something else for:
    brackets in a thousand brackets, and text that is no UTF-8.
    """
    try:
        return decoder.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise msgspec.DecodeError("the text is not UTF-8") from None
