"""``python -m tests.lab.uptime [NAME …]``: play uptime scenarios and print what was said beside the truth."""

from __future__ import annotations

import logging
import sys
import time

from rich.console import Console
from rich.table import Table

from tests.lab.netns import Lab
from tests.lab.uptime.play import UptimePlay
from tests.lab.uptime.scenario import SCENARIOS, load


def main(names: list[str]) -> int:
    """Exit status 0 when all that was said is right."""
    logging.basicConfig(level=logging.WARNING)
    console = Console(width=160)
    wrong = 0
    for path in sorted(SCENARIOS.glob("*.yaml")):
        if names and path.stem not in names:
            continue
        scenario = load(path)
        began = time.monotonic()
        with Lab() as lab:
            play = UptimePlay(lab, scenario)
            rows = play.run()
            bad = [row for row in rows if not row.right]
            if bad:
                log = (lab.directory / "collector.log").read_text(errors="replace")
                told = [line for line in log.splitlines() if "outage " in line or "rror" in line]
                console.print("\n".join(told[-40:]), markup=False, highlight=False)
        table = Table("school", "subject", "expected", "said", "", title=f"{path.stem}: {scenario.about}")
        for row in rows:
            table.add_row(
                row.school, row.subject, row.expected, row.said, "right" if row.right else "[red]wrong[/red]"
            )
        console.print(table)
        console.print(f"{path.stem}: {len(bad)} wrong of {len(rows)}, {time.monotonic() - began:.0f} s")
        wrong += len(bad)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
