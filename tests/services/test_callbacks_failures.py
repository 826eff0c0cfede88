"""Rules of one callback when things go wrong: one effect, and always a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random

import orjson
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.runtime.parts import KEYS, program_of
from tests.services.callback_parts import FLOW, KEY, PHONE, PIN, SESSION, Engine, SampleActions, SampleStore
from ussd_engine.errors import StoreUnavailable
from ussd_engine.runtime.happenings import Result
from ussd_engine.runtime.screen import Screen
from ussd_engine.runtime.session import dumps
from ussd_engine.services.actions import Invocation

SORRY = Screen("Sorry, something went wrong. Please dial again later.", end=True, label="sorry")
PAY = ("", "1", f"1*{PIN}")
PAID = "Paid, receipt 100"


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, object]]]:
    """No failure of this module may make a log line with a phone number, a PIN or a session id in it."""
    with capture_logs() as events:
        yield events  # type: ignore[misc]  # structlog's events are mutable mappings
    everything = repr(events) + caplog.text
    for personal in (PHONE, PHONE[1:], "711222333", PIN, SESSION):
        assert personal not in everything


# --- save, then act


async def test_session_is_saved_before_an_effect() -> None:
    """When an effect starts, the store holds the session that waits for it."""
    engine = Engine()
    await engine.walk(*PAY[:2])
    seen: list[tuple[str, list[str], bool]] = []

    async def look(action: str, invocation: Invocation) -> None:
        seen.append((action, list(engine.store.log), engine.store.session().receipt is None))

    engine.actions.before = look
    engine.store.log.clear()
    assert (await engine.send(PAY[2])).text == PAID
    assert seen == [("sample.pay", ["load", "save"], True)]
    assert engine.store.log == ["load", "save", "save"]


async def test_nothing_is_saved_before_a_read() -> None:
    """A read may run again, so it costs no round trip of its own."""
    engine = Engine()
    seen: list[list[str]] = []

    async def look(action: str, invocation: Invocation) -> None:
        seen.append(list(engine.store.log))

    engine.actions.before = look
    await engine.send("")
    assert seen == [["load"]]


async def test_effects_of_one_turn_have_identities_of_their_own() -> None:
    """Two effects with a read between them, in one turn: two workflows, each saved before it runs."""
    engine = Engine()
    await engine.send("")
    engine.store.log.clear()
    engine.actions.runs.clear()
    assert (await engine.send("3")).text == "Paid, receipt 101"
    assert list(engine.actions.payments.values()) == [1, 2]
    assert len({identity for _, identity in engine.actions.runs}) == 3
    assert engine.store.log == ["load", "save", "save", "save"]


# --- a crash at any point


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after_effect", [False, True])
async def test_next_callback_takes_up_an_action_that_a_crash_left(*, after_effect: bool) -> None:
    """Killed before or after the bank has acted: the repeated callback finishes the same workflow, once."""
    store, actions = SampleStore(), SampleActions()
    first = Engine(store, actions)
    await first.walk(*PAY[:2])

    async def die(action: str, invocation: Invocation) -> None:
        if after_effect:
            actions.payments[invocation.workflow_id] = 10
        raise Killed

    actions.before = die
    with pytest.raises(Killed):
        await first.send(PAY[2])
    actions.before = None
    second = Engine(store, actions)
    assert (await second.send(PAY[2])).text == PAID
    assert len(actions.payments) == 1
    assert len({identity for action, identity in actions.runs if action == "sample.pay"}) == 1


async def test_crash_between_two_effects_repeats_neither() -> None:
    """Killed in the second effect of a turn: the first one is not run again."""
    store, actions = SampleStore(), SampleActions()
    await Engine(store, actions).send("")

    async def die_in_second(action: str, invocation: Invocation) -> None:
        if invocation.inputs.get("amount") == 2:
            raise Killed

    actions.before = die_in_second
    with pytest.raises(Killed):
        await Engine(store, actions).send("3")
    actions.before = None
    actions.runs.clear()
    assert (await Engine(store, actions).send("3")).text == "Paid, receipt 101"
    assert [action for action, _ in actions.runs] == ["sample.pay"]
    assert list(actions.payments.values()) == [1, 2]


NOTED_AFTER_PAY = FLOW.replace("outcomes: {done: paid, pending", "outcomes: {done: noted, pending", 1)


@pytest.mark.parametrize(
    ("later", "text"), [([""], "Noted b\n"), (["*1"], "Your note"), (["*1", "*1*c*d"], "Noted c*d\n")]
)
async def test_crash_within_a_deep_dial_goes_on_with_its_other_inputs(later: list[str], text: str) -> None:
    """Inputs that were still to be played stay separate inputs, and a new one after them stays one."""
    program = program_of(NOTED_AFTER_PAY)
    store, actions = SampleStore(), SampleActions()

    async def die(action: str, invocation: Invocation) -> None:
        if action == "sample.pay":
            raise Killed

    dialled = f"2*a*2*{PIN}*1*b"
    await Engine(store, actions, program=program).walk("", "2", "2*a", "2*a*2", f"2*a*2*{PIN}")
    store.forget()
    actions.before = die
    with pytest.raises(Killed):
        await Engine(store, actions, program=program).send(dialled)
    actions.before = None
    again = Engine(store, actions, program=program)
    screen = await again.walk(*(dialled + more for more in later))
    assert screen.text.startswith(text)
    assert len(actions.payments) == 1


async def test_lost_session_is_played_again_and_runs_nothing_twice() -> None:
    """When the store has lost a session, the next callback leads to where it was, with the same workflow ids."""
    engine = Engine()
    await engine.walk(*PAY)
    identities = set(engine.actions.runs)
    engine.store.forget()
    assert (await engine.send(f"1*{PIN}*9")).text == PAID
    assert len(engine.actions.payments) == 1
    assert set(engine.actions.runs) == identities


@pytest.mark.parametrize(("ran_then", "text"), [(True, "Noted b\n"), (False, "PIN\n")])
async def test_replay_begins_no_effect_on_its_way(ran_then: bool, text: str) -> None:
    """Inputs that lead through an effect which did not run then stop before it, and the subscriber goes on."""
    engine = Engine(program=program_of(NOTED_AFTER_PAY))
    if ran_then:
        await engine.walk("", "2", "2*a", "2*a*2", f"2*a*2*{PIN}")
        engine.store.forget()
    screen = await engine.send(f"2*a*2*{PIN}*1*b")
    assert screen.text.startswith(text)
    assert len(engine.actions.payments) == ran_then
    if not ran_then:
        assert (await engine.send(f"2*a*2*{PIN}*1*b*{PIN}")).text.startswith("Noted a\n")
        assert len(engine.actions.payments) == 1


async def test_lost_session_goes_on_with_the_new_input() -> None:
    """The key that comes with the callback after the loss counts."""
    engine = Engine()
    await engine.walk("", "2", "2*a")
    engine.store.forget()
    assert (await engine.send("2*a*1")).text.startswith("Your note")


# --- two at once


@pytest.mark.parametrize("seed", range(30))
async def test_duplicates_at_once_have_one_effect_and_one_answer(seed: int) -> None:
    """Three equal callbacks at the same moment, in any order of steps: one payment, equal answers."""
    store, actions = SampleStore(Random(seed)), SampleActions()

    async def slow(action: str, invocation: Invocation) -> None:
        for _ in range(seed % 5):
            await asyncio.sleep(0)

    actions.before = slow
    engines = [Engine(store, actions), Engine(store, actions)]
    for transcript in PAY:
        answers = await asyncio.gather(*(engines[n % 2].send(transcript) for n in range(3)))
        assert answers[0] == answers[1] == answers[2]
        assert not answers[0].label.startswith("sorry")
    assert answers[0].text == PAID
    assert len(actions.payments) == 1


@pytest.mark.parametrize("seed", range(20))
async def test_duplicate_deep_dials_have_one_effect_and_one_answer(seed: int) -> None:
    """A deep dial that comes twice is played once: no part of it is taken for one input."""
    store, actions = SampleStore(Random(seed)), SampleActions()
    transcript = f"2*a*2*{PIN}"
    answers = await asyncio.gather(*(Engine(store, actions).send(transcript) for _ in range(3)))
    assert [answer.text for answer in answers] == [PAID] * 3
    assert len(actions.payments) == 1


@pytest.mark.parametrize("seed", range(10))
async def test_duplicates_of_a_turn_with_two_effects(seed: int) -> None:
    """Two effects in one turn, and the turn twice at once: each effect once."""
    store, actions = SampleStore(Random(seed)), SampleActions()
    engine = Engine(store, actions)
    await engine.send("")
    answers = await asyncio.gather(*(engine.send("3") for _ in range(3)))
    assert [answer.text for answer in answers] == ["Paid, receipt 101"] * 3
    assert list(actions.payments.values()) == [1, 2]


async def test_duplicate_joins_the_action_under_way() -> None:
    """A repetition that comes while the bank is at work waits for the same workflow, not for another."""
    engine = Engine()
    await engine.walk(*PAY[:2])
    go_on, started = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(action: str, invocation: Invocation) -> None:
        started.release()
        await go_on.wait()

    engine.actions.before = wait
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(engine.send(PAY[2])) for _ in range(2))
        await started.acquire()
        await started.acquire()
        go_on.set()
    assert first.result() == second.result()
    assert first.result().text == PAID
    assert len(engine.actions.payments) == 1


async def test_next_key_while_an_action_runs_waits_for_it() -> None:
    """A later callback that overtakes the answer finishes the action first, and then takes its own input."""
    program = program_of(NOTED_AFTER_PAY)
    engine = Engine(program=program)
    await engine.walk("", "2", "2*a", "2*a*2")
    hold = asyncio.Event()

    async def wait(action: str, invocation: Invocation) -> None:
        await hold.wait()

    engine.actions.before = wait
    early = asyncio.create_task(engine.send(f"2*a*2*{PIN}"))
    while engine.store.session().receipt is not None:
        await asyncio.sleep(0)
    late = asyncio.create_task(engine.send(f"2*a*2*{PIN}*1"))
    await asyncio.sleep(0)
    hold.set()
    assert (await late).text.startswith("Your note")
    assert (await early).text.startswith(("Noted a", "Your note"))
    assert len(engine.actions.payments) == 1


# --- what fails


async def fails(error: BaseException) -> Engine:
    engine = Engine()
    await engine.walk(*PAY[:2])

    async def fail(action: str, invocation: Invocation) -> None:
        raise error

    engine.actions.before = fail
    return engine


async def test_action_that_raises_ends_politely(logged: list[dict[str, object]]) -> None:
    """An exception is a polite end for the subscriber and a line with an id, without words, for the operators."""
    engine = await fails(RuntimeError(f"cannot pay for {PHONE} with {PIN}"))
    assert await engine.send(PAY[2]) == SORRY
    assert [event["event"] for event in logged] == ["callback_failed"]
    assert logged[0]["error"] == "RuntimeError"
    assert logged[0]["error_id"]


async def test_action_that_failed_is_taken_up_again() -> None:
    """What failed once is tried again by the same workflow when the callback is repeated."""
    engine = await fails(RuntimeError("no"))
    await engine.send(PAY[2])
    engine.actions.before = None
    assert (await engine.send(PAY[2])).text == PAID
    assert len({identity for action, identity in engine.actions.runs if action == "sample.pay"}) == 1


@pytest.mark.parametrize(
    "result",
    [
        Result("nonsense"),
        Result("done", {"receipt": "A-17"}),
        Result("done", {"receipt": "1" * 13}),
        Result("done", {"receipt": 17}),
    ],
)
async def test_result_that_does_not_fit_ends_politely(result: Result) -> None:
    """An outcome that the flow does not have, or an output that is no receipt, is never shown."""
    engine = Engine()
    await engine.walk(*PAY[:2])

    async def answer(action: str, invocation: Invocation) -> Result:
        return result

    engine.actions.before = answer
    assert await engine.send(PAY[2]) == SORRY


async def test_pending_is_an_outcome_like_another() -> None:
    """An effect that cannot be waited for ends as its flow says."""
    engine = Engine()
    await engine.walk(*PAY[:2])

    async def pending(action: str, invocation: Invocation) -> Result:
        return Result("pending")

    engine.actions.before = pending
    assert (await engine.send(PAY[2])).text == "We will send you an SMS"


async def test_slow_action_is_cut_off_by_the_deadline() -> None:
    """An action that does not come back does not keep the gateway waiting; a repetition finds it done."""
    store, actions = SampleStore(), SampleActions()
    await Engine(store, actions).walk(*PAY[:2])
    never = asyncio.Event()

    async def hang(action: str, invocation: Invocation) -> None:
        assert invocation.wait_s == 0.0
        await never.wait()

    actions.before = hang
    async with asyncio.timeout(10):
        assert await Engine(store, actions, deadline_s=0.05).send(PAY[2]) == SORRY
    actions.before = None
    assert (await Engine(store, actions).send(PAY[2])).text == PAID


async def test_action_is_told_how_long_the_turn_can_wait() -> None:
    """What is left of the deadline, less what the answer itself takes."""
    engine = Engine(deadline_s=8.0)
    waits: list[float] = []

    async def note(action: str, invocation: Invocation) -> None:
        waits.append(invocation.wait_s)

    engine.actions.before = note
    await engine.send("")
    assert 0 < waits[0] <= 7.5


async def test_row_of_actions_is_cut_off() -> None:
    """A flow that runs action after action without a screen ends politely after a few."""
    engine = Engine()
    await engine.send("")
    engine.actions.runs.clear()
    assert await engine.send("5") == SORRY
    assert len(engine.actions.runs) == 10


class BrokenStore(SampleStore):
    """Fails as a store does that has gone: `fail` names the calls that raise."""

    fail: frozenset[str] = frozenset()

    async def load(self, key: str) -> bytes | None:
        if "load" in self.fail:
            raise StoreUnavailable("the session store does not answer")
        return await super().load(key)

    async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
        if "save" in self.fail:
            raise StoreUnavailable("the session store does not answer")
        if "hang" in self.fail:
            await asyncio.Event().wait()
        done = await super().save(key, value, expected=expected, ttl_ms=ttl_ms)
        if "after save" in self.fail:
            raise StoreUnavailable("the answer was lost")
        return done


@pytest.mark.parametrize("fail", ["load", "save", "hang", "after save"])
async def test_store_that_fails_gives_a_screen_and_no_effect(fail: str) -> None:
    """Without a saved session no effect runs; with the store back, the session goes on with one effect."""
    store, actions = BrokenStore(), SampleActions()
    await Engine(store, actions).walk(*PAY[:2])
    store.fail = frozenset({fail})
    async with asyncio.timeout(10):
        assert await Engine(store, actions, deadline_s=0.2).send(PAY[2]) == SORRY
    assert actions.payments == {}
    store.fail = frozenset()
    assert (await Engine(store, actions).send(PAY[2])).text == PAID
    assert len(actions.payments) == 1


async def test_store_that_always_loses_the_race_gives_a_screen(logged: list[dict[str, object]]) -> None:
    """A turn does not race for ever."""

    class Losing(SampleStore):
        async def save(self, key: str, value: bytes, *, expected: bytes | None, ttl_ms: int) -> bool:
            return False

    assert await Engine(Losing()).send("") == SORRY
    assert logged[0]["code"] == "turn_too_long"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "session_corrupt"),
        (b"\x00\xff", "session_corrupt"),
        (b"{}", "session_corrupt"),
        (b'{"schema":2}', "session_corrupt"),
    ],
)
async def test_stored_bytes_that_are_no_session(
    raw: bytes, code: str, logged: list[dict[str, object]]
) -> None:
    """A value that cannot be read is a polite end; it is left as it is for who looks into it."""
    engine = Engine()
    engine.store.put(raw)
    assert await engine.send("1") == SORRY
    assert [event["code"] for event in logged] == [code]
    assert engine.store._entries[KEY][0] == raw


async def test_session_of_an_unknown_revision(logged: list[dict[str, object]]) -> None:
    """A session that runs on flows that are not loaded is not continued on others."""
    engine = Engine()
    await engine.walk("", "4")
    engine.store.put(dumps(replace(engine.store.session(), revision="0123456789abcdef"), KEYS))
    screen = await engine.send("4*1")
    assert screen.text == "Samahani, kuna hitilafu. Tafadhali piga tena baadaye."
    assert [event["code"] for event in logged] == ["session_corrupt"]


async def test_ended_session_of_an_unknown_revision_repeats_its_end() -> None:
    """What a session ended with needs no flow."""
    engine = Engine()
    end = await engine.walk("", "9")
    engine.store.put(dumps(replace(engine.store.session(), revision="0123456789abcdef"), KEYS))
    assert await engine.send("9") == end


async def test_session_without_a_screen_and_without_an_action() -> None:
    """A stored session that stands nowhere is corrupt."""
    engine = Engine()
    await engine.send("")
    engine.store.put(dumps(replace(engine.store.session(), receipt=None), KEYS))
    assert await engine.send("") == SORRY


async def test_secret_that_was_moved_ends_politely() -> None:
    """A stored session with another session's PIN in it does not open."""
    engine = Engine()
    await engine.walk("", "1")
    hold = asyncio.Event()

    async def wait(action: str, invocation: Invocation) -> None:
        await hold.wait()

    engine.actions.before = wait
    task = asyncio.create_task(engine.send(PAY[2]))
    while engine.store.session().receipt is not None:
        await asyncio.sleep(0)
    task.cancel()
    stored = orjson.loads(engine.store._entries[KEY][0])
    stored["session_id"] = "other"
    engine.store.put(orjson.dumps(stored))
    assert await engine.send(PAY[2]) == SORRY
    assert engine.actions.payments == {}


async def test_transcript_that_is_no_text() -> None:
    """A lone surrogate, which no encoding can hold, is a polite end."""
    engine = Engine()
    await engine.send("")
    assert await engine.send("\ud800") == SORRY
