"""Metrics as Prometheus reads them, for both sides.

Source: Prometheus exposition formats, text format 0.0.4. Names follow its rules: base units, ``_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Samples: TypeAlias = Iterable[tuple[Mapping[str, str], float]]


class Metric(NamedTuple):
    """One metric: its name, its help, and its samples by labels."""

    name: str
    help: str
    samples: Samples


def single(name: str, words: str, value: float) -> Metric:
    """A metric of one sample without labels."""
    return Metric(name, words, [({}, float(value))])


def text_of(metrics: Iterable[Metric]) -> str:
    """The text format; a name that ends in ``_total`` is a counter, any other a gauge."""
    return "".join(line + "\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    name = metric.name if metric.name.startswith("process_") else f"xiaotong_{metric.name}"
    yield f"# HELP {name} {metric.help}"
    yield f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
    for labels, value in metric.samples:
        listed = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        yield f"{name}{{{listed}}} {value!r}" if listed else f"{name} {value!r}"
