"""Rules of texts: every language, and placeholders that mean something and give nothing away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ussd_engine.flow.checks.context import Context
from ussd_engine.flow.diagnostic import Diagnostic, did_you_mean
from ussd_engine.flow.formats import FORMS
from ussd_engine.flow.messages import key_of
from ussd_engine.flow.model import AskState, EndState, Flow, ListState, MenuState
from ussd_engine.flow.phrases import PHRASES, needed
from ussd_engine.flow.source import Path_
from ussd_engine.flow.text import BadPlaceholder, Slot, pieces, singles, unprintable
from ussd_engine.flow.vocabulary import GIVEN_TYPES


def texts(context: Context) -> Iterator[Diagnostic]:
    """F501 missing language; F502 a placeholder that is no value; F503 a secret in a text; F504 bad braces.

    F507 a character that no screen shows; F510 a form that does not suit the value; F511 a text that shows nothing, or
    an option that looks like several.
    """
    for path, text in all_texts(context.flow):
        known = types_in(context.flow, path)
        yield from _languages(context, path, text)
        yield from _left_out(context, path, text)
        for at, single in singles(text, path):
            if sign := unprintable(single):
                message = f"the text holds {sign}, which no phone shows"
                yield context.source.finding(at, "F507", message, "take it out; '\\n' begins a new line")
            if not single.strip():
                yield context.source.finding(at, "F511", "the text is blank: its screen shows nothing")
            elif "\n" in single and _is_one_line(path):
                message = "a line break in what stands on one line of a menu: what follows looks like another choice"
                yield context.source.finding(at, "F511", message, "write it on one line")
            try:
                slots = [piece for piece in pieces(single) if isinstance(piece, Slot)]
            except BadPlaceholder as error:
                yield context.source.finding(at, "F504", str(error))
                continue
            for slot in slots:
                name = slot.name
                if path[0] == "texts":
                    message = f"'{{{name}}}' stands in words of the engine, which show no values"
                    yield context.source.finding(at, "F502", message, "say it without")
                elif name not in known:
                    message = f"'{{{name}}}' in a text is not a value of '{context.flow.flow}'"
                    if path[-1] == "item":
                        message = f"'{{{name}}}' is not a field of the list's items"
                    yield context.source.finding(at, "F502", message, did_you_mean(name, known))
                elif path[-1] != "item" and context.secret(name):
                    message = f"'{{{name}}}' is secret and stands in a text"
                    yield context.source.finding(at, "F503", message, "a secret is never shown; leave it out")
                else:
                    yield from _form(context, at, slot, known[name])


def _left_out(context: Context, path: Path_, text: str | dict[str, str]) -> Iterator[Diagnostic]:
    """F512: a warning of a translation that leaves out a value which the text shows in another language."""
    if isinstance(text, str):
        return
    try:
        shown = {
            language: {piece.name for piece in pieces(single) if isinstance(piece, Slot)}
            for language, single in text.items()
        }
    except BadPlaceholder:
        return
    for language, names in shown.items():
        for other, theirs in shown.items():
            if missing := sorted(theirs - names):
                message = f"the text in '{language}' does not show '{{{missing[0]}}}', and the one in '{other}' does"
                yield context.source.finding(
                    (*path, language), "F512", message, "show it in both", warning=True
                )
                break


def _form(context: Context, at: Path_, slot: Slot, type_: str) -> Iterator[Diagnostic]:
    if type_ == "list":
        hint = "show its items with a state 'list'"
        yield context.source.finding(at, "F510", f"'{{{slot.name}}}' is a list, and no text", hint)
    elif slot.form is not None and slot.form not in FORMS:
        message = f"'{slot.form}' is not a form that a value is written in"
        yield context.source.finding(at, "F510", message, did_you_mean(slot.form, FORMS))
    elif slot.form is not None and type_ not in FORMS[slot.form][1]:
        suits = " or ".join(sorted(FORMS[slot.form][1]))
        message = f"'{slot.form}' is for a {suits}, and '{slot.name}' is a {type_}"
        yield context.source.finding(at, "F510", message, f"write {{{slot.name}}}")


def types_in(flow: Flow, path: Path_) -> Mapping[str, str]:
    """What the placeholders of a text may name: values of the flow, or in an item of a list its fields."""
    if path[-1] == "item":
        state = flow.states[str(path[1])]
        data = flow.data.get(state.of) if isinstance(state, ListState) else None
        return {name: field.type for name, field in (data.item or {}).items()} if data else {}
    return {**GIVEN_TYPES, **{name: data.type for name, data in flow.data.items()}}


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
            case ListState():
                yield (*base, "list"), state.list
                yield (*base, "item"), state.item
            case EndState() if state.end is not None:
                yield (*base, "end"), state.end


def _is_one_line(path: Path_) -> bool:
    """Of an option, or of the engine's own choices below a menu."""
    return path[-1] == "text" or (path[0] == "texts" and path[1] in {"back", "home", "more"})


def _languages(context: Context, path: Path_, text: str | dict[str, str]) -> Iterator[Diagnostic]:
    languages = context.flow.languages
    if isinstance(text, str):
        if len(languages) > 1 and not _needs_no_translation(text):
            hint = "write it per language: {" + ", ".join(f"{x}: ..." for x in languages) + "}"
            hint = _in_catalogues(context, path, languages[1:]) or hint
            yield context.source.finding(path, "F501", "a text in one language, and the flow has more", hint)
        return
    for missing in [x for x in languages if x not in text]:
        hint = _in_catalogues(context, path, [missing])
        yield context.source.finding(path, "F501", f"the text is missing in language '{missing}'", hint)
    for extra in [x for x in text if x not in languages]:
        message = f"'{extra}' is not a language of '{context.flow.flow}'"
        yield context.source.finding(
            (*path, extra), "F501", message, did_you_mean(extra, languages), key=True
        )


def _in_catalogues(context: Context, path: Path_, languages: list[str]) -> str:
    """A hint at the files where texts of these languages stand, if there are such files."""
    files = [context.source.catalogues[x] for x in languages if x in context.source.catalogues]
    return f"add '{key_of(path)}' to {' and '.join(files)}" if files else ""


def _needs_no_translation(text: str) -> bool:
    """Only placeholders, digits and signs: the same in every language."""
    try:
        return not any(isinstance(p, str) and any(c.isalpha() for c in p) for p in pieces(text))
    except BadPlaceholder:
        return True


def phrases(context: Context) -> Iterator[Diagnostic]:
    """F505: a language that the engine does not speak, and the flow does not lend it the words."""
    for language in context.flow.languages:
        for key in needed(context.flow.resume):
            engine = PHRASES[key]
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
