"""What /metrics tells of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from collector.messages.room import MessageRoom

Samples: TypeAlias = list[tuple[Mapping[str, str], float]]


def message_metrics(room: MessageRoom) -> Iterator[tuple[str, str, Samples]]:
    """Name, help and samples of each."""
    counts: Samples = [
        ({"channel": channel, "state": state}, float(count))
        for (channel, state), count in sorted(room.counts().items())
    ]
    yield "messages", "Messages kept, by channel and state; «given_up» reached nobody.", counts
    failures: Samples = [({"channel": name}, float(count)) for name, count in sorted(room.failures().items())]
    yield "channel_failures", "How often in a row a channel took nothing.", failures
