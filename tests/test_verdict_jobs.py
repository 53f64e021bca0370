"""The run after a verdict: the job that it takes, the request that asks for it, and whose verdicts it names."""

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from reviewed_notes import SAFE
from shop_workflow import Mood, Order, order, parcel

from orchestration_project.dispatch.verdict_jobs import require_verdict_jobs, verdict_job
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.decorators import HOME
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.person import Person
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import run_requests
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.run_requests import RunRequest
from orchestration_project.stores.schema import RUN_REQUESTS

READER = Scripted("reader", same_answer("glad", 0.1), labels=["glad"])


def mood_of(cascade: Cascade) -> dg.AssetsDefinition:
    @model_output(cascade, contract=Mood, group_name="shop")
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        return order[["message_id", "note"]]

    return mood


@governed_asset(contract=Order, group_name="shop")
def reply(mood: pd.DataFrame) -> pd.DataFrame:
    """What hangs on the mood."""
    return mood


@governed_asset(contract=Order, group_name="elsewhere")
def statistics(mood: pd.DataFrame) -> pd.DataFrame:
    """What hangs on the mood, and is no part of the workflow."""
    return mood


WITH_PEOPLE = mood_of(Cascade(READER, Person(), safe_state=SAFE))
WITHOUT_PEOPLE = mood_of(Cascade(READER, safe_state=SAFE))
IN_SHOP = dg.AssetSelection.groups("shop")


def test_job_makes_the_asset_and_what_depends_on_it_in_the_workflow_and_nothing_else() -> None:
    assets = [order, parcel, WITH_PEOPLE, reply, statistics]
    definitions = dg.Definitions(assets, jobs=[verdict_job("mood", IN_SHOP)], resources={HOME: None})
    job = definitions.get_repository_def().get_job("verdicts_on_mood")
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {"mood", "reply"}


def test_asset_that_people_decide_needs_its_job() -> None:
    job = verdict_job("mood", IN_SHOP)
    with pytest.raises(ValueError, match=r"no job verdicts_on_mood applies .* Add verdict_job\('mood', …\)"):
        require_verdict_jobs([order, WITH_PEOPLE], [verdict_job("order", IN_SHOP)])
    require_verdict_jobs([order, WITH_PEOPLE, dg.AssetSpec("elsewhere")], [job])
    require_verdict_jobs([order, WITHOUT_PEOPLE, dg.AssetSpec("elsewhere")], [])


def lease(ledger: Ledger) -> RunRequest:
    with ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    return found


def states(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        query = sa.select(RUN_REQUESTS.c.key, RUN_REQUESTS.c.state)
        return {key: state for key, state in connection.execute(query)}


def end(ledger: Ledger, key: str, state: str) -> None:
    with ledger.write() as connection:
        assert run_requests.end(connection, key, state)


def request(ledger: Ledger, cause: str = "arrival", attempt: int = 1) -> str:
    with ledger.write() as connection:
        return run_requests.request(connection, batch="b1", cause=cause, attempt=attempt)


def request_after_verdict(ledger: Ledger, person: str, asset: str = "mood", batch: str = "b1") -> str:
    with ledger.write() as connection:
        return run_requests.request_after_verdict(connection, batch=batch, asset=asset, person=person)


def request_of(ledger: Ledger, key: str) -> tuple[str, dict[str, str] | None]:
    """Job and tags of a request."""
    with ledger.read() as connection:
        row = connection.execute(
            sa.select(RUN_REQUESTS.c.job, RUN_REQUESTS.c.tags).where(RUN_REQUESTS.c.key == key)
        ).one()
    return row.job, row.tags


def test_verdicts_before_the_run_is_submitted_share_one_request_that_names_all_who_made_them(ledger: Ledger) -> None:
    keys = {request_after_verdict(ledger, person) for person in ("anna", "ben", "anna", "")}
    assert keys == {"b1/verdict-mood/1"}
    assert request_of(ledger, "b1/verdict-mood/1") == ("verdicts_on_mood", {"orchestrate/reviewers": "anna,ben"})
    assert lease(ledger).run_tags() == {"orchestrate/reviewers": "anna,ben", "orchestrate/request": "b1/verdict-mood/1"}


def test_verdict_after_the_run_was_submitted_asks_for_another(ledger: Ledger) -> None:
    first = request_after_verdict(ledger, "anna")
    lease(ledger)
    second = request_after_verdict(ledger, "ben")
    assert second == request_after_verdict(ledger, "carl")
    end(ledger, first, "succeeded")
    assert states(ledger) == {first: "succeeded", "b1/verdict-mood/2": "requested"}
    assert request_of(ledger, second)[1] == {"orchestrate/reviewers": "ben,carl"}


def test_verdicts_on_another_asset_or_batch_ask_for_a_run_of_their_own(ledger: Ledger) -> None:
    keys = [
        request_after_verdict(ledger, "anna", asset, batch)
        for asset in ("mo", "mood", "mo_d")
        for batch in ("b1", "b_")
    ]
    assert len(set(keys)) == 6
    assert {request_of(ledger, key)[0] for key in keys} == {"verdicts_on_mo", "verdicts_on_mood", "verdicts_on_mo_d"}


def test_run_after_reviews_that_nobody_decided_names_nobody(ledger: Ledger) -> None:
    key = request_after_verdict(ledger, "")
    assert (request_after_verdict(ledger, ""), request_of(ledger, key)[1]) == (key, None)
    assert request_after_verdict(ledger, "anna") == key
    assert request_of(ledger, key)[1] == {"orchestrate/reviewers": "anna"}


@pytest.mark.parametrize("attempt", [2, 3, 7])
def test_another_attempt_keeps_job_and_tags_whatever_its_number(ledger: Ledger, attempt: int) -> None:
    end(ledger, request_after_verdict(ledger, "anna"), "failed")
    key = request(ledger, cause="verdict-mood", attempt=attempt)
    assert key == f"b1/verdict-mood/{attempt}"
    assert request_of(ledger, key) == ("verdicts_on_mood", {"orchestrate/reviewers": "anna"})
    assert request_of(ledger, request(ledger)) == ("workflow", None)


def test_verdict_after_attempts_that_failed_takes_the_next_number(ledger: Ledger) -> None:
    end(ledger, request_after_verdict(ledger, "anna"), "failed")
    end(ledger, request(ledger, cause="verdict-mood", attempt=3), "failed")
    assert request_after_verdict(ledger, "ben") == "b1/verdict-mood/4"
    assert request_of(ledger, "b1/verdict-mood/4")[1] == {"orchestrate/reviewers": "ben"}
