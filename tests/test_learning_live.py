"""People decide, a model learns, and it is taken out, put back, and made to forget: one story, through the real daemon."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from live_project import FAST, Project, wait_until
from test_retraining import LABELS, take_labels

from orchestration_project.governance import review_orders
from orchestration_project.stores import champions, reviews
from orchestration_project.stores.reviews import Review
from orchestration_project.stores.schema import AUDIT, REVIEWS

PEOPLE = """
[people.olga]
users = ["*"]
roles = ["operator", "reviewer", "privacy"]
skills = ["*"]

[people.tina]
users = ["*"]
roles = ["trainer", "approver"]

[people.ava]
users = ["*"]
roles = ["approver"]
"""

POLICY = """
[checks]
share = 0
per_day = 0

[learning]
shadow_rows = 3
approval = "somebody_else"
"""

STRANGE = "my zorble frumped again number"
"""What the first model has never seen; people know that it is about a delivery, and no praise."""

DANGER = f"{STRANGE}, and somebody hacked my account"
"""The same, and it cannot wait: `route.csv` gives it the highest priority."""

WHY = ("--reason", "rehearsal")


class Story(Project):
    """A project in which each command is given by a person."""

    def as_person(self, name: str) -> "Story":
        return Story(self.root, {**self.variables, "ORCHESTRATE_PERSON": name})

    def by(self, person: str, *arguments: str, status: int = 0) -> object:
        return self.as_person(person).orchestrate(*arguments, status=status)

    def waiting(self, asset: str) -> list[Review]:
        with self.home.ledger.read() as connection:
            return reviews.select(connection, REVIEWS.c.state == "open", REVIEWS.c.asset == asset)

    def send(self, name: str, count: int, *more: str) -> list[str]:
        """Messages of the strange kind, and more, in one file; returns their ids."""
        texts = [*(f"{STRANGE} {name} {number}" for number in range(count)), *more]
        rows = [
            {"message_id": f"{name}-{number}", "text": text, "received_at": f"2026-03-02T08:{number:02}:00Z"}
            for number, text in enumerate(texts)
        ]
        self.put(name, rows)
        return [row["message_id"] for row in rows]

    def decide(self, asset: str, label: str, least: int) -> None:
        """Olga decides all that waits of an asset, once so much does; one on the command line, the others at once."""
        wait_until(lambda: len(self.waiting(asset)) >= least, f"{least} reviews of {asset}")
        self.settled()
        found = self.waiting(asset)
        self.by("olga", "review", "decide", str(found[0].review_id), label)
        for review in found[1:]:
            review_orders.decide(self.as_person("olga").home, review.review_id, label)

    def asked(self, performer: str, batch: str) -> int:
        """About how many rows of a batch a performer was asked, in all runs together, not in shadow."""
        with self.home.ledger.read() as connection:
            query = sa.select(AUDIT.c.detail).where(AUDIT.c.subject.like(f"%/{batch}"), AUDIT.c.action == "published")
            details = [json.loads(detail) for detail in connection.execute(query).scalars()]
        works = [work for detail in details for work in detail.get("performers", ())]
        return sum(work["asked"] for work in works if work["performer"] == performer and not work["in_shadow"])

    def sentiment_of(self, message_ids: list[str]) -> list[tuple[str, str, str, bool]]:
        """(state, label, decided by, accepted) of messages, once all are published."""

        def found() -> list[tuple[str, str, str, bool]]:
            rows = self.rows("sentiment")
            own = rows[rows["message_id"].isin(message_ids)] if len(rows) else rows
            columns = ["state", "label", "decided_by", "accepted"]
            return list(own[columns].itertuples(index=False, name=None)) if len(own) == len(message_ids) else []

        return wait_until(found, f"the sentiment of {message_ids[0]} and others")

    def settled(self) -> None:
        wait_until(
            lambda: all(one["state"] in ("succeeded", "stopped") for one in self.requests()), "the end of all runs"
        )


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    (tmp_path / "people.toml").write_text(PEOPLE)
    (tmp_path / "policy.toml").write_text(POLICY)
    named = {"ORCHESTRATE_PEOPLE": str(tmp_path / "people.toml"), "ORCHESTRATE_POLICY": str(tmp_path / "policy.toml")}
    story = Story(tmp_path / "home", {**FAST, **named, "ORCHESTRATE_TARGET_ERROR": "0.3"})
    story.home.prepare()
    for family, labelled in LABELS.items():
        take_labels(story.as_person("tina").home, family, labelled)
    story.by("tina", "train")
    story.start_daemon()
    yield story
    story.kill()


def test_from_a_doubt_to_a_model_that_knows_and_back(story: Story) -> None:
    # What nobody is sure of waits; people decide, what depends on it follows, and nobody is asked twice.
    first = story.send("first", 10, DANGER)
    story.decide("sentiment", "negative", 11)
    story.decide("issue", "account", 10)
    wait_until(lambda: story.status() == {"done": 11}, "the messages that people decided")
    story.settled()
    (batch,) = {one["batch"] for one in story.requests() if one["batch"]}
    assert story.asked("sentiment model", batch) == 11
    issues = story.rows("issue", batch)
    assert len(issues) == 11
    by_rules = int((issues["decided_by"] == "rules").sum())
    assert story.asked("issue model", batch) == 11 - by_rules, "once about each that the rules before it left open"
    assert {row[2] for row in story.sentiment_of(first)} == {"person"}
    told = story.by("olga", "alerts", "--json")
    assert f"message/{first[-1]}" in [alert["key"] for alert in told], "what follows from the verdict"  # type: ignore[attr-defined]

    # Verdicts are labels; the model that learnt them is tried in shadow, and approved of by somebody else.
    (stats,) = story.by("tina", "labels", "stats", "--model", "sentiment", "--json")  # type: ignore[misc]
    assert stats["sources"]["verdict of olga"] == 11
    with story.home.ledger.read() as connection:
        old = champions.require_champion(connection, "sentiment").version
    (trained,) = story.by("tina", "train", "--model", "sentiment", "--json")  # type: ignore[misc]
    assert (trained["version"], trained["is_new"]) == (old, False)
    assert trained["reason"].startswith("on trial from now on")
    second = story.send("second", 3)
    assert {row[0] for row in story.sentiment_of(second)} == {"pending"}, "the version in use still decides"
    trial = story.by("ava", "model", "trial", "sentiment", "--json")
    assert isinstance(trial, dict) and trial["answers"] == 3
    new = str(trial["version"])
    refused = story.by("tina", "model", "promote", "sentiment", new, *WHY, status=1)
    assert "tina had it trained, and may not approve of it" in " ".join(str(refused).split())
    story.by("ava", "model", "promote", "sentiment", new, *WHY)

    # The same kind of message is now accepted.
    third = story.send("third", 2)
    assert story.sentiment_of(third) == [("decided", "negative", "model", True)] * 2
    assert set(story.rows("sentiment").set_index("message_id").loc[third, "version"]) == {new}

    # Switched off, it is asked no more, and the next, people, are; switched on, it decides again.
    story.by("olga", "switch", "performer", "sentiment model", "off", *WHY)
    fourth = story.send("fourth", 1)
    assert [row[0] for row in story.sentiment_of(fourth)] == ["pending"]
    (cause,) = [review.cause for review in story.waiting("sentiment") if review.message_id == fourth[0]]
    assert cause == "switched"
    story.by("olga", "switch", "performer", "sentiment model", "on", *WHY)
    assert story.sentiment_of(story.send("fifth", 1)) == [("decided", "negative", "model", True)]

    # A message is forgotten; the log holds, and the story can still be told.
    story.settled()
    forgotten = story.by("olga", "forget", first[0], "--why", "the customer asked", "--json")
    assert isinstance(forgotten, dict)
    assert {one["family"] for one in forgotten["models"]} >= {"sentiment"}
    story.by("olga", "audit", "verify")
    told = story.by("olga", "explain", first[0], "--json")
    assert f"{STRANGE} first 0" not in json.dumps(told)
    assert isinstance(told, dict)
    assert [one["decided_by"] for one in told["decisions"]] == ["person", "person"]
    assert str(story.by("olga", "explain", third[0], "--format", "mermaid")).startswith("graph TD")
