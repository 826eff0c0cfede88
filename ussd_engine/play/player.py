"""The screen of the phone, and who types on it.

Every callback is read and every screen is answered by the gateway adapter: what is played is what would be on
the wire.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TextIO, cast

from rich.box import ASCII, ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from adapters.gateways.africastalking import HOP_HEADER
from adapters.gateways.form import MEDIA_TYPE
from ussd_engine.charset import is_gsm7, septets, units
from ussd_engine.errors import BadCallback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adapters.sms.console import ConsoleSms
    from ussd_engine.bootstrap import Engine
    from ussd_engine.play.handset import Handset
    from ussd_engine.ports import Gateway
    from ussd_engine.settings_model import NetworkProfile

PHONE_COLUMNS: Final = 44
"""Wide enough that the lines of a page are seldom broken, as on a phone that is held upright."""
SMS_POLL_S: Final = 0.2
LAST_SMS_WITHIN_S: Final = 1.5
"""At the end of a script: a message that follows the last screen is on its way for a moment."""

HELP: Final = """\
Type what you would on the phone, and press Enter. An empty line is an answer.
  /dial CODE    dial; answers may follow the code: /dial *384*100*1*2#
  /dial         dial the same again
  /drop         the line drops: dial again, in a new session
  /repeat       the gateway sends its last callback once more
  /phone NUMBER go on with another phone, such as +254700000001
  /help         show this
  /quit         end"""


class Player:
    """The screen of the phone, and who types on it."""

    def __init__(self, engine: Engine, handset: Handset, out: TextIO, *, interactive: bool) -> None:
        self._engine = engine
        self._sms = cast("ConsoleSms", engine.sms)  # whatever is configured, `own_data` plays with this one
        self._handset = handset
        self._gateway: Gateway = next(iter(engine.gateways.values()))
        self._interactive = interactive
        plain = not (interactive and out.isatty())
        self._console = Console(file=out, highlight=False, no_color=plain, width=80 if plain else None)
        self._box = ASCII if plain else ROUNDED
        self._ended = True
        self._prompted = False
        self._read_sms: set[str] = set()

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Dial, then take line after line."""
        self._read_sms = {sms.message_id for sms in await self._sms.sent()}
        inbox = asyncio.create_task(self._inbox())
        try:
            self._say("A phone against the sandbox bank. /help shows what can be typed.")
            await self._dial(self._handset.dialled)
            self._prompt()
            async for line in lines:
                self._prompted = False
                if not self._interactive:
                    self._say(line)  # a terminal has shown it already
                if not await self._take(line):
                    return
                self._prompt()
            await asyncio.sleep(0 if self._interactive else LAST_SMS_WITHIN_S)
            self._say("")
        finally:
            inbox.cancel()

    async def _take(self, line: str) -> bool:
        """One line; whether to go on."""
        command, _, argument = line.strip().partition(" ")
        match command, argument.strip():
            case "/quit", _:
                return False
            case "/help", _:
                self._say(HELP)
            case "/dial", dialled:
                await self._dial(dialled or self._handset.dialled)
            case "/drop", _:
                self._say("The line dropped.")
                await self._dial(self._handset.dialled)
            case "/repeat", _:
                await self._send(self._handset.callback())
            case "/phone", "":
                self._say("Give a number as well, such as /phone +254700000001")
            case "/phone", number:
                self._handset.phone_number = number
                await self._dial(self._handset.dialled)
            case _ if command.startswith("/"):
                self._say(f"There is no {command}. /help shows what can be typed.")
            case _ if self._ended:
                self._say("There is no session. /dial dials again.")
            case _:
                await self._send(self._handset.press(line))
        return True

    async def _dial(self, dialled: str) -> None:
        known = self._engine.live.program.dial
        self._say(f"{self._handset.phone_number} dials {dialled}")
        body = self._handset.dial(dialled, known)
        if self._handset.service_code not in known:
            self._say(f"No flow has this code under 'dial'. Known: {', '.join(known)}")
        await self._send(body)

    async def _send(self, body: bytes) -> None:
        try:
            callback = self._gateway.parse(body, MEDIA_TYPE)
        except BadCallback as error:
            self._ended = True
            self._say(f"No gateway would send this. {error}")
            return
        answer = self._gateway.answer(await self._engine.callbacks.handle(callback))
        kind, _, page = answer.body.decode().partition(" ")
        self._ended = kind == "END"
        self._show(kind, page, answer.headers.get(HOP_HEADER, ""))
        await self._show_sms()

    def _show(self, kind: str, page: str, label: str) -> None:
        profile = self._engine.settings.network(self._handset.network)
        cost, fits = cost_of(page, profile)
        colour = "red" if not fits else "dim" if self._ended else "green"
        self._panel(page, f"{kind} {label}", cost if fits else f"{cost} - DOES NOT FIT", colour)

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
            size = f"{septets(sms.text)} septets" if is_gsm7(sms.text) else f"{units(sms.text)} UCS-2 units"
            self._panel(sms.text, f"SMS to {sms.phone_number}", size, "cyan")
            if self._prompted:
                self._prompt()

    def _panel(self, text: str, title: str, subtitle: str, colour: str) -> None:
        """Nothing of a text may steer the terminal: a subscriber may have typed it."""
        shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        panel = Panel(
            Text(shown, overflow="fold"),
            box=self._box,
            title=Text(title),
            subtitle=Text(subtitle),
            border_style=colour,
            width=PHONE_COLUMNS,
        )
        self._console.print(panel)

    def _say(self, text: str) -> None:
        self._console.print(Text(text))

    def _prompt(self) -> None:
        self._prompted = True
        self._console.print("> ", end="")


def cost_of(page: str, profile: NetworkProfile) -> tuple[str, bool]:
    """What a page takes of its budget, in words, and whether it fits."""
    if is_gsm7(page):
        used, budget, unit = septets(page), profile.page_septets, "septets"
    else:
        used, budget, unit = units(page), profile.page_ucs2, "UCS-2 units"
    return f"{used} of {budget} {unit}", used <= budget
