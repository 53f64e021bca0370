"""What a rescore would change, without a rescore: on a copy, row by row against the version in use."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from reviewed_notes import with_policy
from shop_workflow import Mood, order, rows, run, send, version

from orchestration_project.core.erasing import ERASED
from orchestration_project.dispatch.dry_rescore import MOST_NAMED, Change, Preview, compared, previews
from orchestration_project.governance import review_orders
from orchestration_project.governance.switch_orders import Turn, turn
from orchestration_project.model_output import model_output
from orchestration_project.model_output.decorators import step_of
from orchestration_project.model_output.step import Step
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.person import Person
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores import reviews
from orchestration_project.stores.home import Home
from orchestration_project.stores.home_copy import copy_of
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import Version
from orchestration_project.stores.schema import METADATA

VERSION = Version("mood", "b1", 3, "run", "path", "0", 4, {}, now())
Answers = dict[str, tuple[str | None, float | None]]

BEFORE: Answers = {"sure": ("glad", 0.9), "asked": ("glad", 0.1), "doubt": ("glad", 0.2), "vague": ("glad", 0.3)}


def mood_of(answers: Answers, reader: str = "reader 1") -> tuple[dg.AssetsDefinition, Scripted]:
    """The asset `mood`, which leaves to people what its reader is not sure of."""

    def script(orders: pd.DataFrame) -> pd.DataFrame:
        found = [answers[message_id] for message_id in orders["message_id"]]
        return pd.DataFrame(found, index=orders.index, columns=["label", "confidence"]).assign(reason="")

    name, number = reader.split()
    performer = Scripted(name, script, labels=["glad", "cross"], version=number)

    @model_output(Cascade(performer, Person(), safe_state=SafeLabel("unknown")), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    return mood, performer


def step(mood: dg.AssetsDefinition) -> Step:
    found = step_of(mood)
    assert found is not None
    return found


@pytest.fixture
def shop(home: Home) -> Home:
    """Batch `b1`: one row accepted, one decided by a person as cross, two that wait."""
    home = with_policy(home, "")
    mood, _ = mood_of(BEFORE)
    send(home, *(f"{message_id},note of {message_id},1" for message_id in BEFORE))
    assert run(home, order, mood).success
    with home.ledger.read() as connection:
        (review,) = [one for one in reviews.select(connection) if one.message_id == "asked"]
    review_orders.decide(home, review.review_id, "cross")
    assert run(home, order, mood).success
    return home


def preview(home: Home, tmp_path: Path, mood: dg.AssetsDefinition) -> Preview:
    copy = copy_of(home, tmp_path / "copy")
    (found,) = previews(copy, [step(mood)], ["b1", "b2"])
    copy.ledger.close()
    return found


def everything(home: Home) -> list[Any]:
    with home.ledger.read() as connection:
        told = [connection.execute(sa.select(table)).all() for table in METADATA.sorted_tables]
    return [told, sorted(str(path) for path in home.root.rglob("*.parquet"))]


def decisions(*found: tuple[str | None, bool, str], performer: str = "reader", **more: Any) -> pd.DataFrame:
    frame = pd.DataFrame(found, columns=["label", "accepted", "state"])
    frame["message_id"] = [f"m{number}" for number in range(len(frame))]
    frame["decided_by"], frame["performer"], frame["version"] = "model", performer, "1"
    return frame.assign(**{"degraded": False, "message_digest": "0", **more})


# On a copy


def test_verdict_stands_and_of_the_rows_that_wait_one_is_accepted(shop: Home, tmp_path: Path) -> None:
    before = everything(shop)
    after: Answers = {**BEFORE, "sure": ("cross", 0.4), "doubt": ("cross", 0.8)}
    mood, reader = mood_of(after, "reader 2")
    found = preview(shop, tmp_path, mood)
    assert reader.asked == 3, "nobody is asked about a row that a person decided"
    current = version(shop, "mood")
    assert current is not None
    assert (found.model_output, found.batch, found.version, found.rows) == ("mood", "b1", current.version, 4)
    assert (found.verdicts, found.still_waiting, found.no_longer_waiting, found.newly_waiting) == (1, 1, 1, 1)
    assert (found.newly_accepted, found.no_longer_accepted, found.labels_changed) == (1, 1, 2)
    assert found.changes == [Change("glad", "cross", 2)]
    (person,) = set(rows(shop, "mood").set_index("message_id").loc[["asked"], "performer"])
    assert found.answered == {"reader 1": (3, 0), "reader 2": (0, 3), person: (1, 1)}
    assert found.message_ids == ["sure", "doubt"]
    assert everything(shop) == before


def test_same_performers_change_nothing(shop: Home, tmp_path: Path) -> None:
    found = preview(shop, tmp_path, mood_of(BEFORE)[0])
    assert (found.changes, found.message_ids, found.newly_accepted, found.no_longer_accepted) == ([], [], 0, 0)
    assert (found.still_waiting, found.no_longer_waiting, found.newly_waiting) == (2, 0, 0)


def test_it_shows_what_the_rescore_then_does(shop: Home, tmp_path: Path) -> None:
    after: Answers = {**BEFORE, "sure": ("cross", 0.9), "vague": ("cross", 0.8)}
    mood, _ = mood_of(after, "reader 2")
    found = preview(shop, tmp_path, mood)
    before = rows(shop, "mood")
    current = version(shop, "mood")
    assert current is not None
    assert run(shop, order, mood, tags={"orchestrate/rescore": "mood"}).success
    assert compared("mood", current, before, rows(shop, "mood")) == found
    assert found.message_ids == ["sure", "vague"]


def test_nobody_is_asked_in_shadow(shop: Home, tmp_path: Path) -> None:
    turn(shop, Turn("performer", "reader", "shadow"), "it errs")
    mood, reader = mood_of(BEFORE)
    found = preview(shop, tmp_path, mood)
    assert reader.asked == 0
    assert (found.no_longer_accepted, found.newly_waiting) == (1, 1)


def test_erased_row_is_left_as_it_is(shop: Home, tmp_path: Path) -> None:
    current = version(shop, "mood")
    assert current is not None
    file = shop.warehouse.root / current.path
    frame = pd.read_parquet(file)
    frame.loc[frame["message_id"] == "sure", "message_digest"] = ERASED
    frame.to_parquet(file)
    mood, reader = mood_of({**BEFORE, "sure": ("cross", 0.9)}, "reader 2")
    found = preview(shop, tmp_path, mood)
    assert (found.erased, found.labels_changed, found.message_ids, reader.asked) == (1, 0, [], 2)


# Row by row


def test_label_that_is_missing_is_no_change_unless_it_comes_or_goes() -> None:
    before = decisions((None, False, "pending"), (None, False, "pending"), ("glad", False, "pending"))
    after = decisions((None, False, "pending"), ("glad", True, "decided"), (None, False, "pending"))
    found = compared("mood", VERSION, before, after)
    assert sorted(found.changes, key=str) == [Change("glad", None, 1), Change(None, "glad", 1)]
    assert (found.labels_changed, found.message_ids) == (2, ["m1", "m2"])


def test_acceptance_alone_is_a_change_and_a_failure_behind_an_answer_is_counted() -> None:
    before = decisions(("glad", True, "decided"), ("glad", False, "decided"))
    after = decisions(("glad", False, "decided"), ("glad", False, "decided"), performer="other", degraded=True)
    found = compared("mood", VERSION, before, after)
    assert (found.labels_changed, found.no_longer_accepted, found.degraded) == (0, 1, 2)
    assert (found.message_ids, found.answered) == (["m0"], {"other 1": (0, 2), "reader 1": (2, 0)})


def test_so_many_changed_messages_are_named_and_rows_of_one_side_are_not_compared() -> None:
    before = decisions(*[("glad", True, "decided")] * 30)
    after = decisions(*[("cross", True, "decided")] * 25)
    found = compared("mood", VERSION, before, after)
    assert (found.rows, found.labels_changed) == (25, 25)
    assert found.message_ids == [f"m{number}" for number in range(MOST_NAMED)]


def test_without_rows_nothing_changes() -> None:
    nothing = decisions(("glad", True, "decided")).head(0)
    found = compared("mood", VERSION, nothing, nothing)
    assert (found.rows, found.changes, found.answered, found.message_ids) == (0, [], {}, [])
