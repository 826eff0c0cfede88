"""What is new in one library beside another, for whoever is about to publish it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ussd_engine.flow.loader import Library
from ussd_engine.flow.model import Flow


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one flow: the states by name, and the other keys of the flow that are not as they were."""

    flow: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def differences(old: Library, new: Library) -> list[Difference]:
    """Of every flow in which there is any, those that come or go included, by name."""
    names = sorted(old.flows.keys() | new.flows.keys())
    found = [_between(name, old.flows.get(name), new.flows.get(name)) for name in names]
    return [each for each in found if each != Difference(each.flow)]


def sms_events(old: Library, new: Library) -> list[str]:
    """The events whose SMS has other texts."""
    before, after = old.sms.texts, new.sms.texts
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def no_longer_dialled(old: Library, new: Library) -> list[str]:
    """The service codes that lead nowhere any more."""
    return sorted(set(_codes(old)) - set(_codes(new)))


def _codes(library: Library) -> Iterator[str]:
    for flow in library.flows.values():
        yield from flow.dial


def _between(name: str, old: Flow | None, new: Flow | None) -> Difference:
    before, after = old.states if old else {}, new.states if new else {}
    both = before.keys() & after.keys()
    return Difference(
        flow=name,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(state for state in both if before[state] != after[state])),
        keys=tuple(_other_keys(old, new)) if old and new else (),
    )


def _other_keys(old: Flow, new: Flow) -> Iterator[str]:
    for key in Flow.model_fields:
        if key != "states" and getattr(old, key) != getattr(new, key):
            yield key
