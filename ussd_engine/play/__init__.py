"""`ussd play`: a phone in the terminal, against the same engine on data of its own and the sandbox bank."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from sqlalchemy.exc import SQLAlchemyError

from ussd_engine import logs
from ussd_engine.bootstrap import running
from ussd_engine.errors import SettingsError
from ussd_engine.play.handset import Handset
from ussd_engine.play.keyboard import lines
from ussd_engine.play.picks import Picks
from ussd_engine.play.player import Player
from ussd_engine.services.action_specs import SPECS
from ussd_engine.settings_model import Cbs, Database, Keys, Redis, SmsSettings, Workflows

if TYPE_CHECKING:
    from ussd_engine.settings import Settings

__all__ = ["Handset", "own_data", "play"]


async def play(settings: Settings, handset: Handset, keyboard: TextIO, out: TextIO) -> None:
    """Run the engine and a phone until the input ends. Raises UssdError when the engine cannot start."""
    logs.configure("error", "auto")
    settings, picks = own_data(settings), Picks(SPECS)
    try:
        async with running(settings, sessions="memory", flows="played", between=picks) as engine:
            player = Player(engine, handset, picks, out, interactive=keyboard.isatty())
            await player.run(lines(keyboard))
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
