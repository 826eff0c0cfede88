"""The way of one callback: load, step, save, act, step, save, answer.

Whatever fails, the subscriber gets a screen. Two callbacks of one session meet at the compare-and-set of the
store: who loses loads again and answers from the receipt, or joins the action under way, whose workflow id comes
from the turn.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from msgspec.structs import replace as with_changes

from ussd_engine.errors import SessionConflict, SessionCorrupt, UssdError
from ussd_engine.flow.pager import Navigation, Profile, paginate
from ussd_engine.flow.phrases import PHRASES, RESUME_KEYS
from ussd_engine.logs import describe
from ussd_engine.ports import Callback, Clock, EndReport, SessionStore
from ussd_engine.runtime.happenings import Happening, Identity, Input, Outcome, Proceed, Result, Run
from ussd_engine.runtime.program import CompiledFlow, Program
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import Session, dumps, loads
from ussd_engine.runtime.step import begin, resumed, step, waits_for_action
from ussd_engine.sealing import KeyRing
from ussd_engine.services.actions import Actions, Invocation
from ussd_engine.services.deadline import within

log = structlog.get_logger(__name__)

MAX_ACTIONS_IN_A_TURN = 10
"""A flow that runs one action after another without a screen is cut off here."""
MAX_RACES = 20
"""Times that a callback loads again because another one was first. Each loss is another's progress."""
ANSWER_MARGIN_S = 0.5
"""Kept back from an action's time for the step, the save and the way back to the gateway."""
MAX_DEEP_DIAL = 60
"""Inputs played in one turn for a session that is not in the store; a transcript of the wire holds no more."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network's limits. `answer_deadline_s` is the time in which a callback must be answered."""

    profile: Profile
    ttl_ms: int
    answer_deadline_s: float


class TurnTooLong(UssdError):
    """A turn did not come to its screen within the steps that a turn may take."""

    code = "turn_too_long"


class ReplayDiverged(UssdError):
    """The inputs of a deep dial or of a lost session no longer lead where they led."""

    code = "replay_diverged"


class Programs(Protocol):
    """The programs that sessions run on, in the words that hold now."""

    @property
    def program(self) -> Program:
        """What new sessions began on last."""

    async def fresh(self) -> Program:
        """What a new session begins on. Asked after a session was loaded: with all that was published before."""

    async def of(self, revision: str) -> Program:
        """What a session of this revision goes on with. Raises SessionCorrupt when there was none."""


class LostRace(Exception):
    """Another callback of the session was saved first."""


@dataclass(slots=True)
class _Turn:
    """One callback under way. `stored` is what the store is known to hold; `deadline` is on the clock.

    `program` is that of the session's revision, as soon as the session is known.
    """

    callback: Callback
    key: str
    network: Network
    deadline: float
    program: Program
    ttl_ms: int
    stored: bytes | None = None
    language: str = ""
    replaying: bool = False


