"""Erasure as a whole: nothing of a message is left anywhere below the home, and everything else still holds."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
import letters
import pytest
import sqlalchemy as sa
from letters import ID, OTHERS, TEXT

from orchestration_project.core.erasing import ERASED
from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance import batch_orders, erasure, review_orders
from orchestration_project.governance.audit_verification import verify
from orchestration_project.stores import batches, run_requests
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import Selection
from orchestration_project.stores.schema import ARRIVALS, METADATA


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
    return next(row for row in letters.current_rows(home, asset, batch) if row["message_id"] == ID)


def test_nothing_of_a_message_is_left_and_the_audit_log_holds(named_home: Home, instance: dg.DagsterInstance) -> None:
    home = named_home
    batch = letters.fill(home, instance)
    os.utime(home.warehouse.root / "letter" / f"batch={batch}" / "lost.parquet", (0, 0))
    before = letters.places_that_tell(home.root)
    for place in ("warehouse", "quarantine", "staged", "archive", "labels", "notices", "dagster", "ledger.db"):
        assert any(f"{home.root}/{place}" in found for found in before), place
    decided, other_rows = letters.decision(home), letters.all_rows(home, without=ID)
    assert counts(home) == {"done": 4, "duplicates": 1}
    numbers = {"done": 4}  # the letter that was sent again is not there any more to be a duplicate

    found = erasure.forget(home, ID, "the customer asked")
    assert letters.places_that_tell(home.root) == []
    assert verified(home) == []
    assert found.is_new and not [sentence for sentence in found.unreached if "again" in sentence or "audit" in sentence]
    assert [(one.family, one.is_in_use) for one in found.models] == [("mood", True)]
    assert found.commands() == ["orchestrate train --model mood"]
    assert letters.all_rows(home, without=ID) == other_rows
    assert counts(home) == numbers

    row = own_row(home, "letter", batch)
    assert row == {"message_id": ID, "text": ERASED, "account": None, "metadata": "{}", "pieces": 3}
    left = letters.decision(home)
    gone = {"reason": ERASED, "message_digest": ERASED}
    assert left == {**decided, **gone}
    (recap,) = letters.current_rows(home, "recap", batch)
    assert (recap["themes"], recap["message_ids"]) == ("[]", f'["{ID}"]')
    assert recap["quotes"] == f'[{{"message_id": "{ID}", "text": "{ERASED}"}}]'

    again = erasure.forget(home, ID, "to be sure")
    assert not again.is_new and again.before is not None and again.before.why == "the customer asked"
    assert [one.version for one in again.models] == [one.version for one in found.models]

    batch_orders.retry_batch(home, batch, "to see what comes back")
    assert letters.work(home, instance) == [True]
    assert letters.places_that_tell(home.root) == []
    assert own_row(home, "letter", batch) == row
    assert {**letters.decision(home), "reason": ""} == {**left, "reason": ""}
    assert verified(home) == []
    assert counts(home) == numbers
    for first in (letters.batch_with(home, one) for one in OTHERS):
        batch_orders.retry_batch(home, first, "the batch in which it was refused")
        assert letters.work(home, instance) == [True]
    assert counts(home) == numbers
    assert letters.places_that_tell(home.root) == []


@pytest.mark.parametrize("where", ["erased_files.name", "erased_rows.blank", "audit.append", "_clean"])
def test_an_erasure_that_breaks_off_is_finished_by_the_same_order(
    named_home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    home = named_home
    batch = letters.fill(home, instance)
    os.utime(home.warehouse.root / "letter" / f"batch={batch}" / "lost.parquet", (0, 0))
    with monkeypatch.context() as broken:
        broken.setattr(f"orchestration_project.governance.erasure.{where}", fail)
        with pytest.raises(ZeroDivisionError):
            erasure.forget(home, ID, "the customer asked")
    assert verified(home) == []
    assert letters.places_that_tell(home.root) != []
    erasure.forget(home, ID, "the customer asked")
    assert letters.places_that_tell(home.root) == []
    assert verified(home) == []


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError


@pytest.fixture
def published(named_home: Home) -> Home:
    """A home with the letter in a batch that was published; Dagster's stores are elsewhere."""
    with dg.DagsterInstance.ephemeral() as instance:
        letters.receive(named_home, "a.csv", letters.csv([(ID, TEXT, letters.ACCOUNT, 1), *letters.others()]))
        letters.work(named_home, instance)
    return named_home


def request_run(home: Home, batch: str, *, submitted: bool) -> str:
    with home.ledger.write() as connection:
        key = run_requests.request(connection, batch=batch, cause="retry")
        if submitted:
            run_requests.begin(connection, key=key, batch=batch, run_id="r1", silent_seconds=60)
    return key


