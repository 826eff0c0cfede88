"""Every rule by its stable code: what a finding means, and how it is mended. The one table of them.

`ussd check --explain`, the SARIF form and docs/rules.md all read it; `make docs` writes the last one anew. A new code
is one entry here, and a broken flow in tests/flow/broken.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """`meaning` says what was found and why it matters, `mending` what to do."""

    title: str
    meaning: str
    mending: str

    def text(self, code: str) -> str:
        return f"{code} {self.title}\n\n{self.meaning}\n\nTo mend it: {self.mending}"


GROUPS: Mapping[str, str] = {
    "F0": "The file",
    "F1": "Structure",
    "F2": "Targets and names",
    "F3": "Shape",
    "F4": "Input",
    "F5": "Texts",
    "F6": "Conditions and values",
    "S1": "SMS texts",
}
"""The first two characters of a code say what it is about."""

EXPLANATIONS: Mapping[str, Explanation] = {
    "F001": Explanation(
        "The file cannot be read",
        "It is not there, not UTF-8, too large, or not YAML. Nothing else in it is checked.",
        "look at the place that is named. Most often a text needs quotes: one that holds ': ' or ' #', or begins "
        "with one of { [ * & ! % @ \" '.",
    ),
    "F002": Explanation(
        "A key stands twice",
        "One mapping holds the same key twice, and only one of them could count.",
        "remove or rename one of them; two states need two names.",
    ),
    "F003": Explanation(
        "YAML that flows do not use",
        "An alias (*name), a tag (!name) or a key that is no plain text. Flows are plain data, so that what is "
        "written is what is meant.",
        "write the value out in full.",
    ),
    "F101": Explanation(
        "Unknown key",
        "The key means nothing where it stands, so what it says would be lost. Often it is misspelt, indented too "
        "far or not far enough.",
        "write one of the keys that are known there.",
    ),
    "F102": Explanation(
        "Missing key",
        "A key that has to be there is not, or the file is neither a flow nor a catalogue nor SMS texts.",
        "add the key. A flow has at least 'flow', 'languages', 'start' and 'states'.",
    ),
    "F103": Explanation(
        "Wrong kind of value",
        "A number stands where a text belongs, a text where a list belongs, or something is empty or out of bounds.",
        'write what the message asks for. Digits that are a text, as in a key, need quotes: "0".',
    ),
    "F104": Explanation(
        "A state has no kind, or two",
        "A state holds exactly one of menu, ask, list, action, call, route and end, which says what it does.",
        "add the one that is meant, or split the state into two.",
    ),
    "F105": Explanation(
        "Wrong form",
        "A name, language, key, service code or region is not written as such. Names are small letters, digits and "
        "'_', as they stand in logs and stored sessions.",
        "write it in the form that the message gives.",
    ),
    "F106": Explanation(
        "Two files of one name",
        "Two flows of the folder have one name, or the SMS texts stand in two files.",
        "rename one of the flows; keep one file of SMS texts.",
    ),
    "F107": Explanation(
        "A service code of two flows",
        "Whoever dials it could meet only one of them.",
        "give each service code to one flow.",
    ),
    "F108": Explanation(
        "A declaration that does not go together",
        "The parts of an entry under 'data' contradict each other: a choice without 'of', 'min' above 'max', a "
        "default that the type cannot hold or that is secret, or a name that the engine uses itself.",
        "change the declaration as the message says.",
    ),
    "F109": Explanation(
        "Cases without a last 'else'",
        "When no condition holds the session must still go on; and what stands after an 'else' is never reached.",
        "put '- else: a_state' last, and only there.",
    ),
    "F110": Explanation(
        "Something stands twice in a list",
        "A language, input, output or choice is named twice. Choices are typed in any case: 'red' and 'Red' are one.",
        "take one of them away.",
    ),
    "F111": Explanation(
        "A list state over what is no list",
        "A 'list' state shows data of 'type: list', and keeps fields that its items have.",
        "name a list under 'of', and fields of its items under 'save'.",
    ),
    "F112": Explanation(
        "A catalogue that cannot be used",
        "A catalogue holds the texts of one flow in one language: 'messages' names the flow, 'language' one of its "
        "languages, and 'texts' gives the words by key.",
        "correct the name that the message quotes, or add the key that is missing.",
    ),
    "F113": Explanation(
        "A key that is no text",
        "A catalogue gives words for a text that its flow does not have; nobody would see them. A key is the state, "
        "then what the text is: 'welcome.menu', 'welcome.options.1', 'ask_name.wrong', and 'texts.back' for the "
        "engine's own words.",
        "correct the key, or take it away.",
    ),
    "F114": Explanation(
        "A text that is given twice",
        "The same text stands in the same language beside its state and in a catalogue, or in two catalogues, and "
        "only one of them could be shown. A text without a language is in the default language.",
        "keep one of them.",
    ),
    "F115": Explanation(
        "A resume that nobody dials",
        "What is gone on with after the line dropped is a session, and the flow that was dialled says how.",
        "write it in the flow that has 'dial', or take it out.",
    ),
    "F201": Explanation(
        "Unknown state",
        "A way leads to a state that the flow does not have; a session could not go on there.",
        "correct the name, or add the state.",
    ),
    "F202": Explanation(
        "Unknown flow",
        "A state calls a flow that no file of the folder holds.",
        "correct the name under 'call', or add the flow.",
    ),
    "F203": Explanation(
        "Unknown action",
        "The engine has no action of that name.",
        "correct the name under 'action'.",
    ),
    "F204": Explanation(
        "Data that is not declared",
        "Something is filled, taken or given back that does not stand under 'data'.",
        "correct the name, or declare it with its type under 'data'.",
    ),
    "F205": Explanation(
        "An outcome that is not handled",
        "The action or the called flow may end in a way for which the state names no next one.",
        "add the outcome under 'outcomes' with the state to go on with.",
    ),
    "F206": Explanation(
        "An outcome that there is not",
        "The action or the called flow never ends so; what stands there is never reached.",
        "correct the name of the outcome, or take it away.",
    ),
    "F207": Explanation(
        "Inputs that do not fit",
        "The action or the called flow needs an input that it is not given, or is given one that it does not have.",
        "add what is missing under 'with', and correct or take away what it does not have.",
    ),
    "F208": Explanation(
        "Outputs that do not fit",
        "Under 'save' stands an output that the action or flow does not have, or one of another kind than the data "
        "that it fills.",
        "correct the name of the output, or give the data the type of the output.",
    ),
    "F209": Explanation(
        "A called flow that lacks a language",
        "A warning: the subscriber has chosen the language, and the called flow has no words in it, so it speaks its "
        "first language instead.",
        "add the language to the called flow, with its texts.",
    ),
    "F301": Explanation(
        "A state that is cut off",
        "No way leads to the state from the start, so nobody ever sees it; often a name was changed elsewhere.",
        "let a 'goto' lead to it, or take it out.",
    ),
    "F302": Explanation(
        "No way to an end",
        "Whoever comes to this state can go on for ever and never come to an end: only hang up.",
        "give it, or a state after it, a way to an 'end'.",
    ),
    "F303": Explanation(
        "A circle without a screen",
        "States that show nothing lead on to each other: a turn would never come to a screen.",
        "let one of them lead to a menu, a question or an end.",
    ),
    "F304": Explanation(
        "Flows that call each other without a screen",
        "A flow calls another, which calls it again before anything is shown: a turn would never come to a screen.",
        "show a screen before one of the calls, or take it out.",
    ),
    "F305": Explanation(
        "A menu that may offer nothing",
        "Every option has a condition. Where none holds the screen has no choice, and a key for back or home is there "
        "only when a screen lies behind. Conditions of which one surely holds are a condition and its opposite, 'paid' "
        "and '!paid' or 'paid == false', 'amount < 5' and 'amount >= 5', or a 'choice == ...' for each value of a "
        "choice.",
        "add an option without 'when'.",
    ),
    "F401": Explanation(
        "Two options on one key",
        "A subscriber who presses the key could mean either. Options without a key are numbered from the top.",
        "give one of them another key.",
    ),
    "F402": Explanation(
        "An option on a navigation key",
        "The key is back, home or more on that screen, so the option could not be chosen. On a list back also leads to "
        "the page before.",
        "choose another key, or switch back or home off in that state.",
    ),
    "F403": Explanation(
        "An 'accept' that does not suit",
        "What the answer must be does not go with the type of the data that it fills, or leaves nothing that "
        "anybody could type: a network takes no more than some 80 characters at once.",
        "change 'accept', or the declaration of the data.",
    ),
    "F404": Explanation(
        "Data that may not be filled yet",
        "There is a way to the state on which nothing fills a value that is read there. The message names the way; in "
        "a flow that is dialled it may be one by the key for home, out of the flows that it calls as well.",
        "fill it on that way, or give it a default.",
    ),
    "F405": Explanation(
        "One key for two ways of moving",
        "Two of back, home and more are on the same key. Where none is written, back is 0, home 00 and more 98.",
        "give each a key of its own, or switch back or home off.",
    ),
    "F406": Explanation(
        "An answer on a navigation key",
        "The key is back, home or more on the question, so who means it as an answer goes elsewhere. An error where "
        "the key is one of the choices or lies within the range of a number; a warning where no answer is longer than "
        "the key.",
        "switch back or home off in that state, or give them other keys.",
    ),
    "F501": Explanation(
        "A language is missing or too many",
        "Every text that holds words needs one in each language of the flow, and no other.",
        "write the text in the missing language beside its state or in a catalogue, or correct the name of the "
        "language.",
    ),
    "F502": Explanation(
        "A placeholder that is no value",
        "The name between braces is neither declared under 'data' nor given by the engine. Words of the engine, under "
        "'texts', show no values at all: they stand on any screen, and no value is sure to be filled there.",
        "correct the name, or declare it under 'data'; say the engine's words without it.",
    ),
    "F503": Explanation(
        "A secret in a text",
        "A secret value would be shown on the screen, where others may read it and networks may keep it.",
        "take the placeholder out.",
    ),
    "F504": Explanation(
        "Braces that are no placeholder",
        "A brace stands alone, or holds something else than the name of a value. Texts hold no logic.",
        "write the name of a value between the braces, or {{ and }} for braces that are shown.",
    ),
    "F505": Explanation(
        "The engine lacks words in a language",
        "Some words are the engine's own, such as those for back, and it does not speak every language.",
        "add them under 'texts' in that language.",
    ),
    "F506": Explanation(
        "An end without a text",
        "Only a flow that is called may end without one, with an 'outcome' and never where it is dialled itself.",
        "give the state a text, or an 'outcome' in a flow that is only called.",
    ),
    "F507": Explanation(
        "A character that no phone shows",
        "The text holds a control character or the like, often pasted in unseen.",
        "take it out; a new line is '\\n' between double quotes.",
    ),
    "F508": Explanation(
        "A screen that does not fit",
        "With the widest values that the data allow, a page is wider than a network shows, or the screen takes more "
        "pages than anybody turns. A name or a text may be typed in any script, and then a page holds less than half.",
        "shorten the text, or lower the 'max' of what stands in it. 'ussd check --widths' shows every screen.",
    ),
    "F509": Explanation(
        "A character that makes a page expensive",
        "A warning: one character outside GSM-7 turns the whole page into UCS-2, which holds less than half. Often it "
        "is a curly quote or a long dash that an editor has put in. A text of another script is not warned of.",
        "use a character of GSM-7, such as ' or -.",
    ),
    "F510": Explanation(
        "A form that does not suit the value",
        "'{name:form}' writes a value in a form: money and grouped for a number, date for a date, masked for a phone "
        "number, digits or text. A list is no text at all.",
        "use a form that suits the type, or the name alone; show a list with a 'list' state.",
    ),
    "F511": Explanation(
        "A text that shows nothing, or an option that looks like several",
        "A blank text leaves its screen or its line empty. A line break in an option or an item makes the rest look "
        "like another choice, which no key belongs to.",
        "write what is to be shown, an option on one line.",
    ),
    "F512": Explanation(
        "A translation that leaves something out",
        "A warning: the text shows a value in one language, such as an amount, and not in another.",
        "show the value in every language. If it is meant so, the warning does no harm.",
    ),
    "F601": Explanation(
        "An expression that cannot be understood",
        "It is not CEL, reads a value that there is not, or gives another type than its place takes.",
        "correct it at the character that is named; texts in it stand in quotes of their own: \"name == 'Ann'\".",
    ),
    "F602": Explanation(
        "A secret that would leave its place",
        "A secret value would go into one that is not, and could then be shown, logged or stored in clear.",
        "make the value that takes it secret too, or do without.",
    ),
    "F603": Explanation(
        "A phone number that may be any text",
        "An action takes a number as a subscriber's own. From any text it could be somebody else's, or nobody's.",
        "give session.phone, or data of 'type: phone'.",
    ),
    "F604": Explanation(
        "A value that never fits",
        "The expression reads nothing, so it gives the same each time: an error, or what its place cannot hold.",
        "correct the value, or the declaration of the data that it fills.",
    ),
    "F605": Explanation(
        "A secret that is kept in clear",
        "The action takes it as a secret, such as a date of birth that lets somebody in, and until then it would stand "
        "in the session for all to read.",
        "declare the value with 'secret: true'.",
    ),
    "F606": Explanation(
        "A value that the other flow cannot hold",
        "Between a flow and the flow that it calls, a value can be larger, longer or of another type than what takes "
        "it. A session that met such a value would end with an apology.",
        "declare both alike. A name or a text is cut to what fits, so it may be longer.",
    ),
    "S101": Explanation(
        "SMS texts of a wrong form",
        "The file maps each event to languages, and each language to a text that is not empty.",
        "write 'event: {en: text}' below 'sms'.",
    ),
    "S102": Explanation(
        "Unknown event",
        "The engine sends no SMS for it, or the key does not belong in this file.",
        "correct the name, or take it away.",
    ),
    "S103": Explanation(
        "An event without a text",
        "The engine sends an SMS for every event, and would have nothing to say.",
        "add the event below 'sms', with a text in each language.",
    ),
    "S104": Explanation(
        "A language is missing",
        "An error for the default language, en, which every event needs. For others a warning: their subscribers get "
        "the default.",
        "add the text in that language.",
    ),
    "S105": Explanation(
        "A placeholder that the event does not fill",
        "Each event has only a few values for its text.",
        "use one of those that the hint names, or none.",
    ),
    "S106": Explanation(
        "Braces that are no placeholder",
        "A brace stands alone, or holds something else than a name.",
        "write a name between the braces, or {{ and }} for braces that are shown.",
    ),
    "S107": Explanation(
        "A character that no phone shows",
        "The text holds a control character or the like, often pasted in unseen.",
        "take it out; a new line is '\\n' between double quotes.",
    ),
    "S108": Explanation(
        "Too many parts",
        "A long SMS goes in parts, each charged as a message. An error when the text alone takes more than two; a "
        "warning when only long values make it so.",
        "shorten the text.",
    ),
    "S109": Explanation(
        "A character that makes the SMS short",
        "A warning: one character outside GSM-7, such as a curly quote, leaves room for 70 characters instead of 160.",
        "replace it by one of GSM-7.",
    ),
}


def as_markdown() -> str:
    """The page docs/rules.md."""
    lines = [
        "# Rules of the flow language",
        "",
        "What `ussd check` reports, by code. Codes are stable. `ussd check --explain F201` prints one entry.",
        "Written by `make docs` from ussd_engine/flow/rules.py.",
    ]
    for group, heading in GROUPS.items():
        entries = [(code, entry) for code, entry in EXPLANATIONS.items() if code.startswith(group)]
        if entries:
            lines += ["", f"## {heading}"]
        for code, entry in entries:
            lines += ["", f"### {code} {entry.title}", "", entry.meaning, "", f"To mend it: {entry.mending}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
