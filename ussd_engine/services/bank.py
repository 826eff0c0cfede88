"""What a registration and an opening both ask the bank, as plain data; a fault of the adapter is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ussd_engine.errors import BankUnavailable
from ussd_engine.logs import describe
from ussd_engine.ports import Found, NotFound

if TYPE_CHECKING:
    from ussd_engine.ports import CoreBanking, Holder
    from ussd_engine.services.workflows import Json

log = structlog.get_logger(__name__)


async def search_cbs(bank: CoreBanking, phone_number: str) -> Json:
    """`{"kind": "found", "customer_ref": ...}`, or of the kind `not_found` or `unavailable`."""
    try:
        found = await bank.search_by_phone(phone_number)
    except BankUnavailable:
        return {"kind": "unavailable"}
    except Exception as error:  # noqa: BLE001 - see above
        log.error("customer_search_failed", **describe(error))  # noqa: TRY400 - its words may be personal
        return {"kind": "unavailable"}
    match found:
        case Found(customer_ref):
            return {"kind": "found", "customer_ref": customer_ref}
        case NotFound():
            return {"kind": "not_found"}


async def details_cbs(bank: CoreBanking, customer_ref: str) -> Holder | NotFound | None:
    """None: the bank does not answer."""
    try:
        return await bank.account_details(customer_ref)
    except BankUnavailable:
        return None
    except Exception as error:  # noqa: BLE001 - see above
        log.error("account_details_failed", **describe(error))  # noqa: TRY400 - its words may be personal
        return None
