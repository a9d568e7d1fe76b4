"""What a trial shows: a live table on a terminal, plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from collector.trial.gist import fitting
from collector.trial.watch import Seen
from collector.web.throughput import InterfaceSeries
from config.present import Row, probe_state, rows
from config.report import ProbeReport
from config.units import format_rate
from config.words import Language, translate

OTHER_LINES = 2
"""The address above, and the line that the cursor stands in below."""


class Screen(Protocol):
    """Where a trial is watched; a context manager, as a terminal must be given back."""

    def __enter__(self) -> Screen: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def say(self, text: str) -> None:
        """A line about the trial itself."""
        ...

    def show(self, seen: Seen) -> None:
        """What is known now."""
        ...


class LiveScreen:
    """A table that is drawn anew in place."""

    def __init__(self, console: Console, address: str, language: Language) -> None:
        self._console, self._address, self._language = console, address, language
        self._live = Live(console=console, auto_refresh=False)
        self._stack = ExitStack()

    def __enter__(self) -> LiveScreen:
        self._stack.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        self._live.update(Text(text), refresh=True)

    def show(self, seen: Seen) -> None:
        lines = self._console.height
        sources = _sources(seen, self._language, most=max(4, lines // 4))
        left = lines - len(self._console.render_lines(sources)) - OTHER_LINES
        verdicts = fitting(seen.verdicts, self._language, seen.at, self._console, left)
        address = Text(where(self._address, self._language))
        self._live.update(Group(address, sources, verdicts), refresh=True)


class PlainScreen:
    """Lines, each printed when it says something new; ages alone are nothing new."""

    def __init__(self, console: Console, address: str, language: Language) -> None:
        self._console, self._address, self._language = console, address, language
        self._printed: dict[str, str] = {}

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def say(self, text: str) -> None:
        self._print(text)

    def show(self, seen: Seen) -> None:
        first = not self._printed
        for row in rows(seen.verdicts, self._language, seen.at):
            self._once(row.target, f"{row.symbol} {row.word}", _line_of(row))
        for probe in seen.probes:
            state = probe_text(probe, self._language)
            self._once(f"probe {probe.name}", state, f"{probe.name}: {state}")
        if first:
            self._print(where(self._address, self._language))

    def _once(self, key: str, state: str, text: str) -> None:
        if self._printed.get(key) != state:
            self._printed[key] = state
            self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def screen_for(console: Console, address: str, language: Language) -> Screen:
    """The screen that fits where the console writes."""
    kind = LiveScreen if console.is_terminal else PlainScreen
    return kind(console, address, language)


def where(address: str, language: Language) -> str:
    """Where to look further, and how to end."""
    return translate("Page: {address}   Ctrl-C stops", language, address=address)


def probe_text(probe: ProbeReport, language: Language) -> str:
    """How a probe fared, in words."""
    return probe_state(probe.success, probe.unknown, probe.error, language)


def _line_of(row: Row) -> str:
    parts = (f"{row.symbol} {row.word}  {row.target}", row.needed, *row.evidence, *row.notes)
    return " | ".join(part for part in parts if part)


def _sources(seen: Seen, language: Language, most: int) -> Table:
    """Interfaces and probes side by side, without lines; at most so many of each, the lines' first."""
    made = Table.grid(padding=(0, 3))
    rates = list(_rates(seen.interfaces, language))
    probes = [f"{probe.name}: {probe_text(probe, language)}" for probe in seen.probes]
    for column in (rates, probes):
        made.add_column(no_wrap=True, overflow="ellipsis")
        if len(column) > most:
            column[most - 1 :] = ["…"]
    made.add_row(Text("\n".join(rates)), Text("\n".join(probes)))
    return made


def _rates(interfaces: Sequence[InterfaceSeries], language: Language) -> Iterator[str]:
    for one in interfaces:
        if not one.times:
            continue
        what = one.line if one.role == "line" else translate("not a line", language)
        down, up = _rate(one.rx_bits_per_second, language), _rate(one.tx_bits_per_second, language)
        yield f"{one.interface} ({what})  ↓ {down}  ↑ {up}"


def _rate(rates: Sequence[float | None], language: Language) -> str:
    last = rates[-1] if rates else None
    return translate("no data", language) if last is None else format_rate(last)
