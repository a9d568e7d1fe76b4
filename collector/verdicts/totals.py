"""How many schools stand how on each target: counted here alone, for pages, API and reports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from config.plan import Plan, Target
from config.verdict import Answer, Verdict


class Total(msgspec.Struct, frozen=True):
    """How many schools stand how on one target. ``counts`` is False for targets that are only reported."""

    target: Target
    met: int
    not_met: int
    unknown: int
    counts: bool

    @property
    def schools(self) -> int:
        """All that are asked."""
        return self.met + self.not_met + self.unknown


def totals_of(plan: Plan, answers: Iterable[tuple[str, Answer]]) -> list[Total]:
    """Every target of a plan, in its order; ``answers`` are of one school each, with the target's id."""
    counts = Counter(answers)
    return [
        Total(
            target,
            counts[target.id, Answer.MET],
            counts[target.id, Answer.NOT_MET],
            counts[target.id, Answer.UNKNOWN],
            not target.reported_only,
        )
        for target in plan.targets
    ]


def answers_of(plan: Plan, verdicts: Iterable[Verdict]) -> Iterator[tuple[str, Answer]]:
    """What the verdicts on a plan say. Rows beside a target (delivery) have an id that no target has."""
    return ((each.target, each.answer) for each in verdicts if each.plan == plan.id)
