"""What a rescore would change, tried on a copy of the home: each model output decides again on its batches, in memory,
and what comes out is compared with the version in use. Nothing is published.

What a model output reads is the version in use too: rows that reach it only by what another one decided anew are not
among those that are compared. Nobody is asked in shadow.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration_project.core.erasing import ERASED
from orchestration_project.dispatch.loaded_steps import answer_with, rows_to_decide, steps_of
from orchestration_project.model_output.step import Step
from orchestration_project.performers.person import PERSON
from orchestration_project.performers.reuse import erased
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.schema import SWITCHES, TRIALS

MOST_NAMED = 20
"""Changed messages that are named, of each batch."""


@dataclass(frozen=True)
class Change:
    """How many rows have this label, or proposal, and would have that one; None: no label."""

    was: str | None
    would_be: str | None
    rows: int


@dataclass(frozen=True)
class Preview:
    """What a rescore would change in a batch's version in use.

    Rows that wait for people are `still_waiting`, `no_longer_waiting` (a performer is sure by now) or `newly_waiting`.
    `verdicts` and `erased` are rows that nobody is asked about; `degraded` ones would be answered behind a failure.
    `answered` is who, in which version → rows before, and after.
    """

    model_output: str
    batch: str
    version: int
    rows: int
    labels_changed: int
    newly_accepted: int
    no_longer_accepted: int
    still_waiting: int
    no_longer_waiting: int
    newly_waiting: int
    verdicts: int
    erased: int
    degraded: int
    changes: list[Change]
    answered: dict[str, tuple[int, int]]
    message_ids: list[str]


def previews(home: Home, steps: Iterable[Step], batches: Iterable[str]) -> Iterator[Preview]:
    """What would change in each batch that a step decided on; the home must be a copy."""
    _ask_nobody_in_shadow(home)
    keys = list(batches)
    for step in steps:
        for batch in keys:
            with home.ledger.read() as connection:
                version = manifest.current(connection, step.name, batch)
            if version is not None:
                before = home.warehouse.read(version.path).to_pandas()
                yield compared(step.name, version, before, _decided_again(home, step, batch, before))


def compared(name: str, version: manifest.Version, before: pd.DataFrame, after: pd.DataFrame) -> Preview:
    """What differs between the rows of a version and what would be decided on the same messages; both have the columns
    of `Decision`.
    """
    both = before.merge(after, on="message_id", suffixes=("_was", ""))
    was, label = both["label_was"].astype("object"), both["label"].astype("object")
    is_other = ~((was == label) | (was.isna() & label.isna()))
    waited, waits = both["state_was"] == "pending", both["state"] == "pending"
    accepted_was, accepted = both["accepted_was"].astype("bool"), both["accepted"].astype("bool")
    is_changed = is_other | (accepted_was != accepted) | (waited != waits)
    pairs = Counter((_named(old), _named(new)) for old, new in zip(was[is_other], label[is_other], strict=True))
    who_was, who = Counter(_who(both, "_was")), Counter(_who(both, ""))
    return Preview(
        name,
        version.partition,
        version.version,
        rows=len(both),
        labels_changed=int(is_other.sum()),
        newly_accepted=int((accepted & ~accepted_was).sum()),
        no_longer_accepted=int((accepted_was & ~accepted).sum()),
        still_waiting=int((waited & waits).sum()),
        no_longer_waiting=int((waited & ~waits).sum()),
        newly_waiting=int((waits & ~waited).sum()),
        verdicts=int(((both["decided_by"] == PERSON) & ~waits).sum()),
        erased=int((both["message_digest_was"] == ERASED).sum()),
        degraded=int(both["degraded"].astype("bool").sum()),
        changes=[Change(*pair, rows) for pair, rows in pairs.most_common()],
        answered={one: (who_was[one], who[one]) for one in sorted({*who_was, *who})},
        message_ids=[str(one) for one in both.loc[is_changed, "message_id"].head(MOST_NAMED)],
    )


def _decided_again(home: Home, step: Step, batch: str, before: pd.DataFrame) -> pd.DataFrame:
    assert step.cascade is not None
    rows = rows_to_decide(home, step, batch)
    limit_seconds, stands = step.limit_seconds, erased(before)
    return step.cascade.decide(rows, home, stands, asset=step.name, partition=batch, limit_seconds=limit_seconds).frame


def _ask_nobody_in_shadow(home: Home) -> None:
    with home.ledger.write() as connection:
        connection.execute(sa.delete(TRIALS))
        connection.execute(sa.update(SWITCHES).where(SWITCHES.c.state == "shadow").values(state="off"))


def _named(label: Any) -> str | None:
    return None if pd.isna(label) else str(label)


def _who(rows: pd.DataFrame, suffix: str) -> Iterator[str]:
    """Who answered each row, in which version; people by their name alone, for each verdict is a version of its own."""
    columns = (rows[f"{name}{suffix}"] for name in ("performer", "version", "decided_by"))
    for performer, version, decided_by in zip(*columns, strict=True):
        yield str(performer) if decided_by == PERSON else f"{performer} {version}".strip()


def main(location: str, answer: str, order: str) -> None:
    """Preview in the home that the environment names, a copy, what the order's file says: `batches`, and `model_output`
    or null for every one; write the outcome, or why there is none, as JSON.
    """
    home = current_home()
    asked = json.loads(Path(order).read_text(encoding="utf-8"))

    def found() -> dict[str, Any]:
        steps = steps_of(location, asked["model_output"])
        return {"previews": [asdict(one) for one in previews(home, steps, asked["batches"])]}

    answer_with(answer, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