def test_nothing_is_erased_while_a_run_works_on_the_batch(published: Home) -> None:
    batch = letters.batch_of(published)
    request_run(published, batch, submitted=True)
    before = letters.places_that_tell(published.root)
    with pytest.raises(Refused, match=rf"Run r1 works on batch {batch}, which has message {ID}\. Wait for its end"):
        erasure.forget(published, ID, "asked")
    assert letters.places_that_tell(published.root) == before


def test_a_run_of_another_batch_keeps_the_files_that_it_may_read(published: Home) -> None:
    key = request_run(published, "another", submitted=True)
    found = erasure.forget(published, ID, "asked")
    assert any("Run r1 works" in one and "Run this again when it has ended" in one for one in found.unreached)
    assert any("warehouse" in place for place in letters.places_that_tell(published.root))
    with published.ledger.write() as connection:
        run_requests.end(connection, key, "succeeded", run_id="r1")
    again = erasure.forget(published, ID, "asked")
    assert not again.is_new and letters.places_that_tell(published.root) == []


def test_a_message_that_nobody_knows_is_refused_with_the_nearest(published: Home) -> None:
    with pytest.raises(UnknownName, match=r"No message has the id 'leter-77'\. Did you mean 'letter-77'\?"):
        erasure.forget(published, "leter-77", "asked")


def test_it_takes_the_role_privacy(published: Home) -> None:
    file = published.root / "people.toml"
    file.write_text('[people.anna]\nusers = ["*"]\nroles = ["lead", "auditor"]\nskills = ["*"]\n')
    with pytest.raises(NotEntitled, match="takes the role privacy"):
        erasure.forget(letters.with_people(published, file), ID, "asked")


def test_nobody_judges_what_was_erased_and_what_waited_takes_its_default(published: Home) -> None:
    (review,) = letters.all_reviews(published)
    assert review.state == "open" and letters.decision(published)["state"] == "pending"
    found = erasure.forget(published, ID, "asked")
    assert len(found.requests) == 1
    (ended,) = letters.all_reviews(published)
    assert (ended.state, ended.content_digest, ended.why, ended.proposal["reason"]) == ("overdue", "", None, ERASED)
    for order in (
        lambda: review_orders.decide(published, review.review_id, "angry"),
        lambda: review_orders.reopen(published, review.review_id, "look again"),
        lambda: review_orders.appeal(
            published, "mood", review.partition, ID, letters.decision(published), "it is wrong"
        ),
    ):
        with pytest.raises(
            Refused, match=rf"had message {ID} erased at .*nobody can judge it: what was decided stands"
        ):
            order()
    with dg.DagsterInstance.ephemeral() as instance:
        assert letters.work(published, instance) == [True]
    left = letters.decision(published)
    assert (left["state"], left["label"], left["accepted"]) == ("decided", "calm", False)
    assert counts(published) == {"done": 3}
    assert len(letters.all_reviews(published)) == 1


