"""Plain data from YAML: as PyYAML's safe loader reads it, stricter, and the same by both parsers."""

from __future__ import annotations

import math
from datetime import date

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config import plain_yaml

PARSERS = ["small", "large"]
words = st.sampled_from(
    ["yes", "0x1f", "1_000", "1e3", "2026-09-01", "null", "~", "", "2.50", "城区", "a b", "08"]
)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture(params=PARSERS)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which parser reads: Python's, or libyaml's as for a large file."""
    monkeypatch.setattr(plain_yaml, "FAST_FROM_CHARACTERS", 0 if request.param == "large" else math.inf)
    return str(request.param)


@given(data, st.booleans())
@settings(max_examples=150, deadline=None)
def test_it_reads_what_the_safe_loader_reads(value: object, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    for limit in (0, math.inf):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plain_yaml, "FAST_FROM_CHARACTERS", limit)
            assert plain_yaml.parse(text) == value == yaml.safe_load(text)


@pytest.mark.usefixtures("parser")
def test_words_are_what_they_look_like() -> None:
    text = "a: 2026-09-01\nb: '2026-09-01'\nc: on\nd: 1_0\ne:\nf: [1.5, '1.5']\n2: two\n"
    assert plain_yaml.parse(text) == {
        "a": date(2026, 9, 1), "b": "2026-09-01", "c": True, "d": 10, "e": None, "f": [1.5, "1.5"], 2: "two",
    }  # fmt: skip
    assert plain_yaml.parse("") is None


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: &x 1\nb: *x", "aliases are not allowed", 1),
        ("a: 1\nb: 2\na: 3", "key a is given twice", 2),
        ("[a]: 1", "keys must be plain text", 0),
        ("? {a: 1}\n: 2", "keys must be plain text", 0),
        ("a: 1\nb: !!str 5", "tags are not allowed", 1),
        ("a: !!python/object/apply:os.system [x]", "tags are not allowed", 0),
        ("--- 1\n--- 2", "but found another document", 1),
        ("a: 2026-13-01", "2026-13-01 is no value: month must be in 1..12", 0),
        ("[" * 100_000, "is nested deeper than the 64 allowed", 0),
        ("- " * 100_000, "is nested deeper than the 64 allowed", 0),
        ("{a: " * 100_000, "is nested deeper than the 64 allowed", 0),
    ],
)
@pytest.mark.usefixtures("parser")
def test_what_is_not_plain_is_refused_with_its_line(text: str, problem: str, line: int) -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        plain_yaml.parse(text)
    assert (caught.value.problem, caught.value.problem_mark.line) == (problem, line)  # type: ignore[union-attr]
