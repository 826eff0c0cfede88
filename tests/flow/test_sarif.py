"""Rules of the SARIF form: what the standard asks of a document, and what code hosts need to show a finding."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs

from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.rules import EXPLANATIONS
from ussd_engine.flow.sarif import as_sarif

ERROR = Diagnostic("flows/my menu.yaml", 4, 2, "F201", "'x' is wrong", "mend it")
WARNING = Diagnostic("/srv/flows/sms.yaml", 1, 1, "S104", "no text", severity="warning")


def strictly(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


TEXT = strictly({"text": {"type": "string", "minLength": 1}})
WHOLE = {"type": "integer", "minimum": 0}
PLACE = strictly(
    {
        "artifactLocation": strictly({"uri": {"type": "string", "format": "uri-reference"}}),
        "region": strictly({"startLine": {"type": "integer", "minimum": 1}, "startColumn": {"minimum": 1}}),
    }
)
RESULT = strictly(
    {
        "ruleId": {"enum": list(EXPLANATIONS)},
        "ruleIndex": WHOLE,
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": TEXT,
        "locations": {"items": strictly({"physicalLocation": PLACE})},
    }
)
RULE = strictly(
    {"id": {"type": "string"}, "shortDescription": TEXT, "fullDescription": TEXT, "help": TEXT},
)
DRIVER = strictly(
    {
        "name": {"const": "ussd check"},
        "version": {"type": "string"},
        "rules": {"uniqueItems": True, "items": RULE},
    }
)
RUN = strictly(
    {
        "tool": strictly({"driver": DRIVER}),
        "results": {"type": "array", "items": RESULT},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    }
)
SARIF = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **strictly(
        {"version": {"const": "2.1.0"}, "runs": {"minItems": 1, "maxItems": 1, "items": RUN}},
        {"$schema": {"type": "string", "format": "uri"}},
    ),
}
"""The part of the standard's schema that is used here, with what it leaves open and code hosts ask for."""
VALIDATOR = jsonschema_rs.validator_for(SARIF, validate_formats=True)


def run_of(*findings: Diagnostic) -> Any:
    document = json.loads(as_sarif(findings, "1.2.3"))
    VALIDATOR.validate(document)
    return document["runs"][0]


def test_without_findings_it_is_a_whole_document() -> None:
    """A clean check tells a tool that it ran, with which version, and that nothing was found."""
    run = run_of()

    assert run["results"] == []
    assert run["tool"]["driver"]["version"] == "1.2.3"


def test_every_rule_is_described() -> None:
    """A code host shows the title and the help of any code, whether it was found or not."""
    rules = {rule["id"]: rule for rule in run_of()["tool"]["driver"]["rules"]}

    assert rules.keys() == EXPLANATIONS.keys()
    assert rules["F201"]["shortDescription"]["text"] == EXPLANATIONS["F201"].title
    assert EXPLANATIONS["F201"].mending in rules["F201"]["help"]["text"]


def test_finding_has_its_rule_and_its_place() -> None:
    """Rule, level, words with the hint, file as a URI, line and column counted from 1."""
    run = run_of(ERROR, WARNING)
    first, second = run["results"]

    assert (first["ruleId"], first["level"]) == ("F201", "error")
    assert (second["ruleId"], second["level"]) == ("S104", "warning")
    assert first["message"]["text"] == "'x' is wrong (mend it)"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "flows/my%20menu.yaml"},
        "region": {"startLine": 4, "startColumn": 2},
    }
    assert (
        second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///srv/flows/sms.yaml"
    )
    assert [run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] for result in run["results"]] == [
        "F201",
        "S104",
    ]
