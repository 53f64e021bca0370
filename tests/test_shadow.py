"""What performers in shadow answer, as a table beside the decisions: published with them, kept, and given up with them."""

import re

import dagster as dg
import pytest
from note_workflow import batch_of, promote, published, run, run_next, send
from switched import switch

from orchestration_project.governance import audit, batch_orders
from orchestration_project.stores import manifest
from orchestration_project.stores.audited import published_details
from orchestration_project.stores.home import Home

RULES = "mood rules"


@pytest.fixture
def home(named_home: Home) -> Home:
    promote(named_home)
    switch(named_home, "performer", RULES, "shadow")
    return named_home


def rows(home: Home, batch: str, asset: str = "mood_shadow") -> list[dict[str, object]]:
    with home.ledger.read() as connection:
        version = manifest.current(connection, asset, batch)
    return home.warehouse.read(version.path).to_pylist() if version else []


def test_they_are_published_with_the_decisions_and_named_in_the_ui(home: Home, instance: dg.DagsterInstance) -> None:
    batch = send(home, "angry", "still angry", "calm")
    result = run_next(home, instance)
    assert result is not None and result.success
    assert [row["decided_by"] for row in rows(home, batch, "mood")] == ["safe_state"] * 3
    found = {row["message_id"]: (row["performer"], row["label"], row["decided"]) for row in rows(home, batch)}
    assert found == {
        "id of angry": (RULES, "angry", "unknown"),
        "id of still angry": (RULES, "angry", "unknown"),
    }
    (event,) = result.asset_materializations_for_node("mood")
    (told,) = [value.value for name, value in event.metadata.items() if re.fullmatch(rf"{RULES} \w+ in shadow", name)]
    assert told == "0 of 2 as decided"
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        actions = [entry.subject for entry in audit.entries(connection, print) if entry.action == "published"]
    assert f"mood_shadow/{batch}" in actions


def test_they_are_kept_when_the_batch_is_decided_again(home: Home, instance: dg.DagsterInstance) -> None:
    batch = send(home, "angry")
    assert run_next(home, instance)
    before = rows(home, batch)
    switch(home, "performer", RULES, "on")
    assert run(instance, batch).success
    (after,) = rows(home, batch)
    assert after == {**before[0], "decided": "angry"}


def test_they_go_with_a_batch_that_is_given_up(home: Home, instance: dg.DagsterInstance) -> None:
    batch = send(home, "angry")
    assert run_next(home, instance)
    batch_orders.discard_batch(home, batch, "sent by mistake")
    assert published(home, batch) == {}


def test_where_none_was_asked_there_is_no_table(home: Home, instance: dg.DagsterInstance) -> None:
    switch(home, "performer", RULES, "on")
    batch = send(home, "angry")
    assert run_next(home, instance)
    assert batch_of(home, batch).state == "done"
    assert "mood_shadow" not in published(home, batch)


def test_they_are_made_anew_where_their_file_is_gone(home: Home, instance: dg.DagsterInstance) -> None:
    batch = send(home, "angry")
    assert run_next(home, instance)
    with home.ledger.read() as connection:
        version = manifest.current(connection, "mood_shadow", batch)
    assert version is not None
    (home.warehouse.root / version.path).unlink()
    result = run(instance, batch)
    assert result.success
    assert len(rows(home, batch)) == 1
    (event,) = result.asset_materializations_for_node("mood")
    assert str(event.metadata["lost in shadow"].value).startswith(f"{version.path} is named in the manifest")
    with home.ledger.read() as connection:
        (detail,) = published_details(connection, batch, "mood_shadow")[:1]
    assert detail["lost"].startswith(f"{version.path} is named in the manifest")
