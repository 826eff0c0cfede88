"""The signals that a service listens to."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from typing import Literal

STDIN = 0

Wish = Literal["folder", "published"]
"""That the folder of flows be published: since something was saved there, or since a person asked for it."""
Asked = asyncio.Queue[Wish]


@dataclass(frozen=True, slots=True)
class Signals:
    """`stop` is set by SIGINT and SIGTERM, and SIGHUP is a wish in `asked`.

    SIGHUP is also what a terminal sends that is closed. Then nobody asks for flows, and the service ends.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Asked = field(default_factory=asyncio.Queue)

    @classmethod
    def heard(cls) -> Signals:
        """From now on, in the running event loop."""
        signals, loop, on_a_terminal = cls(), asyncio.get_running_loop(), os.isatty(STDIN)

        def hangup() -> None:
            if on_a_terminal and not os.isatty(STDIN):
                signals.stop.set()
            else:
                signals.asked.put_nowait("published")

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signals.stop.set)
        loop.add_signal_handler(signal.SIGHUP, hangup)
        return signals
