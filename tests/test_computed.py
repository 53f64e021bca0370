"""Of what came in, the messages that are the batch's own."""

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.model_output.computed import Computed, of_own_messages
from orchestration_project.stores import erasures, manifest
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.erasures import Erasure
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import CLAIMS
from orchestration_project.stores.warehouse import StoredFile


@pytest.fixture
def erased(home: Home) -> StoredFile:
    """The file of a batch `b` that published m1, which was erased since, and m2."""
    table = pa.table({"message_id": ["m1", "m2"], "text": ["[erased]", "fine"]})
    file = home.warehouse.write("note", "b", "r", table)
    with home.ledger.write() as connection:
        manifest.publish(connection, asset="note", partition="b", run_id="r", file=file, replaces=0, inputs={})
        connection.execute(sa.insert(CLAIMS), [{"message_id": one, "batch": "b"} for one in ("m1", "m2")])
        erasures.put(connection, Erasure("m1", "asked", "anna", now(), {}))
    return file


def computed(home: Home) -> Computed:
    """What is the batch's own of a file that has m2 and m3."""
    frame = pd.DataFrame({"message_id": ["m2", "m3"], "text": ["fine", "new"]}, dtype="str")
    origin = pd.DataFrame({"file": "a.csv", "file_sha256": "ab", "line": [2, 3], "registered_at": now()})
    unparsable = pd.DataFrame({"message_id": []}, dtype="str")
    return of_own_messages("note", home, "b", Arrivals("b", frame, origin, unparsable, b"secret"), frame)


def test_an_erased_message_keeps_the_row_that_was_published_last(home: Home, erased: StoredFile) -> None:
    found = computed(home)
    rows = {"m2": "fine", "m3": "new", "m1": "[erased]"}
    assert dict(zip(found.frame["message_id"], found.frame["text"], strict=True)) == rows
    assert found.message_ids is not None and list(found.message_ids) == list(rows)


def test_a_file_that_is_gone_is_refused_rather_than_the_message_lost(home: Home, erased: StoredFile) -> None:
    (home.warehouse.root / erased.path).unlink()
    with pytest.raises(ArtifactRefused, match="is named in the manifest and is not in"):
        computed(home)
