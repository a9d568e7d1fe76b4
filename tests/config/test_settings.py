"""Strict settings: every way to be wrong has one line that names file, key and what is allowed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config.settings import MAX_FILE_BYTES, SettingsError, convert, load, parse_yaml
from config.units import BitsPerSecond, Bytes, Seconds


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    every: Seconds = Seconds(60)
    rate: BitsPerSecond | None = None


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    school: str
    probes: dict[str, Probe] = {}
    lines: list[Probe] = []
    spool: Bytes = Bytes(1)
    only: Probe | None = None


WRONG = [
    ("school: a\nonly: {evry: 5s}", "key only.evry: is unknown; allowed here: every, rate"),
    ("school: a\nlines: [{}, {rat: 1}]", "key lines[1].rat: is unknown; allowed here: every, rate"),
    ("school: a\nshool: b", "key shool: is unknown; allowed here: lines, only, probes, school, spool"),
    ("only: {every: 5s}", "key school: is missing and has no default"),
    ("school: 1", "key school: expected str, got int"),
    ("[1]", "key (the whole file): expected object, got array"),
    ("", "is empty; allowed here: lines, only, probes, school, spool"),
    (
        "school: a\nonly: {every: 5}",
        "key only.every: '5' is not a duration with its unit, like 200ms, 60s, 3min, 1h or 20d",
    ),
    (
        "school: a\nonly: {rate: 10MB}",
        "key only.rate: '10MB' is not a rate with its unit, like 10M, 2.5G or 100 Mbit/s",
    ),
    (
        "school: a\nspool: 64M",
        "key spool: '64M' is not a size with its unit, like 512KiB, 64MiB or 1GB",
    ),
    ("school: a\nschool: b", "line 2 is not YAML: key school is given twice"),
    ("school: &x a\nspool: *x", "line 2 is not YAML: aliases are not allowed"),
    ("? [a]\n: b", "line 1 is not YAML: keys must be plain text"),
    ("school: [", "line 1 is not YAML: expected the node content, but found '<stream end>'"),
    (
        "school: !!python/object/apply:os.system [true]",
        "line 1 is not YAML: tags are not allowed",
    ),
]


@pytest.mark.fault(25)
@pytest.mark.parametrize(("text", "problem"), WRONG)
def test_each_wrong_file_has_its_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        load(path, Whole)
    message = str(raised.value)
    assert message.removeprefix(f"{path}:").strip() == problem
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: no such file"):
        load(tmp_path / "nowhere.yaml", Whole)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a directory; a file is needed"):
        load(tmp_path, Whole)


@pytest.mark.fault(25)
def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SettingsError, match="is larger than the 1048576 bytes allowed"):
        load(path, Whole)


@pytest.mark.fault(25)
def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SettingsError, match="is not YAML"):
        parse_yaml("[" * 5000, "deep.yaml")


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gbk.yaml"
    path.write_bytes("school: 山丹一中".encode("gbk"))
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load(path, Whole)


def test_a_part_of_a_file_names_its_full_key() -> None:
    with pytest.raises(SettingsError, match=r"agent\.yaml: key probes\.ping\.evry: is unknown"):
        convert({"evry": 1}, Probe, "agent.yaml", below="probes.ping")


def test_right_settings_are_read_with_their_units(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("school: 山丹一中\nonly: {every: 5min, rate: 2.5G}\nspool: 64MiB\n", encoding="utf-8")
    read = load(path, Whole)
    assert read == Whole(
        school="山丹一中",
        only=Probe(every=Seconds(300), rate=BitsPerSecond(2_500_000_000)),
        spool=Bytes(67_108_864),
    )
