"""``python -m tests.agent.ipv6 [CASE …]``: the whole truth table of the fifteen checks, each broken alone."""

from __future__ import annotations

import sys
import time

from tests.agent.ipv6.network import CASES, levels, network, truth


def main(names: list[str]) -> int:
    """Run the cases and print a row for each; 1 when one is not as expected."""
    wrong = 0
    with network(names or list(CASES)) as standing:
        for name, case in standing.cases.items():
            begun = time.monotonic()
            found = standing.check(name)
            shown = truth(found)
            right = shown == dict(case.expected) and (
                not case.code or case.code in {each.code for each in found.values()}
            )
            wrong += not right
            cells = " ".join(f"{check}:{shown.get(check, 'pass')}" for check in found)
            print(f"{'right' if right else 'WRONG'} {name:9} {time.monotonic() - begun:4.0f} s "
                  f"level {levels(found).at_least} {cells}", flush=True)  # fmt: skip
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