def test_a_message_that_was_refused_waits_no_more(named_home: Home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        letters.receive(named_home, "a.csv", letters.csv([(ID, TEXT, letters.ACCOUNT, 0), *letters.others()]))
        letters.work(named_home, instance)
        assert counts(named_home) == {"done": 2, "quarantined": 1}
        erasure.forget(named_home, ID, "asked")
        assert letters.places_that_tell(named_home.root) == []
        with named_home.ledger.read() as connection:
            (row,) = Selection().find(connection, state="discarded")
        assert row.message_id == ID
        assert named_home.warehouse.read_quarantine(row.path).to_pylist() == [
            {"message_id": ID, "text": None, "account": None, "pieces": None}
        ]
        batch_orders.retry_batch(named_home, row.partition, "once more")
        assert letters.work(named_home, instance) == [True]
    assert counts(named_home) == {"done": 2, "discarded": 1}


def test_a_message_that_is_sent_again_is_erased_by_the_next_order(published: Home) -> None:
    erasure.forget(published, ID, "asked")
    letters.receive(published, "b.csv", letters.csv([(ID, TEXT, letters.ACCOUNT, 1), *letters.others()]))
    with dg.DagsterInstance.ephemeral() as instance:
        letters.work(published, instance)
    again = erasure.forget(published, ID, "asked again")
    assert again.is_new and again.before is not None
    assert letters.places_that_tell(published.root) == []
    assert verified(published) == []


def test_a_file_that_is_damaged_goes_whole_once_it_is_published(published: Home) -> None:
    (file,) = published.archive.iterdir()
    file.write_bytes(file.read_bytes() + b"\0" * 10)
    head = file.read_bytes()
    file.write_bytes(b"\0" + head)
    found = erasure.forget(published, ID, "asked")
    assert not file.exists()
    assert any("could not be written anew" in one and "the whole file was removed" in one for one in found.unreached)


def test_the_audit_log_that_quotes_it_is_named(published: Home) -> None:
    batch = letters.batch_of(published)
    batch_orders.retry_batch(published, batch, f"Look at: {TEXT}")
    found = erasure.forget(published, ID, "asked")
    assert any(one.startswith("The audit log quotes it and cannot be changed: entries ") for one in found.unreached)


def test_a_row_that_came_without_an_id_stays_erased(named_home: Home) -> None:
    from shop_workflow import rows, run

    from assets.feedback.feedback import feedback

    text = "my parcel from Zanzibar drowned near the Quetzal pier"
    letters.receive(named_home, "a.csv", f"text,customer\n{text},quetzalcoatl-1\nit is late,ben\n".encode())
    batch = batches.open_next(named_home) or ""
    assert run(named_home, feedback, batch=batch).success
    before = rows(named_home, "feedback", batch)
    (own,) = before[before["text"] == text]["message_id"]
    letters.end_requests(named_home)
    erasure.forget(named_home, own, "asked")
    assert letters.places_that_tell(named_home.root) == []
    assert run(named_home, feedback, batch=batch).success
    after = rows(named_home, "feedback", batch)
    assert set(after["message_id"]) == set(before["message_id"])
    assert after.set_index("message_id").loc[own, "text"] == ERASED
    assert verified(named_home) == []


def test_the_ledger_on_either_database_keeps_nothing(any_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(any_home.root))
    monkeypatch.setenv("ORCHESTRATE_LEDGER_URL", any_home.ledger_url)
    with dg.DagsterInstance.ephemeral() as instance:
        letters.receive(any_home, "a.csv", letters.csv([(ID, TEXT, letters.ACCOUNT, 1), *letters.others()]))
        letters.work(any_home, instance)
    found = erasure.forget(any_home, ID, "asked")
    assert verified(any_home) == []
    assert letters.places_that_tell(any_home.root) == []
    is_postgresql = any_home.ledger_url.startswith("postgresql")
    assert any("PostgreSQL's own log" in one for one in found.unreached) is is_postgresql
    with any_home.ledger.read() as connection:
        told = [
            (table.name, row)
            for table in METADATA.sorted_tables
            for row in connection.execute(sa.select(table)).all()
            if any(trace in repr(row) for trace in letters.TRACES)
        ]
    assert told == []


def test_a_batch_of_nothing_else_runs_again(named_home: Home) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        letters.receive(named_home, "a.csv", letters.csv([(ID, f"{TEXT}, a word", letters.ACCOUNT, 1)]))
        letters.work(named_home, instance)
        batch, before = letters.batch_of(named_home), letters.decision(named_home)
        erasure.forget(named_home, ID, "asked")
        with named_home.ledger.read() as connection:
            (digest,) = connection.execute(sa.select(ARRIVALS.c.file_sha256)).scalars()
        assert digest == ""
        batch_orders.retry_batch(named_home, batch, "once more")
        assert letters.work(named_home, instance) == [True]
    assert letters.decision(named_home) == {**before, "reason": ERASED, "message_digest": ERASED}
    assert counts(named_home) == {"done": 1}
    assert letters.places_that_tell(named_home.root) == []


def test_a_line_that_could_not_be_read_is_erased_by_its_id(named_home: Home) -> None:
    good = letters.csv(letters.others())
    with dg.DagsterInstance.ephemeral() as instance:
        letters.receive(named_home, "a.csv", good + f"{TEXT},too few fields\n".encode())
        letters.work(named_home, instance)
        with named_home.ledger.read() as connection:
            (row,) = Selection().find(connection)
        assert row.reason.startswith("unparsable: ") and letters.places_that_tell(named_home.root)
        erasure.forget(named_home, row.message_id or "", "asked")
        assert letters.places_that_tell(named_home.root) == []
        with named_home.ledger.read() as connection:
            (left,) = Selection().find(connection, state="discarded")
        assert (left.reason, left.line) == ("unparsable: [erased]", row.line)
        batch_orders.retry_batch(named_home, row.partition, "once more")
        assert letters.work(named_home, instance) == [True]
    assert counts(named_home) == {"done": 2, "discarded": 1}


def test_a_refused_file_goes_whole_and_one_that_waits_is_told(published: Home) -> None:
    refused = published.refused / "0-b.csv"
    refused.write_bytes(b"\0" + TEXT.encode())
    refused.with_name("0-b.csv.reason.txt").write_text(f"b.csv is not text: {TEXT}")
    (published.inbox / "c.csv").write_bytes(letters.csv([(ID, TEXT, letters.ACCOUNT, 1)]))
    found = erasure.forget(published, ID, "asked")
    assert not refused.exists()
    assert any(one.startswith("c.csv in") and "not taken in yet" in one for one in found.unreached)
    assert [place.split(":")[0] for place in set(letters.places_that_tell(published.root))] == [
        str(published.inbox / "c.csv")
    ] * len(letters.TRACES)
