"""Channels made from their settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from collector.messages.channels import Channel
from collector.messages.channels.alertmanager import Alertmanager
from collector.messages.channels.dingtalk import DingTalk
from collector.messages.channels.email import Email
from collector.messages.channels.feishu import Feishu
from collector.messages.channels.web import Web
from collector.messages.channels.webhook import Webhook
from collector.messages.channels.wecom import WeCom
from collector.messages.settings import ChannelSettings, channel_names
from config.settings import SettingsError


def open_channels(settings: ChannelSettings, wall_seconds: Callable[[], float]) -> dict[str, Channel]:
    """Every channel by its name. Raises SettingsError, one line that holds no secret."""
    web = Web(settings)
    return {name: _opened(kind, name, settings, web, wall_seconds) for kind, name in channel_names(settings)}


def check_channels(settings: ChannelSettings) -> None:
    """Raises SettingsError, one line, where a channel's secrets cannot be read."""
    open_channels(settings, time.time)


def open_channel(settings: ChannelSettings, name: str, wall_seconds: Callable[[], float]) -> Channel:
    """One channel. Raises SettingsError for a name that is not known, or secrets that cannot be read."""
    kinds = {each: kind for kind, each in channel_names(settings)}
    if name not in kinds:
        allowed = ", ".join(sorted(kinds)) or "none is set up (messages.channels)"
        raise SettingsError(f"channel {name}: is not known; allowed: {allowed}")
    return _opened(kinds[name], name, settings, Web(settings), wall_seconds)


def _opened(
    kind: str, name: str, settings: ChannelSettings, web: Web, wall_seconds: Callable[[], float]
) -> Channel:
    key = f"messages.channels.{kind}.{name}"
    match kind:
        case "dingtalk":
            return DingTalk(settings.dingtalk[name], web, wall_seconds, key)
        case "wecom":
            return WeCom(settings.wecom[name], web, key)
        case "feishu":
            return Feishu(settings.feishu[name], web, wall_seconds, key)
        case "email":
            return Email(settings.email[name], settings.timeout, key)
        case "webhook":
            return Webhook(settings.webhook[name], web, wall_seconds, key)
        case _:
            return Alertmanager(settings.alertmanager[name], web, wall_seconds, key)
