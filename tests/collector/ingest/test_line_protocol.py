"""Line protocol: the shared table, a round trip of anything writable, and another reader as oracle."""

from __future__ import annotations

from typing import Any

import line_protocol_parser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.ingest.line_protocol import BadLine, Line, LineError, parse_head, read_lines
from config.points import INT64_MAX, INT64_MIN, Point, encode
from tests.line_protocol_cases import BOTH, READ_ONLY, REFUSED, UNWRITABLE


def points_in(text: str) -> list[Point | str]:
    """Points, and the reasons of what was refused."""
    found: list[Point | str] = []
    for line in read_lines(text):
        try:
            assert isinstance(line, Line), line.reason
            found.append(Point(*parse_head(line.head), line.fields, line.time or 0))
        except (AssertionError, LineError) as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("case", BOTH)
def test_reads_and_writes(case: str) -> None:
    text, point = BOTH[case]
    assert encode(point) == text
    assert points_in(text) == [point]
    values = point.fields.values()
    (found,) = points_in(text)
    assert isinstance(found, Point)
    assert [type(value) for value in found.fields.values()] == [type(value) for value in values]


@pytest.mark.parametrize("case", READ_ONLY)
def test_reads(case: str) -> None:
    text, fields, time = READ_ONLY[case]
    (line,) = read_lines(text)
    assert isinstance(line, Line)
    assert (line.fields, line.time) == (fields, time)


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str) -> None:
    text, reason = REFUSED[case]
    (found,) = points_in(text)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize("case", UNWRITABLE)
def test_does_not_write(case: str) -> None:
    with pytest.raises(ValueError):
        encode(UNWRITABLE[case])


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.fault(10)
def test_a_bad_line_spoils_no_other(case: str, place: int) -> None:
    lines = [f"good{n} f=1i {n}" for n in range(2)]
    lines.insert(place, REFUSED[case][0])
    good = [point.measurement for point in points_in("\n".join(lines)) if isinstance(point, Point)]
    assert good == ["good0", "good1"]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('m a="x\ny" 1', 2),
        ('m a="x\ny",b="z\nw" 1', 3),
        ('m a="x\ny",b=1,c="z\nno quote\nw",d=2 1', 4),
        ('m a="x\n\\"y\nz" 1', 3),
        ('m a="x\ny",b\nw" 1', 2),
        ('m a="x\\\ny" 1', 2),
    ],
)
@pytest.mark.fault(3)
def test_a_string_with_line_breaks_is_refused_to_its_end(text: str, spans: int) -> None:
    bad, *_, good = list(read_lines(f"{text}\nm f=1i 2"))
    assert isinstance(bad, BadLine)
    assert bad.text == "\n".join(text.split("\n")[:spans])
    assert good == Line(text.count("\n") + 2, "m", {"f": 1}, 2)


def test_comments_and_empty_lines_are_passed_over_and_counted() -> None:
    found = list(read_lines("# a\n\n   \r\nm f=x\n#\nm f=1i"))
    assert [line.number for line in found] == [4, 6]
    assert isinstance(found[0], BadLine)


names = st.text(min_size=1, max_size=12)
values = st.one_of(
    st.booleans(),
    st.integers(INT64_MIN, INT64_MAX),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
anything = st.builds(
    Point,
    names,
    st.dictionaries(names, names, max_size=3),
    st.dictionaries(names, values, min_size=1, max_size=4),
    st.integers(INT64_MIN, INT64_MAX),
)


@given(st.lists(anything, min_size=1, max_size=4))
@example([Point("m", {"a": "b\nm f=1i"}, {"f": 1}, 0)])
@example([Point("m", {}, {"f": 'x"\nm f=1i'}, 0)])
@settings(max_examples=150, deadline=None)
@pytest.mark.fault(3)
def test_what_is_written_is_read_the_same_and_makes_no_second_point(points: list[Point]) -> None:
    written = []
    lines = []
    for point in points:
        try:
            lines.append(encode(point))
        except ValueError:
            continue
        written.append(point)
    assert points_in("\n".join(lines)) == written


@given(st.text(alphabet='m,= \\"\n#1i.tuf\r\t中', max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for point in points_in(text):
        assert isinstance(point, Point | str)


plain = st.text(alphabet="abcXYZ 中,=\"_-'", min_size=1, max_size=8)


@given(
    st.builds(
        Point,
        plain,
        st.dictionaries(plain, plain, max_size=3),
        st.dictionaries(
            plain, st.one_of(st.booleans(), st.integers(-(2**62), 2**62), plain), min_size=1, max_size=4
        ),
        st.integers(0, 2**62),
    )
)
@settings(max_examples=200, deadline=None)
def test_another_reader_agrees(point: Point) -> None:
    text = encode(point)
    other: dict[str, Any] = line_protocol_parser.parse_line(text)
    assert points_in(text) == [Point(other["measurement"], other["tags"], other["fields"], other["time"])]
