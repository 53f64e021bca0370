"""Erasure as a whole: nothing of a message is left anywhere below the home, and everything else still holds."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import letters_home
import pytest
import sqlalchemy as sa
from letters_home import ID, OTHERS, TEXT

from orchestration_project.core.erasing import ERASED
from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance import batch_orders, erasure, review_orders
from orchestration_project.governance.audit_verification import verify
from orchestration_project.stores import batches, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import Selection
from orchestration_project.stores.schema import ARRIVALS


@pytest.fixture
def instance(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Dagster's own stores in the home, as a project has them."""
    monkeypatch.setenv("DAGSTER_HOME", str(named_home.dagster))
    with dg.DagsterInstance.get() as instance:
        yield instance


def verified(home: Home) -> list[str]:
    found: list[str] = []
    verify(home, found.append)
    return found


def counts(home: Home) -> dict[str, int]:
    with home.ledger.read() as connection:
        return {state: number for state, number in batches.count_states(connection).items() if number}


def own_row(home: Home, asset: str, batch: str) -> dict[str, Any]:
    return next(row for row in letters_home.current_rows(home, asset, batch) if row["message_id"] == ID)


def test_nothing_of_a_message_is_left_and_the_audit_log_holds(named_home: Home, instance: dg.DagsterInstance) -> None:
    home = named_home
    batch = letters_home.fill(home, instance)
    os.utime(home.warehouse.root / "letter" / f"batch={batch}" / "lost.parquet", (0, 0))
    before = letters_home.places_that_tell(home.root)
    for place in ("warehouse", "quarantine", "staged", "archive", "labels", "notices", "dagster", "ledger.db"):
        assert any(f"{home.root}/{place}" in found for found in before), place
    decided, other_rows = letters_home.decision(home), letters_home.all_rows(home, without=ID)
    assert counts(home) == {"done": 4, "duplicates": 1}
    numbers = {"done": 4}  # the letter that was sent again is not there any more to be a duplicate

    found = erasure.forget(home, ID, "the customer asked")
    assert letters_home.places_that_tell(home.root) == []
    assert verified(home) == []
    assert found.is_new and not [sentence for sentence in found.unreached if "again" in sentence or "audit" in sentence]
    assert [(one.family, one.is_in_use) for one in found.models] == [("mood", True)]
    assert found.commands() == ["orchestrate train --model mood"]
    assert letters_home.all_rows(home, without=ID) == other_rows
    assert counts(home) == numbers

    row = own_row(home, "letter", batch)
    assert row == {"message_id": ID, "text": ERASED, "account": None, "metadata": "{}", "pieces": 3}
    left = letters_home.decision(home)
    gone = {"reason": ERASED, "message_digest": ERASED}
    assert left == {**decided, **gone}
    (recap,) = letters_home.current_rows(home, "recap", batch)
    assert (recap["themes"], recap["message_ids"]) == ("[]", f'["{ID}"]')
    assert recap["quotes"] == f'[{{"message_id": "{ID}", "text": "{ERASED}"}}]'

    again = erasure.forget(home, ID, "to be sure")
    assert not again.is_new and again.before is not None and again.before.why == "the customer asked"
    assert [one.version for one in again.models] == [one.version for one in found.models]

    batch_orders.retry_batch(home, batch, "to see what comes back")
    assert letters_home.work(home, instance) == [True]
    assert letters_home.places_that_tell(home.root) == []
    assert own_row(home, "letter", batch) == row
    assert {**letters_home.decision(home), "reason": ""} == {**left, "reason": ""}
    assert verified(home) == []
    assert counts(home) == numbers
    for first in (letters_home.batch_with(home, one) for one in OTHERS):
        batch_orders.retry_batch(home, first, "the batch in which it was refused")
        assert letters_home.work(home, instance) == [True]
    assert counts(home) == numbers
    assert letters_home.places_that_tell(home.root) == []


