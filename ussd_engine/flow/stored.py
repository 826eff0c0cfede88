"""A checked library as JSON, from which any process makes its program without the folder, and without a check."""

from __future__ import annotations

import orjson

from ussd_engine.errors import FlowError
from ussd_engine.flow.loader import Library
from ussd_engine.flow.model import Flow
from ussd_engine.flow.sms_templates import SmsTemplates
from ussd_engine.flow.source import Source

SCHEMA = 1


def dumps(library: Library) -> bytes:
    """The flows in their order, as their authors wrote them, and the SMS texts."""
    flows = {
        name: flow.model_dump(mode="json", by_alias=True, exclude_unset=True)
        for name, flow in library.flows.items()
    }
    return orjson.dumps({"schema": SCHEMA, "flows": flows, "sms": library.sms.texts})


def loads(raw: str | bytes) -> Library:
    """What `dumps` wrote, also in an older version of the engine. Raises FlowError when it cannot be read.

    The sources have no positions: findings of such a library say what, but not where.
    """
    try:
        data = orjson.loads(raw)
        if data["schema"] != SCHEMA:
            raise FlowError(f"stored flows have schema {data['schema']!r}; this engine reads schema {SCHEMA}")
        flows = {name: Flow.model_validate(flow) for name, flow in data["flows"].items()}
        return Library(flows, {name: Source(name) for name in flows}, SmsTemplates(data["sms"]))
    except (ValueError, LookupError, TypeError) as error:
        raise FlowError("stored flows are not of the form that this version of the engine reads") from error
