"""A bank in one SQLite file, for development, demonstrations and tests.

Its rules are those of a real core banking system: one customer per phone number, per national id and per
external id, kept by UNIQUE constraints; one result per idempotency key, whatever the later request says (as
Apache Fineract does). Some numbers behave specially, as payment providers have test cards:

=================  =======================================================================================
``+254700000001``  existing customer Jane Sample, born 1990-01-15, with one account
``+254700000002``  existing customer, of whom the bank has no date of birth
``+254700000003``  slow: search, details and opening answer after `slow_s`; the account is opened by then,
                   also when the caller has given up or its process is dead. `find_opening` answers at once
``+254700000004``  unavailable: nothing is answered and nothing is done
``+254700000005``  answer lost: the account is opened at once, and no answer to an opening ever arrives
``+254700000006``  opening waits for approval: `approve`, `reject_pending`, or by itself after `approval_s`
``+254700000007``  opening is rejected with ``SANDBOX_RULE``
``+254700000011``  existing customers Asha, Baraka and Chege Sample, born 1990-01-15: of their numbers the sandbox
to                 operator tells that another SIM is in them, another owner has them, or nothing
``+254700000013``
=================  =======================================================================================

Any other number is new. Customers that the bank always had are so since 2020. What takes time at the bank is a
row that counts from an instant on, not a task that must survive: so it is right for every process that looks,
whoever died in between.
"""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar

from adapters.cbs import sandbox_books as books
from adapters.sqlite import SqliteFile
from ussd_engine.errors import BankUnavailable
from ussd_engine.ports import Found, Holder, NewAccount, NotFound, OpenOutcome, Unknown

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path

    from ussd_engine.ports import Clock

T = TypeVar("T")


class Manner(Enum):
    """How the bank treats a special number."""

    EXISTING = "existing"
    SLOW = "slow"
    UNAVAILABLE = "unavailable"
    ANSWER_LOST = "answer lost"
    NEEDS_APPROVAL = "needs approval"
    REJECTED = "rejected"


SPECIAL_NUMBERS: Final[Mapping[str, Manner]] = {
    "+254700000001": Manner.EXISTING,
    "+254700000002": Manner.EXISTING,
    "+254700000003": Manner.SLOW,
    "+254700000004": Manner.UNAVAILABLE,
    "+254700000005": Manner.ANSWER_LOST,
    "+254700000006": Manner.NEEDS_APPROVAL,
    "+254700000007": Manner.REJECTED,
}
REJECTION: Final = "SANDBOX_RULE"
_SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
_EXISTING_CUSTOMERS: Final = (
    ("+254700000001", "Jane", "Sample", "1990-01-15", "SAMPLE-0001", "female", "jane@sample.example", _SINCE),
    ("+254700000002", "Sam", "Sample", None, None, None, None, _SINCE),
    *(
        (phone_number, first_name, "Sample", "1990-01-15", None, None, None, _SINCE)
        for phone_number, first_name in (
            ("+254700000011", "Asha"),
            ("+254700000012", "Baraka"),
            ("+254700000013", "Chege"),
        )
    ),
)


class SandboxBank:
    """Port `CoreBanking`, and what a person at the bank can do and see.

    `timeout_s` bounds every call of the port; `slow_s` and `approval_s` are the special numbers' delays.
    """

    def __init__(
        self, path: Path, clock: Clock, *, timeout_s: float, slow_s: float = 15.0, approval_s: float = 30.0
    ) -> None:
        self._file = SqliteFile(
            path, lambda db: books.set_up(db, _EXISTING_CUSTOMERS), busy_timeout_s=timeout_s
        )
        self._clock = clock
        self._timeout_s = timeout_s
        self._slow_s = slow_s
        self._approval_s = approval_s

    async def search_by_phone(self, phone_number: str) -> Found | NotFound:
        return await self._in_time(self._search(phone_number))

    async def account_details(self, customer_ref: str) -> Holder | NotFound:
        return await self._in_time(self._details(customer_ref))

    async def open_account(
        self, request: NewAccount, *, idempotency_key: str, external_id: str
    ) -> OpenOutcome:
        if SPECIAL_NUMBERS.get(request.phone_number) is Manner.UNAVAILABLE:
            raise _unavailable()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._open(request, idempotency_key, external_id)
        except TimeoutError:
            return Unknown("timeout")
        except (sqlite3.Error, OSError):
            return Unknown("storage")

    async def find_opening(self, external_id: str) -> OpenOutcome | NotFound:
        return await self._in_time(self._find(external_id))

    async def close(self) -> None:
        await self._file.close()

    async def approve(self, reference: str) -> bool:
        """Open the account of a waiting application; False when none waits under this reference."""
        return await self._file.write(lambda db: books.approve(db, reference, self._now()))

    async def reject_pending(self, reference: str, reason: str) -> bool:
        """Refuse a waiting application for good; False when none waits under this reference."""
        return await self._file.write(lambda db: books.reject(db, reference, reason, self._now()))

    async def opened_count(self, phone_number: str | None = None) -> int:
        """Count the accounts that were opened here: for tests and the bench, which must see no second one.

        Of this number, or in all; the customers that the bank always had do not count.
        """
        return await self._file.read(lambda db: books.opened_count(db, phone_number, self._now()))

    async def _in_time(self, answer: Coroutine[None, None, T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            raise BankUnavailable("the sandbox bank did not answer in time") from None
        except (sqlite3.Error, OSError) as error:
            raise BankUnavailable("the sandbox bank cannot read its file") from error

    async def _search(self, phone_number: str) -> Found | NotFound:
        await self._reach(phone_number)
        ref = await self._file.read(lambda db: books.customer_ref_by_phone(db, phone_number, self._now()))
        return NotFound() if ref is None else Found(ref)

    async def _details(self, customer_ref: str) -> Holder | NotFound:
        holder = await self._file.read(lambda db: books.holder(db, customer_ref, self._now()))
        if holder is None:
            return NotFound()
        await self._reach(holder.phone_number)
        return holder

    async def _find(self, external_id: str) -> OpenOutcome | NotFound:
        opening = await self._file.read(lambda db: books.opening_by_external_id(db, external_id))
        return NotFound() if opening is None else books.outcome(opening, self._now())

    async def _open(self, request: NewAccount, key: str, external_id: str) -> OpenOutcome:
        manner = SPECIAL_NUMBERS.get(request.phone_number)
        answered_at = self._now() + (self._slow_s if manner is Manner.SLOW else 0.0)
        opening = await self._file.write(
            lambda db: books.enter_opening(
                db,
                request,
                key,
                external_id,
                active_from=answered_at + (self._approval_s if manner is Manner.NEEDS_APPROVAL else 0.0),
                needs_approval=manner is Manner.NEEDS_APPROVAL,
                rejection=REJECTION if manner is Manner.REJECTED else None,
            )
        )
        if manner is Manner.ANSWER_LOST:
            await asyncio.get_running_loop().create_future()  # never set: only the timeout ends this
        if manner is Manner.SLOW:
            await asyncio.sleep(self._slow_s)
        return books.outcome(opening, answered_at)

    async def _reach(self, phone_number: str) -> None:
        """Take the time, or the way out, that a special number has for reads."""
        manner = SPECIAL_NUMBERS.get(phone_number)
        if manner is Manner.UNAVAILABLE:
            raise _unavailable()
        if manner is Manner.SLOW:
            await asyncio.sleep(self._slow_s)

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _unavailable() -> BankUnavailable:
    return BankUnavailable("the sandbox bank is unavailable for this number")
