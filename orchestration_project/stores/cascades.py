"""What each model output can answer, as it was when it last published: whoever decides reads it here, for the
command line knows no workflow.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName, did_you_mean
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import CASCADES

_C = CASCADES.c


@dataclass(frozen=True)
class KnownCascade:
    """The performers of a model output in the order in which they are asked, the safe state last; the labels that they
    may answer, sorted; and whether rows wait for people.
    """

    asset: str
    performers: tuple[str, ...]
    labels: tuple[str, ...]
    has_people: bool

    @property
    def asked(self) -> tuple[str, ...]:
        """The performers before people and the safe state, which are called."""
        return self.performers[: -2 if self.has_people else -1]


def record(connection: sa.Connection, cascade: KnownCascade) -> None:
    """Keep what a model output can answer, in the caller's transaction; written only when it changed."""
    if get(connection, cascade.asset) == cascade:
        return
    row = {**vars(cascade), "performers": list(cascade.performers), "labels": list(cascade.labels)}
    connection.execute(sa.delete(CASCADES).where(_C.asset == cascade.asset))
    connection.execute(sa.insert(CASCADES).values(**row, recorded_at=now()))


def get(connection: sa.Connection, asset: str) -> KnownCascade | None:
    """The cascade of a model output; None before it first published."""
    return next((found for found in every(connection) if found.asset == asset), None)


def require(connection: sa.Connection, asset: str) -> KnownCascade:
    """The cascade of a model output; UnknownName with the nearest there is."""
    found = get(connection, asset)
    if found is None:
        known = [cascade.asset for cascade in every(connection)]
        raise UnknownName(f"No model output '{asset}' has decided anything yet.{did_you_mean(asset, known)}")
    return found


def every(connection: sa.Connection) -> list[KnownCascade]:
    """The cascade of each model output that published, by name."""
    query = sa.select(_C.asset, _C.performers, _C.labels, _C.has_people).order_by(_C.asset)
    return [
        KnownCascade(asset, tuple(performers), tuple(labels), has_people)
        for asset, performers, labels, has_people in connection.execute(query)
    ]
