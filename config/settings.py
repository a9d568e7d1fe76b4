"""Strict reading of YAML settings: one line says which file, which key and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from config import plain_yaml
from config.units import BitsPerSecond, Bytes, Seconds, parse_duration, parse_rate, parse_size

MAX_FILE_BYTES = 1024 * 1024

_UNIT_PARSERS: dict[type, Any] = {
    BitsPerSecond: parse_rate,
    Seconds: parse_duration,
    Bytes: parse_size,
}
_AT_PATH = re.compile(r" - at `(?P<path>[^`]*)`\Z")

T = TypeVar("T")


class SettingsError(Exception):
    """Settings that cannot be used. The text is one line: file, key, what is wrong, what is allowed."""


def load(path: Path, shape: type[T]) -> T:
    """Read ``path`` as YAML of ``shape`` (a msgspec Struct with ``forbid_unknown_fields``).

    Raises SettingsError, one line, for a file that is missing, too large, not YAML, or not of that shape.
    """
    value = parse_yaml(_text_of(path), str(path))
    if value is None:
        raise SettingsError(f"{path}: is empty; allowed here: {', '.join(_allowed_keys(shape, ''))}")
    return convert(value, shape, str(path))


def parse_yaml(text: str, name: str) -> object:
    """Parse YAML as plain data only. ``name`` stands for the file in the message."""
    try:
        return plain_yaml.parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{name}:{where} is not YAML: {_one_line(error.problem or str(error))}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SettingsError(f"{name}: is not YAML: {_one_line(str(error))}") from None


def convert(value: object, shape: type[T], name: str, *, below: str = "") -> T:
    """Turn parsed YAML or JSON into ``shape``.

    ``name`` stands for the file in the message, ``below`` for the key under which ``value`` stands in it.
    Raises SettingsError, one line.
    """
    try:
        return msgspec.convert(value, shape, dec_hook=_decode_unit)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}: {_with_key_first(str(error), shape, below)}") from None


def faults_of(value: object, shape: Any, name: str, *, below: str = "") -> list[str]:
    """Everything that keeps parsed YAML from being ``shape``, one line each as ``convert`` would say it."""
    try:
        convert(value, shape, name, below=below)
    except SettingsError as error:
        return list(_faults_within(value, _plain_shape(shape), name, below)) or [str(error)]
    return []


def _faults_within(value: object, shape: Any, name: str, below: str) -> Iterator[str]:
    inner = get_args(shape)
    if isinstance(value, dict) and hasattr(shape, "__struct_fields__"):
        yield from _faults_of_fields(value, shape, name, below)
    elif isinstance(value, dict) and get_origin(shape) is dict:
        for key, item in value.items():
            yield from faults_of(item, inner[1], name, below=f"{below}.{key}".removeprefix("."))
    elif isinstance(value, list) and get_origin(shape) in (tuple, list):
        for number, item in enumerate(value):
            yield from faults_of(item, inner[0], name, below=f"{below}[{number}]")


def _faults_of_fields(value: dict[Any, object], shape: Any, name: str, below: str) -> Iterator[str]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    for key in value:
        if key not in fields:
            allowed = ", ".join(sorted(fields))
            yield f"{name}: key {below}.{key}: is unknown; allowed here: {allowed}".replace(
                "key .", "key ", 1
            )
    for key, field in fields.items():
        path = f"{below}.{key}".removeprefix(".")
        if key in value:
            yield from faults_of(value[key], field.type, name, below=path)
        elif field.required:
            yield f"{name}: key {path}: is missing and has no default"


def _plain_shape(shape: Any) -> Any:
    """What «Annotated[X, …]» and «X | None» speak of: X."""
    if get_origin(shape) is Annotated:
        return _plain_shape(get_args(shape)[0])
    members = [each for each in get_args(shape) if each is not type(None)]
    is_optional = get_origin(shape) in (Union, UnionType) and len(members) == 1
    return _plain_shape(members[0]) if is_optional else shape


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"{path}: is larger than the {MAX_FILE_BYTES} bytes allowed")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise SettingsError(f"{path}: is a directory; a file is needed") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def _decode_unit(shape: type, value: object) -> object:
    parser = _UNIT_PARSERS.get(shape)
    if parser is None:
        raise TypeError(f"{shape.__name__} cannot be read from settings")
    return parser(value if isinstance(value, str) else repr(value))


def _with_key_first(message: str, shape: type, below: str) -> str:
    """«Expected `int`, got `str` - at `$.probes.ping.count`» → «key probes.ping.count: expected …»."""
    match = _AT_PATH.search(message)
    path = match["path"].removeprefix("$").removeprefix(".") if match else ""
    full_path = ".".join(part for part in (below, path) if part)
    problem = message[: match.start()] if match else message
    problem = problem[0].lower() + problem[1:]
    unknown = re.search(r"unknown field `([^`]+)`", problem)
    if unknown:
        key = f"{full_path}.{unknown[1]}".removeprefix(".")
        return f"key {key}: is unknown; allowed here: {', '.join(_allowed_keys(shape, path))}"
    missing = re.search(r"missing required field `([^`]+)`", problem)
    if missing:
        return f"key {full_path + '.' if full_path else ''}{missing[1]}: is missing and has no default"
    allowed = _allowed_values(shape, path) if "enum value" in problem else ""
    return f"key {full_path or '(the whole file)'}: {problem.replace('`', '')}{allowed}"


def _allowed_keys(shape: Any, path: str) -> list[str]:
    """Field names of the struct at ``path`` («probes.ping», «lines[2]») below ``shape``."""
    return sorted(field.encode_name for field in getattr(_node_at(shape, path), "fields", ()))


def _allowed_values(shape: Any, path: str) -> str:
    """«; allowed: a, b» for the enum or literal at ``path`` below ``shape``."""
    node = _node_at(shape, path)
    members = [member.value for member in getattr(node, "cls", [])] or getattr(node, "values", [])
    return f"; allowed: {', '.join(map(str, members))}" if members else ""


def _node_at(shape: Any, path: str) -> Any:
    node = msgspec.inspect.type_info(shape)
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", path):
        node = _child(_struct_of(node), step)
    return _struct_of(node)


def _struct_of(node: Any) -> Any:
    """Look through «X | None» to the X that has fields or items."""
    for member in getattr(node, "types", ()):
        if not isinstance(member, msgspec.inspect.NoneType):
            return member
    return node


def _child(node: Any, step: str) -> Any:
    if step.startswith("["):
        return getattr(node, "item_type", None) or getattr(node, "value_type", None)
    for field in getattr(node, "fields", ()):
        if field.encode_name == step:
            return field.type
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
