"""What is passed over before anybody looks at it gives no evidence and no plateau."""

from __future__ import annotations

import pytest

from config.evidence import evidence_of, may_concern
from config.measurements import Measurement, schema
from config.plateau import line_of
from config.points import FieldValue, Point
from config.school import Line, School

SCHOOL = School("s1", lines=(Line("main"),))
VALUES: dict[str, FieldValue] = {"int": 1000, "float": 60.0, "bool": True, "string": "fibre"}


def full(name: str, declared: Measurement, tags: tuple[str, ...]) -> Point:
    fields = {key: VALUES[field.type] for key, field in declared.fields.items()}
    return Point(name, dict.fromkeys(tags, "main"), fields, 10**18)


@pytest.mark.parametrize("name", schema())
def test_a_series_that_is_passed_over_says_nothing(name: str) -> None:
    declared = schema()[name]
    for tags in (tuple(declared.tags), tuple(tag for tag in declared.tags if tag not in {"line", "device"})):
        point = full(name, declared, tags)
        if not may_concern(name, point.tags):
            assert evidence_of(point, SCHOOL) == []
            assert line_of(point, SCHOOL) is None


def test_a_line_s_own_interface_is_not_passed_over() -> None:
    assert may_concern("interface", {"line": "main"})
    assert not may_concern("interface", {"interface": "lo"})
