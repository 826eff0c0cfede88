"""Findings as SARIF 2.1.0, which code hosts and editors read (OASIS, sarif-v2.1.0)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.rules import EXPLANATIONS

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(diagnostics: Iterable[Diagnostic], version: str) -> str:
    """One run with every rule, so that a tool can name those that found nothing as well."""
    index = {code: number for number, code in enumerate(EXPLANATIONS)}
    run = {
        "tool": {"driver": {"name": "ussd check", "version": version, "rules": _rules()}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(found, index[found.code]) for found in diagnostics],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=2)


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "id": code,
            "shortDescription": {"text": entry.title},
            "fullDescription": {"text": entry.meaning},
            "help": {"text": f"{entry.meaning}\n\nTo mend it: {entry.mending}"},
        }
        for code, entry in EXPLANATIONS.items()
    ]


def _result(found: Diagnostic, rule_index: int) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": _uri(found.file)},
        "region": {"startLine": found.line, "startColumn": found.column},
    }
    return {
        "ruleId": found.code,
        "ruleIndex": rule_index,
        "level": found.severity,
        "message": {"text": found.with_hint()},
        "locations": [{"physicalLocation": place}],
    }


def _uri(file: str) -> str:
    """Relative as the folder was given, so that it is found in a checkout wherever that lies."""
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
