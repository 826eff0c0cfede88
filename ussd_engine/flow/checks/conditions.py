"""Rules of conditions and values in CEL: types, names, and secrets that stay where they are."""

from __future__ import annotations

from collections.abc import Iterator

from ussd_engine.flow.checks.context import Context, is_secret
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.graph import gotos, ways
from ussd_engine.flow.guards import Compiler, GuardError, reads, undeclared
from ussd_engine.flow.model import ActionState, AskState, CallState, MenuState
from ussd_engine.flow.source import Path_
from ussd_engine.flow.vocabulary import KIND_OF_TYPE, Kind


def expressions(context: Context) -> Iterator[Diagnostic]:
    """F601: not CEL, or unknown names, or the wrong type. F602: a secret that would leave its place."""
    compiler = Compiler(context.kinds)
    for path, source, kind in _expressions(context):
        try:
            compiler.compile(source, kind)
        except GuardError as error:
            yield _bad_expression(context, path, source, error)
    with_answer = Compiler({**context.kinds, "answer": "string"})
    for name, state in context.flow.states.items():
        if isinstance(state, AskState) and state.accept.when is not None:
            try:
                with_answer.compile(state.accept.when, "bool")
            except GuardError as error:
                yield _bad_expression(context, ("states", name, "accept", "when"), state.accept.when, error)
    yield from _leaks(context)


def _bad_expression(context: Context, path: Path_, source: str, error: GuardError) -> Diagnostic:
    wrong = undeclared(str(error))
    known = {*context.kinds, "answer"} if path[-2:] == ("accept", "when") else context.kinds
    hint = did_you_mean(wrong, known) if wrong else ""
    return context.source.finding(path, "F601", f"'{source}' at character {error.column}: {error}", hint)


def _expressions(context: Context) -> Iterator[tuple[Path_, str, Kind]]:
    """Every condition and every value, with the kind that it must have. Unknown names have their own rule."""
    kinds = context.kinds
    for name, state in context.flow.states.items():
        base: Path_ = ("states", name)
        for _, goto, path, _, _ in gotos(name, state):
            for way in ways(goto, "", path):
                if way.when is not None:
                    yield (*way.path[:-1], "when"), way.when, "bool"
        match state:
            case MenuState():
                for index, option in enumerate(state.options):
                    at = (*base, "options", index)
                    if option.when is not None:
                        yield (*at, "when"), option.when, "bool"
                    for target, value in option.set.items():
                        if target in kinds:
                            yield (*at, "set", target), value, kinds[target]
            case ActionState() if state.action in context.actions:
                inputs = context.actions[state.action].inputs
                for key, value in state.inputs.items():
                    if key in inputs:
                        yield (*base, "with", key), value, inputs[key].kind
            case CallState() if state.call in context.flows:
                declared = context.flows[state.call].data
                for key, value in state.inputs.items():
                    if key in declared:
                        yield (*base, "with", key), value, KIND_OF_TYPE[declared[key].type]
            case _:
                pass


def _leaks(context: Context) -> Iterator[Diagnostic]:
    for path, source, allowed in _receivers(context):
        secrets = [name for name in reads(source) if context.secret(name)]
        if secrets and not allowed:
            message = f"'{secrets[0]}' is secret and would go into '{path[-1]}', which is not"
            yield context.source.finding(path, "F602", message, "only a secret value may take a secret")


def _receivers(context: Context) -> Iterator[tuple[Path_, str, bool]]:
    """Every value that is handed on, and whether what takes it keeps secrets."""
    for name, state in context.flow.states.items():
        match state:
            case MenuState():
                for index, option in enumerate(state.options):
                    for target, value in option.set.items():
                        yield ("states", name, "options", index, "set", target), value, context.secret(target)
            case ActionState() if state.action in context.actions:
                inputs = context.actions[state.action].inputs
                for key, value in state.inputs.items():
                    yield ("states", name, "with", key), value, key not in inputs or inputs[key].secret
            case CallState() if state.call in context.flows:
                data = context.flows[state.call].data
                for key, value in state.inputs.items():
                    yield ("states", name, "with", key), value, key not in data or is_secret(data[key])
            case _:
                pass


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
