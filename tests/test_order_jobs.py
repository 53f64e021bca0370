"""Orders that people give in Dagster's UI: each job does what its verb does, and a refusal fails the run with its
sentence.
"""

from typing import Any

import dagster as dg
import pytest
from shop_workflow import audited, counts, open_halts, order, quarantined, rows, run, send

from orchestration_project.dispatch.order_jobs import order_jobs
from orchestration_project.model_output.decorators import HOME
from orchestration_project.stores import batches
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import Selection

JOBS = {job.name: job for job in order_jobs()}


def give(home: Home, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    (operation,) = JOBS[job].nodes
    config.setdefault("reason", "looked into it")
    return JOBS[job].execute_in_process(
        run_config={"ops": {operation.name: {"config": config}}}, resources={HOME: home}, raise_on_error=False
    )


def said(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def refused(home: Home) -> int:
    """Number of a row that batch `b1` refused, beside a good one."""
    send(home, "a,hello,1", "b,damn,2")
    assert run(home, order).success
    with home.ledger.read() as connection:
        (row,) = Selection().find(connection)
    return row.row_id


def test_row_is_corrected_and_replayed(home: Home) -> None:
    row = refused(home)
    assert give(home, "correct_refused_row", row=row, values={"note": "dear"}).success
    assert give(home, "replay_refused_rows", rows=[row]).success
    with home.ledger.read() as connection:
        successor = batches.all_keys(connection)[-1]
    assert run(home, order, batch=successor).success
    assert rows(home, "order", successor)["note"].tolist() == ["dear"]


def test_row_is_discarded(home: Home) -> None:
    refused(home)
    assert give(home, "discard_refused_rows", rule="note_polite").success
    assert (quarantined(home), counts(home)) == ([], {"working": 1, "discarded": 1})


def test_batch_is_retried_and_discarded(home: Home) -> None:
    refused(home)
    assert give(home, "retry_batch", batch="b1").success
    assert give(home, "discard_batch", batch="b1").success
    assert counts(home) == {"discarded": 2}


def test_halt_is_discarded(home: Home) -> None:
    send(home, "b,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    assert give(home, "discard_halt", batch="b1").success
    assert open_halts(home) == []


@pytest.mark.parametrize(
    ("job", "config", "words"),
    [
        ("replay_refused_rows", {}, "No rows are named. Set rows, asset, batch or rule, or everything."),
        ("discard_refused_rows", {"rows": [99]}, "No refused row has the number 99. See: orchestrate quarantine list"),
        ("correct_refused_row", {"row": 99, "values": {"note": "x"}}, "No refused row has the number 99."),
        ("retry_batch", {"batch": "b9"}, "There is no batch 'b9'."),
        ("discard_halt", {"batch": "b1"}, "Batch b1 is not halted. See what is: orchestrate halt list"),
        ("discard_batch", {"batch": "b1", "reason": " "}, "The reason is empty."),
    ],
)
def test_refused_order_fails_with_its_sentence_and_changes_nothing(
    home: Home, job: str, config: dict[str, Any], words: str
) -> None:
    refused(home)
    before = audited(home)
    result = give(home, job, **config)
    assert not result.success
    assert words in said(result)
    assert audited(home) == before
