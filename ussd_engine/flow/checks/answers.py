"""Rules of answers: what may be typed can be typed, and does not mean something else there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.keys import keys_by_network, navigation
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.fit import Fit
from ussd_engine.flow.guards import Compiler, GuardError
from ussd_engine.flow.model import AskState, Data
from ussd_engine.flow.values import limits


def answers_on_keys(context: Context) -> Iterator[Diagnostic]:
    """F406: an answer that the engine takes for the key for back or home."""
    for name, state in context.flow.states.items():
        if isinstance(state, AskState):
            yield from _on_keys(context, name, state, navigation(context, state, back=name in context.back))


def answers_on_keys_of_pages(context: Context, fits: list[Fit]) -> Iterator[Diagnostic]:
    """F406: an answer that turns a page of a question that may have several: by the key for more, and for back."""
    for name in dict.fromkeys(fit.state for fit in fits if fit.pages > 1):
        state = context.flow.states.get(name)
        if isinstance(state, AskState):
            networks = {fit.network for fit in fits if fit.state == name and fit.pages > 1}
            owned: dict[str, tuple[str, str]] = {}
            for (more, back_key, _), where in keys_by_network(context, networks).items():
                owned.setdefault(more, ("more", where))
                if state.back == "on" and back_key != "off" and name not in context.back:
                    owned.setdefault(back_key, ("back", where))
            yield from _on_keys(context, name, state, owned)


def _on_keys(
    context: Context, name: str, state: AskState, owned: Mapping[str, tuple[str, str]]
) -> Iterator[Diagnostic]:
    data = context.flow.data.get(state.save)
    if data is None:
        return
    for key, (what, where) in owned.items():
        surely, maybe = _meant(state, data, key), _may_be_meant(state, data, key)
        if (surely or maybe) and _accepts(state, key):
            message = (
                f"the answer '{key}' to '{name}' is taken for the {what} key {where}, so nobody can give it"
            )
            hint = f"write '{what}: off' in this state, or choose another {what} key"
            hint = "shorten the question to one page, or choose another more key" if what == "more" else hint
            path = ("states", name, "save")
            yield context.source.finding(path, "F406", message, hint, warning=not surely)


def _meant(state: AskState, data: Data, key: str) -> bool:
    """Whether the key is one of the values that the declaration names: a choice, or within a range."""
    if data.type == "choice":
        return key in (data.of or ())
    if data.type != "number" or not key.isdigit() or str(int(key)) != key:
        return False  # 00 is 0 too, which can be typed
    least, most = _range(state, data)
    return least is not None and least <= int(key) and (most is None or int(key) <= most)


def _may_be_meant(state: AskState, data: Data, key: str) -> bool:
    """Whether all answers are as short as the key: of longer ones it is but one of very many."""
    if data.type not in {"digits", "pin", "text"} or not (key.isdigit() or data.type == "text"):
        return False
    least, most = _range(state, data)
    return (least or 0) <= len(key) == most


def _range(state: AskState, data: Data) -> tuple[int | None, int | None]:
    least, most = limits(data.type, data.min, data.max)
    lower = [value for value in (least, state.accept.min) if value is not None]
    upper = [value for value in (most, state.accept.max) if value is not None]
    return max(lower, default=None), min(upper, default=None)


def _accepts(state: AskState, key: str) -> bool:
    """Whether the condition lets the answer through. One that reads other values as well may refuse it."""
    if state.accept.when is None:
        return True
    try:
        return bool(
            Compiler({"answer": "string"}).compile(state.accept.when, "bool")({"answer": key}.__getitem__)
        )
    except GuardError:
        return False


def answers_that_fit(context: Context) -> Iterator[Diagnostic]:
    """F403: a question whose shortest answer is longer than a network takes."""
    network, profile = min(context.networks.items(), key=lambda one: one[1].input_max)
    for name, state in context.flow.states.items():
        data = context.flow.data.get(state.save) if isinstance(state, AskState) else None
        if not isinstance(state, AskState) or data is None:
            continue
        shortest = _shortest(state, data)
        if shortest > profile.input_max:
            takes = f"network '{network}' takes {profile.input_max}"
            message = f"the shortest answer has {shortest} characters, and {takes}"
            yield context.source.finding(
                ("states", name, "ask"), "F403", message, "ask for less, or in two questions"
            )


def _shortest(state: AskState, data: Data) -> int:
    if data.type == "choice":
        return min(map(len, data.of or ()), default=0)
    return _range(state, data)[0] or 0 if data.type in {"name", "text", "digits", "pin"} else 0
