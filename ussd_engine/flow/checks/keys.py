"""The keys that move about: which there are on a screen, on each network."""

from __future__ import annotations

from collections.abc import Collection

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.model import AskState, ListState, MenuState


def navigation(
    context: Context, state: MenuState | ListState | AskState, *, back: bool
) -> dict[str, tuple[str, str]]:
    """The keys for back and home on a screen, on some network: what each is, and where. `back` can mean something."""
    found: dict[str, tuple[str, str]] = {}
    for (_, back_key, home), where in keys_by_network(context, context.networks).items():
        if state.back == "on" and back_key != "off" and back:
            found.setdefault(back_key, ("back", where))
        if state.home == "on" and home != "off":
            found.setdefault(home, ("home", where))
    return found


def keys_by_network(context: Context, networks: Collection[str]) -> dict[tuple[str, str, str], str]:
    """The keys for more, back and home as they are here, then as they are on each network that has its own."""
    own = context.flow.keys
    usual = (own.more, own.back, own.home)
    found: dict[tuple[str, str, str], str] = {}
    for network in networks:
        profile = context.networks[network]
        back = own.back if own.back == "off" else profile.back or own.back
        home = own.home if own.home == "off" else profile.home or own.home
        keys = (profile.more or own.more, back, home)
        found.setdefault(keys, "here" if keys == usual else f"on network '{network}'")
    return dict(sorted(found.items(), key=lambda one: one[1] != "here"))
