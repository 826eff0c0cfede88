"""`make crash`: the whole matrix. Prints how many points there are and what does not hold, and fails if anything."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.crash.matrix import run
from tests.crash.scenarios import SCENARIOS
from tests.crash.world import Site
from tests.database_fixtures import postgres_in
from tests.redis_fixtures import redis_running

AGAIN_EVERY = 7
"""Of every so many cases, one has a second process that dies too."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th point only, for a sample")
    every: int = parser.parse_args().every
    with ExitStack() as stack:
        # two folders: the path of PostgreSQL's must be short, as it holds a unix socket
        base, short = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
            for prefix in ("ussd-crash-", "ussd-pg-")
        )
        redis = stack.enter_context(redis_running()).url
        postgres = stack.enter_context(postgres_in(short)).uri
        sites = [Site(base / "sqlite", redis), Site(base / "postgresql", redis, postgres)]
        whole = [tried_on(site, every) for site in sites]
    return 0 if all(whole) else 1


def tried_on(site: Site, every: int) -> bool:
    """Whether everything holds on this database; printed, with the number of points."""
    begun = time.monotonic()
    site.folder.mkdir()
    matrix = run(site, SCENARIOS, every=every, again_every=AGAIN_EVERY)
    total = sum(map(len, matrix.points.values()))
    lines = [f"{len(points):4} kill points: {name}" for name, points in matrix.points.items()]
    lines.append(
        f"{total:4} kill points in all on {site.folder.name}; {matrix.killed} processes were killed, each at"
        f" another one, and {matrix.twice} of their successors; {time.monotonic() - begun:.0f} s"
    )
    lines += [f"WRONG {sentence}" for sentence in matrix.wrong]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    skipped = every == 1 and matrix.killed != total
    return bool(total) and not matrix.wrong and not skipped


if __name__ == "__main__":
    sys.exit(main())
