"""A folder of YAML files to flows, or every finding at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ussd_engine.errors import FlowError
from ussd_engine.flow import checks
from ussd_engine.flow import model as m
from ussd_engine.flow.diagnostic import Diagnostic, InvalidFlows, did_you_mean
from ussd_engine.flow.folder import files_of
from ussd_engine.flow.messages import key_of, merge
from ussd_engine.flow.model import STATE_KINDS, Flow
from ussd_engine.flow.pager import DEFAULT_NETWORKS, Profile
from ussd_engine.flow.sms_templates import SmsTemplates, parse_templates
from ussd_engine.flow.source import Path_, Source, read
from ussd_engine.flow.vocabulary import ActionSpec

_STATE_MODELS: Mapping[str, type[BaseModel]] = {
    "menu": m.MenuState,
    "ask": m.AskState,
    "list": m.ListState,
    "action": m.ActionState,
    "call": m.CallState,
    "route": m.RouteState,
    "end": m.EndState,
}
_PATTERNS: Mapping[str, str] = {
    m.NAME_PATTERN: "a name: small letters, digits and '_', a letter first, at most 40",
    m.LANGUAGE_PATTERN: "a language: two or three small letters, such as 'en'",
    m.KEY_PATTERN: "a key: one to four of the digits, '*' and '#'",
    m.SERVICE_CODE_PATTERN: "a service code, such as '*384*100#'",
    m.REGION_PATTERN: "a region: two capital letters, such as 'KE'",
}
"""What a pattern of the model means, in words."""


@dataclass(frozen=True, slots=True)
class Library:
    """The flows of a folder by name, each with the source that it was read from, and the SMS templates.

    They were checked for `networks`.
    """

    flows: Mapping[str, Flow]
    sources: Mapping[str, Source]
    sms: SmsTemplates
    networks: Mapping[str, Profile] = field(default_factory=lambda: DEFAULT_NETWORKS)
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(slots=True)
class _Reading:
    flows: dict[str, Flow] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)
    found: list[Source] = field(default_factory=list)
    catalogues: list[Source] = field(default_factory=list)
    sms: SmsTemplates = field(default_factory=SmsTemplates)
    sms_file: str = ""


def load(
    folder: Path,
    actions: Mapping[str, ActionSpec],
    shown_as: str | None = None,
    networks: Mapping[str, Profile] = DEFAULT_NETWORKS,
    each: checks.Each = map,
) -> Library:
    """Read the flows of `folder`, and check them by `each`.

    Raises InvalidFlows with all findings, or FlowError for no folder.
    """
    if not folder.is_dir():
        raise FlowError(f"{shown_as or folder}: no such folder of flows")
    reading = _Reading()
    for file in files_of(folder):
        _take(read(file, str(Path(shown_as or folder) / file.relative_to(folder))), reading)
    named = {str(source.data["flow"]): source for source in reversed(reading.found)}
    reading.diagnostics += merge(reading.catalogues, named)
    for source in reading.found:
        _take_flow(source, reading)
    errors = [d for d in reading.diagnostics if d.severity == "error"]
    if not reading.names and not errors:
        raise FlowError(
            f"{shown_as or folder}: no flow in this folder; a flow is a .yaml file with a 'flow:' key"
        )
    reading.diagnostics += checks.run(
        reading.flows,
        reading.sources,
        actions,
        frozenset(reading.names),
        frozenset(reading.partial),
        networks,
        each,
    )
    errors = [d for d in reading.diagnostics if d.severity == "error"]
    library = Library(
        reading.flows, reading.sources, reading.sms, networks, tuple(sorted(reading.diagnostics))
    )
    if errors:
        drawn = library if all(d.code == "F508" for d in errors) else None
        raise InvalidFlows(reading.diagnostics, drawn)
    return library


def _take(source: Source, reading: _Reading) -> None:
    if isinstance(source.data, dict) and "sms" in source.data and "flow" not in source.data:
        _take_templates(source, reading)
        return
    reading.diagnostics += source.diagnostics
    if any(d.code == "F001" for d in source.diagnostics):
        return
    if isinstance(source.data, dict) and "flow" in source.data:
        reading.found.append(source)
    elif isinstance(source.data, dict) and "messages" in source.data:
        reading.catalogues.append(source)
    else:
        hint = "a flow starts with 'flow: name', a catalogue with 'messages: name', SMS templates with 'sms:'"
        message = "this is neither a flow nor a catalogue nor SMS templates"
        reading.diagnostics.append(source.finding((), "F102", message, hint))


def _take_templates(source: Source, reading: _Reading) -> None:
    if reading.sms_file:
        message = f"SMS templates stand in {reading.sms_file} too"
        reading.diagnostics.append(source.finding(("sms",), "F106", message, "keep one file", key=True))
    reading.sms_file = source.file
    reading.sms, found = parse_templates(source)
    reading.diagnostics += found


def _take_flow(source: Source, reading: _Reading) -> None:
    name = source.data["flow"]
    if isinstance(name, str):
        if name in reading.names:
            other = reading.sources[name].file if name in reading.sources else "another file"
            reading.diagnostics.append(
                source.finding(
                    ("flow",), "F106", f"flow '{name}' stands in {other} too", "rename one of them"
                )
            )
        reading.names.add(name)
    flow, found, whole = _validate(source)
    reading.diagnostics += found
    if flow is not None and flow.flow not in reading.flows:
        reading.flows[flow.flow] = flow
        reading.sources[flow.flow] = source
        if not whole or source.diagnostics:
            reading.partial.add(flow.flow)


def _validate(source: Source) -> tuple[Flow | None, list[Diagnostic], bool]:
    """The model, the findings, and whether the model is whole.

    Keys that are unknown are left out and other mistakes get a stand-in, so that the rest is checked as well.
    """
    try:
        return Flow.model_validate(source.data), [], True
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
    findings = [_finding(source, detail) for detail in details]
    mended = deepcopy(source.data)
    for detail in details:
        if detail["type"] == "extra_forbidden":
            path, _ = _real_path(source.data, detail["loc"])
            del _value_at(mended, path[:-1])[path[-1]]
    wrong = [detail["loc"] for detail in details if detail["type"] != "extra_forbidden"]
    for loc in sorted(wrong, key=lambda loc: "[key]" in loc):  # a wrong name goes with all that it names
        _put_stand_in(mended, loc)
    try:
        return Flow.model_validate(mended), findings, not wrong
    except ValidationError:
        return None, findings, False


def _put_stand_in(data: dict[str, Any], loc: tuple[int | str, ...]) -> None:
    match loc:
        case ("states" | "data" as part, str(name), "[key]"):
            data[part].pop(name)
        case ("states", str(name), *_):
            data["states"][name] = {"end": "?"}
        case ("data", str(name), str(key), *_) if key != "type":
            data["data"].get(name, {}).pop(key, None)
        case ("data", "language", *_):
            data["data"]["language"] = {"type": "choice", "of": data.get("languages")}
        case ("data", str(name), *_):
            data["data"][name] = {"type": "text"}
        case (str(key), *_):
            data.pop(key, None)


def _finding(source: Source, detail: ErrorDetails) -> Diagnostic:
    path, last = _real_path(source.data, detail["loc"])
    of_key = last == "[key]"
    kind, context = detail["type"], detail.get("ctx", {})
    where = f"in state '{path[1]}'" if len(path) > 1 and path[0] == "states" else "in this flow"
    if kind == "extra_forbidden":
        key = str(path[-1])
        in_a_list = isinstance(path[-2:][0], int)
        if in_a_list and key in m.When.model_fields and "else" in _value_at(source.data, path[:-1]):
            message = f"'else' {where} goes on without a condition, and takes no '{key}'"
            hint = "write '- else: a_state' alone, as the last case"
            return source.finding(path, "F101", message, hint, key=True)
        hint = did_you_mean(key, _allowed(path, source.data))
        return source.finding(path, "F101", f"unknown key '{key}' {where}", hint, key=True)
    if kind == "missing":
        return source.finding(path, "F102", f"key '{last}' is missing {where}", key=True)
    if kind == "union_tag_invalid":
        return _kinds(source, path)
    if kind == "string_pattern_mismatch":
        value = path[-1] if of_key else _value_at(source.data, path)
        hint = _off(str(value)) if path[0] == "keys" and last != "more" else ""
        return source.finding(path, "F105", _pattern_message(str(value), context), hint, key=of_key)
    message = {
        "string_type": "must be text; a number, true or false needs quotes around it to be text",
        "dict_type": "must be a mapping of keys and values",
        "list_type": "must be a list",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "model_type": "must be a mapping of keys and values",
        "model_attributes_type": "must be a mapping of keys and values",
        "string_too_short": "must not be empty",
        "too_short": "must not be empty",
    }.get(kind, detail["msg"][0].lower() + detail["msg"][1:])
    name = str(path[-1]) if path else "the file"
    if path and source.at(path).file:  # a text that a catalogue has put there
        name, where = key_of(path[:-1]), "in this catalogue"
    return source.finding(path, "F103", f"'{name}' {where} {message}")


def _real_path(data: Any, loc: tuple[int | str, ...]) -> tuple[Path_, str | int]:
    """The path in the author's data: pydantic puts the tags of unions between the keys."""
    path: list[str | int] = []
    for step in loc:
        inside = (
            step in data if isinstance(data, dict) else isinstance(data, list) and step in range(len(data))
        )
        if not inside and (step == "[key]" or (isinstance(step, str) and " " in step)):
            continue
        path.append(step)
        if not inside:
            break
        data = data[step]
    return tuple(path), loc[-1] if loc else ""


