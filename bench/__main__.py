"""Runs the scripts named on the command line, or all of them; ends with 1 when a figure misses its bar."""

from __future__ import annotations

import sys

from bench import badges, broker_load, cancels, follow, lists, poll, record, recorder, size, slow_clients, submit, up
from bench.common import HEADING, Figure

MODULES = (poll, badges, size, submit, follow, up, record, lists, recorder, broker_load, cancels, slow_clients)
SCRIPTS = {module.__name__.rpartition(".")[2]: module for module in MODULES}


def main(names: list[str]) -> int:
    """Measure and print one line per figure."""
    unknown = [name for name in names if name not in SCRIPTS]
    if unknown:
        print(f"There is no script {unknown[0]!r}. Known: {', '.join(SCRIPTS)}.", file=sys.stderr)
        return 2
    print(HEADING, flush=True)
    missed = 0
    for name in names or SCRIPTS:
        found = SCRIPTS[name].measure()
        for figure in [found] if isinstance(found, Figure) else found:
            print(figure, flush=True)
            missed += not figure.passed
    return 1 if missed else 0


sys.exit(main(sys.argv[1:]))
