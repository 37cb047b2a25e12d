"""`python -m tests.sim.planted [name …]`: hunts the planted bugs; prints which invariant caught each, and the seed."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.sim.planted.hunt import PATCHES, SEEDS, hunt


def main() -> int:
    wanted = [patch for patch in PATCHES if not sys.argv[1:] or patch.stem in sys.argv[1:]]
    missed = 0
    print(f"{'bug':45} {'seed':>5}  invariant")
    with ThreadPoolExecutor(max_workers=2) as pool:  # each hunt is a process of its own
        for done in as_completed([pool.submit(hunt, patch) for patch in wanted]):
            try:
                find = done.result()
            except AssertionError as error:
                missed += 1
                print(error, flush=True)
                continue
            missed += find.seed < 0
            found = find.words[:160] if find.seed >= 0 else f"NOT FOUND within {SEEDS} seeds"
            print(f"{find.bug:45} {find.seed:5}  {found}", flush=True)
    print(f"{len(wanted)} planted bugs, {missed} missed")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
