"""Steps with a Person in their cascade: what waits, what flows on, and what a verdict makes again."""

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa
from reviewed_notes import SAFE, acting, all_verdicts, counts, decide, let_time_pass, review_of, states
from reviewed_shop import READER, published, run_requested, take_in
from shop_workflow import Mood, order, quarantined, rows, run, send, version

from orchestration_project.governance import review_orders
from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.performer import Prepared
from orchestration_project.performers.person import Person
from orchestration_project.stores import cascades, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import RUN_REQUESTS

NOTES = {"sure": "cross 0.9", "unsure": "glad 0.3", "unread": "? "}


@pytest.fixture(autouse=True)
def reader() -> None:
    READER.asked = 0


def column(home: Home, batch: str, name: str, asset: str = "mood") -> dict[str, object]:
    found = rows(home, asset, batch)
    return dict(zip(found["message_id"], found[name], strict=True))


def versions(home: Home, batch: str) -> dict[str, int]:
    found = {asset: version(home, asset, batch) for asset in ("order", "parcel", "mood", "reply")}
    return {asset: one.version for asset, one in found.items() if one is not None}


def run_of(home: Home, instance: dg.DagsterInstance) -> dg.JobExecutionResult:
    (result,) = run_requested(home, instance)
    assert result.success
    return result


def test_undecided_rows_wait_and_the_rest_of_the_batch_flows_on(named_home: Home, instance: dg.DagsterInstance) -> None:
    batch = published(named_home, instance, **NOTES)
    assert column(named_home, batch, "state") == {"sure": "decided", "unsure": "pending", "unread": "pending"}
    assert column(named_home, batch, "text", "reply") == {"sure": "We hear that you are cross"}
    assert len(rows(named_home, "parcel", batch)) == 3
    assert states(named_home) == [("unsure", "unsure", "open"), ("unread", "unsure", "open")]
    assert counts(named_home) == {"done": 1, "pending": 2}


def test_publishing_tells_how_many_wait(named_home: Home, instance: dg.DagsterInstance) -> None:
    take_in(named_home, **NOTES)
    (event,) = run_of(named_home, instance).asset_materializations_for_node("mood")
    told = {name: event.metadata[name].value for name in ("waiting_for_people", "decided_by_people")}
    assert told == {"waiting_for_people": 2, "decided_by_people": 0}
    with named_home.ledger.read() as connection:
        assert cascades.require(connection, "mood").labels == ("cross", "glad", "unknown")


def test_verdict_makes_again_what_depends_on_it_in_its_batch_and_asks_nobody(
    named_home: Home, instance: dg.DagsterInstance
) -> None:
    other = published(named_home, instance, unrelated="glad 0.2")
    batch = published(named_home, instance, **NOTES)
    assert READER.asked == 4
    decide(named_home, "unread", "glad", "ben")
    assert counts(named_home) == {"working": 3, "pending": 1}
    result = run_of(named_home, instance)
    assert READER.asked == 4
    assert versions(named_home, batch) == {"order": 1, "parcel": 1, "mood": 2, "reply": 2}
    assert versions(named_home, other) == {"order": 1, "parcel": 1, "mood": 1, "reply": 1}
    assert column(named_home, batch, "state") == {"sure": "decided", "unsure": "pending", "unread": "decided"}
    assert column(named_home, batch, "label") == {"sure": "cross", "unsure": "glad", "unread": "glad"}
    assert column(named_home, batch, "text", "reply") == {
        "sure": "We hear that you are cross",
        "unread": "We hear that you are glad",
    }
    assert result.dagster_run.tags["orchestrate/reviewers"] == "ben"
    assert result.dagster_run.job_name == "verdicts_on_mood"
    assert counts(named_home) == {"done": 2, "pending": 2}


def test_people_are_in_the_lineage_of_their_batch(named_home: Home, instance: dg.DagsterInstance) -> None:
    batch = published(named_home, instance, **NOTES)
    assert not of_verdicts(instance, batch)
    decide(named_home, "unread", "glad", "ben")
    decide(named_home, "unsure", "cross", "anna")
    run_of(named_home, instance)
    (found,) = of_verdicts(instance, batch)
    assert {name: value.value for name, value in found.metadata.items()} == {
        "on": "mood",
        "verdicts": 2,
        "reviewers": "anna, ben",
    }


