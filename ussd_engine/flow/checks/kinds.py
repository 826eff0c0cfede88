"""What declared data can hold, and what of it is secret."""

from __future__ import annotations

from ussd_engine.flow.model import Data, Flow
from ussd_engine.flow.values import limits, misfit
from ussd_engine.flow.vocabulary import GIVEN, KIND_OF_TYPE, Kind, ListOf


def declared_kinds(flow: Flow) -> dict[str, Kind]:
    return {name: kind_of_data(data) for name, data in flow.data.items()}


def kind_of_data(data: Data) -> Kind:
    if data.type == "list":
        return ListOf.of(**{name: KIND_OF_TYPE[field.type] for name, field in (data.item or {}).items()})
    return KIND_OF_TYPE[data.type]


def kinds_of(flow: Flow) -> dict[str, Kind]:
    """Every value that an expression of the flow may read: what is always given, and what it declares."""
    return {**GIVEN, **declared_kinds(flow)}


def misfit_of(data: Data, value: object) -> str:
    """Why the declared data cannot hold a value; "" when it can."""
    return misfit(value, data.type, *limits(data.type, data.min, data.max), data.of or ())


def is_secret(data: Data) -> bool:
    """A PIN is secret whatever the author says; the rest is as declared."""
    return data.secret or data.type == "pin"