class Callbacks:
    """Answers callbacks, for all gateways. `networks` has an entry "default" for codes that it does not list."""

    def __init__(
        self,
        *,
        programs: Programs,
        store: SessionStore,
        actions: Actions,
        keys: KeyRing,
        clock: Clock,
        networks: Mapping[str, Network],
    ) -> None:
        self._programs = programs
        self._store = store
        self._actions = actions
        self._keys = keys
        self._clock = clock
        self._networks = networks

    async def handle(self, callback: Callback) -> Screen:
        """The screen that answers a callback. Never raises, and ends within the network's deadline."""
        network = self._networks.get(callback.network) or self._networks["default"]
        deadline = self._clock.monotonic() + network.answer_deadline_s
        turn = _Turn(
            callback,
            f"{callback.gateway}:{callback.session_id}",
            network,
            deadline,
            self._programs.program,
            network.ttl_ms,
        )
        try:
            async with asyncio.timeout(network.answer_deadline_s):
                return await self._races(turn)
        except SessionConflict:
            log.warning("session_conflict", gateway=callback.gateway, session=self._shown(callback))
        except Exception as error:  # noqa: BLE001 - a subscriber always gets a screen
            self._report(error, callback)
        return self._sorry(turn)

    async def ended(self, report: EndReport) -> None:
        """Take note that a gateway reports the end of a session. The store's time to live is the real end."""
        log.info(
            "session_ended",
            gateway=report.gateway,
            session=self._shown(report),
            network=report.network,
            status=report.status,
            hops=report.hops,
            duration_ms=report.duration_ms,
            last_label=report.hop_labels[-1] if report.hop_labels else None,
        )

    # --- one callback

    async def _races(self, turn: _Turn) -> Screen:
        for _ in range(MAX_RACES):
            try:
                return await self._attempt(turn)
            except LostRace:
                continue
        raise TurnTooLong(f"a session was changed by others {MAX_RACES} times in one turn")

    async def _attempt(self, turn: _Turn) -> Screen:
        turn.stored = await self._store.load(turn.key)
        turn.program = await self._programs.fresh()
        if turn.stored is None:
            return await self._begin(turn)
        session = known = loads(turn.stored, self._keys)
        turn.language = session.language
        callback = turn.callback
        if (callback.phone_number, callback.service_code) != (session.phone_number, session.service_code):
            raise SessionConflict("the caller or the service code differs from the session's first callback")
        if not session.ended:
            turn.program = await self._programs.of(session.revision)
            turn.ttl_ms = _ttl_ms(turn)
            if waits_for_action(turn.program, session):
                session = await self._act(turn, session)
        session = await self._play(turn, session, self._news(turn, session))
        return _receipt(session if session is known else await self._save(turn, session))

    def _news(self, turn: _Turn, session: Session) -> list[tuple[str, str]]:
        """The inputs that a known session has not seen, each with the transcript up to its end.

        None in a repeated or a stale callback, which gets the screen that stands; one in a new callback; more
        where a replay was cut short.
        """
        transcript, seen = turn.callback.transcript, session.position
        if session.ended or len(transcript) <= seen:
            return []
        if self._digest(turn, transcript[:seen]) != session.digest:
            log.warning("stale_callback", session=self._shown(turn.callback))
            return []
        left: list[tuple[str, str]] = []
        if session.replay > seen:
            left = [one for one in inputs_of(transcript[: session.replay]) if len(one[1]) > seen]
            seen = session.replay
        text = latest_input(transcript, seen)
        return left if text is None else [*left, (text, transcript)]

    async def _begin(self, turn: _Turn) -> Screen:
        """A session that the store does not have: a dial, a deep dial, or a session that was lost.

        The inputs so far are played from the start. Each has the turn identity that it had, or would have had,
        in a callback of its own, so that no effect runs twice.
        """
        callback = turn.callback
        flow = turn.program.dial.get(callback.service_code)
        if flow is None:
            log.error(
                "no_flow_for_service_code", gateway=callback.gateway, service_code=callback.service_code
            )
            return self._sorry(turn)
        turn.ttl_ms = _ttl_ms(turn)
        compiled = turn.program.flows[flow]
        if compiled.resume == "restart":
            session = begin(turn.program, flow, self._fresh(turn))
        else:
            session = await self._begin_or_resume(turn, compiled)
        session = await self._advance(turn, session, Proceed())
        session = await self._play(turn, session, inputs_of(callback.transcript))
        return _receipt(await self._save(turn, session))

    # --- a dial after the line dropped

    async def _begin_or_resume(self, turn: _Turn, flow: CompiledFlow) -> Session:
        """A new session, standing where the caller's last one was dropped if there is one to go on with.

        Whether it asks first is for the flow to say that was dropped: the session stays on its revision.
        """
        dropped = await self._dropped(turn, flow)
        if dropped is None:
            return begin(turn.program, flow.name, self._fresh(turn))
        turn.program = await self._programs.of(dropped.revision)
        ask = turn.program.flows[dropped.frames[0].flow].resume == "ask"
        return resumed(dropped, self._fresh(turn), ask=ask)

    async def _dropped(self, turn: _Turn, flow: CompiledFlow) -> Session | None:
        """The session before this one. The caller's latest dial is kept with the one that it follows.

        So every callback of a dial, and whoever takes it up after a crash, comes to the same dropped session.
        Answers behind the code are meant for the start: a deep dial goes on with nothing.
        """
        callback = turn.callback
        key = self._keys.digest("resume", callback.gateway, callback.phone_number, callback.service_code)
        stored = await self._store.load(f"resume:{key}")
        latest, _, before = (stored or b"").decode().partition("\n")
        if latest != turn.key:
            before = "" if callback.transcript else latest
            dials = f"{turn.key}\n{before}".encode()
            ttl_ms = turn.ttl_ms + turn.network.ttl_ms
            if not await self._store.save(f"resume:{key}", dials, expected=stored, ttl_ms=ttl_ms):
                raise LostRace
        return await self._taken_over(turn, before, flow.resume_within_s) if before else None

    async def _taken_over(self, turn: _Turn, key: str, within_s: float) -> Session | None:
        """The dropped session, closed for good; None when there is nothing to go on with.

        An action that it waits for is taken up as its own callback would, so nothing runs twice. What it stood at is
        kept in it, so this may be done again. A session that has ended by itself stands nowhere, and one that was
        told a PIN is over: what the PIN has opened is not open to whoever dials next.
        """
        stored = await self._store.load(key)
        if stored is None:
            return None
        try:
            session = loads(stored, self._keys)
            program = await self._programs.of(session.revision)
        except SessionCorrupt as error:
            log.warning("dropped_session_unreadable", session=self._shown(turn.callback), reason=str(error))
            return None
        if self._clock.now().timestamp() - session.seen_at > within_s:
            return None
        if not session.ended:
            old = replace(turn, key=key, stored=stored, program=program)
            if waits_for_action(program, session):
                session = await self._act(old, session)
            await self._save(old, with_changes(session, ended=True))
        began = session.away or session.version > 0
        return session if session.frames and began and not session.told_pin else None

    async def _play(self, turn: _Turn, session: Session, inputs: list[tuple[str, str]]) -> Session:
        """The inputs one after another, until an end, or the screen before an effect that may not run."""
        for number, (text, transcript) in enumerate(inputs[:MAX_DEEP_DIAL], 1):
            if session.ended:
                break
            turn.replaying = number < len(inputs)
            if session.asking and RESUME_KEYS.get(text.strip()) == "resume_restart":
                session = await self._begun_anew(turn, session)
            identity = Identity(len(transcript), self._digest(turn, transcript))
            try:
                session = await self._advance(turn, session, Input(text, identity))
            except ReplayDiverged:
                log.warning(
                    "replay_stopped", session=self._shown(turn.callback), label=_receipt(session).label
                )
                whole = turn.callback.transcript
                return with_changes(session, position=len(whole), digest=self._digest(turn, whole))
        return session

    async def _begun_anew(self, turn: _Turn, session: Session) -> Session:
        """Who rather starts again than goes on starts on the flows as they are now."""
        program = await self._programs.fresh()
        flow = program.dial.get(session.service_code)
        if flow is None:
            return session
        turn.program = program
        return begin(program, flow, session)

    def _fresh(self, turn: _Turn) -> Session:
        callback = turn.callback
        return Session(
            gateway=callback.gateway,
            session_id=callback.session_id,
            phone_number=callback.phone_number,
            service_code=callback.service_code,
            network=callback.network,
            revision="",
            language="",
            started_at=self._clock.now().timestamp(),
            frames=(),
            digest=self._digest(turn, ""),
            replay=len(callback.transcript),
        )

    # --- one input

    async def _advance(self, turn: _Turn, session: Session, happening: Happening) -> Session:
        """Take the dial or one input to its screen, not saved yet."""
        session, outcome = self._step(turn, session, happening)
        turn.language = session.language
        return await self._settle(turn, session, outcome, saved=False)

    async def _act(self, turn: _Turn, session: Session) -> Session:
        """Take up an action that the session waits for: the same workflow, whoever started it.

        The session is saved as it waits. To save it again would only take the race from whoever is acting.
        """
        session, outcome = self._step(turn, session, Proceed())
        return await self._settle(turn, session, outcome, saved=True)

    async def _settle(self, turn: _Turn, session: Session, outcome: Outcome, *, saved: bool) -> Session:
        """Run actions until there is a screen; before an effect the session is saved as it waits for it."""
        for _ in range(MAX_ACTIONS_IN_A_TURN):
            if isinstance(outcome, Screen):
                return session
            if outcome.effect and not saved:
                await self._may_run(turn, session, outcome)
                session = await self._save(turn, session)
            saved = False
            result = await self._run(turn, session, outcome)
            session, outcome = self._step(turn, session, result)
        raise TurnTooLong(f"more than {MAX_ACTIONS_IN_A_TURN} actions in one turn")

    async def _may_run(self, turn: _Turn, session: Session, run: Run) -> None:
        """While inputs are replayed, an effect before the last one only runs if it is the one that ran then.

        What an account or a registration has changed since can lead the old inputs into other menus, and what
        they would do there nobody has asked for. The subscriber sees the screen before it, and chooses.
        """
        if turn.replaying and not await self._actions.begun(_workflow_id(session, run)):
            raise ReplayDiverged("a replay came to an effect that its inputs had not led to")

    def _step(self, turn: _Turn, session: Session, happening: Happening) -> tuple[Session, Outcome]:
        return step(turn.program, session, happening, self._clock.now(), turn.network.profile)

    async def _run(self, turn: _Turn, session: Session, run: Run) -> Result:
        left = max(turn.deadline - self._clock.monotonic() - ANSWER_MARGIN_S, 0.0)
        work = self._actions.run(run.action, Invocation(_workflow_id(session, run), run.inputs, left))
        if run.effect:  # it keeps `left` by itself, as it goes on by itself
            return await within(left + ANSWER_MARGIN_S / 2, work)
        try:
            async with asyncio.timeout(left):
                return await work
        except TimeoutError:
            return Result("unavailable")

    async def _save(self, turn: _Turn, session: Session) -> Session:
        value = dumps(session, self._keys)
        if not await self._store.save(turn.key, value, expected=turn.stored, ttl_ms=turn.ttl_ms):
            raise LostRace
        turn.stored = value
        return session

    # --- helpers

    def _digest(self, turn: _Turn, transcript: str) -> str:
        callback = turn.callback
        return self._keys.digest(
            "turn", callback.gateway, callback.session_id, callback.phone_number, transcript
        )

    def _shown(self, of: Callback | EndReport) -> str:
        """What stands for a session in a log: it cannot be led back to the subscriber."""
        return self._keys.digest("session", of.gateway, of.session_id)[:16]

    def _report(self, error: Exception, callback: Callback) -> None:
        error_id = os.urandom(6).hex()
        session = self._shown(callback)
        log.error("callback_failed", error_id=error_id, session=session, **describe(error))

    def _sorry(self, turn: _Turn) -> Screen:
        """The polite end, in the language of the session where it is known."""
        alone = Navigation(back=None, home=None, more="", page_back=None)
        page = paginate([self._words(turn)], alone, turn.network.profile)[0]
        return Screen(page, end=True, label="sorry")

    def _words(self, turn: _Turn) -> str:
        """In plain text: the engine's phrases hold no placeholders, and there may be no session to fill them."""
        program = turn.program
        flow = program.flows.get(program.dial.get(turn.callback.service_code, ""))
        language = turn.language or (flow.languages[0] if flow else "en")
        if flow is not None and language in flow.phrases["sorry"]:
            return "".join(piece for piece in flow.phrases["sorry"][language] if isinstance(piece, str))
        return PHRASES["sorry"].get(language, PHRASES["sorry"]["en"])