def of_verdicts(instance: dg.DagsterInstance, batch: str) -> list[dg.AssetMaterialization]:
    key = dg.AssetKey("verdicts")
    filtered = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[batch])
    found = [record.asset_materialization for record in instance.fetch_materializations(filtered, limit=9).records]
    return [event for event in found if event is not None]


def test_correction_is_followed_downstream(named_home: Home, instance: dg.DagsterInstance) -> None:
    batch = published(named_home, instance, unsure="glad 0.3")
    decide(named_home, "unsure", "cross")
    run_of(named_home, instance)
    review_orders.reopen(acting(named_home, "ben"), review_of(named_home, "unsure").review_id, "a doubt")
    assert counts(named_home) == {"done": 1}
    decide(named_home, "unsure", "glad", "ben")
    run_of(named_home, instance)
    assert column(named_home, batch, "text", "reply") == {"unsure": "We hear that you are glad"}
    assert [(verdict.label, verdict.is_current) for verdict in all_verdicts(named_home)] == [
        ("cross", False),
        ("glad", True),
    ]
    assert READER.asked == 1


def test_default_of_an_overdue_review_flows_on(named_home: Home, instance: dg.DagsterInstance) -> None:
    batch = published(named_home, instance, **NOTES)
    let_time_pass(named_home, review_of(named_home, "unsure").review_id)
    expire(named_home)
    result = run_of(named_home, instance)
    assert column(named_home, batch, "accepted") == {"sure": True, "unsure": False, "unread": False}
    assert column(named_home, batch, "text", "reply")["unsure"] == "We hear that you are glad"
    assert "orchestrate/reviewers" not in result.dagster_run.tags
    assert counts(named_home) == {"done": 2, "pending": 1}


def test_run_of_a_verdict_that_fails_is_tried_again_with_its_job_and_tags(
    named_home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, fails = READER.prepare, [True, False, True, False]

    def prepared(home: Home) -> Prepared:
        if fails.pop(0):
            raise ConnectionError("the network is away")
        return prepare(home)

    monkeypatch.setattr(READER, "prepare", prepared)
    batch = take_in(named_home, **NOTES)
    assert [result.success for result in run_requested(named_home, instance)] == [False, True]
    decide(named_home, "unsure", "cross")
    failed, again = run_requested(named_home, instance)
    assert (failed.success, again.success) == (False, True)
    for result in (failed, again):
        assert result.dagster_run.job_name == "verdicts_on_mood"
        assert result.dagster_run.tags["orchestrate/reviewers"] == "anna"
    assert column(named_home, batch, "label")["unsure"] == "cross"
    assert READER.asked == 3


def test_verdicts_of_one_batch_share_a_run_until_it_is_submitted(
    named_home: Home, instance: dg.DagsterInstance
) -> None:
    batch = published(named_home, instance, **{f"m{number}": "glad 0.1" for number in range(3)})
    decide(named_home, "m0", "cross", "anna")
    decide(named_home, "m1", "cross", "ben")
    with named_home.ledger.write() as connection:
        leased = run_requests.lease_next(connection, 60)
    assert leased is not None
    assert leased.run_tags()["orchestrate/reviewers"] == "anna,ben"
    decide(named_home, "m2", "glad", "lea")
    with named_home.ledger.read() as connection:
        query = sa.select(RUN_REQUESTS.c.key, RUN_REQUESTS.c.state).where(RUN_REQUESTS.c.key.contains("verdict"))
        assert dict(connection.execute(query.order_by(RUN_REQUESTS.c.key)).all()) == {
            f"{batch}/verdict-mood/1": "submitted",
            f"{batch}/verdict-mood/2": "requested",
        }
    assert run_of(named_home, instance).dagster_run.tags["orchestrate/reviewers"] == "lea"
    assert column(named_home, batch, "label") == {"m0": "cross", "m1": "cross", "m2": "glad"}


def test_row_that_the_gate_refuses_gets_no_review(home: Home) -> None:
    @model_output(Cascade(READER, Person(), safe_state=SAFE), contract=Certain)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        return order[["message_id", "note"]]

    send(home, "a,glad 0.1,1", "b,glad 0.4,1", "c,glad 0.9,1")
    assert run(home, order, mood).success
    assert rows(home, "mood")["message_id"].tolist() == ["b", "c"]
    assert quarantined(home) == [("a", "confidence_greater_than_or_equal_to")]
    assert states(home) == [("b", "unsure", "open")]


class Certain(Mood):
    """A mood of which the reader has to be a little sure."""

    confidence: float = pa.Field(ge=0.2, le=1, nullable=True)