@pytest.mark.parametrize("where", ["erased_files.name", "erased_rows.blank", "audit.append", "_clean"])
def test_an_erasure_that_breaks_off_is_finished_by_the_same_order(
    named_home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home = named_home
    batch = letters_home.fill(home, instance)
    os.utime(home.warehouse.root / "letter" / f"batch={batch}" / "lost.parquet", (0, 0))
    with monkeypatch.context() as broken:
        broken.setattr(f"orchestration_project.governance.erasure.{where}", fail)
        with pytest.raises(ZeroDivisionError):
            erasure.forget(home, ID, "the customer asked")
    assert verified(home) == []
    assert letters_home.places_that_tell(home.root) != []
    erasure.forget(home, ID, "the customer asked")
    assert letters_home.places_that_tell(home.root) == []
    assert verified(home) == []


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError


@pytest.fixture
def published(named_home: Home) -> Home:
    """A home with the letter in a batch that was published; Dagster's stores are elsewhere."""
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(
            named_home, "a.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1), *letters_home.others()])
        )
        letters_home.work(named_home, instance)
    return named_home


def request_run(home: Home, batch: str, *, submitted: bool) -> str:
    with home.ledger.write() as connection:
        key = run_requests.request(connection, batch=batch, cause="retry")
        if submitted:
            run_requests.begin(connection, key=key, batch=batch, run_id="r1", silent_seconds=60)
    return key


def test_nothing_is_erased_while_a_run_works_on_the_batch(published: Home) -> None:
    batch = letters_home.batch_of(published)
    request_run(published, batch, submitted=True)
    before = letters_home.places_that_tell(published.root)
    with pytest.raises(Refused, match=rf"Run r1 works on batch {batch}, which has message {ID}\. Wait for its end"):
        erasure.forget(published, ID, "asked")
    assert letters_home.places_that_tell(published.root) == before


def test_a_run_of_another_batch_keeps_the_files_that_it_may_read(published: Home) -> None:
    key = request_run(published, "another", submitted=True)
    found = erasure.forget(published, ID, "asked")
    assert any("Run r1 works" in one and "Run this again when it has ended" in one for one in found.unreached)
    assert any("warehouse" in place for place in letters_home.places_that_tell(published.root))
    with published.ledger.write() as connection:
        run_requests.end(connection, key, "succeeded", run_id="r1")
    again = erasure.forget(published, ID, "asked")
    assert not again.is_new and letters_home.places_that_tell(published.root) == []


def test_a_message_that_nobody_knows_is_refused_with_the_nearest(published: Home) -> None:
    with pytest.raises(UnknownName, match=r"No message has the id 'leter-77'\. Did you mean 'letter-77'\?"):
        erasure.forget(published, "leter-77", "asked")


def test_it_takes_the_role_privacy(published: Home) -> None:
    file = published.root / "people.toml"
    file.write_text('[people.anna]\nusers = ["*"]\nroles = ["lead", "auditor"]\nskills = ["*"]\n')
    with pytest.raises(NotEntitled, match="takes the role privacy"):
        erasure.forget(letters_home.with_people(published, file), ID, "asked")


def test_nobody_judges_what_was_erased_and_what_waited_takes_its_default(published: Home) -> None:
    (review,) = letters_home.all_reviews(published)
    assert review.state == "open" and letters_home.decision(published)["state"] == "pending"
    found = erasure.forget(published, ID, "asked")
    assert len(found.requests) == 1
    (ended,) = letters_home.all_reviews(published)
    assert (ended.state, ended.content_digest, ended.why, ended.proposal["reason"]) == ("overdue", "", None, ERASED)
    for order in (
        lambda: review_orders.decide(published, review.review_id, "angry"),
        lambda: review_orders.reopen(published, review.review_id, "look again"),
        lambda: review_orders.appeal(
            published, "mood", review.partition, ID, letters_home.decision(published), "it is wrong"
        ),
    ):
        with pytest.raises(
            Refused, match=rf"had message {ID} erased at .*nobody can judge it: what was decided stands"
        ):
            order()
    with dg.DagsterInstance.ephemeral() as instance:
        assert letters_home.work(published, instance) == [True]
    left = letters_home.decision(published)
    assert (left["state"], left["label"], left["accepted"]) == ("decided", "calm", False)
    assert counts(published) == {"done": 3}
    assert len(letters_home.all_reviews(published)) == 1


def test_a_message_that_was_refused_waits_no_more(named_home: Home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(
            named_home, "a.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 0), *letters_home.others()])
        )
        letters_home.work(named_home, instance)
        assert counts(named_home) == {"done": 2, "quarantined": 1}
        erasure.forget(named_home, ID, "asked")
        assert letters_home.places_that_tell(named_home.root) == []
        with named_home.ledger.read() as connection:
            (row,) = Selection().find(connection, state="discarded")
        assert row.message_id == ID
        assert named_home.warehouse.read_quarantine(row.path).to_pylist() == [
            {"message_id": ID, "text": None, "account": None, "pieces": None}
        ]
        batch_orders.retry_batch(named_home, row.partition, "once more")
        assert letters_home.work(named_home, instance) == [True]
    assert counts(named_home) == {"done": 2, "discarded": 1}


def test_a_message_that_is_sent_again_is_erased_by_the_next_order(published: Home) -> None:
    erasure.forget(published, ID, "asked")
    letters_home.receive(
        published, "b.csv", letters_home.csv([(ID, TEXT, letters_home.ACCOUNT, 1), *letters_home.others()])
    )
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.work(published, instance)
    again = erasure.forget(published, ID, "asked again")
    assert again.is_new and again.before is not None
    assert letters_home.places_that_tell(published.root) == []
    assert verified(published) == []


def test_the_audit_log_that_quotes_it_is_named(published: Home) -> None:
    batch = letters_home.batch_of(published)
    batch_orders.retry_batch(published, batch, f"Look at: {TEXT}")
    found = erasure.forget(published, ID, "asked")
    assert any(one.startswith("The audit log quotes it and cannot be changed: entries ") for one in found.unreached)


def test_a_row_that_came_without_an_id_stays_erased(named_home: Home) -> None:
    from shop_workflow import rows, run

    from assets.feedback.feedback import feedback

    text = "my parcel from Zanzibar drowned near the Quetzal pier"
    letters_home.receive(named_home, "a.csv", f"text,customer\n{text},quetzalcoatl-1\nit is late,ben\n".encode())
    batch = batches.open_next(named_home) or ""
    assert run(named_home, feedback, batch=batch).success
    before = rows(named_home, "feedback", batch)
    (own,) = before[before["text"] == text]["message_id"]
    letters_home.end_requests(named_home)
    erasure.forget(named_home, own, "asked")
    assert letters_home.places_that_tell(named_home.root) == []
    assert run(named_home, feedback, batch=batch).success
    after = rows(named_home, "feedback", batch)
    assert set(after["message_id"]) == set(before["message_id"])
    assert after.set_index("message_id").loc[own, "text"] == ERASED
    assert verified(named_home) == []


def test_a_batch_of_nothing_else_runs_again(named_home: Home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(named_home, "a.csv", letters_home.csv([(ID, f"{TEXT}, a word", letters_home.ACCOUNT, 1)]))
        letters_home.work(named_home, instance)
        batch, before = letters_home.batch_of(named_home), letters_home.decision(named_home)
        erasure.forget(named_home, ID, "asked")
        with named_home.ledger.read() as connection:
            (digest,) = connection.execute(sa.select(ARRIVALS.c.file_sha256)).scalars()
        assert digest == ""
        batch_orders.retry_batch(named_home, batch, "once more")
        assert letters_home.work(named_home, instance) == [True]
    assert letters_home.decision(named_home) == {**before, "reason": ERASED, "message_digest": ERASED}
    assert counts(named_home) == {"done": 1}
    assert letters_home.places_that_tell(named_home.root) == []


def test_a_line_that_could_not_be_read_is_erased_by_its_id(named_home: Home) -> None:
    good = letters_home.csv(letters_home.others())
    with dg.DagsterInstance.ephemeral() as instance:
        letters_home.receive(named_home, "a.csv", good + f"{TEXT},too few fields\n".encode())
        letters_home.work(named_home, instance)
        with named_home.ledger.read() as connection:
            (row,) = Selection().find(connection)
        assert row.reason.startswith("unparsable: ") and letters_home.places_that_tell(named_home.root)
        erasure.forget(named_home, row.message_id or "", "asked")
        assert letters_home.places_that_tell(named_home.root) == []
        with named_home.ledger.read() as connection:
            (left,) = Selection().find(connection, state="discarded")
        assert (left.reason, left.line) == ("unparsable: [erased]", row.line)
        batch_orders.retry_batch(named_home, row.partition, "once more")
        assert letters_home.work(named_home, instance) == [True]
    assert counts(named_home) == {"done": 2, "discarded": 1}
