"""The table of what was erased."""

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.stores import erasures
from orchestration_project.stores.erasures import Erasure
from orchestration_project.stores.ledger import Ledger, now
from orchestration_project.stores.schema import CLAIMS

ONE = Erasure("m1", "asked for", "anna", now(), {"versions of assets": 2})


def test_an_erasure_is_kept_once_for_each_message(ledger: Ledger) -> None:
    with ledger.write() as connection:
        erasures.put(connection, ONE)
        later = Erasure("m1", "again", "ben", now(), {})
        erasures.put(connection, later)
    with ledger.read() as connection:
        assert erasures.get(connection, "m1") == later
        assert erasures.get(connection, "m2") is None


def test_those_of_a_batch_are_the_messages_that_it_claims(ledger: Ledger) -> None:
    with ledger.write() as connection:
        erasures.put(connection, ONE)
        connection.execute(sa.insert(CLAIMS), [{"message_id": one, "batch": "b1"} for one in ("m1", "m2")])
        assert (erasures.of_batch(connection, "b1"), erasures.of_batch(connection, "b2")) == ({"m1"}, set())


def test_those_among_many_messages_are_found(ledger: Ledger) -> None:
    with ledger.write() as connection:
        erasures.put(connection, ONE)
        assert erasures.among(connection, {f"m{number}" for number in range(1200)}) == {"m1"}
        assert erasures.among(connection, ["m2"]) == erasures.among(connection, []) == set()


def test_an_erased_message_is_refused_in_a_sentence(ledger: Ledger) -> None:
    with ledger.write() as connection:
        erasures.put(connection, ONE)
        erasures.refuse_erased(connection, "m2")
        with pytest.raises(Refused, match=r"anna had message m1 erased at .* \(asked for\). What it said is gone"):
            erasures.refuse_erased(connection, "m1")
