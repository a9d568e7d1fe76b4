"""``python -m tests.agent.ipv6 [CASE …]``: the whole truth table of the fifteen checks, each broken alone,
then mended and seen to pass again.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.agent.ipv6.cases import CASES
from tests.agent.ipv6.network import Network, levels, network, truth

JOBS = 3
"""So many schools side by side: most of a check is waiting."""


def main(names: list[str]) -> int:
    """Run the cases and print a row for each, broken and mended; 1 when one is not as expected."""
    begun = time.monotonic()
    with network(names or list(CASES)) as standing, ThreadPoolExecutor(JOBS) as pool:
        rows = list(pool.map(lambda name: played(standing, name), standing.cases))
    right = all(rows)
    print(f"{'right' if right else 'WRONG'}: {sum(rows)} of {len(rows)} in {time.monotonic() - begun:.0f} s")
    return int(not right)


def played(standing: Network, name: str) -> bool:
    """A case as it is broken, and, where it is, mended."""
    right = shown(standing, name, "broken" if standing.cases[name].expected else "whole")
    if standing.cases[name].expected:
        standing.mend(name)
        right &= shown(standing, name, "mended")
    return right


def shown(standing: Network, name: str, state: str) -> bool:
    """Check a school once, and print its row."""
    begun, case = time.monotonic(), standing.cases[name]
    found = standing.check(name)
    wrong = truth(found)
    right = wrong == dict(case.expected) and (
        not case.code or case.code in {each.code for each in found.values()}
    )
    cells = " ".join(f"{check}:{wrong.get(check, 'pass')}" for check in found)
    print(f"{'right' if right else 'WRONG'} {name:9} {state:6} {time.monotonic() - begun:4.0f} s "
          f"level {levels(found).at_least} {cells} {case.code}", flush=True)  # fmt: skip
    if not right:
        print([each for each in found.values() if each.check in wrong], flush=True)
    return right


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
