"""How often accepted answers are wrong, from the random checks that people answered: of each asset, performer and day,
and over the last days together, beside the error that was stated.

A check counts with the answer as it stood when it was drawn, on the day of that, and with the last verdict on it. One
that waits, or that nobody answered in time, says nothing about the error, and is counted apart: the estimate holds if
whether a check is answered does not depend on whether its answer is right.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from orchestration_project.core.error_estimate import ErrorEstimate, estimate_error
from orchestration_project.governance.answered_checks import checks_since, in_numbers
from orchestration_project.governance.policy import read_policy
from orchestration_project.stores import cascades, champions
from orchestration_project.stores.families import performer_of
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import Review


@dataclass(frozen=True)
class Standing:
    """What checks say about the answers of an asset that were accepted. `performer` None: of all of them; `day` None: of
    the last days together. `waiting` checks are still open, `unanswered` were closed without a verdict; `stated` is the
    error that acceptance thresholds are to keep.
    """

    asset: str
    performer: str | None
    day: date | None
    found: ErrorEstimate
    waiting: int
    unanswered: int
    stated: float
    fewest: int

    @property
    def is_thin(self) -> bool:
        """Whether there are too few checks for the estimate to say something."""
        return self.found.checks < self.fewest

    def told(self) -> str:
        """The estimate in words."""
        return too_thin(self.found, self.fewest) if self.is_thin else live_error_told(self.found, self.stated)

    def facts(self) -> dict[str, Any]:
        """All of it under plain names; the error is None where nothing was checked."""
        found = self.found
        return {
            "asset": self.asset,
            "performer": self.performer,
            "day": self.day.isoformat() if self.day else None,
            "error": found.error if found.checks else None,
            "low": found.low,
            "high": found.high,
            "checks": found.checks,
            "errors": found.errors,
            "waiting": self.waiting,
            "unanswered": self.unanswered,
            "stated": self.stated,
            "is_thin": self.is_thin,
            "told": self.told(),
        }


def live_errors(
    home: Home, asset: str | None = None, *, after: datetime | None = None, still_accepted: bool = False
) -> list[Standing]:
    """What the checks of the last days say, of one asset or of all with people: of each asset first over all performers,
    then performer by performer, over the days together and then day by day, in `ORCHESTRATE_TIME_ZONE`.

    `after` leaves out checks that were drawn before, `still_accepted` answers of models that would be accepted no more:
    their confidence does not reach the threshold of today. UnknownName for an asset that decides nothing.
    """
    policy = read_policy(home.settings.policy).checks
    with home.ledger.read() as connection:
        known = cascades.every(connection) if asset is None else [cascades.require(connection, asset)]
        since = max(filter(None, (after, now() - timedelta(days=policy.window_days))))
        checks, said = checks_since(connection, since)
        if still_accepted:
            checks = _still_accepted(connection, checks)
    zone = ZoneInfo(home.settings.time_zone)
    grouped: defaultdict[tuple[str, str, str], list[Review]] = defaultdict(list)
    for name in (one.asset for one in known if one.has_people):
        grouped[name, "", ""] = []
    for one in checks:
        if asset in (None, one.asset):
            performer, day = one.proposal["performer"], one.opened_at.astimezone(zone).date().isoformat()
            for key in ((one.asset, "", ""), (one.asset, performer, ""), (one.asset, performer, day)):
                grouped[key].append(one)
    return [
        _standing(name, performer, day, own, said, home.settings.target_error, policy.fewest)
        for (name, performer, day), own in sorted(grouped.items())
    ]


def live_error_told(found: ErrorEstimate, stated: float) -> str:
    """An estimate in words, beside the error that was stated."""
    return f"live error {estimate_told(found)}; stated at most {stated * 100:g} %"


def estimate_told(found: ErrorEstimate) -> str:
    """An estimate in words: the error, its interval, and of how many checks."""
    return f"{_percent(found.error)} ({found.low * 100:.1f} to {_percent(found.high)}) of {found.checks} checks"


def too_thin(found: ErrorEstimate, fewest: int) -> str:
    """In words that there are too few checks."""
    return f"too thin: {found.checks} checks of {fewest}"


def _still_accepted(connection: sa.Connection, checks: Sequence[Review]) -> list[Review]:
    accepts_from = {performer_of(used.family): used.threshold for used in champions.in_use(connection)}

    def reaches(proposal: Mapping[str, Any]) -> bool:
        if proposal["performer"] not in accepts_from:
            return True
        threshold = accepts_from[proposal["performer"]]
        return threshold is not None and proposal["confidence"] >= threshold

    return [one for one in checks if reaches(one.proposal)]


def _standing(
    asset: str,
    performer: str,
    day: str,
    checks: Sequence[Review],
    said: dict[int, str],
    stated: float,
    fewest: int,
) -> Standing:
    answered = [one for one in checks if one.review_id in said]
    checked = in_numbers(answered, said)
    waiting = sum(one.state == "open" for one in checks if one.review_id not in said)
    return Standing(
        asset,
        performer or None,
        date.fromisoformat(day) if day else None,
        estimate_error(checked.wrong, checked.probability),
        waiting,
        len(checks) - len(answered) - waiting,
        stated,
        fewest,
    )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
