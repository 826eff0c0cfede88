"""The legal moves of a flow. The only importer of `transitions`.

One synchronous machine per compiled flow, without models: a move makes a cursor for itself, so nothing is shared
between sessions and nothing is kept. `Event.trigger` never looks at a machine's registered models. What the
library leaves open (a target that does not exist, three kinds of "not allowed", a silent False) becomes one error
here.
"""

from __future__ import annotations

from collections.abc import Iterable

from transitions import Machine, MachineError

from ussd_engine.errors import IllegalMove


class _Cursor:
    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class Table:
    """Built from (label, source, target) edges; `move` follows one."""

    def __init__(
        self, flow: str, states: Iterable[str], start: str, moves: Iterable[tuple[str, str, str]]
    ) -> None:
        names, edges = list(states), list(moves)
        known = set(names)
        for label, source, target in edges:
            if source not in known or target not in known:
                raise IllegalMove(
                    f"flow '{flow}': '{label}' leads from '{source}' to '{target}': no such state"
                )
        if start not in known:
            raise IllegalMove(f"flow '{flow}' starts at '{start}': no such state")
        self.flow = flow
        self._machine = Machine(
            model=None, states=names, initial=start, auto_transitions=False, send_event=True, queued=False
        )
        for label, source, target in edges:
            self._machine.add_transition(label, source, target)

    def move(self, state: str, label: str) -> str:
        """The state that edge `label` leads to from `state`. Raises IllegalMove when there is no such edge."""
        cursor = _Cursor(state)
        event = self._machine.events.get(label)
        try:
            if event is None or not event.trigger(cursor):
                raise IllegalMove(f"flow '{self.flow}': state '{state}' has no edge '{label}'")
        except (MachineError, ValueError) as error:
            raise IllegalMove(f"flow '{self.flow}': state '{state}' has no edge '{label}'") from error
        return cursor.state
