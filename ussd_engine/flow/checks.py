"""The rules of the flow language, one small function each. All run, and all findings are reported.

F0xx the file; F1xx structure; F2xx targets and names; F4xx input; F5xx texts; F6xx conditions. A rule sees one
flow with the whole library around it, and yields findings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from ussd_engine.flow import assignment
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.graph import can_go_back, edges, gotos, ways
from ussd_engine.flow.guards import Compiler, GuardError, reads, undeclared
from ussd_engine.flow.model import (
    Accept,
    ActionState,
    AskState,
    CallState,
    Data,
    Else,
    EndState,
    Flow,
    MenuState,
    RouteState,
    When,
)
from ussd_engine.flow.phrases import PHRASES
from ussd_engine.flow.source import Path_, Source
from ussd_engine.flow.text import BadPlaceholder, Slot, pieces
from ussd_engine.flow.vocabulary import GIVEN, KIND_OF_TYPE, ActionSpec, Kind


@dataclass(frozen=True, slots=True)
class Context:
    """One flow under check. `names` are all flows of the folder, also those too broken to be in `flows`."""

    flow: Flow
    source: Source
    flows: Mapping[str, Flow]
    names: frozenset[str]
    actions: Mapping[str, ActionSpec]
    called: bool

    @property
    def kinds(self) -> dict[str, Kind]:
        declared = {name: KIND_OF_TYPE[data.type] for name, data in self.flow.data.items()}
        return {**GIVEN, **declared}

    def secret(self, name: str) -> bool:
        return name in self.flow.data and is_secret(self.flow.data[name])


Rule = Callable[[Context], Iterator[Diagnostic]]


def is_secret(data: Data) -> bool:
    """A PIN is secret whatever the author says; the rest is as declared."""
    return data.secret or data.type == "pin"


def run(
    flows: Mapping[str, Flow],
    sources: Mapping[str, Source],
    actions: Mapping[str, ActionSpec],
    names: frozenset[str],
    partial: frozenset[str],
) -> list[Diagnostic]:
    """All findings over all flows. A flow in `partial` has stand-ins for broken parts: rules that follow values
    through it would report what is not there, so they wait until it is whole."""
    called = {s.call for flow in flows.values() for s in flow.states.values() if isinstance(s, CallState)}
    found = list(_same_service_code(flows, sources))
    for name, flow in flows.items():
        context = Context(flow, sources[name], flows, names, actions, name in called)
        rules = RULES if name in partial or partial & _calls(flow) else (*RULES, *RULES_OF_A_WHOLE_FLOW)
        found += chain.from_iterable(rule(context) for rule in rules)
    return found


def _calls(flow: Flow) -> set[str]:
    return {state.call for state in flow.states.values() if isinstance(state, CallState)}


# --- structure ------------------------------------------------------------------------------------------


def _same_service_code(flows: Mapping[str, Flow], sources: Mapping[str, Source]) -> Iterator[Diagnostic]:
    seen: dict[str, str] = {}
    for name, flow in flows.items():
        for index, code in enumerate(flow.dial):
            if code in seen:
                message = f"service code '{code}' is dialled for flow '{seen[code]}' already"
                yield sources[name].finding(("dial", index), "F107", message, "give each code to one flow")
            seen.setdefault(code, name)


def data_declarations(context: Context) -> Iterator[Diagnostic]:
    """F108: a declaration whose parts do not go together."""
    for name, data in context.flow.data.items():
        for message, hint in _declaration(name, data, context.flow):
            yield context.source.finding(("data", name), "F108", f"data '{name}' {message}", hint, key=True)


def _declaration(name: str, data: Data, flow: Flow) -> Iterator[tuple[str, str]]:
    if f"{name}." in {"session.", "today.", "answer."}:
        yield "has a name that the engine uses itself", "choose another name"
    if data.type == "choice" and not data.of:
        yield "is a choice of nothing", "list what it may be: 'of: [a, b]'"
    if data.type != "choice" and data.of is not None:
        yield f"has 'of', which a {data.type} does not take", "'of' belongs to 'type: choice'"
    if data.region is not None and data.type != "phone":
        yield f"has 'region', which a {data.type} does not take", "'region' belongs to 'type: phone'"
    if data.min is not None and data.max is not None and data.min > data.max:
        yield f"has min {data.min} above max {data.max}", ""
    if data.type in {"name", "text", "digits", "pin"} and data.max is not None and not 1 <= data.max <= 160:
        yield f"has max {data.max}", "a typed value has 1 to 160 characters"
    if data.type in {"choice", "date", "phone", "flag"} and (data.max is not None or data.min is not None):
        yield f"has min or max, which a {data.type} does not take", ""
    if data.default is not None and not _default_suits(data):
        yield f"has a default that is no {data.type}", ""
    if is_secret(data) and data.default is not None:
        yield "is secret and has a default, which stands in a file for all to read", "take the default away"
    if name == "language" and (data.type != "choice" or not set(data.of or ()) <= set(flow.languages)):
        yield (
            "is the language of the session",
            "declare it as a choice of the flow's languages, or not at all",
        )


def _default_suits(data: Data) -> bool:
    if data.type == "number":
        return type(data.default) is int
    if data.type == "flag":
        return type(data.default) is bool
    return isinstance(data.default, str) and (data.type != "choice" or data.default in (data.of or ()))


# --- targets and names ----------------------------------------------------------------------------------


def targets(context: Context) -> Iterator[Diagnostic]:
    """F201: a way that leads to no state."""
    flow = context.flow
    for edge in edges(flow):
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
    """F202, F207, F208, F205, F206: a call that does not fit the flow that it calls."""
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
        yield from _given(
            context, path, f"flow '{state.call}'", set(state.inputs), set(callee.inputs), callee.inputs
        )
        yield from _saved(context, path, f"flow '{state.call}'", state.save, set(callee.outputs))
        outcomes = {s.outcome for s in callee.states.values() if isinstance(s, EndState) and s.outcome}
        yield from _outcomes(context, path, f"flow '{state.call}'", set(state.outcomes), outcomes)


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
        for saved, output in state.save.items():
            declared, kind = context.flow.data.get(saved), spec.outputs.get(output)
            if declared is not None and kind is not None and KIND_OF_TYPE[declared.type] != kind:
                message = f"output '{output}' is a {kind}, and data '{saved}' is a {declared.type}"
                yield context.source.finding((*path, "save", saved), "F208", message)


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
            yield _unknown_data(context, (*path, "save", name), name, key=True)
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


def _unknown_data(context: Context, path: Path_, name: str, *, key: bool = False) -> Diagnostic:
    message = f"'{name}' is not declared under 'data' of '{context.flow.flow}'"
    return context.source.finding(path, "F204", message, did_you_mean(name, context.flow.data), key=key)


def data_names(context: Context) -> Iterator[Diagnostic]:
    """F204: a value that is filled, taken or given back, and that is not declared."""
    flow = context.flow
    for key, names in (("inputs", flow.inputs), ("outputs", flow.outputs)):
        for index, name in enumerate(names):
            if name not in flow.data:
                yield _unknown_data(context, (key, index), name)
    for name, state in flow.states.items():
        if isinstance(state, AskState) and state.save not in flow.data:
            yield _unknown_data(context, ("states", name, "save"), state.save)
        if isinstance(state, MenuState):
            for index, option in enumerate(state.options):
                for target in option.set:
                    if target not in flow.data and target != "language":
                        path = ("states", name, "options", index, "set", target)
                        yield _unknown_data(context, path, target, key=True)


# --- input ----------------------------------------------------------------------------------------------


def option_keys(context: Context) -> Iterator[Diagnostic]:
    """F401: two options with one key. F402: an option on a key that the engine owns there."""
    flow = context.flow
    back = can_go_back(flow, called=context.called)
    for name, state in flow.states.items():
        if not isinstance(state, MenuState):
            continue
        owned = {flow.keys.more: "more"}
        if state.back == "on" and flow.keys.back != "off" and name in back:
            owned[flow.keys.back] = "back"
        if state.home == "on" and flow.keys.home != "off":
            owned[flow.keys.home] = "home"
        seen: dict[str, int] = {}
        for index, key in enumerate(keys_of(state)):
            path: Path_ = ("states", name, "options", index)
            at: Path_ = (*path, "key") if state.options[index].key else path
            if key in seen:
                message = f"options {seen[key] + 1} and {index + 1} of '{name}' are both on key '{key}'"
                hint = "options without a key are numbered 1, 2, 3 ... from the top"
                yield context.source.finding(at, "F401", message, hint)
            seen.setdefault(key, index)
            if key in owned:
                message = (
                    f"option {index + 1} of '{name}' is on key '{key}', which is the {owned[key]} key here"
                )
                hint = f"choose another key, or write '{owned[key]}: off' in this state"
                yield context.source.finding(at, "F402", message, "" if owned[key] == "more" else hint)


def keys_of(state: MenuState) -> list[str]:
    """The key of each option when all are shown: as written, else counted among those without one."""
    numbers = iter(range(1, len(state.options) + 1))
    return [option.key or str(next(numbers)) for option in state.options]


def accept_suits(context: Context) -> Iterator[Diagnostic]:
    """F403: an `accept` that does not suit the type of the value."""
    for name, state in context.flow.states.items():
        if not isinstance(state, AskState):
            continue
        data = context.flow.data.get(state.save)
        if data is not None:
            for message, hint in _accept(state.accept, data, state.save):
                yield context.source.finding(("states", name, "accept"), "F403", message, hint)


def _accept(accept: Accept, data: Data, name: str) -> Iterator[tuple[str, str]]:
    dated = [key for key in ("date", "min_age", "max_age") if getattr(accept, key) is not None]
    if dated and data.type != "date":
        yield f"'{dated[0]}' is for dates, and data '{name}' is a {data.type}", "declare it as 'type: date'"
    if data.type == "date" and accept.date is None:
        yield (
            f"data '{name}' is a date, and 'accept' does not say how it is typed",
            "'accept: {date: DDMMYYYY}'",
        )
    if data.type == "flag":
        yield f"data '{name}' is a flag, which nobody can type", "use a menu with 'set'"
    if (accept.min is not None or accept.max is not None) and data.type in {
        "choice",
        "date",
        "phone",
        "flag",
    }:
        yield f"'min' and 'max' mean nothing for a {data.type}", ""
    if accept.min is not None and accept.max is not None and accept.min > accept.max:
        yield f"min {accept.min} is above max {accept.max}", ""
    if accept.min_age is not None and accept.max_age is not None and accept.min_age > accept.max_age:
        yield f"min_age {accept.min_age} is above max_age {accept.max_age}", ""
    if data.max is not None and accept.max is not None and accept.max > data.max:
        yield f"max {accept.max} is above the {data.max} that data '{name}' is declared with", ""


def assigned(context: Context) -> Iterator[Diagnostic]:
    """F404: a value that is read where some way has not filled it."""
    for read in assignment.unfilled(context.flow, context.flows, context.actions):
        way = " > ".join(read.way)
        message = f"state '{read.state}' reads '{read.name}', which is not filled on the way {way}"
        hint = f"ask for it before, or give '{read.name}' a default"
        yield context.source.finding(read.path, "F404", message, hint)


# --- texts ----------------------------------------------------------------------------------------------


def texts(context: Context) -> Iterator[Diagnostic]:
    """F501 missing language; F502 a placeholder that is no value; F503 a secret in a text; F504 bad braces."""
    known = {*context.flow.data, *GIVEN}
    for path, text in all_texts(context.flow):
        yield from _languages(context, path, text)
        for language, single in text.items() if isinstance(text, dict) else (("", text),):
            at = (*path, language) if language else path
            try:
                slots = [piece.name for piece in pieces(single) if isinstance(piece, Slot)]
            except BadPlaceholder as error:
                yield context.source.finding(at, "F504", str(error))
                continue
            for slot in slots:
                if slot not in known:
                    message = f"'{{{slot}}}' in a text is not a value of '{context.flow.flow}'"
                    yield context.source.finding(at, "F502", message, did_you_mean(slot, known))
                elif context.secret(slot):
                    message = f"'{{{slot}}}' is secret and stands in a text"
                    yield context.source.finding(at, "F503", message, "a secret is never shown; leave it out")


def all_texts(flow: Flow) -> Iterator[tuple[Path_, str | dict[str, str]]]:
    for key in type(flow.texts).model_fields:
        if (phrase := getattr(flow.texts, key)) is not None:
            yield ("texts", key), phrase
    for name, state in flow.states.items():
        base: Path_ = ("states", name)
        match state:
            case MenuState():
                yield (*base, "menu"), state.menu
                for index, option in enumerate(state.options):
                    yield (*base, "options", index, "text"), option.text
            case AskState():
                yield (*base, "ask"), state.ask
                if state.wrong is not None:
                    yield (*base, "wrong"), state.wrong
            case EndState() if state.end is not None:
                yield (*base, "end"), state.end


def _languages(context: Context, path: Path_, text: str | dict[str, str]) -> Iterator[Diagnostic]:
    languages = context.flow.languages
    if isinstance(text, str):
        if len(languages) > 1 and not _needs_no_translation(text):
            hint = "write it per language: {" + ", ".join(f"{x}: ..." for x in languages) + "}"
            yield context.source.finding(path, "F501", "a text in one language, and the flow has more", hint)
        return
    for missing in [x for x in languages if x not in text]:
        yield context.source.finding(path, "F501", f"the text is missing in language '{missing}'")
    for extra in [x for x in text if x not in languages]:
        message = f"'{extra}' is not a language of '{context.flow.flow}'"
        yield context.source.finding(
            (*path, extra), "F501", message, did_you_mean(extra, languages), key=True
        )


def _needs_no_translation(text: str) -> bool:
    """Only placeholders, digits and signs: the same in every language."""
    try:
        return not any(isinstance(p, str) and any(c.isalpha() for c in p) for p in pieces(text))
    except BadPlaceholder:
        return True


def phrases(context: Context) -> Iterator[Diagnostic]:
    """F505: a language that the engine does not speak, and the flow does not lend it the words."""
    for language in context.flow.languages:
        for key, engine in PHRASES.items():
            if language not in engine and getattr(context.flow.texts, key) is None:
                message = f"the engine has no '{key}' in language '{language}'"
                hint = f"add it under 'texts': {{{key}: {{{language}: ...}}}}"
                yield context.source.finding(("languages",), "F505", message, hint)


def ends(context: Context) -> Iterator[Diagnostic]:
    """F506: an end without a text that is not the end of a called flow."""
    for name, state in context.flow.states.items():
        if isinstance(state, EndState) and state.end is None:
            if state.outcome is None:
                message = f"state '{name}' ends with neither a text nor an outcome"
                yield context.source.finding(("states", name), "F506", message, "give it a text", key=True)
            elif context.flow.dial:
                message = f"state '{name}' has no text, and flow '{context.flow.flow}' can be dialled"
                yield context.source.finding(("states", name), "F506", message, "give it a text", key=True)


# --- conditions -----------------------------------------------------------------------------------------


def expressions(context: Context) -> Iterator[Diagnostic]:
    """F601: not CEL, or unknown names, or the wrong type. F602: a secret that would leave its place."""
    compiler = Compiler(context.kinds)
    for path, source, kind in _expressions(context):
        try:
            compiler.compile(source, kind)
        except GuardError as error:
            yield _bad_expression(context, path, source, error)
    answers = {kind: Compiler({**context.kinds, "answer": kind}) for kind in ("string",)}
    for name, state in context.flow.states.items():
        if isinstance(state, AskState) and state.accept.when is not None:
            try:
                answers["string"].compile(state.accept.when, "bool")
            except GuardError as error:
                yield _bad_expression(context, ("states", name, "accept", "when"), state.accept.when, error)
    yield from _leaks(context)


def _bad_expression(context: Context, path: Path_, source: str, error: GuardError) -> Diagnostic:
    wrong = undeclared(str(error))
    hint = did_you_mean(wrong, context.kinds) if wrong else ""
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
            elif output in data and saved in context.flow.data:
                mine, theirs = context.flow.data[saved].type, data[output].type
                if KIND_OF_TYPE[mine] != KIND_OF_TYPE[theirs]:
                    message = f"output '{output}' is a {theirs}, and data '{saved}' is a {mine}"
                    yield context.source.finding(("states", name, "save", saved), "F208", message)


RULES: tuple[Rule, ...] = (
    data_declarations,
    targets,
    cases,
    calls,
    actions,
    data_names,
    option_keys,
    accept_suits,
    texts,
    phrases,
    ends,
)
RULES_OF_A_WHOLE_FLOW: tuple[Rule, ...] = (expressions, secret_outputs, assigned)

_ = (defaultdict, RouteState, When)
