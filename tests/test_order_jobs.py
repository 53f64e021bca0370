"""Orders that people give in Dagster's UI: each job does what its verb does, and a refusal fails the run with its
sentence.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from shop_workflow import audited, counts, mood_asset, open_halts, order, quarantined, rows, run, send

from orchestration_project.dispatch.order_jobs import order_jobs
from orchestration_project.model_output.decorators import HOME
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores import batches, cascades, run_requests, switches
from orchestration_project.stores.accepted_columns import read_accepted
from orchestration_project.stores.cascades import KnownCascade
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


def test_rows_are_corrected_by_the_text_and_by_the_file_of_a_csv(home: Home, tmp_path: Path) -> None:
    send(home, "a,damn,1", "b,damn,2", "c,hello,3")
    assert run(home, order).success
    with home.ledger.read() as connection:
        first, second = (row.row_id for row in Selection().find(connection))
    file = tmp_path / "corrected.csv"
    file.write_text(f"quarantine row,note\n{second},dearest\n")
    assert give(home, "correct_refused_rows", csv=f"quarantine row,note\n{first},dear\n").success
    assert give(home, "correct_refused_rows", file=str(file)).success
    with home.ledger.read() as connection:
        assert [row.correction for row in Selection().find(connection)] == [{"note": "dear"}, {"note": "dearest"}]


def test_column_of_refused_rows_is_renamed(home: Home) -> None:
    refused(home)
    assert give(home, "rename_refused_column", everything=True, old="note", new="remark").success
    with home.ledger.read() as connection:
        (row,) = Selection().find(connection)
    assert row.correction == {"remark": "damn", "note": None}


@pytest.mark.parametrize(("choice", "name"), [({"ignore": True}, ""), ({"name": "note"}, "note")])
def test_column_is_accepted_and_its_batch_goes_on(
    home: Home, tmp_path: Path, choice: dict[str, Any], name: str
) -> None:
    home = Home(replace(home.settings, accepted_columns=tmp_path / "accepted.csv"))
    send(home, "b,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    assert give(home, "accept_column", asset="order", column="colour", **choice).success
    assert read_accepted(home.settings.accepted_columns) == {"order": {"colour": name}}
    assert ("column accepted", "order") in audited(home)
    assert run(home, order).success


def test_row_is_discarded(home: Home) -> None:
    refused(home)
    assert give(home, "discard_refused_rows", rule="note_polite").success
    assert (quarantined(home), counts(home)) == ([], {"working": 1, "discarded": 1})


def test_batch_is_retried_and_discarded(home: Home) -> None:
    refused(home)
    assert give(home, "retry_batch", batch="b1").success
    assert give(home, "discard_batch", batch="b1").success
    assert counts(home) == {"discarded": 2}


def test_batch_is_rescored(home: Home) -> None:
    mood, reader = mood_asset(same_answer("glad", 0.9))
    send(home, "a,hello,1")
    assert run(home, order, mood).success
    assert give(home, "rescore_batch", batch="b1", model_output="mood").success
    with home.ledger.read() as connection:
        (found,) = run_requests.open_requests(connection, "b1")
    assert run(home, order, mood, tags=found.run_tags()).success
    assert reader.asked == 2


def test_halt_is_discarded(home: Home) -> None:
    send(home, "b,hello,1,red", columns="message_id,note,pieces,colour")
    assert not run(home, order).success
    assert give(home, "discard_halt", batch="b1").success
    assert open_halts(home) == []


def test_asset_is_switched(home: Home) -> None:
    with home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("topic", ("finder", "unknown"), ("shop",), False))
    assert give(home, "switch", kind="asset", name="topic", state="safe_state").success
    with home.ledger.read() as connection:
        assert [found.name for found in switches.taken_out(connection)] == ["topic"]


@pytest.mark.parametrize(
    ("job", "config", "words"),
    [
        ("switch", {"kind": "asset", "name": "topic", "state": "safe_state"}, "No model output 'topic' has decided"),
        ("switch", {"kind": "colour", "name": "topic", "state": "off"}, "Nothing of the kind 'colour' is switched."),
        ("replay_refused_rows", {}, "No rows are named. Set rows, asset, batch or rule, or everything."),
        ("discard_refused_rows", {"rows": [99]}, "No refused row has the number 99. See: orchestrate quarantine list"),
        ("correct_refused_row", {"row": 99, "values": {"note": "x"}}, "No refused row has the number 99."),
        ("correct_refused_rows", {}, "Give the corrections either as csv or as the path of a file."),
        ("correct_refused_rows", {"csv": "note\nx"}, "The corrections have no column 'quarantine row'."),
        ("correct_refused_rows", {"file": "/nowhere.csv"}, "/nowhere.csv cannot be read as CSV"),
        ("rename_refused_column", {"old": "note", "new": "x"}, "No rows are named."),
        ("rename_refused_column", {"old": "remark", "new": "note", "everything": True}, "None of the rows has a value"),
        ("accept_column", {"asset": "order", "column": "note"}, "Say either a name for the column, or ignore."),
        ("accept_column", {"asset": "order", "column": "kolour", "ignore": True}, "No file that came in has a column"),
        ("retry_batch", {"batch": "b9"}, "There is no batch 'b9'."),
        ("rescore_batch", {"batch": "b9"}, "There is no batch 'b9'."),
        ("rescore_batch", {"batch": "b1", "model_output": "mud"}, "No model output 'mud' has decided anything yet."),
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


def test_refusal_that_quotes_a_value_is_redacted(home: Home) -> None:
    refused(home)
    result = give(home, "correct_refused_rows", csv="quarantine row,note\njane@example.com,x")
    assert said(result).startswith("'[e-mail]' is no number of a refused row.")
