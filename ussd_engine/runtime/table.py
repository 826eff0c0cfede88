"""The legal moves of a flow. The only importer of `transitions`.

One synchronous machine per compiled flow, without models; the table is what it allows, asked once with a cursor for
each edge. `Event.trigger` never looks at a machine's registered models. What the
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
        machine = Machine(
            model=None, states=names, initial=start, auto_transitions=False, send_event=True, queued=False
        )
        for label, source, target in edges:
            machine.add_transition(label, source, target)
        # An edge has no condition and no effect of its own, so each is followed once, here, and kept: a look-up
        # in a turn costs a tenth of a microsecond, where a trigger costs eight.
        self._targets = {(source, label): self._follow(machine, source, label) for label, source, _ in edges}

    def move(self, state: str, label: str) -> str:
        """The state that edge `label` leads to from `state`. Raises IllegalMove when there is no such edge."""
        try:
            return self._targets[state, label]
        except KeyError:
            raise IllegalMove(f"flow '{self.flow}': state '{state}' has no edge '{label}'") from None

    def _follow(self, machine: Machine, state: str, label: str) -> str:
        cursor = _Cursor(state)
        try:
            if machine.events[label].trigger(cursor):
                return cursor.state
        except (MachineError, ValueError) as error:
            raise IllegalMove(f"flow '{self.flow}': '{label}' does not lead from '{state}'") from error
        raise IllegalMove(f"flow '{self.flow}': '{label}' does not lead from '{state}'")
