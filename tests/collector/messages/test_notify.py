"""``xiaotong-collector notify``, as an operator runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from collector.access.audit import entries
from collector.main import main
from collector.messages.outbox import Entry, Outbox
from tests.collector.messages.county import AT, message_settings, opened_registry
from tests.collector.messages.sinks import WECOM_KEY, Recorder, WeComRobot, secret_file, serving

SETTINGS = """\
data_directory: {folder}
messages:
  channels:
    wecom: {{group: {{url_file: {url_file}}}}}
  recipients:
    duty: {{channel: group}}
"""


def notify(folder: Path, *arguments: str, url: str = "http://127.0.0.1:1/?key=x") -> Result:
    file = folder / "collector.yaml"
    file.write_text(SETTINGS.format(folder=folder, url_file=secret_file(folder, "url", url)))
    run = CliRunner(env={"LANG": "en_US.UTF-8", "LANGUAGE": "", "LC_ALL": ""})
    return run.invoke(main, ["notify", *arguments, "--config", str(file)])


def test_a_test_message_arrives(tmp_path: Path) -> None:
    robot = WeComRobot()
    with serving(robot) as url:
        done = notify(tmp_path, "test", "group", url=f"{url}/?key={WECOM_KEY}")
    assert done.exit_code == 0, done.output
    assert robot.taken[0].startswith("[Test] xiaotong reaches you\n")
    assert done.output == f"Sent over group: {robot.keys[0]}\n"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"errcode": 93000, "errmsg": "invalid webhook url"}, "errcode 93000 invalid webhook url"),
        ({}, "HTTP 200"),
    ],
)
def test_a_channel_that_takes_nothing_says_why(said: Any, why: str, tmp_path: Path) -> None:
    with serving(Recorder(200, said)) as url:
        done = notify(tmp_path, "test", "group", url=f"{url}/?key=CANARY")
    assert done.exit_code == 1
    assert why in done.output
    assert "CANARY" not in done.output


def test_a_channel_that_is_not_known_is_one_line(tmp_path: Path) -> None:
    done = notify(tmp_path, "test", "nobody")
    assert (done.exit_code, done.output) == (2, "error: channel nobody: is not known; allowed: group\n")


def test_what_waits_is_listed_dropped_and_sent_again(tmp_path: Path) -> None:
    registry = opened_registry(tmp_path)
    outbox = Outbox(registry, message_settings(), "x")
    outbox.put([Entry(f"{n}-1-opened-duty", "group", "duty", "info", "{}", AT) for n in range(3)], AT)
    assert "1-1-opened-" in notify(tmp_path, "list").output
    assert notify(tmp_path, "drop", "2").output == "messages changed: 1\n"
    listed = json.loads(notify(tmp_path, "list", "--json").output)["messages"]
    assert [(each["id"], each["state"]) for each in listed] == [(1, "waiting"), (3, "waiting")]
    again = notify(tmp_path, "retry", "2", "7")
    assert (again.exit_code, again.output.splitlines()) == (
        1, ["messages changed: 1", "error: 1 of these are not known, or not given up or dropped"],
    )  # fmt: skip
    states = [each.state for each in outbox.listed(("waiting",))]
    assert states == ["waiting"] * 3
    with registry.reading() as connection:
        said = [(each.action, each.subject) for each in entries(connection)]
    assert said == [("messages.retry", "2"), ("messages.drop", "2")]
    registry.close()


BAD = [
    ("wecom: {a: {url_file: x}}, feishu: {a: {url_file: x}}", "{}", "a names two channels"),
    ("{}", "duty: {channel: sms}", "key messages.recipients.duty.channel: sms is no channel; allowed: none"),
    ("email: {m: {host: h, sender: s@x, to: []}}", "{}", "to: at least one address is needed"),
    ("email: {m: {host: h, sender: s@x, to: [a@x], security: none, user: u}}", "{}", "with starttls or tls"),
    ("inside_networks: [10.0.0.1/8]", "{}", "inside_networks: 10.0.0.1/8 has host bits set"),
    ("proxy: socks5://x", "{}", "key messages.channels.proxy: http:// or https://"),
    ("wecom: {'a b': {url_file: x}}", "{}", "the name is not 1 to 64"),
    ("telegram: {}", "{}", "key messages.channels.telegram: is unknown; allowed here: alertmanager"),
]


@pytest.mark.parametrize(("channels", "recipients", "why"), BAD)
def test_settings_that_cannot_be_meant_are_one_line(
    channels: str, recipients: str, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "collector.yaml"
    channels = channels if channels.startswith("{") else "{" + channels + "}"
    recipients = recipients if recipients.startswith("{") else "{" + recipients + "}"
    file.write_text(
        f"data_directory: {tmp_path}\nmessages: {{channels: {channels}, recipients: {recipients}}}\n"
    )
    done = CliRunner().invoke(main, ["config", "check", str(file)])
    assert done.exit_code == 2
    assert why in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("command", [["config", "check"], ["serve", "--config"]])
def test_a_secret_that_others_may_read_stops_it_in_one_line(command: list[str], tmp_path: Path) -> None:
    notify(tmp_path, "list")
    (tmp_path / "url").chmod(0o644)
    done = CliRunner().invoke(main, [*command, str(tmp_path / "collector.yaml")])
    assert done.exit_code == 2
    assert done.output == (
        f"error: key messages.channels.wecom.group.url_file: {tmp_path / 'url'} has mode 0644; "
        "allowed is 0600, so that others cannot read it\n"
    )
