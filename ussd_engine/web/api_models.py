"""The bodies of the JSON routes: what is taken, what is answered, and in which words a field is wrong."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from ussd_engine.phone import normalise

FIRST_BIRTH_DATE = date(1900, 1, 1)
"""Earlier dates are placeholders of other systems, not dates of birth."""
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body is read against; `languages` are those of the flows, the default first."""

    region: str
    languages: tuple[str, ...]
    today: date


def _reading(info: ValidationInfo) -> Reading:
    if not isinstance(info.context, Reading):
        raise TypeError("a request is validated with a Reading as its context")
    return info.context


def _phone_number(value: str, info: ValidationInfo) -> str:
    wrong = PydanticCustomError("phone_number", "must be a phone number, such as +254700000000 or 0700000000")
    if any(character.isalpha() for character in value):  # a numbering library reads 1-800-FLOWERS
        raise wrong
    try:
        return normalise(value, _reading(info).region)
    except ValueError:
        raise wrong from None


def _birth_date(value: Any, info: ValidationInfo) -> date:
    if not isinstance(value, str):
        raise PydanticCustomError("wrong_type", "must be text")
    if not _ISO_DATE.fullmatch(value):
        raise PydanticCustomError("date_format", "must be a date as YYYY-MM-DD")
    try:
        born = date.fromisoformat(value)
    except ValueError:
        raise PydanticCustomError("date_format", "must be a day of the calendar, as YYYY-MM-DD") from None
    if not FIRST_BIRTH_DATE <= born < _reading(info).today:
        raise PydanticCustomError("date_range", "must be in the past, and not before 1900-01-01")
    return born


def _tidy(value: Any) -> Any:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else value


def _name(value: str) -> str:
    """Letters and marks of any script, space, apostrophe, hyphen and full stop, with a letter among them."""
    kinds = {" " if character in " '\u2019-." else unicodedata.category(character)[0] for character in value}
    if "L" not in kinds or not kinds <= {"L", "M", " "}:
        raise PydanticCustomError("name", "must be letters, with spaces, apostrophes, hyphens or full stops")
    return value


def _language(value: str, info: ValidationInfo) -> str:
    languages = _reading(info).languages
    if value not in languages:
        raise PydanticCustomError(
            "language", "must be one of {languages}", {"languages": ", ".join(languages)}
        )
    return value


PhoneNumber = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_phone_number)]
BirthDate = Annotated[date, BeforeValidator(_birth_date)]
Name = Annotated[str, BeforeValidator(_tidy), Field(min_length=1, max_length=50), AfterValidator(_name)]
Language = Annotated[str, Field(min_length=2, max_length=16), AfterValidator(_language)]
NationalId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9/-]{0,31}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]
"""A code of the bank's own: a product, a gender."""


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    example: ClassVar[dict[str, object]]


class CheckRequest(Request):
    phone_number: PhoneNumber

    example: ClassVar[dict[str, object]] = {"phone_number": "+254700000001"}


class SubscriptionRequest(Request):
    phone_number: PhoneNumber
    date_of_birth: BirthDate
    language: Language | None = None

    example: ClassVar[dict[str, object]] = {
        "phone_number": "+254700000001",
        "date_of_birth": "1990-01-15",
        "language": "en",
    }


class AccountRequest(Request):
    phone_number: PhoneNumber
    first_name: Name
    last_name: Name
    date_of_birth: BirthDate
    language: Language | None = None
    national_id: NationalId | None = None
    gender: Code | None = None
    product: Code | None = None

    example: ClassVar[dict[str, object]] = {
        "phone_number": "0700 000 123",
        "first_name": "Jane",
        "last_name": "Sample",
        "date_of_birth": "1995-06-30",
        "language": "sw",
    }


class TranslationsRequest(Request):
    """An unknown `language` is answered in the default one; without `flow` or `keys` all are answered.

    `version` is that of a former answer to the same request: texts come only if it is no longer the current one.
    """

    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$")] | None = None
    flow: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    keys: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=500)] | None
    ) = None

    version: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")] | None = None

    example: ClassVar[dict[str, object]] = {"language": "sw"}


class SubscriptionAnswer(BaseModel):
    status: Literal["subscribed", "pending_approval", "existing_customer", "new_customer"]
    subscribed: bool
    exists_on_cbs: bool
    language: str | None
    customer_id: str | None
    user_id: str | None


class RegisteredAnswer(BaseModel):
    status: Literal["staged"] = "staged"
    customer_id: str
    user_id: str
    change_id: str


class AccountAnswer(BaseModel):
    status: Literal["opened"] = "opened"
    account_number: str
    customer_id: str
    change_id: str


class PendingAnswer(BaseModel):
    """The outcome is not known yet: ask again with the same Idempotency-Key; the subscriber hears by SMS."""

    status: Literal["pending"] = "pending"
    operation_id: str


class TranslationsAnswer(BaseModel):
    """`fallback`: the language asked for is not there, and this is the default one.

    `not_modified`: the texts are those of the version that the request named, and none are sent.
    """

    language: str
    version: str
    fallback: bool
    not_modified: bool
    translations: dict[str, str] | None


class EventFrame(BaseModel):
    """Something that happened. `id` is its place in the feed; `phone` is masked; `detail` holds ids and codes."""

    id: str
    event_id: str
    kind: str
    at: datetime
    phone: str
    detail: dict[str, str]


class StartFrame(BaseModel):
    """The first frame: every event after `id` follows."""

    id: str
    kind: Literal["start"] = "start"


class GapFrame(BaseModel):
    """The first frame when events after `after` are no longer kept: every event after `id` follows."""

    id: str
    kind: Literal["gap"] = "gap"
    after: str


class FieldErrorBody(BaseModel):
    field: str
    code: str
    message: str


class ProblemBody(BaseModel):
    """RFC 9457. `code` is stable and is what a program looks at; `errors` names every wrong field."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldErrorBody] = []
