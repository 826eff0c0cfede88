"""Rules of names: every state, flow, action, outcome, input and output that is named is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.checks.kinds import declared_kinds
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.graph import gotos, outcomes_of
from ussd_engine.flow.model import ActionState, AskState, CallState, Else, MenuState
from ussd_engine.flow.source import Path_


def targets(context: Context) -> Iterator[Diagnostic]:
    """F201: a way that leads to no state."""
    flow = context.flow
    for edge in context.edges:
        if edge.target not in flow.states:
            message = f"state '{edge.source}' goes to '{edge.target}', which is not a state of '{flow.flow}'"
            yield context.source.finding(edge.path, "F201", message, did_you_mean(edge.target, flow.states))
    for key, target in (("start", flow.start), ("home", flow.home)):
        if target is not None and target not in flow.states:
            message = f"'{key}' is '{target}', which is not a state of '{flow.flow}'"
            yield context.source.finding((key,), "F201", message, did_you_mean(target, flow.states))


def cases(context: Context) -> Iterator[Diagnostic]:
    """F109: cases without an `else` at their end, or with one before it."""
    for name, state in context.flow.states.items():
        for _, goto, path, _, _ in gotos(name, state):
            if isinstance(goto, str):
                continue
            if not isinstance(goto[-1], Else):
                yield context.source.finding(
                    (*path, len(goto) - 1),
                    "F109",
                    f"the cases of state '{name}' do not end with 'else'",
                    "add '- else: a_state' as the last one",
                )
            for index, case in enumerate(goto[:-1]):
                if isinstance(case, Else):
                    message = f"'else' in state '{name}' stands before other cases, which are never reached"
                    yield context.source.finding((*path, index), "F109", message, "put it last")


def calls(context: Context) -> Iterator[Diagnostic]:
    """F202, F207, F208, F205, F206, F209: a call that does not fit the flow that it calls."""
    for name, state in context.flow.states.items():
        if not isinstance(state, CallState):
            continue
        path: Path_ = ("states", name)
        if state.call not in context.names:
            message = f"state '{name}' calls '{state.call}', which is not a flow of this folder"
            yield context.source.finding(
                (*path, "call"), "F202", message, did_you_mean(state.call, context.names)
            )
            continue
        if state.call not in context.flows:
            continue
        callee = context.flows[state.call]
        for language in context.flow.languages:
            if language not in callee.languages:
                message = f"flow '{state.call}' has no '{language}', which this flow speaks"
                hint = f"add '{language}' to the languages of '{state.call}'"
                yield context.source.finding((*path, "call"), "F209", message, hint, warning=True)
        yield from _given(
            context, path, f"flow '{state.call}'", set(state.inputs), set(callee.inputs), callee.inputs
        )
        yield from _saved(context, path, f"flow '{state.call}'", state.save, set(callee.outputs))
        yield from _outcomes(context, path, f"flow '{state.call}'", set(state.outcomes), outcomes_of(callee))


def actions(context: Context) -> Iterator[Diagnostic]:
    """F203, F205, F206, F207, F208: an action that there is not, or that is used as another."""
    for name, state in context.flow.states.items():
        if not isinstance(state, ActionState):
            continue
        path: Path_ = ("states", name)
        spec = context.actions.get(state.action)
        if spec is None:
            message = f"state '{name}' runs '{state.action}', which is not an action"
            hint = did_you_mean(state.action, context.actions)
            yield context.source.finding((*path, "action"), "F203", message, hint)
            continue
        required = [key for key, value in spec.inputs.items() if value.required]
        yield from _given(
            context, path, f"action '{spec.name}'", set(state.inputs), set(spec.inputs), required
        )
        yield from _saved(context, path, f"action '{spec.name}'", state.save, set(spec.outputs))
        yield from _outcomes(context, path, f"action '{spec.name}'", set(state.outcomes), set(spec.outcomes))


def saved_kinds(context: Context) -> Iterator[Diagnostic]:
    """F208: an output of one kind that goes into a value of another."""
    kinds = context.kinds
    for name, state in context.flow.states.items():
        match state:
            case ActionState() if state.action in context.actions:
                outputs = context.actions[state.action].outputs
            case CallState() if state.call in context.flows:
                outputs = declared_kinds(context.flows[state.call])
            case _:
                continue
        for saved, output in state.save.items():
            mine, theirs = kinds.get(saved), outputs.get(output)
            if mine is not None and theirs is not None and mine != theirs:
                message = f"output '{output}' is of kind {theirs}, and '{saved}' of kind {mine}"
                yield context.source.finding(("states", name, "save", saved), "F208", message)


def _given(
    context: Context, path: Path_, what: str, given: set[str], known: set[str], required: list[str]
) -> Iterator[Diagnostic]:
    for key in sorted(given - known):
        message = f"{what} has no input '{key}'"
        yield context.source.finding(
            (*path, "with", key), "F207", message, did_you_mean(key, known), key=True
        )
    for key in required:
        if key not in given:
            yield context.source.finding(
                path, "F207", f"{what} needs input '{key}'", f"add it under 'with' of '{path[1]}'", key=True
            )


def _saved(
    context: Context, path: Path_, what: str, save: Mapping[str, str], known: set[str]
) -> Iterator[Diagnostic]:
    for name, output in save.items():
        if name not in context.flow.data and name != "language":
            yield context.unknown_data((*path, "save", name), name, key=True)
        if output not in known:
            message = f"{what} has no output '{output}'"
            yield context.source.finding((*path, "save", name), "F208", message, did_you_mean(output, known))


def _outcomes(
    context: Context, path: Path_, what: str, handled: set[str], known: set[str]
) -> Iterator[Diagnostic]:
    for outcome in sorted(known - handled):
        message = f"state '{path[1]}' does not handle outcome '{outcome}' of {what}"
        yield context.source.finding(
            (*path, "outcomes"), "F205", message, f"add '{outcome}: a_state'", key=True
        )
    for outcome in sorted(handled - known):
        message = f"{what} has no outcome '{outcome}'"
        hint = did_you_mean(outcome, known)
        yield context.source.finding((*path, "outcomes", outcome), "F206", message, hint, key=True)


def data_names(context: Context) -> Iterator[Diagnostic]:
    """F204: a value that is filled, taken or given back, and that is not declared."""
    flow = context.flow
    for key, names in (("inputs", flow.inputs), ("outputs", flow.outputs)):
        for index, name in enumerate(names):
            if name not in flow.data:
                yield context.unknown_data((key, index), name)
    for name, state in flow.states.items():
        if isinstance(state, AskState) and state.save not in flow.data:
            yield context.unknown_data(("states", name, "save"), state.save)
        if isinstance(state, MenuState):
            for index, option in enumerate(state.options):
                for target in option.set:
                    if target not in flow.data and target != "language":
                        path = ("states", name, "options", index, "set", target)
                        yield context.unknown_data(path, target, key=True)
