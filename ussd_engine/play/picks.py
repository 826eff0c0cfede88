"""What whoever plays has picked, between the flows and the engine: outcomes of actions, and the first language."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.program import Program, beginning_in
from ussd_engine.testing.plausible import plausible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ussd_engine.flow.vocabulary import ActionSpec
    from ussd_engine.services.actions import Actions, Invocation
    from ussd_engine.services.callbacks import Programs


@dataclass(slots=True)
class Picks:
    """`outcomes` by action; an empty `language` is each flow's own. `ran` is every run of an action, in order.

    `program` is the one that sessions begin on.
    """

    specs: Mapping[str, ActionSpec]
    language: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)
    ran: list[tuple[str, Result]] = field(default_factory=list)
    program: Program = field(init=False)

    def actions(self, real: Actions) -> Actions:
        return cast("Actions", PickedActions(real, self))

    def programs(self, real: Programs) -> Programs:
        self.program = real.program
        return PickedPrograms(real, self)

    @property
    def languages(self) -> list[str]:
        """Of all flows, those that can be dialled first."""
        dialled = [self.program.flows[name] for name in self.program.dial.values()]
        return list(
            dict.fromkeys(one for flow in (*dialled, *self.program.flows.values()) for one in flow.languages)
        )

    def result(self, action: str) -> Result | None:
        """What a run comes back with, where an outcome is picked."""
        outcome = self.outcomes.get(action)
        if outcome is None:
            return None
        outputs = self.specs[action].outcomes[outcome]
        language = self.language or self.languages[0]
        return Result(outcome, plausible(self.program, action, outputs, language))


@dataclass(slots=True)
class PickedActions:
    """The real actions, but for a picked outcome nothing is asked and nothing changes."""

    real: Actions
    picks: Picks
    _effects: dict[str, Result] = field(default_factory=dict)

    async def begun(self, workflow_id: str) -> bool:
        return workflow_id in self._effects or await self.real.begun(workflow_id)

    async def run(self, action: str, invocation: Invocation) -> Result:
        try:
            result = await self._picked(action, invocation) or await self.real.run(action, invocation)
        except asyncio.CancelledError:
            if not self.picks.specs[action].effect:  # a read that is too late is cut off, as this outcome
                self.picks.ran.append((action, Result("unavailable")))
            raise
        self.picks.ran.append((action, result))
        return result

    async def _picked(self, action: str, invocation: Invocation) -> Result | None:
        """An effect is one piece of work under its id: it comes back the same way whenever it is asked again."""
        picked = self.picks.result(action)
        if not self.picks.specs[action].effect:
            return picked
        known = self._effects.get(invocation.workflow_id)
        if known is None and picked is not None and not await self.real.begun(invocation.workflow_id):
            known = self._effects[invocation.workflow_id] = picked
        return known


@dataclass(slots=True)
class PickedPrograms:
    """The real programs, in flows that begin in the language that is picked."""

    real: Programs
    picks: Picks

    @property
    def program(self) -> Program:
        return self._beginning(self.real.program)

    async def fresh(self) -> Program:
        self.picks.program = await self.real.fresh()
        return self._beginning(self.picks.program)

    async def of(self, revision: str) -> Program:
        return self._beginning(await self.real.of(revision))

    def _beginning(self, program: Program) -> Program:
        return beginning_in(program, self.picks.language) if self.picks.language else program
