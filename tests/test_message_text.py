"""What people write stays in the warehouse: neither Dagster's metadata nor the audit repeats it."""

import json

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from shop_workflow import mood_asset, order, rows, run, send

from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT

SECRET = "my card 4111-1111 was stolen"


def told(home: Home, result: dg.ExecuteInProcessResult) -> str:
    """All that materialisations, checks and the audit say."""
    metadata = [
        [str(value.value) for value in event.step_materialization_data.materialization.metadata.values()]
        for event in result.all_events
        if event.is_step_materialization
    ]
    checks = [[check.description, str(check.metadata)] for check in result.get_asset_check_evaluations()]
    with home.ledger.read() as connection:
        audited = [[*row] for row in connection.execute(sa.select(AUDIT.c.subject, AUDIT.c.detail))]
    return json.dumps([metadata, checks, audited])


def test_performer_that_answers_with_the_text_is_told_by_its_count(home: Home) -> None:
    mood, _ = mood_asset(lambda rows: same_answer("glad", 0.9)(rows).assign(label=rows["note"]))
    send(home, f"a,{SECRET},1", "b,glad,1")
    result = run(home, order, mood)
    assert result.success
    assert "reader answered 1 of 2 rows with none of its labels." in told(home, result)
    assert SECRET not in told(home, result)
    first, second = rows(home, "mood")["reason"]
    assert SECRET in first
    assert SECRET not in second


def test_performer_that_fails_on_a_text_is_told_by_the_type_of_its_error(home: Home) -> None:
    def parse(rows: pd.DataFrame) -> pd.DataFrame:
        return same_answer("glad", 0.9)(rows).assign(confidence=rows["note"].astype("float64"))

    mood, _ = mood_asset(parse)
    send(home, f"a,{SECRET},1")
    result = run(home, order, mood)
    assert result.success
    assert "ValueError" in told(home, result)
    assert SECRET not in told(home, result)
