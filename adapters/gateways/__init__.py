"""Gateways: one file per wire format. The table names the ones that `config.yaml` may ask for."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from adapters.gateways.africastalking import AfricasTalking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ussd_engine.ports import Gateway

GATEWAYS: Final[Mapping[str, Callable[..., Gateway]]] = MappingProxyType({"africastalking": AfricasTalking})
"""Kind of gateway to its class; every one takes the name of the instance first."""
