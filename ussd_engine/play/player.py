"""Who types on the phone, and what comes of it.

Every callback is read and every screen is answered by the gateway adapter: what is played is what would be on
the wire.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, TextIO, cast

from adapters.gateways.africastalking import HOP_HEADER
from adapters.gateways.form import MEDIA_TYPE
from ussd_engine.errors import BadCallback
from ussd_engine.flow.diagnostic import did_you_mean
from ussd_engine.play.display import Display
from ussd_engine.play.recording import Caller, CannotSave, Recording, Turn
from ussd_engine.play.words import HELP, came_back, limits, outcomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from adapters.sms.console import ConsoleSms
    from ussd_engine.bootstrap import Engine
    from ussd_engine.play.handset import Handset
    from ussd_engine.play.picks import Picks
    from ussd_engine.ports import Gateway

SMS_POLL_S: Final = 0.2
LAST_SMS_WITHIN_S: Final = 1.5
"""At the end of a script: a message that follows the last screen is on its way for a moment."""


class Player:
    """Takes line after line. A line that begins with `/` is a command."""

    def __init__(
        self, engine: Engine, handset: Handset, picks: Picks, out: TextIO, *, interactive: bool
    ) -> None:
        self._engine = engine
        self._sms = cast("ConsoleSms", engine.sms)  # whatever is configured, `own_data` plays with this one
        self._handset = handset
        self._picks = picks
        self._gateway: Gateway = next(iter(engine.gateways.values()))
        self._interactive = interactive
        self._display = Display(out, interactive=interactive)
        self._recording = Recording()
        self._ended = True
        self._prompted = False
        self._read_sms: set[str] = set()
        self._commands: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "/help": self._help,
            "/dial": self._dial,
            "/drop": self._drop,
            "/repeat": self._repeat,
            "/phone": self._phone,
            "/network": self._network,
            "/language": self._language,
            "/outcome": self._outcome,
            "/save": self._save,
        }

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Dial, then take line after line."""
        self._read_sms = {sms.message_id for sms in await self._sms.sent()}
        inbox = asyncio.create_task(self._inbox())
        try:
            self._say("A phone against the sandbox bank. /help shows what can be typed.")
            await self._dial("")
            self._prompt()
            async for line in lines:
                self._prompted = False
                if not self._interactive:
                    self._say(line)  # a terminal has shown it already
                if line.strip() == "/quit":
                    return
                await self._take(line)
                self._prompt()
            await asyncio.sleep(0 if self._interactive else LAST_SMS_WITHIN_S)
            self._say("")
        finally:
            inbox.cancel()

    async def _take(self, line: str) -> None:
        name, _, argument = line.strip().partition(" ")
        if name in self._commands:
            await self._commands[name](argument.strip())
        elif name.startswith("/"):
            self._say(f"There is no {name}. /help shows what can be typed.")
        elif self._ended:
            self._say("There is no session. /dial dials again.")
        else:
            await self._send("type", line, self._handset.press(line))

    # --- commands

    async def _help(self, _argument: str) -> None:
        self._say(HELP)

    async def _dial(self, dialled: str) -> None:
        known = self._engine.live.program.dial
        dialled = dialled or self._handset.dialled or next(iter(known), "")
        self._say(f"{self._handset.phone_number} dials {dialled}")
        body = self._handset.dial(dialled, known)
        if self._handset.service_code not in known:
            self._say(f"No flow has this code under 'dial'. Known: {', '.join(known)}")
        await self._send("dial", "*".join(self._handset.inputs), body)

    async def _drop(self, _argument: str) -> None:
        self._say("The line dropped.")
        await self._dial("")

    async def _repeat(self, _argument: str) -> None:
        await self._send("repeat", "", self._handset.callback())

    async def _phone(self, number: str) -> None:
        if not number:
            self._say("Give a number as well, such as /phone +254700000001")
            return
        self._handset.phone_number = number
        await self._dial("")

    async def _network(self, code: str) -> None:
        profiles = self._engine.settings.network_profiles
        if not code:
            self._say("\n".join(limits(code, profile) for code, profile in profiles.items()))
            return
        self._handset.network = code
        unknown = "" if code in profiles else "; nothing is set for it, so it is as the default"
        self._say(limits(code, self._engine.settings.network(code)) + unknown)
        await self._dial("")

    async def _language(self, code: str) -> None:
        known = self._picks.languages
        if code not in known:
            wrong = f"No flow has the language {code}. " if code else ""
            self._say(f"{wrong}Languages: {', '.join(known)}")
            return
        self._picks.language = code
        self._say(
            f"Flows begin in {code}, until they or the bank say otherwise. A session that goes on keeps its own."
        )
        await self._dial("")

    async def _outcome(self, argument: str) -> None:
        action, _, outcome = argument.partition(" ")
        outcome, spec = outcome.strip(), self._picks.specs.get(action)
        if not action:
            self._say(outcomes(self._picks.specs, self._picks.outcomes))
        elif spec is None:
            self._say(f"There is no action {action}; {did_you_mean(action, self._picks.specs)}")
        elif not outcome:
            self._picks.outcomes.pop(action, None)
            self._say(f"The sandbox bank decides on {action} again.")
        elif outcome not in spec.outcomes:
            self._say(f"{action} has no outcome {outcome}; {did_you_mean(outcome, spec.outcomes)}")
        else:
            self._picks.outcomes[action] = outcome
            self._say(f"From now on {action} comes back with {outcome}, and the bank is not asked.")

    async def _save(self, argument: str) -> None:
        file, _, name = argument.partition(" ")
        if not file:
            self._say("Give a file as well, such as /save flows/tests/first_account.yaml A first account")
            return
        try:
            self._recording.save(file, name.strip())
        except CannotSave as error:
            self._say(str(error))
            return
        self._say(
            f"Written to {file}; steps: {self._recording.steps}. ussd play --replay {file} shows them.\n"
            "All that was typed stands in it, a PIN or a date of birth too: only its owner can read it."
        )

    # --- callbacks and messages

    async def _send(self, kind: Literal["dial", "type", "repeat"], text: str, body: bytes) -> None:
        try:
            callback = self._gateway.parse(body, MEDIA_TYPE)
        except BadCallback as error:
            self._ended = True
            self._say(f"No gateway would send this. {error}")
            return
        self._picks.ran.clear()
        screen = await self._engine.callbacks.handle(callback)
        answer = self._gateway.answer(screen)
        word, _, page = answer.body.decode().partition(" ")
        self._ended = word == "END"
        ran = tuple(self._picks.ran)
        if self._picks.outcomes:
            for action, result in ran:
                self._say(f"({came_back(action, result)})")
        profile = self._engine.settings.network(self._handset.network)
        self._display.page(page, answer.headers.get(HOP_HEADER, ""), profile, end=self._ended)
        self._recording.add(self._caller, Turn(kind, text, ran, screen.text, screen.end))
        await self._show_sms()

    @property
    def _caller(self) -> Caller:
        handset = self._handset
        return Caller(handset.service_code, handset.phone_number, handset.network, self._picks.language)

    async def _inbox(self) -> None:
        """Messages come when they come."""
        while True:
            await asyncio.sleep(SMS_POLL_S)
            await self._show_sms()

    async def _show_sms(self) -> None:
        sent = await self._sms.sent()
        for sms in [sms for sms in sent if sms.message_id not in self._read_sms]:
            self._read_sms.add(sms.message_id)
            if self._prompted:
                self._say("")
            self._display.sms(sms.text, sms.phone_number)
            if self._prompted:
                self._prompt()

    def _say(self, text: str) -> None:
        self._display.say(text)

    def _prompt(self) -> None:
        self._prompted = True
        self._display.prompt()
