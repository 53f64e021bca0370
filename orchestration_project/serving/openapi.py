"""The OpenAPI 3.1 description of the inbox, as GET /openapi.json gives it."""

from typing import Any

from orchestration_project.core.settings import Settings
from orchestration_project.stores.formats import ERROR, LINE, MOST_COLUMNS, RAW

KEY = "^[!-~]([ -~]{0,253}[!-~])?$"
"""An Idempotency-Key: 1 to 255 characters of ASCII, as a header holds them."""

_JSON = "application/json"
_CHARACTERS = "^[^\\u0000]*$"  # a column of text holds no NUL


def description(settings: Settings) -> dict[str, Any]:
    """The description, with the limits of these settings."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inbox",
            "version": "1",
            "description": "Takes messages in. A message is accepted once it is durable; it is in exactly one batch.",
        },
        "paths": {
            "/inbox": {"post": _post(settings)},
            "/openapi.json": {"get": _get("This description.", {"type": "object"})},
            "/health": {"get": _get("Whether messages can be taken in.", _HEALTH, {"503": _problem("They cannot.")})},
        },
        "components": {"schemas": _schemas(settings)},
    }


_HEALTH = {
    "type": "object",
    "required": ["status", "waiting", "most"],
    "properties": {
        "status": {"enum": ["ok", "full"], "description": "full: every message is put off until fewer rows wait."},
        "waiting": {"type": "integer", "minimum": 0, "description": "Rows that wait for a run to begin."},
        "most": {"type": "integer", "minimum": 1, "description": "From so many on it is full."},
    },
}


def _get(summary: str, schema: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = {"description": summary, "content": {_JSON: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": answer, **(others or {})}}


def _post(settings: Settings) -> dict[str, Any]:
    later = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    message, messages = {"$ref": "#/components/schemas/Message"}, {"$ref": "#/components/schemas/Messages"}
    event = {"$ref": "#/components/schemas/CloudEvent"}
    return {
        "summary": "Take messages in, all of the body or none.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": f"The same key and messages within {settings.inbox_key_hours} hours are taken in once.",
                "schema": {"type": "string", "pattern": KEY},
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {settings.inbox_body_bytes} bytes of UTF-8. A CloudEvent's data is the message; in "
            f"binary mode it is the body, as {_JSON}, and ce-specversion, ce-id, ce-source and ce-type are headers.",
            "content": {
                _JSON: {"schema": {"anyOf": [message, messages]}},
                "application/x-ndjson": {
                    "schema": {"type": "string", "description": "A JSON object a line, as for application/json."}
                },
                "application/cloudevents+json": {"schema": event},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "minItems": 1, "items": event}},
            },
        },
        "responses": {
            "202": {
                "description": "Durable. The ids are in the order of the messages.",
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Accepted"}}},
            },
            "400": _problem("The body cannot be read; errors name line and field."),
            "403": _problem("The request comes from a web page."),
            "408": _problem("The body did not come in time."),
            "413": _problem("The body is too large."),
            "415": _problem("The body is of another type; the detail says which are accepted."),
            "422": _problem("The key came with other messages before."),
            "429": {**_problem("Too many messages wait."), "headers": later},
            "503": {
                **_problem("The ledger or the disk cannot be written now, or too many send at once."),
                "headers": later,
            },
        },
    }


def _problem(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": meaning, "content": {"application/problem+json": {"schema": schema}}}


def _schemas(settings: Settings) -> dict[str, Any]:
    own_id: dict[str, Any] = {"type": ["string", "integer", "null", "array", "object"], "pattern": _CHARACTERS}
    value: dict[str, Any] = {
        "type": ["string", "number", "boolean", "null", "array", "object"],
        "pattern": _CHARACTERS,
    }
    text = {"type": "string", "minLength": 1, "pattern": _CHARACTERS}
    return {
        "Message": {
            "type": "object",
            "description": f"Any fields, at most {MOST_COLUMNS} different ones in a body; what is nested is kept as JSON.",
            "properties": {name: own_id for name in settings.inbox_id_names},
            "propertyNames": {"pattern": _CHARACTERS, "not": {"enum": [LINE, ERROR, RAW]}},
            "additionalProperties": value,
        },
        "Messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Message"}},
        "CloudEvent": {
            "type": "object",
            "description": "Attributes besides these are read over.",
            "required": ["specversion", "id", "source", "type", "data"],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": text,
                "source": text,
                "type": text,
                "datacontenttype": {"enum": [_JSON, None]},
                "time": {"type": ["string", "null"], "format": "date-time"},
                "data": {"$ref": "#/components/schemas/Message"},
                "data_base64": False,
            },
            "additionalProperties": {"pattern": _CHARACTERS},
        },
        "Accepted": {
            "type": "object",
            "required": ["message_ids", "rows"],
            "properties": {
                "message_ids": {"type": "array", "minItems": 1, "items": {"type": "string"}},
                "rows": {"type": "integer", "minimum": 1},
            },
            "additionalProperties": False,
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"line": {"type": "integer", "minimum": 1}, "field": {"type": "string"}},
                    },
                },
            },
        },
    }
