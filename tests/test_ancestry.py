"""What a version was computed from, and which versions fit together."""

import pytest

from orchestration_project.core.errors import StaleInput
from orchestration_project.stores import manifest
from orchestration_project.stores.ancestry import Ancestry
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.manifest import UNPARTITIONED, Version
from orchestration_project.stores.warehouse import StoredFile


def publish(ledger: Ledger, asset: str, partition: str = "b1", **inputs: int) -> Version:
    with ledger.write() as connection:
        before = manifest.current(connection, asset, partition)
        return manifest.publish(
            connection,
            asset=asset,
            partition=partition,
            run_id="run",
            file=StoredFile(f"{asset}.parquet", "sha", 3),
            replaces=before.version if before else 0,
            inputs=inputs,
        )


def ancestry(ledger: Ledger) -> Ancestry:
    with ledger.read() as connection:
        return Ancestry(connection, "b1")


def test_ancestry_is_all_that_a_version_was_computed_from_in_its_batch(ledger: Ledger) -> None:
    publish(ledger, "champion", UNPARTITIONED)
    publish(ledger, "note")
    publish(ledger, "mood", note=1, champion=1)
    reply = publish(ledger, "reply", mood=1)
    assert ancestry(ledger).of(reply) == {"reply": 1, "mood": 1, "note": 1}


def test_what_is_below_was_computed_from_the_version_in_use(ledger: Ledger) -> None:
    publish(ledger, "note")
    publish(ledger, "mood", note=1)
    publish(ledger, "reply", mood=1)
    assert ancestry(ledger).below(["mood"]) == {"mood", "reply"}
    publish(ledger, "note")
    assert ancestry(ledger).below(["note"]) == {"note"}
    assert ancestry(ledger).below([]) == set()


def test_inputs_from_different_versions_of_one_asset_do_not_fit(ledger: Ledger) -> None:
    publish(ledger, "note")
    mood, length = publish(ledger, "mood", note=1), publish(ledger, "length", note=1)
    ancestry(ledger).require_fitting([mood, length])
    note = publish(ledger, "note")
    ancestry(ledger).require_fitting([mood, length])
    with pytest.raises(StaleInput) as stale:
        ancestry(ledger).require_fitting([note, mood])
    assert str(stale.value) == (
        "mood of batch b1 was computed from version 1 of note, which is at version 2. Materialise mood again first."
    )
    length = publish(ledger, "length", note=2)
    for inputs in ([mood, length], [length, mood]):
        with pytest.raises(StaleInput) as stale:
            ancestry(ledger).require_fitting(inputs)
        assert str(stale.value) == (
            "mood of batch b1 was computed from version 1 of note, and length from version 2. "
            "Materialise mood again first."
        )


def test_what_fits_to_a_version_that_is_kept(ledger: Ledger) -> None:
    publish(ledger, "note")
    mood = publish(ledger, "mood", note=1)
    publish(ledger, "length", note=1)
    publish(ledger, "note")
    publish(ledger, "length", note=2)
    publish(ledger, "length", note=2)
    publish(ledger, "echo", note=2)
    publish(ledger, "other")
    found = ancestry(ledger).fitting(mood)
    assert {asset: version and version.version for asset, version in found.items()} == {
        "note": 1,
        "length": 1,
        "echo": None,
    }


def test_version_that_is_put_in_use_again_is_the_only_one_and_the_next_has_a_new_number(ledger: Ledger) -> None:
    first = publish(ledger, "note")
    publish(ledger, "note")
    with ledger.write() as connection:
        manifest.use(connection, first)
    with ledger.read() as connection:
        assert manifest.all_current(connection) == [first]
    assert publish(ledger, "note").version == 3
