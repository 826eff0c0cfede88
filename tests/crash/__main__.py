"""`make crash`: the whole matrix. Prints how many points there are and what does not hold, and fails if anything."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.matrix import run
from tests.crash.scenarios import SCENARIOS
from tests.redis_fixtures import RedisServer


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1, help="kill at every n-th point only, for a sample")
    every: int = parser.parse_args().every
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ussd-crash-") as folder:
        redis, base = Path(folder) / "redis", Path(folder) / "matrix"
        redis.mkdir()
        base.mkdir()
        server = RedisServer(redis)
        server.start()
        try:
            matrix = run(base, server.url, SCENARIOS, every=every, again_every=7)
        finally:
            server.kill()
    total = sum(map(len, matrix.points.values()))
    lines = [f"{len(points):4} kill points: {name}" for name, points in matrix.points.items()]
    lines.append(
        f"{total:4} kill points in all; {matrix.killed} processes were killed, each at another one,"
        f" and {matrix.twice} of their successors; {time.monotonic() - begun:.0f} s"
    )
    lines += [f"WRONG {sentence}" for sentence in matrix.wrong]
    sys.stdout.write("\n".join(lines) + "\n")
    skipped = every == 1 and matrix.killed != total
    return 1 if matrix.wrong or skipped or not total else 0


if __name__ == "__main__":
    sys.exit(main())
