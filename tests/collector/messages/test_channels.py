"""Every channel against a server that speaks its protocol: success is its own code, not HTTP 200."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.messages.channels import (
    Failure,
    Letter,
    NotDelivered,
    cut,
    dingtalk,
    feishu,
    one_line,
    plain_for_robots,
    webhook,
)
from collector.messages.channels.opening import open_channel
from collector.messages.settings import ChannelSettings
from config.settings import SettingsError, convert
from tests.collector.messages.sinks import (
    DINGTALK_SECRET,
    FEISHU_SECRET,
    TOKEN,
    WECOM_KEY,
    DingTalkRobot,
    FeishuRobot,
    Recorder,
    Robot,
    WeComRobot,
    secret_file,
    serving,
)

LETTER = Letter(
    "7-2-opened-duty", "【紧急】第一小学：线路中断", "自 11-22 14:03 起。", "critical", {"type": "trial"}
)
NOW = 1_795_000_000.0


def channels(folder: Path, **kinds: Any) -> ChannelSettings:
    return convert(kinds, ChannelSettings, "test")


def robot_of(kind: str, folder: Path, url: str, secret: str | None = None, **more: Any) -> Any:
    """A channel of one kind, set up for the sink at ``url``."""
    paths = {
        "dingtalk": f"/robot/send?access_token={TOKEN}", "wecom": f"/cgi-bin/webhook/send?key={WECOM_KEY}",
        "feishu": "/open-apis/bot/v2/hook/x", "webhook": "/sms",
    }  # fmt: skip
    secrets = {"dingtalk": DINGTALK_SECRET, "feishu": FEISHU_SECRET, "webhook": "hook-secret"}
    made = {"url_file": secret_file(folder, f"{kind}.url", url + paths[kind]), **more}
    if kind in secrets:
        made["secret_file"] = secret_file(folder, f"{kind}.secret", secret or secrets[kind])
    return open_channel(channels(folder, **{kind: {"one": made}}), "one", lambda: NOW)


ROBOTS: dict[str, Callable[[Callable[[], float]], Robot]] = {
    "dingtalk": DingTalkRobot,
    "wecom": WeComRobot,
    "feishu": FeishuRobot,
}


@pytest.mark.parametrize("kind", ROBOTS)
def test_a_robot_takes_a_letter_with_its_key(kind: str, tmp_path: Path) -> None:
    sink = ROBOTS[kind](lambda: NOW)
    with serving(sink) as url:
        robot_of(kind, tmp_path, url).send(LETTER)
    assert sink.taken == ["【紧急】第一小学：线路中断\n自 11-22 14:03 起。\n[7-2-opened-duty]"]
    assert sink.keys == [LETTER.key]


@pytest.mark.parametrize(
    ("kind", "secret", "code"),
    [
        ("dingtalk", "SECwrong", "errcode 310000 sign not match"),
        ("feishu", "wrong", "code 19021 sign match fail"),
    ],
)
def test_a_wrong_secret_is_refused_within_http_200(kind: str, secret: str, code: str, tmp_path: Path) -> None:
    sink = ROBOTS[kind](lambda: NOW)
    with serving(sink) as url, pytest.raises(NotDelivered, match=code) as caught:
        robot_of(kind, tmp_path, url, secret).send(LETTER)
    assert caught.value.failure is Failure.REFUSED
    assert not sink.taken


def test_a_wrong_key_of_wecom_is_refused_and_not_told(tmp_path: Path) -> None:
    sink = WeComRobot(lambda: NOW)
    with serving(sink) as url:
        made = {"url_file": secret_file(tmp_path, "u", f"{url}/cgi-bin/webhook/send?key=wrong-secret-key")}
        channel = open_channel(channels(tmp_path, wecom={"one": made}), "one", lambda: NOW)
        with pytest.raises(NotDelivered, match="errcode 93000") as caught:
            channel.send(LETTER)
    assert caught.value.failure is Failure.REFUSED
    assert "wrong-secret-key" not in str(caught.value)


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("kind", "most", "wait"), [("dingtalk", 20, 600.0), ("wecom", 20, 60.0), ("feishu", 5, 60.0)]
)
def test_a_throttled_robot_says_how_long_to_wait(kind: str, most: int, wait: float, tmp_path: Path) -> None:
    sink = ROBOTS[kind](lambda: NOW)
    with serving(sink) as url:
        channel = robot_of(kind, tmp_path, url)
        for _ in range(most):
            channel.send(LETTER)
        with pytest.raises(NotDelivered) as caught:
            channel.send(LETTER)
    assert (caught.value.failure, caught.value.wait_seconds) == (Failure.THROTTLED, wait)
    assert len(sink.taken) == most


STATUSES = [
    (500, Failure.UNREACHABLE), (502, Failure.UNREACHABLE), (404, Failure.REFUSED), (401, Failure.REFUSED),
    (302, Failure.REFUSED), (413, Failure.CONTENT), (429, Failure.THROTTLED), (200, Failure.UNREACHABLE),
]  # fmt: skip


@pytest.mark.parametrize(("status", "failure"), STATUSES)
def test_what_is_no_answer_of_a_robot_is_no_success(status: int, failure: Failure, tmp_path: Path) -> None:
    sink = Recorder(status, b"<html>captive portal</html>", {"Retry-After": "7"})
    with serving(sink) as url, pytest.raises(NotDelivered) as caught:
        robot_of("dingtalk", tmp_path, url).send(LETTER)
    assert caught.value.failure is failure
    assert TOKEN not in str(caught.value)
    if failure is Failure.THROTTLED:
        assert caught.value.wait_seconds == 7


@pytest.mark.fault(16)
def test_redirects_are_not_followed(tmp_path: Path) -> None:
    inside = Recorder(200, {"errcode": 0})
    with serving(inside) as target:
        sink = Recorder(307, {}, {"Location": target})
        with serving(sink) as url, pytest.raises(NotDelivered, match="HTTP 307"):
            robot_of("dingtalk", tmp_path, url).send(LETTER)
    assert len(sink.requests) == 1
    assert not inside.requests


@pytest.mark.fault(16)
@pytest.mark.parametrize(("allowed", "reached"), [((), False), (("127.0.0.0/8", "::1/128"), True)])
def test_a_name_that_leads_inside_is_refused_where_it_is_not_allowed(
    allowed: tuple[str, ...], reached: bool, tmp_path: Path
) -> None:
    """The address is checked on the connection itself: another answer of the name server changes nothing."""
    sink = WeComRobot(lambda: NOW)
    with serving(sink) as url:
        named = url.replace("127.0.0.1", "localhost") + f"/cgi-bin/webhook/send?key={WECOM_KEY}"
        made = {"url_file": secret_file(tmp_path, "u", named)}
        channel = open_channel(
            channels(tmp_path, wecom={"one": made}, inside_networks=allowed), "one", lambda: NOW
        )
        if reached:
            channel.send(LETTER)
        else:
            with pytest.raises(NotDelivered, match=r"not of the public internet; channels\.inside_networks"):
                channel.send(LETTER)
    assert bool(sink.taken) is reached


def test_nobody_there_is_told_without_the_token(tmp_path: Path) -> None:
    with pytest.raises(NotDelivered) as caught:
        robot_of("dingtalk", tmp_path, "http://127.0.0.1:1").send(LETTER)
    assert caught.value.failure is Failure.UNREACHABLE
    assert TOKEN not in str(caught.value)
    assert str(caught.value).startswith("http://127.0.0.1:1: ")


def test_an_endless_answer_ends(tmp_path: Path) -> None:
    with serving(Recorder(200, b" " * 5_000_000)) as url, pytest.raises(NotDelivered):
        robot_of("dingtalk", tmp_path, url).send(LETTER)


def test_the_webhook_is_signed_over_time_and_body(tmp_path: Path) -> None:
    sink = Recorder(204, b"")
    with serving(sink) as url:
        robot_of("webhook", tmp_path, url).send(LETTER)
    path, headers, body = sink.requests[0]
    signed = headers["X-Xiaotong-Timestamp"].encode() + b"." + body
    expected = hmac.new(b"hook-secret", signed, hashlib.sha256).hexdigest()
    assert (path, headers["X-Xiaotong-Signature"]) == ("/sms", f"sha256={expected}")
    assert headers["X-Xiaotong-Timestamp"] == str(int(NOW))
    assert headers["X-Xiaotong-Key"] == LETTER.key
    assert msgspec.json.decode(body) == {
        "version": 1, "key": LETTER.key, "severity": "critical", "title": LETTER.title, "text": LETTER.text,
        "facts": {"type": "trial"},
    }  # fmt: skip
    assert webhook.signature("1", b"x", "s") != webhook.signature("2", b"x", "s")


@pytest.mark.parametrize(
    ("said", "well"), [({"code": 0}, True), ({"code": 7, "msg": "no credit"}, False), ([], False)]
)
def test_a_gateway_may_say_success_in_its_body(said: Any, well: bool, tmp_path: Path) -> None:
    with serving(Recorder(200, said)) as url:
        channel = robot_of("webhook", tmp_path, url, success_key="code")
        if well:
            channel.send(LETTER)
        else:
            with pytest.raises(NotDelivered, match="code is"):
                channel.send(LETTER)


def test_signatures_are_those_of_the_protocols() -> None:
    """DingTalk: the secret signs «timestamp, line feed, secret». Feishu: these sign nothing."""
    by_hand = base64.b64encode(hmac.digest(b"s3cret", b"1700000000000\ns3cret", "sha256")).decode()
    assert dingtalk.signature("1700000000000", "s3cret") == by_hand
    nothing = base64.b64encode(hmac.digest(b"1700000000\ns3cret", b"", "sha256")).decode()
    assert feishu.signature("1700000000", "s3cret") == nothing


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"wecom": {"one": {"url_file": "loose"}}}, "mode 0644; allowed is 0600"),
        ({"wecom": {"one": {"url_file": "missing"}}}, "no such file"),
        ({"wecom": {"one": {"url_file": "ftp"}}}, "holds no http:// or https:// address"),
        ({"wecom": {"one": {"url_file": "user"}}}, "holds no http:// or https:// address"),
        ({"dingtalk": {"one": {"url_file": "well", "secret_file": "empty"}}}, "must hold one line"),
    ],
)
@pytest.mark.fault(20)
def test_secrets_are_read_strictly_and_never_shown(settings: Any, why: str, tmp_path: Path) -> None:
    secret_file(tmp_path, "loose", "https://a.example/CANARY", 0o644)
    secret_file(tmp_path, "ftp", "ftp://a.example/CANARY")
    secret_file(tmp_path, "user", "https://CANARY:pw@a.example/")
    secret_file(tmp_path, "well", "https://a.example/")
    secret_file(tmp_path, "empty", "")
    named = {
        kind: {name: {key: str(tmp_path / file) for key, file in one.items()} for name, one in each.items()}
        for kind, each in settings.items()
    }
    with pytest.raises(SettingsError, match=why) as caught:
        open_channel(channels(tmp_path, **named), "one", lambda: NOW)
    assert "CANARY" not in str(caught.value)
    assert str(caught.value).startswith("key messages.channels.")


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("@all 第一小学", "＠all 第一小学"),
        ('<at user_id="all">所有人</at>', '＜at user＿id="all"＞所有人＜/at＞'),
        ("<@zhangsan>", "＜＠zhangsan＞"),
        ("a\n\n**紧急** 付款", "a ＊＊紧急＊＊ 付款"),
        ("[点这里](http://evil.example/x)", "［点这里］(http：//evil．example/x)"),
        ("evil.example", "evil．example"),
        ("\x1b[31mred\x00\u202eesrever\u200b", "［31mred esrever"),
        ("{0.__class__} %s ${x} {{7*7}}", "｛0.＿＿class＿＿｝ %s $｛x｝ ｛｛7＊7｝｝"),
        ("x" * 300, "x" * 79 + "…"),
        ("第 2.5 小学", "第 2.5 小学"),
    ],
)
def test_names_mean_nothing_to_a_robot(name: str, shown: str) -> None:
    assert plain_for_robots(name) == shown


def test_a_line_is_one_line() -> None:
    assert one_line("a\r\nBcc: x@y\u2028z\x07") == "a Bcc: x@y z"


@pytest.mark.parametrize("most", [3, 4, 5, 6, 7, 2048])
def test_a_text_is_cut_between_characters(most: int) -> None:
    text = "校通" * 2000
    assert len(cut(text, most).encode()) <= most
    assert cut(text, most).encode().decode() == cut(text, most)
    assert cut("ab", most) == "ab"
