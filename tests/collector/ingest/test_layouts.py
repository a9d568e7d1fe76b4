"""The quick way through a body reads what the strict reader reads, and nothing that it refuses."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from collector.batch import Batch, decode_batch, encode_batch
from collector.ingest.intake import Intake, Window
from collector.ingest.line_protocol import Line, read_lines
from collector.ingest.set_aside import Refused
from collector.registry.registry import AgentIdentity
from config.measurements import Declared, Field, Measurement
from config.points import FieldValue, Point, encode
from tests.line_protocol_cases import BOTH, READ_ONLY, REFUSED, TELEGRAF

SCHEMA = {
    "m": Measurement(
        "help",
        {"a": "any"},
        {
            "i": Field("int", "help"),
            "f": Field("float", "help"),
            "b": Field("bool", "help"),
            "s": Field("string", "help"),
        },
    )
}
ALL = Window(-(2**62), 2**62)


def taken(intake: Intake, text: str, *, others: bool = False) -> tuple[Batch, list[Refused]]:
    identity = AgentIdentity("a1", "s1", may_write_others=others)
    return intake.batch(
        text.encode("utf-8", "surrogatepass"), identity, precision="ns", others=others,
        received_ns=7, moved_ns=0, window=ALL,
    )  # fmt: skip


def points_of(batch: Batch) -> list[Point]:
    return [
        Point(point.measurement, {k: v for k, v in point.tags.items() if k not in ("school", "agent")},
              point.fields, point.time_ns)
        for point in decode_batch(encode_batch(batch)).points()
    ]  # fmt: skip


def told(points: list[Point]) -> list[str]:
    """For comparing: in one order, and a zero without its sign."""
    return sorted(
        repr(structs.replace(each, fields={key: _unsigned(value) for key, value in each.fields.items()}))
        for each in points
    )


def _unsigned(value: FieldValue) -> FieldValue:
    return value + 0.0 if isinstance(value, float) else value


values = {
    "i": st.one_of(
        st.integers(-(2**63), 2**63 - 1).map("{}i".format), st.sampled_from(["1_0i", "+1i", "0x1i", "٣i"])
    ),
    "f": st.one_of(
        st.floats().map(repr), st.sampled_from(["1.", ".5", "1E3", "1e999", "-0", "1_0", "9" * 60])
    ),
    "b": st.sampled_from(["t", "T", "true", "True", "TRUE", "f", "F", "false", "FALSE", "yes", "tRUE"]),
    "s": st.text(max_size=6).map(lambda text: f'"{text}"'),
}
times = st.one_of(
    st.integers(-(2**63), 2**63).map(str), st.sampled_from(["", "1_0", "1.5", "٣", " 7", "7\r"])
)
lines = st.tuples(
    st.permutations(sorted(values)), st.integers(1, 4), st.sampled_from(["m", "m,a=x", "m,a=\\ "])
).flatmap(
    lambda shape: st.tuples(*(values[key] for key in shape[0][: shape[1]]), times).map(
        lambda drawn: (
            f"{shape[2]} "
            + ",".join(f"{key}={text}" for key, text in zip(shape[0], drawn[:-1], strict=False))
            + f" {drawn[-1]}"
        )
    )
)


@given(st.lists(lines, min_size=1, max_size=8))
@example(["m i=1i 7", "m i=9223372036854775808i 7", "m i=2i 8"])
@example(['m s="a" 1', 'm s="b\nm i=1i 2\n" 3', 'm s="c" 4'])
@example(['m s="\\" 0', 'm s="" 0'])
@example(["m f=0.0 0", "m f=-0 0"])
@settings(max_examples=150, deadline=None)
@pytest.mark.fault(3)
@pytest.mark.fault(10)
def test_with_and_without_layouts_known_the_same_is_read(some: list[str]) -> None:
    text = "\n".join(some)
    fresh, warm = (Intake(Declared(SCHEMA), 100) for _ in range(2))
    for order in (some, some[::-1]):
        taken(warm, "\n".join(order))
    first, refused = taken(fresh, text)
    again, refused_again = taken(warm, text)
    assert told(points_of(first)) == told(points_of(again))
    assert [(each.number, each.detail) for each in refused] == [
        (each.number, each.detail) for each in refused_again
    ]
    one_by_one = [
        point
        for line in some
        if "\n" not in line
        for point in points_of(taken(Intake(Declared(SCHEMA), 100), line)[0])
    ]
    a_string_spans_lines = any("\n" in each.text for each in refused)  # it takes its neighbours with it
    if not a_string_spans_lines and not any("\n" in line for line in some):
        assert told(points_of(first)) == told(one_by_one)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
@pytest.mark.fault(3)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    intake = Intake(Declared(SCHEMA), 100)
    batch, refused = intake.batch(
        b"m i=1i 1\n" + body + b"\nm i=2i 2", AgentIdentity("a1", "s1"), precision="ns", others=False,
        received_ns=7, moved_ns=0, window=ALL,
    )  # fmt: skip
    read = points_of(batch)
    assert Point("m", {}, {"i": 1}, 1) in read
    assert len(read) + len(refused) <= body.count(b"\n") + 3
    for point in read:
        encode(point)


@pytest.mark.parametrize("case", TELEGRAF)
def test_what_telegraf_writes_is_taken_into_the_bucket_of_others(case: str) -> None:
    text, fields = TELEGRAF[case]
    batch, refused = taken(Intake(Declared(SCHEMA), 100), text, others=True)
    assert refused == []
    (point,) = batch.points()
    assert point.fields == fields
    (line,) = read_lines(text)
    assert isinstance(line, Line)


@pytest.mark.parametrize("case", [*BOTH, *READ_ONLY, *REFUSED])
def test_the_table_holds_behind_a_line_whose_layout_is_known(case: str) -> None:
    """Every case of the table, after its own line was learned as far as it can be."""
    text = str({**BOTH, **READ_ONLY, **REFUSED}[case][0])
    intake = Intake(Declared(SCHEMA), 1000)
    first, refused = taken(intake, text, others=True)
    again, refused_again = taken(intake, text, others=True)
    assert points_of(first) == points_of(again)
    assert [each.detail for each in refused] == [each.detail for each in refused_again]
