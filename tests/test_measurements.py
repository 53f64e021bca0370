"""What was measured of batches: each is held against those before it, on both databases."""

from orchestration_project.stores import measurements
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.measurements import WINDOW


def record(ledger: Ledger, batch: str, rows: int, asset: str = "feedback") -> None:
    with ledger.write() as connection:
        measurements.record(connection, asset=asset, partition=batch, measured={"usual_rows": {"rows": rows}})


def window(ledger: Ledger, batch: str, asset: str = "feedback") -> list[int]:
    with ledger.read() as connection:
        found = measurements.window(connection, asset=asset, partition=batch)
    return [value["rows"] for value in found.get("usual_rows", [])]


def test_window_has_the_batches_before_oldest_first(ledger: Ledger) -> None:
    for number in range(3):
        record(ledger, f"b{number}", number)
    record(ledger, "b1", 99, asset="sentiment")
    assert window(ledger, "new") == [0, 1, 2]
    assert window(ledger, "new", asset="sentiment") == [99]
    assert window(ledger, "new", asset="issue") == []


def test_batch_that_is_published_again_keeps_its_place(ledger: Ledger) -> None:
    for number in range(3):
        record(ledger, f"b{number}", number)
    record(ledger, "b1", 7)
    assert window(ledger, "b1") == [0]
    assert window(ledger, "b2") == [0, 7]


def test_window_ends_with_the_newest(ledger: Ledger) -> None:
    for number in range(WINDOW + 5):
        record(ledger, f"b{number:03d}", number)
    assert window(ledger, "new") == list(range(5, WINDOW + 5))


def test_pass_is_for_one_batch_of_one_asset_and_the_first_reason_stays(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for reason in ("a strike", "another"):
            measurements.let_pass(connection, asset="feedback", partition="b1", reason=reason)
        assert measurements.passed(connection, asset="feedback", partition="b1") == "a strike"
        assert measurements.passed(connection, asset="feedback", partition="b2") is None
        assert measurements.passed(connection, asset="issue", partition="b1") is None
