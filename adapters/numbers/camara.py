"""SIM swap and number recycling at a mobile operator, on the shapes of CAMARA (GSMA Open Gateway).

SIM Swap (camaraproject/SimSwap, sim-swap.yaml): POST .../check `{"phoneNumber", "maxAge"}` -> `{"swapped"}`.
Number Recycling (camaraproject/NumberRecycling, number-recycling.yaml): POST .../check
`{"phoneNumber", "specifiedDate"}` -> `{"phoneNumberRecycled"}`. Both take a bearer token, here one of the operator's
OAuth 2.0 token endpoint for client credentials (RFC 6749, 4.4). Whatever is not a clear answer is none.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus
from uuid import uuid4

import aiohttp
import orjson
import structlog

from ussd_engine.errors import NumberChecksUnavailable

if TYPE_CHECKING:
    from datetime import date

    from ussd_engine.ports import Clock

log = structlog.get_logger(__name__)

MAX_ANSWER_BYTES: Final = 64 * 1024
RENEW_BEFORE_S: Final = 30.0
"""A token that ends sooner is renewed first, so that none ends on its way."""
SHORT_LIFE_S: Final = 60.0
"""For a token whose life the operator does not tell."""


class CamaraNumberChecks:
    """Port `NumberChecks`. `timeout_s` is for a whole check, with a new token if one is needed.

    The addresses are complete; None: this operator does not offer the check, and the answer is always no.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        sim_swap_url: str | None,
        number_recycling_url: str | None,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str | None,
        timeout_s: float,
    ) -> None:
        self._clock = clock
        self._sim_swap_url = sim_swap_url
        self._number_recycling_url = number_recycling_url
        self._token_url = token_url
        # each part is encoded first, so that a colon in one is no end of it (RFC 6749, 2.3.1)
        basic = aiohttp.encode_basic_auth(quote_plus(client_id), quote_plus(client_secret))
        self._client = {"Authorization": basic}
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._timeout_s = timeout_s
        self._http = aiohttp.ClientSession(headers={"Accept": "application/json"})
        self._token = ""
        self._token_ends = 0.0
        self._renewing = asyncio.Lock()

    async def sim_swapped(self, phone_number: str, within_h: int) -> bool:
        if self._sim_swap_url is None:
            return False
        body = {"phoneNumber": phone_number, "maxAge": within_h}
        return await self._check(self._sim_swap_url, body, "swapped")

    async def recycled(self, phone_number: str, since: date | None) -> bool:
        if self._number_recycling_url is None:
            return False
        if since is None:
            raise NumberChecksUnavailable("the bank does not tell since when it knows the number")
        body = {"phoneNumber": phone_number, "specifiedDate": since.isoformat()}
        return await self._check(self._number_recycling_url, body, "phoneNumberRecycled")

    async def close(self) -> None:
        await self._http.close()

    async def _check(self, url: str, body: dict[str, Any], field: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                status, answer = await self._ask(url, body, await self._valid_token())
                if status == HTTPStatus.UNAUTHORIZED:  # revoked before its time
                    status, answer = await self._ask(
                        url, body, await self._valid_token(other_than=self._token)
                    )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NumberChecksUnavailable(f"the operator gave no answer ({type(error).__name__})") from error
        value = answer.get(field)
        if status != HTTPStatus.OK or not isinstance(value, bool):
            # `code` is CAMARA's word for why, such as SERVICE_NOT_APPLICABLE for a number of another operator
            code = answer.get("code")
            log.warning("number_check_refused", status=status, code=code if isinstance(code, str) else None)
            raise NumberChecksUnavailable(f"the operator gave no clear answer (HTTP {status})")
        return value

    async def _ask(self, url: str, body: dict[str, Any], token: str) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "x-correlator": str(uuid4()),
        }
        # A redirect is not followed: the token and the number are for this address alone.
        async with self._http.post(
            url, data=orjson.dumps(body), headers=headers, allow_redirects=False
        ) as response:
            return response.status, _object(await _read(response))

    async def _valid_token(self, other_than: str | None = None) -> str:
        """The token, renewed when it ends soon or is the one that was just refused; once, whoever waits for it."""
        async with self._renewing:
            now = self._clock.monotonic()
            if self._token and self._token != other_than and now < self._token_ends:
                return self._token
            async with self._http.post(
                self._token_url, data=self._form, headers=self._client, allow_redirects=False
            ) as response:
                answer = _object(await _read(response))
                token, life_s = answer.get("access_token"), answer.get("expires_in", SHORT_LIFE_S)
            if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
                log.error("number_check_token_refused", status=response.status)
                raise NumberChecksUnavailable(
                    f"the operator gave no token (HTTP {response.status}); look at number_checks.camara"
                )
            known = isinstance(life_s, int | float) and not isinstance(life_s, bool)
            self._token = token
            self._token_ends = now + (float(life_s) if known else SHORT_LIFE_S) - RENEW_BEFORE_S
            return token


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NumberChecksUnavailable(f"the operator's answer is longer than {MAX_ANSWER_BYTES} bytes")
    return body


def _object(body: bytes) -> dict[str, Any]:
    """What cannot be read as an object tells nothing, as an empty one."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
