"""Run every case and print the counts: ``python -m fuzz [TABLE]`` in tests/."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzz.cases import all_cases
from fuzz.runner import prepare, run


def main(only: str = "", part: str = "0/1") -> None:
    index, of = map(int, part.split("/"))
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as name:
        template = prepare(Path(name))
        for number, case in enumerate(all_cases()):
            if only not in case.id or number % of != index:
                continue
            outcome = run(case, template, Path(name) / "work")
            counts[case.table, outcome.kind] += 1
            if outcome.kind == "failed" or outcome.seconds > 8:
                head = f"{outcome.kind} {outcome.seconds:.1f}s {case.id}"
                sys.stdout.write(f"{head}\n    {outcome.why}\n")
                sys.stdout.flush()
    for table in sorted({table for table, _ in counts}):
        row = {kind: counts[table, kind] for kind in ("accepted", "refused", "failed")}
        sys.stdout.write(f"{table:<14} tried {sum(row.values()):>5}  {row}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
