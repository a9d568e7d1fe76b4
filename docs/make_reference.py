"""Make ``docs/reference.md``, ``measurements.md`` and ``metrics.md`` from the program's own types, commands,
schema and declarations; ``--check`` only compares.

Every key of a settings file needs words: the docstring below its attribute. A key without them, or a
page that is not what its source says, ends this with status 1, and so fails the tests.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
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

ROOT = Path(__file__).parent.parent
MEASUREMENTS = ROOT / "config/measurements.yaml"
METRICS = {
    "collector": ("collector/metrics.py", "collector/messages/metrics.py"),
    "agent": ("agent/metrics.py",),
}
Rows = Iterator[str]


class Undocumented(Exception):
    """A key without words."""


def reference() -> Rows:
    """Settings and commands."""
    yield "# Reference"
    yield ""
    yield "Made by `python docs/make_reference.py` from the types and commands themselves: change those."
    yield "Rates are written like `10M` or `2.5G`, durations like `200ms`, `60s`, `3min`, `1h`, `20d`,"
    yield "sizes like `64MiB`. An unknown key is refused with the keys that are allowed there."
    yield "What agents write: [measurements](measurements.md). What `/metrics` tells: [metrics](metrics.md)."
    yield from _settings("Settings of the agent", AgentSettings)
    for module in sorted(pkgutil.iter_modules(agent.probes.__path__), key=lambda found: found.name):
        yield from _probe(module.name)
    yield from _settings("Settings of the collector", CollectorSettings)
    yield from _settings("A school", School)
    yield from _settings("A plan", Plan)
    yield from _settings("A school calendar", CalendarSettings)
    for main in (agent.main.main, collector.main.main):
        yield from _commands(main)


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


def measurements() -> Rows:
    """What agents write."""
    yield "# Measurements"
    yield ""
    yield "What our agents write. Made by `python docs/make_reference.py` from `config/measurements.yaml`:"
    yield "change that. Every point also carries the tags `school` and `agent`, set by the collector from the"
    yield "credential."
    for name, shape in yaml.safe_load(MEASUREMENTS.read_text(encoding="utf-8")).items():
        yield from ("", f"## `{name}`", "", shape["help"], "")
        yield from ("| name | kind | unit | meaning |", "|---|---|---|---|")
        for tag, meaning in shape["tags"].items():
            yield f"| `{tag}` | tag | | {_cell(meaning)} |"
        for field, about in shape["fields"].items():
            yield f"| `{field}` | {about['type']} | {about.get('unit', '')} | {_cell(about['help'])} |"


def metrics() -> Rows:
    """What Prometheus reads of both programs."""
    yield "# Metrics"
    yield ""
    yield "What `GET /metrics` tells Prometheus. Made by `python docs/make_reference.py` from the programs'"
    yield "own declarations: change those. A name that ends in `_total` is a counter since the start, any"
    yield "other a gauge."
    about = {
        "collector": "On its own port, for its host alone unless `listen.metrics` says otherwise.",
        "agent": "On `metrics.listen`, `127.0.0.1:9108` by default.",
    }
    for side, files in METRICS.items():
        yield from ("", f"## Of the {side}", "", about[side], "")
        yield from ("| metric | labels | meaning |", "|---|---|---|")
        for file in files:
            yield from _declared(ast.parse((ROOT / file).read_text(encoding="utf-8")))


def _declared(module: ast.Module) -> Rows:
    """A row for each metric that a module makes, yields or lists, as its source declares it."""
    for made in ast.walk(module):
        declared: list[ast.expr | None] = []
        if isinstance(made, ast.Call) and getattr(made.func, "id", "") in ("Metric", "single"):
            yield from _metric(made.args, module)
        elif isinstance(made, ast.Dict):
            declared += made.values
        elif isinstance(made, ast.Yield):
            declared.append(made.value)
        for each in declared:
            if isinstance(each, ast.Tuple):
                yield from _metric(each.elts, module)


def _metric(parts: list[ast.expr], module: ast.Module) -> Rows:
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    if len(texts) != 2 or not re.fullmatch("[a-z_]+", texts[0]):
        return
    name, words = texts
    exposed = name if name.startswith("process_") else f"xiaotong_{name}"
    labels = ", ".join(f"`{label}`" for each in parts for label in _labels(each, module))
    yield f"| `{exposed}` | {labels} | {_cell(words)} |"


def _labels(samples: ast.expr, module: ast.Module) -> list[str]:
    """Keys of the dicts that samples are made of, through the names they are assigned to."""
    found: dict[str, None] = {}
    waiting, seen = [samples], set()
    while waiting:
        for part in ast.walk(waiting.pop()):
            if isinstance(part, ast.Dict):
                found.update(dict.fromkeys(str(ast.literal_eval(key)) for key in part.keys if key))
            elif isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                waiting += _assigned(part.id, module)
    return list(found)


def _assigned(name: str, module: ast.Module) -> list[ast.expr]:
    """Every expression that a name of the module is assigned."""
    found = []
    for each in ast.walk(module):
        targets = each.targets if isinstance(each, ast.Assign) else [getattr(each, "target", None)]
        value = each.value if isinstance(each, ast.Assign | ast.AnnAssign) else None
        if value is not None and any(
            isinstance(target, ast.Name) and target.id == name for target in targets
        ):
            found.append(value)
    return found


PAGES: dict[str, Callable[[], Rows]] = {
    "reference.md": reference,
    "measurements.md": measurements,
    "metrics.md": metrics,
}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; 1 when something is undocumented or out of date."""
    try:
        pages = {name: "\n".join(page()) + "\n" for name, page in PAGES.items()}
    except Undocumented as gap:
        print(f"undocumented: {gap}", file=sys.stderr)
        return 1
    files = {Path(__file__).with_name(name): page for name, page in pages.items()}
    if arguments != ["--check"]:
        for file, page in files.items():
            file.write_text(page, encoding="utf-8")
        return 0
    stale = [f.name for f, page in files.items() if not f.exists() or f.read_text(encoding="utf-8") != page]
    for name in stale:
        print(f"docs/{name} is out of date: run python docs/make_reference.py", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
