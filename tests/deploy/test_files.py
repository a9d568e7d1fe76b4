"""What stands in deploy/ beside units and dashboards: it parses, and its settings are ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.settings import load_settings
from deploy.debian import build
from deploy.environment import PROGRAMS, run

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = [
    DEPLOY / "install.sh",
    DEPLOY / "openwrt" / "xiaotong-agent.init",
    *sorted((DEPLOY / "debian").glob("*/p*[mt]")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_script_is_posix_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    assert "set -e" in script.read_text() or script.suffix == ".init"


@pytest.mark.parametrize("file", ["debian/collector/collector.yaml", "compose-collector.yaml"])
def test_the_collectors_settings_hold(file: str) -> None:
    assert load_settings(DEPLOY / file).data_directory == "/var/lib/xiaotong-collector"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["sensor"], "error: sensor: allowed is agent or collector"),
        (["agent"], "error: usage: install.sh agent|collector WHEEL"),
        (["agent", "no.whl"], "error: no.whl: no such file"),
    ],
)
def test_install_refuses_in_one_line(arguments: list[str], why: str) -> None:
    filled = arguments if len(arguments) > 1 or why.startswith("error: usage") else [*arguments, "x.whl"]
    done = subprocess.run([DEPLOY / "install.sh", *filled], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(why)
    assert done.stderr.count("\n") == 1


def test_compose_names_what_is_there() -> None:
    whole: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(whole["services"]) == {"collector", "influxdb", "grafana"}
    for name, service in whole["services"].items():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            known = (DEPLOY / source).exists() if source.startswith(".") else source in whole["volumes"]
            assert known, f"{name}: {mount}"
        assert set(service["secrets"]) <= set(whole["secrets"])
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:") or port == "8081:8081", f"{name}: open to everybody: {port}"
    assert (DEPLOY.parent / whole["services"]["collector"]["build"]["dockerfile"]).is_file()


def test_openwrt_gives_raw_sockets_alone() -> None:
    held = json.loads((DEPLOY / "openwrt" / "capabilities.json").read_text())
    assert {name for names in held.values() for name in names} == {"CAP_NET_RAW"}


@pytest.mark.needs("dpkg-deb")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_package_without_its_environment(name: str, tmp_path: Path) -> None:
    """All that a .deb holds but /opt, twice: the same bytes, root's, with the settings as conffiles."""
    program, debs = PROGRAMS[name], []
    for number in range(2):
        tree = tmp_path / str(number)
        build.files(program, tree)
        build.control(program, tree, "0.9.0")
        build.settle(tree, 1_700_000_000)
        debs.append(tmp_path / f"{number}.deb")
        run("dpkg-deb", "--root-owner-group", "--build", tree, debs[-1], SOURCE_DATE_EPOCH="1700000000")
    assert debs[0].read_bytes() == debs[1].read_bytes()
    listed = run("dpkg-deb", "--contents", debs[0])
    assert f"./usr/lib/systemd/system/xiaotong-{name}.service" in listed
    assert f"./usr/lib/sysusers.d/xiaotong-{name}.conf" in listed
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())
    conffiles = run("dpkg-deb", "--info", debs[0], "conffiles") if name == "collector" else ""
    assert conffiles.split() == (["/etc/xiaotong/collector.yaml"] if name == "collector" else [])
    assert run("dpkg-deb", "--field", debs[0], "Version") == "0.9.0\n"
    assert "python3." in run("dpkg-deb", "--field", debs[0], "Depends")


@pytest.mark.parametrize("bad", ["latest", "1.0;rm", "", "../1"])
def test_a_version_is_a_version(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        build.main(["--version", bad])
    assert stopped.value.code == 2
    assert f"--version {bad}: allowed is" in capsys.readouterr().err
