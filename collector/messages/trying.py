"""A test message over one channel, by the command or a page."""

from __future__ import annotations

import secrets
import time
from datetime import UTC

from collector.messages.bodies import TrialBody
from collector.messages.channels import NotDelivered
from collector.messages.channels.email import PartlyDelivered
from collector.messages.channels.opening import open_channel
from collector.messages.rendering import Reader, letter_of
from collector.messages.settings import MessageSettings
from config.words import Language


class NotTaken(Exception):
    """The channel took the message not, or not for everybody; one line."""


def try_channel(settings: MessageSettings, name: str, language: Language, public_url: str = "") -> str:
    """Send a test message now; gives its key. Raises NotTaken, and SettingsError for a channel not set up."""
    channel = open_channel(settings.channels, name, time.time)
    key = f"test-{secrets.token_hex(4)}"
    reader = Reader(language, UTC, channel.plain, {}, public_url)
    try:
        channel.send(letter_of(key, [(key, "info", TrialBody(name))], reader))
    except (NotDelivered, PartlyDelivered) as error:
        raise NotTaken(f"channel {name}: {error}") from None
    return key
