"""Where a process may die: before and after everything that it makes last, here or elsewhere.

Every call of a port, every transaction that writes, and every record of a durable workflow passes two boundaries.
They are put around the parts from outside; the product knows nothing of them.
"""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from dbos._sys_db import SystemDatabase
from sqlalchemy import Engine, event

from ussd_engine.platform.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

T = TypeVar("T")

RECORDS = ("init_workflow", "update_workflow_outcome", "reenqueue_for_recovery")
"""What DBOS writes of a workflow: that it was begun, its result, and that it is taken up again."""
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


class Boundaries:
    """Counts what is passed, by name, and ends the process at one boundary.

    `kill_at` is a point, such as `bank.open_account:before#1`, or the number of a passing, whatever its name.
    `strays` are writes that no boundary surrounds: there must be none, or a point is missing.
    """

    def __init__(self, kill_at: str | int | None = None) -> None:
        self.points: list[str] = []
        self.strays: list[str] = []
        self.watching = False
        self._kill_at = kill_at
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def arrive(self, name: str) -> None:
        if not self.watching:
            return
        with self._lock:
            self._times[name] += 1
            self.points.append(f"{name}#{self._times[name]}")
            if self._kill_at in (self.points[-1], len(self.points)):
                os.kill(os.getpid(), signal.SIGKILL)

    def between(self) -> bool:
        """Whether something has passed its first boundary and not its second."""
        with self._lock:
            names = [point.partition("#")[0] for point in self.points]
        return sum(1 if name.endswith(":before") else -1 for name in names) != 0

    def watch_commits(self) -> None:
        """Put boundaries around what this process commits, until it ends."""
        self._around_transactions()
        for name in RECORDS:
            self._around_record(name)
        event.listen(Engine, "after_cursor_execute", self._look_for_strays)

    def _around_transactions(self) -> None:
        write = Database.write
        boundaries = self

        async def watched(database: Database, work: Callable[[Connection], T]) -> T:
            name = f"commit of {work_name(work)}"

            def to_the_commit(connection: Connection) -> T:
                with boundaries._within():
                    result = work(connection)
                boundaries.arrive(f"{name}:before")
                return result

            result = await write(database, to_the_commit)
            boundaries.arrive(f"{name}:after")
            return result

        Database.write = watched  # type: ignore[method-assign,assignment]

    def _around_record(self, name: str) -> None:
        record = getattr(SystemDatabase, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.arrive(f"workflow.{name}:before")
            try:
                with self._within():
                    return record(*args, **kwargs)
            finally:
                self.arrive(f"workflow.{name}:after")

        setattr(SystemDatabase, name, watched)

    @contextmanager
    def _within(self) -> Iterator[None]:
        self._inside.depth = getattr(self._inside, "depth", 0) + 1
        try:
            yield
        finally:
            self._inside.depth -= 1

    def _look_for_strays(self, connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        wrote = statement.lstrip().upper().startswith(WRITES) and cursor.rowcount != 0
        if self.watching and wrote and not getattr(self._inside, "depth", 0):
            self.strays.append(statement)


class Watched:
    """A port with boundaries around its calls."""

    def __init__(self, boundaries: Boundaries, name: str, port: Any) -> None:
        self._boundaries = boundaries
        self._name = name
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method) or name == "close":
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._boundaries.arrive(f"{self._name}.{name}:before")
            try:
                return await method(*args, **kwargs)
            finally:
                self._boundaries.arrive(f"{self._name}.{name}:after")

        return call


def work_name(work: Callable[..., object]) -> str:
    """Who asked for the transaction: the method that the function stands in."""
    return work.__qualname__.split(".<locals>")[0]
