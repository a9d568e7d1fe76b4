"""Make ``docs/reference.md`` from the program's own types and commands; ``--check`` only compares.

Every key of a settings file needs words: the docstring below its attribute. A key without them, or a
reference that is not what the types say, ends this with status 1, and so fails the tests.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import msgspec
import yaml

import agent.main
import agent.probes
import collector.main
from agent.settings import AgentSettings
from collector.settings import CollectorSettings
from config.calendar import CalendarSettings
from config.plan import Plan
from config.school import School

REFERENCE = Path(__file__).with_name("reference.md")
MEASUREMENTS = Path(__file__).parent.parent / "config/measurements.yaml"
Rows = Iterator[str]


class Undocumented(Exception):
    """A key without words."""


def reference() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Rows:
    yield "# Reference"
    yield ""
    yield "Made by `python docs/make_reference.py` from the types and commands themselves: change those."
    yield "Rates are written like `10M` or `2.5G`, durations like `200ms`, `60s`, `3min`, `1h`, `20d`,"
    yield "sizes like `64MiB`. An unknown key is refused with the keys that are allowed there."
    yield from _settings("Settings of the agent", AgentSettings)
    for module in sorted(pkgutil.iter_modules(agent.probes.__path__), key=lambda found: found.name):
        yield from _probe(module.name)
    yield from _settings("Settings of the collector", CollectorSettings)
    yield from _settings("A school", School)
    yield from _settings("A plan", Plan)
    yield from _settings("A school calendar", CalendarSettings)
    for main in (agent.main.main, collector.main.main):
        yield from _commands(main)
    yield from _measurements()


def _probe(name: str) -> Rows:
    module = importlib.import_module(f"agent.probes.{name}")
    yield from _settings(f"Probe `{name}`", module.Settings, f"probes.{name}")
    yield ""
    for place, proof in module.PROVES.items():
        yield f"- From the {place}: {proof}"


def _settings(title: str, shape: Any, prefix: str = "") -> Rows:
    yield from ("", f"## {title}", "", _one_line(shape.__doc__ or ""), "")
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    yield from _rows(shape, prefix)


def _rows(shape: Any, prefix: str) -> Rows:
    words = attribute_words(shape)
    hints = get_type_hints(shape, include_extras=False)
    for field in msgspec.structs.fields(shape):
        key = f"{prefix}.{field.encode_name}".removeprefix(".")
        nested, suffix = _nested(hints[field.name])
        meaning = words.get(field.name) or _words_of_block(shape, field.name)
        if nested:
            meaning = f"{meaning} {_one_line(nested.__doc__ or '')}".strip()
        if not meaning:
            raise Undocumented(f"{shape.__module__}.{shape.__name__}.{field.name} has no docstring below it")
        yield f"| `{key}` | {_type_words(hints[field.name])} | {_default(field)} | {_cell(meaning)} |"
        if nested:
            yield from _rows(nested, key + suffix)


def _words_of_block(shape: Any, name: str) -> str:
    """The sentences of the block's own docstring that speak of the key."""
    sentences = re.split(r"(?<=[.;]) ", _one_line(shape.__doc__ or ""))
    return " ".join(sentence for sentence in sentences if f"``{name}``" in sentence)


def attribute_words(shape: Any) -> dict[str, str]:
    """The docstring below each attribute of a struct, its bases included."""
    words: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        if base in (object, msgspec.Struct) or not issubclass(base, msgspec.Struct):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for attribute, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(attribute, ast.AnnAssign) and isinstance(below, ast.Expr):
                assert isinstance(attribute.target, ast.Name)
                words[attribute.target.id] = _one_line(ast.literal_eval(below.value))
    return words


def _nested(hint: Any) -> tuple[Any, str]:
    """The struct inside «X», «X | None», «tuple[X, ...]», «dict[str, X]», and how its keys go on."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint, ""
    suffixes: dict[object, str] = {tuple: "[]", list: "[]", dict: ".NAME"}
    for part in get_args(hint):
        nested, suffix = _nested(part)
        if nested:
            return nested, suffixes.get(get_origin(hint), "") + suffix
    return None, ""


def _type_words(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)
    text = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace("'", "").replace(", ", " | "), text)
    return f"`{text}`".replace("|", r"\|")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory() if callable(field.default_factory) else None
    if isinstance(default, msgspec.Struct):
        return "see below"
    return f"`{_cell(repr(default))}`" if default not in (None, "", (), {}, []) else ""


def _commands(main: click.Group) -> Rows:
    yield from ("", f"## Commands of `{main.name}`", "", main.help or "")
    context = click.Context(main, info_name=main.name)
    for name in main.list_commands(context):
        yield from _command(main.get_command(context, name), f"{main.name} {name}", context)


def _command(command: click.Command | None, path: str, parent: click.Context) -> Rows:
    assert command is not None
    if not command.help:
        raise Undocumented(f"the command {path} has no help")
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _command(child, f"{path} {name}", parent)
        return
    arguments = [p.make_metavar(parent) for p in command.params if isinstance(p, click.Argument)]
    yield from ("", f"### `{' '.join([path, *arguments])}`", "", inspect.cleandoc(command.help), "")
    for option in (p for p in command.params if isinstance(p, click.Option) and not p.hidden):
        if not option.help:
            raise Undocumented(f"the option {option.opts[0]} of {path} has no help")
        yield f"- `{', '.join(option.opts)}`: {option.help}"


def _measurements() -> Rows:
    yield from ("", "## Measurements", "", "What our agents write; `config/measurements.yaml` is the source.")
    for name, shape in yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8")).items():
        yield from (
            "",
            f"### `{name}`",
            "",
            shape["help"],
            "",
            "| name | kind | unit | meaning |",
            "|---|---|---|---|",
        )
        for tag, meaning in shape["tags"].items():
            yield f"| `{tag}` | tag | | {_cell(meaning)} |"
        for field, about in shape["fields"].items():
            yield f"| `{field}` | {about['type']} | {about.get('unit', '')} | {_cell(about['help'])} |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; 1 when something is undocumented or out of date."""
    try:
        page = reference()
    except Undocumented as gap:
        print(f"undocumented: {gap}", file=sys.stderr)
        return 1
    if arguments == ["--check"]:
        if not REFERENCE.exists() or REFERENCE.read_text(encoding="utf-8") != page:
            print("docs/reference.md is out of date: run python docs/make_reference.py", file=sys.stderr)
            return 1
        return 0
    REFERENCE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
