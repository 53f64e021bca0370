"""Moments as they are typed: ISO 8601, a date or more, UTC where nothing else is said."""

from datetime import UTC, datetime

from orchestration_project.core.errors import Refused


def moment(option: str, text: str | None) -> datetime | None:
    """The moment that an option names; None where it was not given. Refused for what is no moment.

    >>> moment("--since", "2026-03-01")
    datetime.datetime(2026, 3, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"{option} is '{text}'. Give a date such as 2026-03-01, or 2026-03-01T08:00.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
