"""From fault to message received, in its short form; ``make lab`` has what takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.messages.everyone import Received
from tests.lab import letters, scenario
from tests.lab.play import play

LETTER = Received(
    "7-2-opened-to_wecom", "【紧急】东街小学：学校失联",
    "自 11-22 14:03 起（已 3 分钟）。\nhttps://x.example/incidents/7",
)  # fmt: skip


@pytest.mark.lab
@pytest.mark.needs_root
@pytest.mark.needs("ip", "tc", "nft", "ethtool", "dnsmasq", "radvd", "snmpd")
def test_a_rogue_router_and_a_slow_port_are_told_to_everyone_within_seconds() -> None:
    played = play("told_in_seconds", scenario.load(scenario.find(["told_in_seconds"])["told_in_seconds"]))
    assert played.problems == ()
    assert [outcome for outcome in played.outcomes if outcome.mark != "right"] == [], played.logs


def test_channels_that_brought_the_same_stand_together_and_times_do_not_count() -> None:
    later = LETTER._replace(text=LETTER.text.replace("14:03", "23:59").replace("/7", "/12"))
    text = letters.shown({"wecom": [LETTER], "feishu": [later], "email": []})
    assert text.startswith("== wecom, feishu\n【紧急】东街小学：学校失联\n自 MM-DD hh:mm 起（已 N min）。\n")
    assert text.endswith("/incidents/N\n\n== email\n\n")


def test_a_word_that_differs_is_told(tmp_path: Path) -> None:
    text = letters.shown({"wecom": [LETTER]})
    (written,) = letters.differences("case", text, tmp_path)
    assert "read them" in written
    assert list(letters.differences("case", text, tmp_path)) == []
    other = letters.shown({"wecom": [LETTER._replace(title="【紧急】东街小学：线路中断")]})
    assert "message: +【紧急】东街小学：线路中断" in list(letters.differences("case", other, tmp_path))
