"""The signals that a service listens to."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field

STDIN = 0


@dataclass(frozen=True, slots=True)
class Signals:
    """`stop` is set by SIGINT and SIGTERM, `reload` by SIGHUP.

    SIGHUP is also what a terminal sends that is closed. Then nobody asks for flows, and the service ends.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def heard(cls) -> Signals:
        """From now on, in the running event loop."""
        signals, loop, on_a_terminal = cls(), asyncio.get_running_loop(), os.isatty(STDIN)

        def hangup() -> None:
            gone = on_a_terminal and not os.isatty(STDIN)
            (signals.stop if gone else signals.reload).set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signals.stop.set)
        loop.add_signal_handler(signal.SIGHUP, hangup)
        return signals
