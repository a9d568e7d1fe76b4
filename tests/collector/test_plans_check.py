"""``plans check`` as a county's clerk runs it: every fault of the file at once."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from collector.main import main
from config.plan import PLANS_DIRECTORY, TargetKind

BROKEN = """\
id: county
title: 规划
county: 某县
issuer: 教育局
starts: 2026-01-01
ends: 2025-01-01
colour: red
groups:
  学校: {areas: [urban]}
targets:
  - {id: a, kind: egress_per_class, who: 学校, deadline: 2027-01-01, rate: 10X, quotes: [q]}
  - {id: b, kind: nonsense, who: 学校, deadline: soon, quotes: [], rat: 5}
  - {id: c, kind: ipv6, who: 无, deadline: 2027-01-01, quotes: [q]}
  - {id: c, kind: uplink_port, who: 学校, deadline: 2027-01-01, rate: 1G, quotes: [q]}
"""
OF_TYPES = [
    "key targets[0].rate: '10X' is not a rate",
    "key targets[1].rat: is unknown; allowed here: covers",
    "key targets[1].kind: invalid enum value 'nonsense'; allowed: egress_per_class",
    "key targets[1].deadline: invalid",
    "key targets[1].quotes: expected array of length >= 1",
]
OF_SENSE = [
    "key ends: 2025-01-01 is before starts",
    "key targets: id c is given 2 times",
    "key targets[2].who: 无 is no group of this plan; allowed: 学校",
    "key targets[2].ipv6_level: is missing",
]


def check(file: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(main, ["plans", "check", str(file)])
    return result.exit_code, result.output.splitlines()


def test_the_shipped_plans_are_well() -> None:
    for file in PLANS_DIRECTORY.glob("*.yaml"):
        assert check(file) == (0, [f"{file}: a plan that can be used"])


def test_every_fault_has_its_line_at_once(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(BROKEN.replace("colour: red\n", ""), encoding="utf-8")
    status, lines = check(file)
    assert status == 2
    for line, expected in zip(lines, [*OF_TYPES, *OF_SENSE], strict=False):
        assert line.startswith(f"{file}: {expected}")
    assert lines[-1] == f"error: {file}: 9 faults"
    assert len(lines) == 10


def test_faults_of_the_head_and_of_targets_are_told_together(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(BROKEN, encoding="utf-8")
    status, lines = check(file)
    assert status == 2
    assert "key colour: is unknown; allowed here: county, ends" in lines[0]
    assert [line for line in lines if "targets[1].quotes" in line]


def test_what_is_no_plan_at_all_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    for text in ("", "- a\n", "targets: 5\nid: x", "id: [\n"):
        file.write_text(text, encoding="utf-8")
        status, lines = check(file)
        assert status == 2
        assert lines
        assert all(str(file) in line for line in lines)


def test_the_example_of_the_documentation_is_a_plan(tmp_path: Path) -> None:
    page = (PLANS_DIRECTORY.parents[1] / "docs/plans.md").read_text(encoding="utf-8")
    example = next(block for block in page.split("```") if block.startswith("yaml\nid:"))
    file = tmp_path / "plan.yaml"
    file.write_text(example.removeprefix("yaml\n"), encoding="utf-8")
    assert check(file) == (0, [f"{file}: a plan that can be used"])
    assert all(f"| `{kind.value}` |" in page for kind in TargetKind)
