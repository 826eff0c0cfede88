"""How often, and for how long, something is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by `factor` up to `max_delay_s`, as long as they add up to `give_up_after_s` at most."""

    first_delay_s: float
    factor: float
    max_delay_s: float
    give_up_after_s: float

    def delays(self, spent_s: float = 0.0) -> Iterator[float]:
        """Seconds to wait before each further try, of which those that lie within `spent_s` are over."""
        delay, total = self.first_delay_s, 0.0
        while total + delay <= self.give_up_after_s:
            if total >= spent_s:
                yield delay
            total += delay
            delay = min(delay * self.factor, self.max_delay_s)
