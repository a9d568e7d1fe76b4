"""Both command lines: what is not understood gets one line and status 2."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import agent.main
import collector.main
from config.cli import CommandFolder

BOTH = [agent.main.main, collector.main.main]
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("main", BOTH)
def test_every_command_has_one_line_of_help(main: CommandFolder) -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(), name


@pytest.mark.parametrize("main", BOTH)
def test_an_unknown_command_ends_with_status_2(main: CommandFolder) -> None:
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.output


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (agent.main.main, ["run", "--config", "nowhere.yaml"]),
        (agent.main.main, ["check", "--config", "nowhere.yaml"]),
        (agent.main.main, ["config", "check", "nowhere.yaml"]),
        (collector.main.main, ["serve", "--config", "nowhere.yaml"]),
        (collector.main.main, ["config", "check", "nowhere.yaml"]),
    ],
)
def test_a_missing_settings_file_is_one_line_and_status_2(main: CommandFolder, arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.output == "error: nowhere.yaml: no such file\n"


MEASURED_FROM_BOTH_ENDS = {
    "collector/responder/": "agent.capacity",
    "collector/uptime/": "agent.network.icmp",
}


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [("agent", {"collector"}), ("config", {"agent", "collector"}), ("collector", {"agent"})],
)
def test_a_room_imports_only_what_it_may(room: str, forbidden: set[str]) -> None:
    for path in (ROOT / room).rglob("*.py"):
        place = str(path.relative_to(ROOT))
        for name in _imported(path):
            shared = any(
                place.startswith(folder) and name.startswith(module)
                for folder, module in MEASURED_FROM_BOTH_ENDS.items()
            )
            assert shared or name.split(".")[0] not in forbidden, f"{place} imports {name}"


def _imported(path: Path) -> list[str]:
    """Names of the modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def test_no_private_address_of_a_package_index_is_locked() -> None:
    for lock in (ROOT / "deploy/locks").glob("*.txt"):
        assert not re.search(r"https?://|--index-url|@ file:", lock.read_text(encoding="utf-8")), lock
