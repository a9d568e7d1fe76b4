"""Labs stand side by side, end with all that they made, and refuse in one line what they cannot build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from config.settings import SettingsError, convert
from tests.lab import netns, scenario
from tests.lab.county import BuiltCounty
from tests.lab.description import County, Line, School
from tests.lab.netns import Lab, LabError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs_root,
    pytest.mark.needs("ip", "tc", "nft", "ethtool", "dnsmasq", "radvd", "snmpd"),
]

SMALL = County(schools=(School(id="s1", agent="none", lines=(Line(id="tel", carrier="one"),)),))


def namespaces(lab: str) -> list[str]:
    return sorted(path.name for path in netns.NAMES.glob(f"{netns.PREFIX}-{lab}-*"))


def test_two_labs_stand_side_by_side_and_leave_nothing() -> None:
    with Lab() as one, Lab() as other:
        for lab in (one, other):
            BuiltCounty(lab, SMALL).wait_for_ipv6()
        assert namespaces(one.id)
        assert [name.replace(one.id, other.id) for name in namespaces(one.id)] == namespaces(other.id)
    assert namespaces(one.id) == namespaces(other.id) == []
    assert not one.directory.exists()


def test_a_name_is_taken_once() -> None:
    with Lab() as lab, pytest.raises(LabError, match=f"a lab {lab.id} is already standing"), Lab(lab.id):
        pass


def test_a_lab_that_fails_while_it_is_built_leaves_nothing() -> None:
    with pytest.raises(LabError, match="no relay"), Lab() as lab:
        BuiltCounty(lab, SMALL).line("s1/tel").set_delay(0.01)
    assert namespaces(lab.id) == []


CRASHING = """
import os, signal
from tests.lab.netns import Lab
from tests.lab.county import BuiltCounty
from tests.lab.test_lab import SMALL
with Lab("{lab}") as lab:
    BuiltCounty(lab, SMALL)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_lab_left_is_removed_by_the_next() -> None:
    name = f"k{os.getpid() % 1000}"
    killed = subprocess.run([sys.executable, "-c", CRASHING.format(lab=name)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert namespaces(name)
    with Lab():
        assert namespaces(name) == []


def test_a_fault_of_ipv6_is_one_a_terminal_sees() -> None:
    schools = (
        School(id="good", agent="none", lines=(Line(id="tel", carrier="one"),)),
        School(
            id="bad", agent="none", lines=(Line(id="tel", carrier="one"),), ipv6_faults=("no_default_route",)
        ),
        School(id="old", agent="none", lines=(Line(id="tel", carrier="one", ipv6="off"),)),
    )
    with Lab() as lab:
        county = BuiltCounty(lab, County(schools=schools))
        county.wait_for_ipv6()
        reached = {name: reaches_outside(school.terminals[0]) for name, school in county.schools.items()}
    assert reached == {"good": True, "bad": False, "old": False}


def reaches_outside(terminal: netns.Namespace) -> bool:
    try:
        terminal.run("ping", "-6", "-c", "1", "-W", "2", "2001:db8:2::10")
    except LabError:
        return False
    return True


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"at": "1s", "school": "s1", "loss": 0.1}, "need a line"),
        ({"at": "1s", "school": "s9"}, "names s9/, which is not in the county"),
        ({"at": "1s", "school": "s1", "line": "tel", "loss": 2}, "timeline[0].loss: expected float < 1.0"),
        ({"at": "1s", "school": "s1", "moon": 1}, "moon: is unknown; allowed here: agent, at, delay"),
    ],
)
def test_a_wrong_timeline_is_refused_in_one_line(wrong: dict[str, object], message: str) -> None:
    described = {
        "about": "x",
        "county": {"schools": [{"id": "s1", "lines": [{"id": "tel", "carrier": "one"}]}]},
        "expect": [],
        "timeline": [wrong],
    }
    with pytest.raises(SettingsError) as refused:
        convert(described, scenario.Scenario, "case.yaml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
