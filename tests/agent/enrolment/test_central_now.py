"""«check» judges by what the county declares, as «run» does: kept by the agent, else asked for."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import msgspec

from agent.central_now import as_the_county_says
from agent.central_state import FILE, Held, Kept
from agent.settings import LoadedSettings, load_settings
from tests.agent.collector_double import CollectorDouble, Reply

DOCUMENT = {"school": {"id": "s1", "classes": 12, "lines": [{"id": "wan"}]}}


def local_in(folder: Path, url: str, central: str = "{}") -> LoadedSettings:
    (folder / "token").write_text("t" * 43, encoding="utf-8")
    (folder / "token").chmod(0o600)
    file = folder / "agent.yaml"
    file.write_text(
        f"school: {{id: s1}}\nstate_directory: state\ncentral: {central}\n"
        f"collector: {{url: {url}, token_file: token}}\nprobes: {{interfaces: {{}}}}\n",
        encoding="utf-8",
    )
    return load_settings(file)


def test_what_a_fresh_agent_lacks_is_asked_for_and_not_kept(tmp_path: Path) -> None:
    with closing(CollectorDouble()) as collector:
        sent = json.dumps({"revision": "r1", "document": DOCUMENT}).encode()
        collector.answer = lambda _asked: Reply(200, {}, sent)
        found = as_the_county_says(local_in(tmp_path, collector.url))
        assert [push.path for push in collector.pushes] == ["/api/v1/agent/config"]
    assert found.settings.school.lines[0].id == "wan"
    assert not (tmp_path / "state").exists()


def test_what_the_agent_keeps_needs_no_collector(tmp_path: Path) -> None:
    local = local_in(tmp_path, "http://127.0.0.1:9")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE).write_bytes(msgspec.json.encode(Kept(good=Held("r1", DOCUMENT))))
    assert as_the_county_says(local).settings.school.lines[0].id == "wan"


def test_without_an_answer_the_local_file_counts(tmp_path: Path) -> None:
    local = local_in(tmp_path, "http://127.0.0.1:9")
    assert as_the_county_says(local) is local


def test_what_the_operator_switched_off_is_not_asked(tmp_path: Path) -> None:
    with closing(CollectorDouble()) as collector:
        local = local_in(tmp_path, collector.url, "{enabled: false}")
        assert as_the_county_says(local) is local
        assert collector.pushes == []