def _value_at(data: Any, path: Path_) -> Any:
    for step in path:
        data = data[step]
    return data


def _kinds(source: Source, path: Path_) -> Diagnostic:
    name = path[-1] if path else ""
    value = _value_at(source.data, path)
    kinds = [kind for kind in STATE_KINDS if isinstance(value, dict) and kind in value]
    if kinds:
        both = " and ".join(f"'{kind}'" for kind in kinds)
        return source.finding(path, "F104", f"state '{name}' is {both} at once", "split it into two states")
    known = ", ".join(STATE_KINDS)
    near = next((did_you_mean(key, STATE_KINDS) for key in (value if isinstance(value, dict) else {})), "")
    hint = near if near.startswith("did you mean") else f"a state holds exactly one of: {known}"
    return source.finding(path, "F104", f"state '{name}' has no kind", hint, key=True)


def _pattern_message(value: str, context: Mapping[str, Any]) -> str:
    pattern = str(context.get("pattern", ""))
    return f"'{value[:60]}' is not {_PATTERNS.get(pattern, f'of the form {pattern}')}"


def _off(wrong: str) -> str:
    """A hint for what is neither a key nor 'off'."""
    near = did_you_mean(wrong.lower(), ["off"])
    return near if near.startswith("did you mean") else "'off' takes the key away"


def _allowed(path: Path_, data: Any) -> Iterable[str]:
    """The keys that may stand beside the last one of `path`."""
    model: type[BaseModel]
    match path[:-1]:
        case ():
            model = m.Flow
        case ("keys",):
            model = m.NavigationKeys
        case ("texts",):
            model = m.Phrases
        case ("data", _):
            model = m.Data
        case ("data", _, "item", _):
            model = m.ItemField
        case ("states", name):
            model = _STATE_MODELS[m.kind_of(data["states"][name]).removesuffix(" state")]
        case ("states", _, "options", _):
            model = m.Option
        case (*_, "accept"):
            model = m.Accept
        case (*_, "tries"):
            model = m.Tries
        case _:
            model = m.Else if "else" in _value_at(data, path[:-1]) else m.When
    return [field.alias or name for name, field in model.model_fields.items()]
