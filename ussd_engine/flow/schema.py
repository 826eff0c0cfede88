"""The JSON Schema of the files in a folder of flows, from the models: editors complete and check by it.

Draft-07, the newest that editors have in common. It says what a file may hold; whether names and targets are there
is for `ussd check` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ussd_engine.flow.messages import KEYS
from ussd_engine.flow.model import LANGUAGE_PATTERN, MAX_TEXT, NAME_PATTERN, Flow
from ussd_engine.flow.sms_templates import DEFAULT_LANGUAGE, PLACEHOLDERS

DIALECT = "http://json-schema.org/draft-07/schema#"
_REF = "#/definitions/{model}"
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class _Generator(GenerateJsonSchema):
    """Says in full what the models refuse, and leaves out what would only fill an editor's screen."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No title: it would say a key once more."""
        del schema
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """The models refuse a key that is no name; JSON Schema lets pass what no pattern speaks of."""
        result = super().dict_schema(schema)
        return {**result, "additionalProperties": False} if "patternProperties" in result else result

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """The forms exclude each other as it is, and editors complete better where any may hold than where one must."""
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Without null: editors write a default out when they complete a key."""
        result = super().default_schema(schema)
        return {key: value for key, value in result.items() if (key, value) != ("default", None)}


def json_schema() -> dict[str, Any]:
    """What lies in one folder has one schema, which tells the kinds of file apart as `loader` does."""
    flow = Flow.model_json_schema(ref_template=_REF, schema_generator=_Generator)
    definitions: dict[str, Any] = {
        **flow.pop("$defs"),
        "Flow": flow,
        "Catalogue": _catalogue(),
        "SmsTemplates": _sms_templates(),
    }
    return {
        "$schema": DIALECT,
        "title": "USSD flows, catalogues and SMS templates",
        "if": {"required": ["flow"]},
        "then": {"$ref": _REF.format(model="Flow")},
        "else": {
            "if": {"required": ["sms"]},
            "then": {"$ref": _REF.format(model="SmsTemplates")},
            "else": {
                "if": {"required": ["messages"]},
                "then": {"$ref": _REF.format(model="Catalogue")},
                "else": {"$ref": _REF.format(model="Flow")},
            },
        },
        "definitions": {name: _titled(name, _plain_refs(each)) for name, each in definitions.items()},
    }


def _titled(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A title for people: editors show it where a value is not of the form that they expected."""
    return {**schema, "title": _WORDS.sub(" ", name).lower()}


def _plain_refs(schema: Any) -> Any:
    """Draft-07 reads nothing that stands beside a `$ref`, a description for one."""
    if isinstance(schema, list):
        return [_plain_refs(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _plain_refs(value) for key, value in schema.items()}
    if len(inner) > 1 and isinstance(reference := inner.get("$ref"), str):
        del inner["$ref"]
        return {**inner, "anyOf": [{"$ref": reference}]}
    return inner


def _catalogue() -> dict[str, Any]:
    """What `messages` refuses, as far as the shape of a file shows it, and what is no text for the models."""
    return {
        "description": "Texts of a flow in one further language.",
        "type": "object",
        "required": list(KEYS),
        "additionalProperties": False,
        "properties": {
            "messages": {
                "description": "The name of the flow.",
                "type": "string",
                "pattern": NAME_PATTERN,
            },
            "language": {
                "description": "The language of the texts, one of those that the flow names.",
                "type": "string",
                "pattern": LANGUAGE_PATTERN,
            },
            "texts": {
                "description": "Each text by its key: the state and what the text is, such as welcome.menu, "
                "welcome.options.1 or ask_name.wrong.",
                "type": "object",
                "additionalProperties": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT},
            },
        },
    }


def _sms_templates() -> dict[str, Any]:
    """What `sms_templates` refuses, as far as the shape of a file shows it."""
    text = {"type": "string", "pattern": r"\S"}
    events = {
        event: {
            "description": _sms_description(sorted(names)),
            "type": "object",
            "required": [DEFAULT_LANGUAGE],
            "additionalProperties": text,
        }
        for event, names in PLACEHOLDERS.items()
    }
    return {
        "description": "The SMS texts: one for each event and language.",
        "type": "object",
        "required": ["sms"],
        "additionalProperties": False,
        "properties": {
            "sms": {
                "description": "Each event that sends an SMS, with its text in each language.",
                "type": "object",
                "required": list(PLACEHOLDERS),
                "additionalProperties": False,
                "properties": events,
            }
        },
    }


def _sms_description(names: list[str]) -> str:
    may = " and ".join(f"{{{name}}}" for name in names)
    return (
        f"The text in each language. It may hold {may}."
        if names
        else "The text in each language, without placeholders."
    )
