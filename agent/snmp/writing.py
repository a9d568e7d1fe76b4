"""A device written into the agent's settings, where a person's own lines and comments stay as they are.

The text is put in, the result is read again, and only when it says what was there before and the device
besides does it take the file's place.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import yaml

from agent.probes.snmp import Device
from config.settings import SettingsError, parse_yaml

_WHERE = ("probes", "snmp", "devices")
_STEP = "  "


def settings_of(device: Device) -> dict[str, Any]:
    """A device as settings write it: what differs from the defaults."""
    told: dict[str, Any] = {"id": device.id, "host": device.host}
    for field in msgspec.structs.fields(Device):
        value = getattr(device, field.name)
        if field.name not in told and value != field.default and value:
            told[field.name] = msgspec.to_builtins(value)
    for role in told.get("ports", {}).values():
        if role.get("line") is None:
            role.pop("line", None)
    return told


def as_yaml(devices: list[dict[str, Any]]) -> str:
    """A list of devices as YAML."""
    return str(
        yaml.safe_dump(devices, allow_unicode=True, sort_keys=False, default_flow_style=False, width=100)
    )


def add_device(file: Path, device: dict[str, Any]) -> None:
    """Put the device into ``probes.snmp.devices`` of the file. Raises SettingsError, one line: then the file
    is as it was.
    """
    text = file.read_text(encoding="utf-8")
    before = parse_yaml(text, str(file))
    if any(each.get("id") == device["id"] for each in _devices(before)):
        raise SettingsError(f"{file}: key probes.snmp.devices: {device['id']} is there already")
    after = inserted(text, device)
    if after is None or parse_yaml(after, str(file)) != _with(before, device):
        raise SettingsError(f"{file}: key probes.snmp.devices: is written in a way that is not added to here")
    _replace(file, after)


def inserted(text: str, device: dict[str, Any]) -> str | None:
    """The text with the device put in at its place; None where that place is not in block style."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    depth = 0
    for key in _WHERE:
        child = _child(node, key)
        if child is None:
            break
        node, depth = child, depth + 1
    missing = _WHERE[depth:]
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return _in_place_of(text, node, missing, device)
    column = node.start_mark.column
    return _put(text, node.end_mark.index, _block(missing, device, column))


def _in_place_of(text: str, node: Any, missing: tuple[str, ...], device: dict[str, Any]) -> str | None:
    """An empty place («{}», «[]», nothing) becomes a block below its key."""
    if getattr(node, "value", None) or node.start_mark.line != node.end_mark.line:
        return None
    line_start = text.rfind("\n", 0, node.start_mark.index) + 1
    line = text[line_start : node.start_mark.index]
    column = len(line) - len(line.lstrip()) + len(_STEP)
    rest = text[node.end_mark.index :]
    ending, newline, after = rest.partition("\n")
    head = text[: node.start_mark.index].rstrip(" ") + (f" {ending.strip()}" if ending.strip() else "") + "\n"
    return head + _block(missing, device, column) + after if newline or not after else None


def _put(text: str, at: int, block: str) -> str:
    """A block after the last line of a node; blank lines and comments behind it stay behind it."""
    head = text[:at].rstrip()
    behind = text[len(head) :]
    comment, _, behind = behind.partition("\n")
    return f"{head}{comment.rstrip()}\n{block}{behind}"


def _block(missing: tuple[str, ...], device: dict[str, Any], column: int) -> str:
    lines = []
    for key in missing:
        lines.append(" " * column + f"{key}:")
        column += len(_STEP)
    lines += [" " * column + line for line in as_yaml([device]).splitlines()]
    return "\n".join(lines) + "\n"


def _child(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _devices(settings: Any) -> list[Any]:
    for key in _WHERE:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings if isinstance(settings, list) else []


def _with(before: Any, device: dict[str, Any]) -> Any:
    probes = before.get("probes") or {}
    snmp = probes.get("snmp") or {}
    grown = {**snmp, "devices": [*_devices(before), device]}
    return {**before, "probes": {**probes, "snmp": grown}}


def _replace(file: Path, text: str) -> None:
    """All of the new text or all of the old one, with the same mode."""
    mode = file.stat().st_mode & 0o777
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        Path(name).chmod(mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