def _ttl_ms(turn: _Turn) -> int:
    """A session that can be gone on with later is kept for as long."""
    flow = turn.program.flows.get(turn.program.dial.get(turn.callback.service_code, ""))
    if flow is None or flow.resume == "restart":
        return turn.network.ttl_ms
    return max(turn.network.ttl_ms, round(flow.resume_within_s * 1000))


def _workflow_id(session: Session, run: Run) -> str:
    """The identity of the input, and which action of its turn it is: the same for every repetition."""
    return f"{run.action}:{session.digest}:{session.acted}"


def _receipt(session: Session) -> Screen:
    if session.receipt is None:
        raise SessionCorrupt("a stored session neither waits for an action nor has a receipt")
    return session.receipt


def latest_input(transcript: str, seen: int) -> str | None:
    """What follows the part of a transcript that was seen, without the `*` between; None when nothing does.

    Before the first input there is no `*` between, but one that an empty first answer has left there.
    """
    rest = transcript[seen:]
    if seen == 0:
        return (rest[1:] if rest.startswith("*") and len(rest) > 1 else rest) or None
    return rest[1:] if rest.startswith("*") else None


def inputs_of(transcript: str) -> list[tuple[str, str]]:
    """The inputs of a whole transcript, each with the transcript up to its end.

    `*` separates and is a key as well. Two empty segments at the very end are the one key `*`; an empty segment
    elsewhere is an empty answer, except before the first `*`, where nothing tells it from the dial.
    """
    if transcript in {"*", "**"}:
        return [("*", transcript)]
    star = transcript.endswith("**")
    found: list[tuple[str, str]] = []
    end = -1
    for segment in transcript.removesuffix("**").split("*"):
        end += 1 + len(segment)
        if end > 0:
            found.append((segment, transcript[:end]))
    return [*found, ("*", transcript)] if star else found
