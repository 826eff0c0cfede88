"""config.yaml and the USSD__* environment become one frozen `Settings`, or every finding at once.

Findings of the file stand at file, line and column; those of a variable name the variable. Codes:

    C101  the file cannot be read, or is not YAML        C105  a required key is missing
    C102  a key stands twice                             C106  a value is wrong
    C103  a form of YAML that is not taken               C107  two values do not go together
    C104  a key, or a variable, that does not exist

No message repeats a value: any of them may be a secret, put in the wrong place.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ussd_engine.errors import SettingsError
from ussd_engine.flow import source
from ussd_engine.flow.diagnostic import Diagnostic, as_text, did_you_mean
from ussd_engine.settings_model import (
    DEFAULT_NETWORK,
    GATEWAY_ANSWER_MAX_S,
    KNOWN_NETWORKS,
    NetworkProfile,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

__all__ = ["InvalidSettings", "NetworkProfile", "Settings", "load"]

PREFIX = "USSD__"
_SOURCE_CODES = {"F001": "C101", "F002": "C102", "F003": "C103"}
_SUBJECT = re.compile(r"^(Value error, |\w+( \w+)? should (?=be |have |match ))")
_DEFAULT_GATEWAYS = Settings().model_dump(include={"gateways"})["gateways"]


class InvalidSettings(SettingsError):
    """All findings are in `diagnostics`, in the order of the file."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(diagnostics))
        super().__init__(as_text(self.diagnostics))


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings; without a file the defaults hold. Variables win over the file.

    Relative paths are taken from the file's folder, or from the current one without a file. Raises
    InvalidSettings with every finding.
    """
    file = source.read(path, path.name) if path else source.Source("config.yaml", data={})
    broken = [replace(d, code=_SOURCE_CODES[d.code]) for d in file.diagnostics]
    if any(d.code == "C101" for d in broken):
        raise InvalidSettings(broken)
    data, shape = _sections(file)
    variables, unknown = _overlay(data, environ)
    findings = [*broken, *shape, *unknown]
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise InvalidSettings([*findings, *(_invalid(file, variables, d) for d in details)]) from None
    findings += [_finding(file, variables, *conflict) for conflict in _conflicts(settings)]
    if findings:
        raise InvalidSettings(findings)
    return _resolved(settings, (path.parent if path else Path()).resolve())


def _sections(file: source.Source) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The data of the file, with the default gateways when it names none."""
    if file.data is not None and not isinstance(file.data, dict):
        return {}, [file.finding((), "C106", "must hold sections, such as 'server:'")]
    data = _without_nothing(file.data or {})
    data.setdefault("gateways", {name: dict(entry) for name, entry in _DEFAULT_GATEWAYS.items()})
    return data, []


