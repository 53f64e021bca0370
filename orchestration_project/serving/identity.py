"""The message id of a posted message: the sender's own, else one that is made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestration_project.core.settings import Settings
from orchestration_project.serving.messages import BodyRefused, Message
from orchestration_project.stores.arrivals import keyed_id

ID = "message_id"


def with_ids(
    messages: Sequence[Message], settings: Settings, secret: bytes, token: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of the messages, and the id of each; made ids and the times of events stand in the rows.

    The sender's id is the first value of the fields that may hold one. Else an event's source and id make it, else the
    fields of the identity, all of them, as `Arrivals.identify` does it; where one is absent, two who write the same
    words stay two: the id covers `token`, under which this body is received, and the message's number. BodyRefused for
    a field of ids that holds neither text nor a whole number.
    """
    rows: list[dict[str, Any]] = []
    ids: list[str] = []
    for number, message in enumerate(messages, start=1):
        row = dict(message.values)
        if message.time is not None and all(_is_blank(row.get(name)) for name in settings.inbox_time_names):
            row[settings.inbox_time_names[0]] = message.time
        found = _own_id(message, settings.inbox_id_names)
        if found is None:
            content = [_content(row.get(name), name in settings.inbox_time_names) for name in settings.inbox_identity]
            if message.event:
                found = keyed_id(secret, ["cloudevent", *message.event])
            else:
                found = keyed_id(secret, [*content, token, number] if None in content else content)
            row[ID] = found
        rows.append(row)
        ids.append(found)
    return rows, ids


def _own_id(message: Message, names: Sequence[str]) -> str | None:
    """The id that the sender gave; None where there is none, or a blank one."""
    given = {name: value for name in names if (value := message.values.get(name)) is not None}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise BodyRefused(f"{name} is neither text nor a whole number. Write it as text.", message.line, name)
    return str(next(iter(given.values()), "")).strip() or None


def _content(value: Any, is_time: bool) -> str | None:
    """A value as the id covers it: a moment in UTC, else as it stands; None where it is absent or says nothing."""
    if _is_blank(value):
        return None
    if not is_time:
        return str(value) if isinstance(value, (str, int)) else None
    try:
        moment = datetime.fromisoformat(value.strip())
        return str(moment.astimezone(UTC)) if moment.tzinfo else None
    except (AttributeError, ValueError, OverflowError):
        return None


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def digest_content(messages: Sequence[Message]) -> list[Mapping[str, Any] | tuple[str, str] | str | None]:
    """What a body says, whatever its form: of each message its values, and of an event its identity and time."""
    return [part for message in messages for part in (message.values, message.event, message.time)]
