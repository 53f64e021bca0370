"""The backlog: what counts as waiting, and from when on posted messages are put off."""

import pytest

from orchestration_project.serving.backlog import BacklogFull, backlog_trouble, refuse_full, waiting_rows
from orchestration_project.stores import arrivals, batches, run_requests
from orchestration_project.stores.home import Home


def send(home: Home) -> None:
    arrivals.register(home, arrivals.receive_message(home, {"text": "late"}))


def waiting(home: Home) -> int:
    with home.ledger.read() as connection:
        return waiting_rows(connection)


def test_row_waits_until_its_run_begins(any_home: Home) -> None:
    assert waiting(any_home) == 0
    send(any_home)
    assert waiting(any_home) == 1
    batches.open_next(any_home)
    assert waiting(any_home) == 1
    with any_home.ledger.write() as connection:
        found = run_requests.lease_next(connection, 60)
    assert found is not None
    assert waiting(any_home) == 1
    with any_home.ledger.write() as connection:
        run_requests.begin(connection, key=found.key, batch=found.batch, run_id="r", silent_seconds=30)
    assert waiting(any_home) == 0


def test_full_backlog_is_told_and_refuses_and_an_empty_one_takes_any_number(home: Home) -> None:
    with home.ledger.read() as connection:
        assert backlog_trouble(connection, 2) is None
        refuse_full(connection, 2, 3)
    send(home)
    with home.ledger.read() as connection:
        assert backlog_trouble(connection, 2) is None
        refuse_full(connection, 2, 1)
        with pytest.raises(BacklogFull, match="1 messages wait for a run; beyond 2"):
            refuse_full(connection, 2, 2)
    send(home)
    with home.ledger.read() as connection:
        assert "2 messages wait" in (backlog_trouble(connection, 2) or "")
