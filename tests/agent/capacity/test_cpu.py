"""CPU of one end, on texts as the kernel writes them (proc(5), cgroup-v2.rst)."""

from __future__ import annotations

from pathlib import Path

from agent.capacity.cpu import CpuMeter, busiest_share, cpu_groups, parse_cores, parse_throttled

BEFORE = "cpu  30 0 30 140 0 0 0 0 0 0\ncpu0 10 0 10 80 0 0 0 0 0 0\ncpu1 20 0 20 60 0 0 0 0 0 0\nintr 5\n"
AFTER = "cpu  90 0 30 240 0 0 0 20 0 0\ncpu0 10 0 10 180 0 0 0 0 0 0\ncpu1 80 0 20 80 0 0 0 20 0 0\nintr 5\n"


def test_the_busiest_core_counts_and_steal_is_busy() -> None:
    assert busiest_share(parse_cores(BEFORE), parse_cores(AFTER)) == 0.8


def test_no_tick_is_not_known() -> None:
    assert busiest_share(parse_cores(BEFORE), parse_cores(BEFORE)) is None


def test_throttling_of_both_hierarchies() -> None:
    assert parse_throttled("usage_usec 5\nnr_throttled 3\nthrottled_usec 250000\n") == 0.25
    assert parse_throttled("nr_periods 4\nnr_throttled 3\nthrottled_time 250000000\n") == 0.25
    assert parse_throttled("usage_usec 5\n") == 0.0


def test_groups_with_their_parents() -> None:
    text = "2:cpu,cpuacct:/a/b\n1:memory:/m\n0::/x/y\n"
    assert set(cpu_groups(text)) == {"cpu/a/b", "cpu/a", "x/y", "x", "unified/x/y", "unified/x"}


def test_held_back_by_its_group_is_all_the_cpu_there_is(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/x"
    group.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/x\n")
    (tmp_path / "stat").write_text(BEFORE)
    (group / "cpu.stat").write_text("throttled_usec 0\n")
    meter = CpuMeter(tmp_path, tmp_path / "sys")
    (tmp_path / "stat").write_text(AFTER)
    assert meter.share() == 0.8
    (group / "cpu.stat").write_text("throttled_usec 900000000\n")
    assert meter.share() == 1.0
