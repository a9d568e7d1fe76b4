"""Who is told what, over which channels."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from collector.incidents.model import Kind, Severity
from collector.registry.ids import ALLOWED, is_id
from config.calendar import Hours
from config.units import Bytes, Seconds

TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
KINDS_OF_CHANNEL = ("dingtalk", "wecom", "feishu", "email", "webhook", "alertmanager")
Many = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class DingTalkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A custom robot (自定义机器人) of a DingTalk 钉钉 group."""

    url_file: str
    """A file of mode 0600 with the robot's Webhook address: its token is a secret."""
    secret_file: str = ""
    """A file of mode 0600 with the secret of 加签 (SEC…); empty where the robot has none."""


class WeComSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A robot (群机器人) of a WeCom 企业微信 group."""

    url_file: str
    """A file of mode 0600 with the robot's Webhook address: its key is a secret."""


class FeishuSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A custom robot (自定义机器人) of a Feishu 飞书 group."""

    url_file: str
    """A file of mode 0600 with the robot's Webhook address."""
    secret_file: str = ""
    """A file of mode 0600 with the secret of 签名校验; empty where the robot has none."""


class EmailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mail server."""

    host: str
    """Its name or address."""
    sender: str
    """The address that messages come from."""
    to: tuple[str, ...]
    """Addresses that every message goes to."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """TCP port; 0 is the usual one: 587 with starttls, 465 with tls, 25 with none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted; a password is never sent with none."""
    user: str = ""
    """Who logs in; empty, nobody does."""
    password_file: str = ""
    """A file of mode 0600 with the password."""
    ca_file: str = ""
    """Certificates that the server's must follow from; empty means the system's."""
    a_minute: Many = 60
    """Messages in a minute, at most; more are merged."""


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program of the county's own, like a gateway to SMS or voice: it gets JSON with a signature."""

    url_file: str
    """A file of mode 0600 with the address."""
    secret_file: str
    """A file of mode 0600 with the key of the signature (HMAC-SHA256)."""
    success_key: str = ""
    """Where its JSON answer says whether it took the message («code»); empty, HTTP 2xx says it."""
    success_value: str = "0"
    """What stands there when it did."""
    a_minute: Many = 60
    """Messages in a minute, at most; more are merged."""


class AlertmanagerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Alertmanager of the county's own; it groups and repeats by its own rules."""

    url_file: str
    """A file of mode 0600 with its address, like http://127.0.0.1:9093."""
    repeat: Seconds = Seconds(60)
    """How often it is told of what is still open; an incident that it hears nothing of for four times as
    long ends there by itself."""


class ChannelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ways to people, each under a name of its own that recipients use."""

    dingtalk: dict[str, DingTalkSettings] = {}
    wecom: dict[str, WeComSettings] = {}
    feishu: dict[str, FeishuSettings] = {}
    email: dict[str, EmailSettings] = {}
    webhook: dict[str, WebhookSettings] = {}
    alertmanager: dict[str, AlertmanagerSettings] = {}
    timeout: Seconds = Seconds(10)
    """Of a connection, and of each answer."""
    proxy: str = ""
    """http:// or https:// address of a proxy for the robots and webhooks; empty, none."""
    ca_file: str = ""
    """Certificates that those of robots and webhooks must follow from; empty means the system's."""
    inside_networks: tuple[str, ...] = ()
    """Networks that are not of the public internet and that a host's name may lead to, like 10.0.0.0/8. An
    address that stands in a URL as numbers is allowed as it stands."""
    max_answer: Bytes = Bytes(64 * 1024)
    """Of an answer; more is not read."""


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """People who are told together."""

    channel: str
    """The name of the channel."""
    language: Literal["zh_CN", "en"] = "zh_CN"
    """The language of their messages."""
    groups: tuple[str, ...] = ("duty",)
    """Which of the groups that rules name they are; the recipient's own name is one as well."""
    kinds: tuple[Kind, ...] = ()
    """Kinds of incident that they are told of; empty, all."""
    severities: tuple[Severity, ...] = ("info", "warning", "critical")
    """Severities that they are told of."""
    schools: tuple[str, ...] = ()
    """Ids of the schools that they are told of; with townships also empty, all."""
    townships: tuple[str, ...] = ()
    """Townships whose schools they are told of."""
    hours: tuple[Hours, ...] = ()
    """Times of day when they are there, «08:00-18:00»; empty, always. What comes at another time reaches them
    when the next begins, merged into one."""
    critical_always: bool = True
    """What is critical reaches them at any time of day."""
    daily_digest: bool = False
    """They get the digest of the day."""


class MessageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages to people about incidents."""

    channels: ChannelSettings = ChannelSettings()
    recipients: dict[str, Recipient] = {}
    digest_at: TimeOfDay = "07:30"
    """When the daily digest goes out, in the calendar's time zone."""
    poll: Seconds = Seconds(1)
    """How often each channel looks for messages that wait."""
    lease: Seconds = Seconds(60)
    """How long one collector has a channel to itself; after a crash another waits as long."""
    first_retry: Seconds = Seconds(5)
    """Wait after the first failure; it doubles with each further one."""
    longest_retry: Seconds = Seconds(600)
    """The longest wait between two tries."""
    give_up_after: Seconds = Seconds(3 * 86400)
    """A message that could not be delivered for so long is given up, and told in /metrics and the digest."""
    content_tries: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    """A message whose content a channel refuses so often is given up, so that others get through."""
    keep: Seconds = Seconds(90 * 86400)
    """How long messages that are done with are kept for reading."""
    max_waiting: Many = 10_000
    """Messages that wait for one channel, at most; the oldest of the lowest severity are given up first."""


def channel_names(settings: ChannelSettings) -> list[tuple[str, str]]:
    """Kind and name of every channel."""
    return [(kind, name) for kind in KINDS_OF_CHANNEL for name in getattr(settings, kind)]


def contradictions(settings: MessageSettings) -> list[str]:
    """What cannot be meant, one line each: key, what is allowed."""
    names = [name for _, name in channel_names(settings.channels)]
    twice = sorted({name for name in names if names.count(name) > 1})
    found = [f"key messages.channels: {name} names two channels; allowed: one" for name in twice]
    for recipient, each in settings.recipients.items():
        if each.channel not in names:
            allowed = ", ".join(sorted(names)) or "none is set up"
            found.append(
                f"key messages.recipients.{recipient}.channel: {each.channel} is no channel; "
                f"allowed: {allowed}"
            )
    for kind, name in channel_names(settings.channels):
        if not is_id(name):
            found.append(f"key messages.channels.{kind}.{name}: the name is not {ALLOWED}")
    found += [
        f"key messages.recipients.{name}: the name is not {ALLOWED}"
        for name in settings.recipients
        if not is_id(name)
    ]
    return found + _wrong_channels(settings)


def _wrong_channels(settings: MessageSettings) -> list[str]:
    channels, found = settings.channels, []
    for network in channels.inside_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            found.append(f"key messages.channels.inside_networks: {error}")
    if channels.proxy and urlsplit(channels.proxy).scheme not in {"http", "https"}:
        found.append("key messages.channels.proxy: http:// or https:// with a host is allowed")
    for name, email in channels.email.items():
        if email.user and email.security == "none":
            found.append(f"key messages.channels.email.{name}.user: allowed with starttls or tls")
        if not email.to:
            found.append(f"key messages.channels.email.{name}.to: at least one address is needed")
    if settings.lease < 4 * channels.timeout:
        found.append("key messages.lease: at least 4 times messages.channels.timeout is allowed")
    return found
