"""`ussd events`: the live feed of a running service, a line per event."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TextIO

import aiohttp
import orjson

from ussd_engine.errors import SettingsError
from ussd_engine.web.feed import HEARTBEAT_S, PATH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGAIN_AFTER_S = 1.0
"""Before the connection is made again: a restart of the service takes a few seconds."""

_REFUSED: Mapping[int, str] = {
    HTTPStatus.BAD_REQUEST: "--after takes an id of this feed, such as 1735689600000-0",
    HTTPStatus.UNAUTHORIZED: "the key is not taken: set USSD_API_KEY, or name a file with --key-file",
    HTTPStatus.FORBIDDEN: "the key may not read the feed: take one that may",
    HTTPStatus.NOT_FOUND: f"there is no {PATH}: look at --url",
}
"""Answers that another try would only get again."""


def read_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read ({type(error).__name__}): set USSD_API_KEY, or name a file with --key-file"
        ) from error


@dataclass
class Follower:
    """`after` is the last id that was read; events go to `out`, what happens to the connection to `said`."""

    url: str
    after: str | None
    out: TextIO
    said: TextIO

    async def run(self, key: str) -> None:
        """Until it is cancelled. Raises SettingsError, with what to do, when the service refuses for good."""
        last = ""
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            while True:
                start = self.after
                ended = await self._attempt(session)
                if ended != last or self.after != start:
                    print(f"{ended}; trying again", file=self.said, flush=True)
                last = ended
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _attempt(self, session: aiohttp.ClientSession) -> str:
        """Listen until the connection ends; why it did."""
        try:
            return await self._listen(session)
        except aiohttp.WSServerHandshakeError as error:
            if hint := _REFUSED.get(error.status):
                raise SettingsError(f"{self.url} refuses with {error.status}: {hint}") from error
            return f"{self.url} refuses with {error.status}"
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise SettingsError("--url takes an address such as http://127.0.0.1:8080") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{self.url} cannot be reached ({type(error).__name__})"

    async def _listen(self, session: aiohttp.ClientSession) -> str:
        where = self.url.rstrip("/") + PATH
        params = {"after": self.after} if self.after else {}
        async with session.ws_connect(where, params=params, heartbeat=HEARTBEAT_S) as socket:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                self._show(orjson.loads(message.data))
            return f"{self.url} ended the connection ({socket.close_code})"

    def _show(self, frame: dict[str, Any]) -> None:
        if "event_id" in frame:
            detail = " ".join(f"{name}={value}" for name, value in sorted(frame["detail"].items()))
            line = f"{frame['id']} {frame['at']} {frame['kind']} {frame['phone']} {detail}"
            print(line, file=self.out, flush=True)
        elif frame["kind"] == "gap":
            print(f"gap: not all is kept that came after {frame['after']}", file=self.said, flush=True)
        self.after = frame["id"]