def _without_nothing(data: dict[str, Any]) -> dict[str, Any]:
    """A key without a value, such as a section with all its keys commented out, keeps its default."""
    return {
        key: _without_nothing(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None
    }


def _resolved(settings: Settings, base: Path) -> Settings:
    keys = settings.keys
    if keys.file:
        keys = keys.model_copy(update={"file": base / keys.file})
    flows = settings.flows.model_copy(update={"dir": base / settings.flows.dir})
    return settings.model_copy(update={"data_dir": base / settings.data_dir, "flows": flows, "keys": keys})


# --- findings -------------------------------------------------------------------------------------------


def _finding(
    file: source.Source,
    variables: Mapping[source.Path_, str],
    path: source.Path_,
    message: str,
    hint: str = "",
    code: str = "C107",
    *,
    key: bool = False,
) -> Diagnostic:
    """At the variable that set the value, or in the file."""
    for place, name in variables.items():
        shorter = min(len(place), len(path))
        if shorter and place[:shorter] == path[:shorter]:
            return Diagnostic(name, 1, 1, code, message, hint)
    return file.finding(path, code, message, hint, key=key)


def _invalid(file: source.Source, variables: Mapping[source.Path_, str], detail: ErrorDetails) -> Diagnostic:
    path: source.Path_ = tuple(part for part in detail["loc"] if part != "[key]")
    shown = ".".join(str(part) for part in path)
    match detail["type"]:
        case "extra_forbidden":
            hint = did_you_mean(str(path[-1]), _keys_at(path[:-1]))
            return _finding(file, variables, path, f"unknown key '{shown}'", hint, "C104", key=True)
        case "missing":
            return _finding(file, variables, path, f"'{shown}' is required", "", "C105")
        case _:
            reason = _SUBJECT.sub(lambda m: "" if m[1].startswith("Value") else "must ", detail["msg"])
            hint = "write true or false" if detail["type"] == "bool_type" else ""
            in_key = "[key]" in detail["loc"]
            return _finding(file, variables, path, f"'{shown}' {reason}", hint, "C106", key=in_key)


def _conflicts(settings: Settings) -> Iterator[tuple[source.Path_, str, str]]:
    """The rules between keys: where, what, and what to do."""
    gateway_max = min(GATEWAY_ANSWER_MAX_S[gateway.type] for gateway in settings.gateways.values())
    profiles = settings.network_profiles
    for code in profiles:
        yield from _network_conflicts(code, profiles, gateway_max)
    shortest = min(profile.answer_deadline_s for profile in profiles.values())
    if 2 * settings.redis.timeout_s >= shortest:
        yield (
            ("redis", "timeout_s"),
            f"two round trips to the session store do not fit into an answer_deadline_s of {shortest:g}",
            f"use less than {shortest / 2:g}",
        )
    if settings.cbs.timeout_s >= settings.api.answer_deadline_s:
        yield (
            ("cbs", "timeout_s"),
            "must be shorter than api.answer_deadline_s, or no answer tells that the bank is slow",
            f"use less than {settings.api.answer_deadline_s:g}",
        )
    if settings.reconcile.first_delay_s > settings.reconcile.max_delay_s:
        yield ("reconcile", "first_delay_s"), "must not be longer than reconcile.max_delay_s", ""
    if settings.sms.adapter == "africastalking":
        for key in ("username", "api_key"):
            if getattr(settings.sms.africastalking, key) is None:
                message = f"sms.adapter africastalking needs sms.africastalking.{key}"
                yield (
                    ("sms", "africastalking", key),
                    message,
                    f"set it as USSD__SMS__AFRICASTALKING__{key.upper()}",
                )


def _network_conflicts(
    code: str, profiles: Mapping[str, NetworkProfile], gateway_max: float
) -> Iterator[tuple[source.Path_, str, str]]:
    """The rules of one network; what it has from the default is told there, once."""
    own, default, is_default = profiles[code], profiles[DEFAULT_NETWORK], code == DEFAULT_NETWORK
    inherits_deadline = not is_default and own.answer_deadline_s == default.answer_deadline_s
    if own.answer_deadline_s >= gateway_max and not inherits_deadline:
        yield (
            ("networks", code, "answer_deadline_s"),
            f"an answer of network '{code}' would come after the gateway's {gateway_max:g} s",
            f"use less than {gateway_max:g}; 8 leaves time for the way",
        )
    inherits_timers = not is_default and (own.idle_s, own.session_s) == (default.idle_s, default.session_s)
    if own.idle_s > own.session_s and not inherits_timers:
        message = f"idle_s of network '{code}' is longer than its session_s, {own.session_s:g}"
        yield ("networks", code, "idle_s"), message, ""


# --- variables ------------------------------------------------------------------------------------------


def _overlay(
    data: dict[str, Any], environ: Mapping[str, str]
) -> tuple[dict[source.Path_, str], list[Diagnostic]]:
    """Put the variables into `data`; which one set which path, and those that set nothing that exists."""
    variables: dict[source.Path_, str] = {}
    findings: list[Diagnostic] = []
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX):
            continue
        path = tuple(part.lower() for part in name[len(PREFIX) :].split("__"))
        annotation = _annotation(path)
        if annotation is None or _is_section(annotation):
            message = "names a section, not a key" if annotation else "is not a setting"
            hint = did_you_mean(name.upper(), _variable_names())
            findings.append(Diagnostic(name, 1, 1, "C104", message, hint))
        elif path in variables:
            findings.append(Diagnostic(name, 1, 1, "C102", f"is set as {variables[path]} too"))
        else:
            variables[path] = name
            _put(data, path, _typed(environ[name], annotation))
    return variables, findings


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        below = data.setdefault(part, {})
        if not isinstance(below, dict):
            return  # no section in the file, which is a finding of its own
        data = below
    data[path[-1]] = value


def _typed(text: str, annotation: Any) -> Any:
    """A variable's text as what its key takes; what is no such thing stays text, and is refused as that."""
    kinds = {get_origin(option) or option for option in (annotation, *get_args(annotation))}
    if NoneType in kinds and text in {"", "null"}:
        return None
    if get_origin(annotation) is tuple:
        return _list(text)
    if kinds & {bool, int, float}:
        read = source.parse(text, "")
        return text if read.diagnostics else read.data
    return text


def _list(text: str) -> Any:
    if not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _annotation(path: source.Path_) -> Any:
    """The type of the key at `path`, or None when there is no such key."""
    annotation: Any = Settings
    for part in path:
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif _is_section(annotation) and part in annotation.model_fields:
            annotation = annotation.model_fields[part].annotation
        else:
            return None
    return annotation


def _is_section(annotation: Any) -> bool:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return is_model or get_origin(annotation) is dict


def _keys_at(path: source.Path_) -> list[str]:
    annotation = _annotation(path)
    return list(getattr(annotation, "model_fields", ()))


def _variable_names() -> list[str]:
    """Every variable that can be set, with the usual names of gateways and networks."""
    examples = {"gateways": list(_DEFAULT_GATEWAYS), "networks": [DEFAULT_NETWORK, *KNOWN_NETWORKS]}
    names: list[str] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        annotation = _annotation(path)
        if _is_section(annotation):
            below = _keys_at(path) or examples[path[-1]]
            waiting += [(*path, key) for key in below]
        else:
            names.append(PREFIX + "__".join(path).upper())
    return names
