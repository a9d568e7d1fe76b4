"""YAML as plain data, built from the parser's events: no recursion, no aliases, no tags, no key twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.constructor import ConstructorError

MAX_DEPTH = 64
FAST_FROM_CHARACTERS = 256 * 1024
"""From here on libyaml parses, where PyYAML has it: 20 times faster, its messages a little shorter.

Its own loader is not used: it builds by recursion in C, which deep nesting overflows.
"""

_NO_KEY = object()


class _Open:
    """A mapping or list that has begun, with the key that waits for its value."""

    def __init__(self, content: Any) -> None:
        self.content = content
        self.key: object = _NO_KEY


def parse(text: str) -> object:
    """What the one document of ``text`` holds; None for none. Raises yaml.YAMLError."""
    return _built(_events(text), _Scalars())


def _events(text: str) -> Iterator[Any]:
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = fast if len(text) >= FAST_FROM_CHARACTERS else yaml.SafeLoader
    return yaml.parse(text, Loader=loader)


def _built(events: Iterator[Any], scalars: _Scalars) -> object:
    root = _Open([])
    opened = [root]
    documents = 0
    for event in events:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            _put(opened[-1], scalars.value_of(event), event)
        elif kind in _CONTAINERS:
            _refuse_unplain(event, len(opened))
            opened.append(_Open(_CONTAINERS[kind]()))
        elif kind in _ENDS:
            done = opened.pop()
            _put(opened[-1], done.content, event)
        elif kind is yaml.AliasEvent:
            raise _refused("aliases are not allowed", event)
        elif kind is yaml.DocumentStartEvent:
            documents += 1
            if documents > 1:
                raise _refused("but found another document", event)
    return root.content[0] if root.content else None


_CONTAINERS = {yaml.MappingStartEvent: dict, yaml.SequenceStartEvent: list}
_ENDS = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})


def _put(into: _Open, value: object, event: Any) -> None:
    if isinstance(into.content, list):
        into.content.append(value)
    elif into.key is _NO_KEY:
        if not isinstance(value, str | int | float | bool):
            raise _refused("keys must be plain text", event)
        if value in into.content:
            raise _refused(f"key {value} is given twice", event)
        into.key = value
    else:
        into.content[into.key] = value
        into.key = _NO_KEY


def _refuse_unplain(event: Any, depth: int) -> None:
    if event.tag is not None:
        raise _refused("tags are not allowed", event)
    if depth > MAX_DEPTH:
        raise _refused(f"is nested deeper than the {MAX_DEPTH} allowed", event)


def _refused(problem: str, event: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, event.start_mark)


class _Scalars:
    """What plain words stand for by YAML 1.1's rules, each word found out once."""

    def __init__(self) -> None:
        self._rules = yaml.SafeLoader("")
        self._known: dict[str, object] = {}

    def value_of(self, event: Any) -> object:
        """The value of a scalar: quoted ones are text, plain ones what they look like."""
        if event.tag is not None:
            raise _refused("tags are not allowed", event)
        if not event.implicit[0]:
            return event.value
        if event.value not in self._known:
            self._known[event.value] = self._found_out(event)
        return self._known[event.value]

    def _found_out(self, event: Any) -> object:
        tag = self._rules.resolve(yaml.ScalarNode, event.value, (True, False))  # type: ignore[no-untyped-call]
        node = yaml.ScalarNode(tag, event.value, event.start_mark)
        try:
            return self._rules.construct_object(node)
        except ValueError as error:
            raise _refused(f"{event.value} is no value: {error}", event) from None
