"""Notes whose mood a scripted reader tells, for tests of what people do where it is not sure: the cascade and what is
written when a step publishes, without the step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from orchestration_project.governance import audit, review_orders
from orchestration_project.model_output.with_people import record_reviews
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.person import Person, Urgent, content_digests
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores import batches, reviews, verdicts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import ARRIVALS, AUDIT, BATCHES, CLAIMS, RUN_REQUESTS
from orchestration_project.stores.verdicts import Verdict

ASSET, BATCH = "mood", "b1"
LABELS = ("angry", "calm", "merry")
SAFE = SafeLabel("unknown")
SURE, UNSURE, SILENT = ("calm", 0.9), ("calm", 0.3), (None, None)

PEOPLE = """
[people.anna]
users = ["*"]
roles = ["reviewer"]
skills = ["mood"]

[people.ben]
users = ["*"]
roles = ["reviewer"]
skills = ["mood"]

[people.lea]
users = ["*"]
roles = ["reviewer", "lead"]
skills = ["mood"]

[people.carl]
users = ["*"]
roles = ["reviewer"]
skills = ["topic"]

[people.olga]
users = ["*"]
roles = ["operator", "lead"]
skills = ["mood"]
"""

Answers = Mapping[str, tuple[str | None, float | None]]


class Desk:
    """The asset `mood` of one batch: what the reader answers to each message, and what was published last."""

    def __init__(
        self, home: Home, answers: Answers, *more: Performer, batch: str = BATCH, at_once: Urgent | None = None
    ) -> None:
        self.home, self.batch = home, batch
        self.answers = dict(answers)
        self.texts = {message_id: f"text of {message_id}" for message_id in answers}
        self.reader = Scripted("reader", self._read, labels=LABELS)
        self.cascade = Cascade(self.reader, *more, Person(at_once=at_once), safe_state=SAFE)
        self.stored: pd.DataFrame | None = None

    @property
    def rows(self) -> pd.DataFrame:
        return pd.DataFrame({"message_id": list(self.texts), "text": list(self.texts.values())}, dtype="str")

    def publish(self, *, rescore: bool = False) -> Decisions:
        """Decide, and write what a step writes in the transaction that publishes."""
        found = self.decide(rescore=rescore)
        self.keep(found)
        return found

    def decide(self, *, rescore: bool = False) -> Decisions:
        stored = None if rescore else self.stored
        return self.cascade.decide(self.rows, self.home, stored, asset=ASSET, partition=self.batch)

    def keep(self, found: Decisions) -> None:
        with self.home.ledger.write() as connection:
            record_reviews(connection, self.cascade, ASSET, self.batch, found, set(found.frame["message_id"]))
        self.stored = found.frame

    def row(self, message_id: str) -> dict[str, Any]:
        """The decision on a message, as it was published last."""
        assert self.stored is not None
        (found,) = self.stored[self.stored["message_id"] == message_id].to_dict("records")
        return {str(name): None if pd.isna(value) else value for name, value in found.items()}

    def column(self, name: str) -> dict[str, Any]:
        return {message_id: self.row(message_id)[name] for message_id in self.texts}

    def _read(self, rows: pd.DataFrame) -> pd.DataFrame:
        found = [self.answers[message_id] for message_id in rows["message_id"]]
        return pd.DataFrame(found, index=rows.index, columns=["label", "confidence"]).assign(reason="")


def acting(home: Home, name: str) -> Home:
    """The same stores, used by one of the people."""
    file = home.root / "people.toml"
    file.write_text(PEOPLE)
    return sharing(home, people=file, person=name)


def with_policy(home: Home, text: str) -> Home:
    """The same stores under another policy, `text` its table of reviews; no checks are drawn."""
    return _with_policy(home, f"[reviews]\n{text}\n[checks]\nshare = 0\nper_day = 0\n")


def with_checks(home: Home, text: str = "share = 1") -> Home:
    """The same stores under another policy, `text` its table of checks."""
    return _with_policy(home, f"[checks]\n{text}\n")


def _with_policy(home: Home, text: str) -> Home:
    file = home.root / "policy.toml"
    file.write_text(text)
    return sharing(home, policy=file)


def sharing(home: Home, **settings: Any) -> Home:
    other = Home(replace(home.settings, **settings))
    vars(other)["ledger"] = home.ledger
    return other


def decide(home: Home, message_id: str, label: str, name: str = "anna") -> review_orders.Decided:
    """Decide the latest review of a message that can be decided."""
    return review_orders.decide(acting(home, name), review_of(home, message_id, "open", "overdue").review_id, label)


def appeal(desk: Desk, message_id: str, why: str = "it is wrong") -> int:
    decision = desk.row(message_id)
    return review_orders.appeal(acting(desk.home, "anna"), ASSET, desk.batch, message_id, decision, why)


def open_check(desk: Desk, message_id: str) -> int:
    """Have an accepted answer checked, as a random check does."""
    digests = dict(zip(desk.texts, content_digests(desk.rows, desk.home.secret), strict=True))
    row: dict[str, Any] = {
        "asset": ASSET,
        "partition": desk.batch,
        "message_id": message_id,
        "content_digest": digests[message_id],
    }
    row |= {"cause": "check", "probability": 0.5, "proposal": {**desk.row(message_id), "runner_up": None}}
    with desk.home.ledger.write() as connection:
        reviews.insert(connection, [{**row, "respond_by": now() + timedelta(hours=1)}])
    return review_of(desk.home, message_id).review_id


def all_reviews(home: Home, *states: str) -> list[Review]:
    with home.ledger.read() as connection:
        return [found for found in reviews.select(connection) if not states or found.state in states]


def review_of(home: Home, message_id: str, *states: str) -> Review:
    """The latest review of a message, of those in the states."""
    return max(
        (found for found in all_reviews(home, *states) if found.message_id == message_id),
        key=lambda found: found.review_id,
    )


def states(home: Home, message_id: str | None = None) -> list[tuple[str, str, str]]:
    """(message, cause, state) of each review, by number."""
    found = sorted(all_reviews(home), key=lambda review: review.review_id)
    return [(one.message_id, one.cause, one.state) for one in found if message_id in (None, one.message_id)]


def all_verdicts(home: Home) -> list[Verdict]:
    with home.ledger.read() as connection:
        return verdicts.select(connection)


def set_review(home: Home, review_id: int, **values: Any) -> None:
    with home.ledger.write() as connection:
        reviews.update(connection, [review_id], **values)


def let_time_pass(home: Home, *review_ids: int) -> None:
    """Nobody decided these reviews in time."""
    for review_id in review_ids:
        set_review(home, review_id, respond_by=now() - timedelta(seconds=1))


def requests(home: Home) -> list[tuple[str, str, str, dict[str, str] | None]]:
    """(key, job, state, tags) of each run request, in the order of their making."""
    table = RUN_REQUESTS.c
    query = sa.select(table.key, table.job, table.state, table.tags).order_by(table.requested_at, table.key)
    with home.ledger.read() as connection:
        return [(key, job, state, tags) for key, job, state, tags in connection.execute(query)]


def actions(home: Home) -> list[str]:
    """What was audited, in order; the chain holds."""
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        return list(connection.execute(sa.select(AUDIT.c.action).order_by(AUDIT.c.sequence)).scalars())


def counts(home: Home) -> dict[str, int]:
    """State → number of messages, of the states in which some are."""
    with home.ledger.read() as connection:
        found = batches.count_states(connection)
    assert min(found.values()) >= 0
    return {state: number for state, number in found.items() if number}


def everything(home: Home, files: Iterable[Path] = ()) -> str:
    """All that the ledger holds of people's work: equal before and after what was refused."""
    told: list[object] = [all_reviews(home), all_verdicts(home), requests(home), actions(home)]
    return repr([*told, *(file.read_bytes() for file in files)])


def with_batch(home: Home, *message_ids: str) -> None:
    """The batch of a desk, its messages claimed and its run over."""
    arrival = {"arrival_id": "f", "file": "f", "file_sha256": "0", "path": "f", "columns": "[]", "batch": BATCH}
    with home.ledger.write() as connection:
        row = {"batch": BATCH, "rows": len(message_ids), "duplicates": 0, "state": "done", "opened_at": now()}
        connection.execute(sa.insert(BATCHES).values(**row))
        connection.execute(sa.insert(ARRIVALS).values(**arrival, rows=len(message_ids), registered_at=now()))
        connection.execute(sa.insert(CLAIMS), [{"message_id": one, "batch": BATCH} for one in message_ids])


def desk_of(home: Home, **answers: Any) -> Desk:
    """A desk that has published once: two rows that wait, unless answers are given."""
    desk = Desk(home, answers or {"a": UNSURE, "b": ("calm", 0.2)})
    desk.publish()
    return desk


def number(home: Home, message_id: str = "a") -> int:
    """Number of the review of a message."""
    return review_of(home, message_id).review_id
