"""Rules of conditions and values in CEL: types, names, what fits, and secrets that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.kinds import is_secret, misfit_of
from ussd_engine.flow.checks.places import Place
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.guards import Compiler, GuardError, reads, undeclared
from ussd_engine.flow.model import CallState, Data
from ussd_engine.flow.values import limits
from ussd_engine.flow.vocabulary import Input

_NOTHING: Mapping[str, str] = {}


def expressions(context: Context) -> Iterator[Diagnostic]:
    """F601: not CEL, or unknown names, or the wrong type."""
    kinds = {**context.kinds, "answer": "string"}
    plain, with_answer = Compiler(context.kinds), Compiler(kinds)
    for place in context.places:
        try:
            (with_answer if place.of_answer else plain).compile(place.source, place.kind)
        except GuardError as error:
            yield _bad_expression(context, place, error)


def _bad_expression(context: Context, place: Place, error: GuardError) -> Diagnostic:
    wrong = undeclared(str(error))
    known = {*context.kinds, "answer"} if place.of_answer else context.kinds
    hint = did_you_mean(wrong, known) if wrong else ""
    message = f"'{place.source}' at character {error.column}: {error}"
    return context.source.finding(place.path, "F601", message, hint)


def leaks(context: Context) -> Iterator[Diagnostic]:
    """F602: a secret that would leave its place."""
    for place in context.places:
        secrets = [name for name in reads(place.source) if context.secret(name)]
        if secrets and place.takes is not None and not _keeps_secrets(place.takes):
            message = f"'{secrets[0]}' is secret and would go into '{place.path[-1]}', which is not"
            yield context.source.finding(place.path, "F602", message, "only a secret value may take a secret")


def unsealed(context: Context) -> Iterator[Diagnostic]:
    """F605: what an action takes as a secret, from a value that is stored in clear."""
    for place in context.places:
        if not isinstance(place.takes, Input) or not place.takes.secret:
            continue
        for name in reads(place.source):
            if name in context.flow.data and not context.secret(name):
                message = f"'{place.path[-1]}' is a secret of the action, and '{name}' is kept in clear"
                hint = f"declare '{name}' with 'secret: true'"
                yield context.source.finding(place.path, "F605", message, hint)


def wider(context: Context) -> Iterator[Diagnostic]:
    """F606: a value that one flow gives to another, and that the other cannot always hold."""
    for name, state in context.flow.states.items():
        if not isinstance(state, CallState) or state.call not in context.flows:
            continue
        mine, theirs = context.flow.data, context.flows[state.call].data
        for key, source in state.inputs.items():
            given = source.strip()
            if given in mine and key in theirs and (reason := _wider(mine[given], theirs[key])):
                message = f"'{given}' {reason} '{key}' of flow '{state.call}' can hold"
                yield context.source.finding(("states", name, "with", key), "F606", message, _NARROW)
        for saved, output in state.save.items():
            if (
                saved in mine
                and saved != "language"
                and output in theirs
                and (reason := _wider(theirs[output], mine[saved]))
            ):
                message = f"'{output}' of flow '{state.call}' {reason} '{saved}' can hold"
                yield context.source.finding(("states", name, "save", saved), "F606", message, _NARROW)


_NARROW = "declare both alike; a name or a text is cut to what fits, and other values are not"


def _wider(given: Data, taker: Data) -> str:
    """Why not every value of `given` fits into `taker`; "" when all do, or when what is too long is cut."""
    if taker.type in {"name", "text", "flag", "list"}:
        return ""
    if given.type != taker.type:
        return f"is a {given.type}, which is not always the {taker.type} that"
    if taker.type == "choice" and (others := set(given.of or ()) - set(taker.of or ())):
        return f"may be '{min(others)}', which is no choice that"
    least, most = limits(given.type, given.min, given.max)
    lowest, highest = limits(taker.type, taker.min, taker.max)
    if taker.type == "number" and lowest is not None and (least is None or least < lowest):
        return "may be smaller than what"
    if highest is not None and (most is None or most > highest):
        return "may be larger than what" if taker.type == "number" else "may be longer than what"
    return ""


def _keeps_secrets(takes: Data | Input) -> bool:
    return is_secret(takes) if isinstance(takes, Data) else takes.secret


def phones(context: Context) -> Iterator[Diagnostic]:
    """F603: a phone number of an action that could be any text: the account of somebody, or of nobody."""
    numbers = {"session.phone", *(name for name, data in context.flow.data.items() if data.type == "phone")}
    for place in context.places:
        if isinstance(place.takes, Input) and place.takes.phone and place.source.strip() not in numbers:
            message = f"'{place.path[-1]}' takes a phone number, and this may be any text"
            hint = "write session.phone, or the name of data of 'type: phone'"
            yield context.source.finding(place.path, "F603", message, hint)


def constants(context: Context) -> Iterator[Diagnostic]:
    """F604: an expression that reads no value, and fails or gives what its place cannot hold, every time."""
    compiler = Compiler({})
    for place in context.places:
        try:
            expression = compiler.compile(place.source, place.kind)
        except GuardError:
            continue  # it reads values, or is a finding of `expressions`
        try:
            value = expression(_NOTHING.__getitem__)
        except GuardError as error:
            yield context.source.finding(
                place.path, "F604", str(error), "it reads no value, so it fails every time"
            )
            continue
        if isinstance(place.takes, Data) and (reason := misfit_of(place.takes, value)):
            message = f"'{place.path[-1]}' gets a value that {reason}"
            yield context.source.finding(
                place.path, "F604", message, did_you_mean(str(value), place.takes.of or ())
            )


def secret_outputs(context: Context) -> Iterator[Diagnostic]:
    """F602: a called flow gives back a secret into a value that is none."""
    for name, state in context.flow.states.items():
        if not isinstance(state, CallState) or state.call not in context.flows:
            continue
        data = context.flows[state.call].data
        for saved, output in state.save.items():
            if output in data and is_secret(data[output]) and not context.secret(saved):
                message = (
                    f"'{output}' of flow '{state.call}' is secret and would go into '{saved}', which is not"
                )
                yield context.source.finding(("states", name, "save", saved), "F602", message)
