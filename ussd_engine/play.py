"""`ussd play`: a phone in the terminal.

What is typed becomes callbacks exactly as Africa's Talking posts them, read and answered by the gateway adapter:
what is played is what would be on the wire.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO
from urllib.parse import urlencode
from uuid import uuid4

from rich.box import ASCII, ROUNDED
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from adapters.gateways.africastalking import HOP_HEADER
from adapters.gateways.form import MEDIA_TYPE
from ussd_engine import logs
from ussd_engine.bootstrap import Engine, running
from ussd_engine.errors import BadCallback, SettingsError
from ussd_engine.runtime.charset import is_gsm7, septets, units
from ussd_engine.settings_model import Cbs, Database, Keys, Redis, SmsSettings, Workflows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from ussd_engine.ports import Gateway
    from ussd_engine.settings import Settings
    from ussd_engine.settings_model import NetworkProfile

PHONE_COLUMNS: Final = 44
"""Wide enough that the lines of a page are seldom broken, as on a phone that is held upright."""
SMS_POLL_S: Final = 0.2
LAST_SMS_WITHIN_S: Final = 1.5
"""At the end of a script: a message that follows the last screen is on its way for a moment."""
READ_BYTES: Final = 4096

HELP: Final = """\
Type what you would on the phone, and press Enter. An empty line is an answer.
  /dial CODE    dial; answers may follow the code: /dial *384*100*1*2#
  /dial         dial the same again
  /drop         the line drops: dial again, in a new session
  /repeat       the gateway sends its last callback once more
  /phone NUMBER go on with another phone, such as +254700000001
  /help         show this
  /quit         end"""


@dataclass(slots=True)
class Handset:
    """A phone and the gateway behind it. `dialled` is what was typed, answers behind the code included."""

    phone_number: str
    network: str
    dialled: str
    service_code: str = ""
    session_id: str = ""
    inputs: list[str] = field(default_factory=list, repr=False)

    def dial(self, dialled: str, known: Collection[str]) -> bytes:
        """A new session. The service code is the longest known one that `dialled` begins with."""
        self.dialled, self.session_id = dialled, f"ATUid_{uuid4().hex}"
        self.service_code, self.inputs = split_dialled(dialled, known)
        return self.callback()

    def press(self, text: str) -> bytes:
        self.inputs.append(text)
        return self.callback()

    def callback(self) -> bytes:
        """The form of the gateway: all inputs since the dial, joined by `*`."""
        fields = {
            "sessionId": self.session_id,
            "phoneNumber": self.phone_number,
            "networkCode": self.network,
            "serviceCode": self.service_code,
            "text": "*".join(self.inputs),
        }
        return urlencode(fields).encode()


def split_dialled(dialled: str, known: Collection[str]) -> tuple[str, list[str]]:
    """`*384*100*1*2#` is the service code `*384*100#` and the answers 1 and 2."""
    if dialled.endswith("#") and dialled not in known:
        for code in sorted(known, key=len, reverse=True):
            stem = code.removesuffix("#") + "*"
            if dialled.startswith(stem):
                return code, dialled.removeprefix(stem).removesuffix("#").split("*")
    return dialled, []


async def play(settings: Settings, handset: Handset, keyboard: TextIO, out: TextIO) -> None:
    """Run the engine and a phone until the input ends. Raises UssdError when the engine cannot start."""
    logs.configure("error", "auto")
    settings = own_data(settings)
    try:
        async with running(settings, sessions="memory") as engine:
            await Player(engine, handset, out, interactive=keyboard.isatty()).run(_lines(keyboard))
    except SQLAlchemyError as error:
        raise SettingsError(f"a database in {settings.data_dir} cannot be used; delete the folder") from error
    except OSError as error:
        raise SettingsError(f"{settings.data_dir} cannot be used: {error}") from error


def own_data(settings: Settings) -> Settings:
    """The same flows, networks and timers on data of their own, and nothing that is real behind them."""
    embedded = {
        "data_dir": settings.data_dir / "play",
        "redis": Redis(),
        "database": Database(),
        "workflows": Workflows(),
        "keys": Keys(),
        "cbs": Cbs(timeout_s=settings.cbs.timeout_s, sandbox=settings.cbs.sandbox),
        "sms": SmsSettings(),
    }
    return settings.model_copy(update=embedded)


class Player:
    """The screen of the phone, and who types on it."""

    def __init__(self, engine: Engine, handset: Handset, out: TextIO, *, interactive: bool) -> None:
        self._engine = engine
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
        self._read_sms = {sms.message_id for sms in await self._engine.sms.sent()}
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
        known = self._engine.program.dial
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
        sent = await self._engine.sms.sent()
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


async def _lines(keyboard: TextIO) -> AsyncIterator[str]:
    """Lines from a terminal, a pipe or a file, without their ends.

    A thread reads, as a loop cannot wait for a file. It reads the descriptor itself: a thread that waits inside
    a buffered reader when the process ends takes the interpreter down with it.
    """
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    loop, descriptor = asyncio.get_running_loop(), keyboard.fileno()
    threading.Thread(target=_read, args=(descriptor, loop, queue), daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str | None]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    waiting = ""
    while chunk := os.read(descriptor, READ_BYTES):
        *whole, waiting = (waiting + decoder.decode(chunk)).split("\n")
        for line in whole:
            loop.call_soon_threadsafe(queue.put_nowait, line.removesuffix("\r"))
    if waiting:
        loop.call_soon_threadsafe(queue.put_nowait, waiting)
    loop.call_soon_threadsafe(queue.put_nowait, None)
