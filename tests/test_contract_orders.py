"""A column that somebody accepts: who may, what is written, and which batches may go on."""

from dataclasses import replace
from pathlib import Path

import pytest
from shop_workflow import audited, order, run, send

from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance.contract_orders import accept_column
from orchestration_project.stores.accepted_columns import read_accepted
from orchestration_project.stores.home import Home


@pytest.fixture
def halted(home: Home, tmp_path: Path) -> Home:
    """A home with two batches that halt for the column `colour`."""
    home = Home(replace(home.settings, accepted_columns=tmp_path / "accepted.csv"))
    for batch in ("b1", "b2"):
        send(home, f"{batch},hello,1,red", columns="message_id,note,pieces,colour")
        assert not run(home, order, batch=batch).success
    return home


def test_batches_that_halted_at_the_asset_may_go_on(halted: Home) -> None:
    assert accept_column(halted, "order", "colour", None, "of no use") == ["b1", "b2"]
    assert read_accepted(halted.settings.accepted_columns) == {"order": {"colour": ""}}
    assert audited(halted).count(("column accepted", "order")) == 1


def test_column_that_is_accepted_already_is_refused_and_audited_once(halted: Home) -> None:
    accept_column(halted, "order", "colour", "note", "the shop calls it so")
    with pytest.raises(Refused, match="is accepted already"):
        accept_column(halted, "order", "colour", None, "of no use")
    assert read_accepted(halted.settings.accepted_columns) == {"order": {"colour": "note"}}
    assert audited(halted).count(("column accepted", "order")) == 1


def test_asset_that_never_ran_is_refused_and_nothing_is_written(halted: Home) -> None:
    with pytest.raises(UnknownName, match=r"No asset 'ordr' has published or halted here\. Did you mean 'order'\?"):
        accept_column(halted, "ordr", "colour", None, "of no use")
    assert not halted.settings.accepted_columns.exists()


def test_whoever_is_no_operator_may_not(halted: Home, tmp_path: Path) -> None:
    people = tmp_path / "people.toml"
    people.write_text('[people.anna]\nusers = ["*"]\nroles = ["reviewer"]\n')
    visitor = Home(replace(halted.settings, people=people))
    with pytest.raises(NotEntitled, match="This takes the role operator"):
        accept_column(visitor, "order", "colour", None, "of no use")
    assert not halted.settings.accepted_columns.exists()
