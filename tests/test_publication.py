"""How a step ends: all of it becomes visible together, or none of it."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract, check
from orchestration_project.core.errors import Conflict, HaltedInput
from orchestration_project.governance import audit
from orchestration_project.model_output import publication
from orchestration_project.model_output.gate import judge
from orchestration_project.model_output.publication import Outcome
from orchestration_project.stores import claims, halts, manifest, outbox, quarantine
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.schema import AUDIT, HALTS, MANIFEST, OUTBOX, QUARANTINE

NOTHING = pd.DataFrame({"message_id": [], "error": []}, dtype="str")


class Note(Contract):
    """One note."""

    message_id: str = pa.Field(unique=True)
    stars: int = pa.Field(ge=1)


def outcome(home: Home, stars: Sequence[int] = (3, 4), unparsable: pd.DataFrame = NOTHING, **changed: Any) -> Outcome:
    ids = [f"m{number}" for number in range(len(stars))]
    frame = pd.DataFrame({"message_id": ids, "stars": list(stars)}).astype({"message_id": "str", "stars": "int64"})
    raw = frame.assign(stars=[f"'{value}'" for value in stars])
    fields: dict[str, Any] = {
        "asset": "note",
        "partition": "b1",
        "run_id": "run-1",
        "judgement": judge(check(Note, frame), home.settings, len(unparsable)),
        "raw": raw,
        "unparsable": unparsable,
        "duplicates": 0,
        "takes_arrivals": False,
        "claimed": None,
        "facts": {"performers": []},
    }
    return Outcome(**(fields | changed))


def publish(home: Home, replaces: int = 0, stars: Sequence[int] = (3, 4), **more: Any) -> manifest.Version:
    inputs = more.pop("inputs", {})
    of = {name: more.pop(name) for name in list(more) if name in Outcome.__dataclass_fields__}
    return publication.publish(home, outcome(home, stars, **of), Note, replaces=replaces, inputs=inputs, **more)


def halt(home: Home, stars: Sequence[int] = (0, 0), reason: str = "bad", replaces: int = 0, **more: Any) -> None:
    inputs = more.pop("inputs", {})
    publication.halt(home, outcome(home, stars, **more), reason, replaces=replaces, inputs=inputs)


def counted(home: Home) -> dict[str, int]:
    """Rows of the ledger, by table."""
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (MANIFEST, QUARANTINE, HALTS, OUTBOX, AUDIT)
        }


EMPTY = {"manifest": 0, "quarantine": 0, "halts": 0, "outbox": 0, "audit": 0}


def test_a_version_its_audit_entry_its_quarantine_and_its_notices_become_visible_together(home: Home):
    found = publish(home, stars=[3, 0, 4], notices=[Notice("key", "title", "body")])
    assert counted(home) == {"manifest": 1, "quarantine": 1, "halts": 0, "outbox": 1, "audit": 1}
    assert home.warehouse.read(found.path).to_pydict() == {"message_id": ["m0", "m2"], "stars": [3, 4]}
    with home.ledger.read() as connection:
        (entry,) = connection.execute(sa.select(AUDIT)).mappings()
    assert (entry["action"], entry["subject"]) == ("published", "note/b1")
    for said in ('"rows":3', '"refused":1', f'"file_sha256":"{found.sha256}"', '"notices":["key"]', '"run_id":"run-1"'):
        assert said in entry["detail"]


def test_versions_count_up_and_earlier_ones_stay_readable(home: Home):
    first = publish(home, stars=[1])
    second = publish(home, replaces=1, stars=[2])
    assert (first.version, second.version) == (1, 2)
    with home.ledger.read() as connection:
        assert manifest.current(connection, "note", "b1") == second
        assert manifest.all_current(connection) == [second]
    assert home.warehouse.read(first.path).to_pydict()["stars"] == [1]


@pytest.mark.parametrize("replaces", [0, 2])
def test_whoever_read_another_version_than_the_current_one_publishes_nothing(home: Home, replaces: int):
    publish(home)
    before = counted(home)
    with pytest.raises(Conflict, match="note of b1 was published by another run"):
        publish(home, replaces=replaces, stars=[0, 9], notices=[Notice("key", "title", "body")])
    assert counted(home) == before


def test_whoever_read_an_older_input_publishes_nothing(home: Home):
    publish(home, asset="words")
    assert publish(home, inputs={"words": 1}).inputs == {"words": 1}
    publish(home, replaces=1, asset="words")
    before = counted(home)
    with pytest.raises(Conflict, match="words, an input of note"):
        publish(home, replaces=1, inputs={"words": 1})
    assert counted(home) == before


def test_an_input_that_was_halted_meanwhile_publishes_nothing(home: Home):
    publish(home, asset="words")
    halt(home, asset="words", reason="All rows were refused.", replaces=1)
    before = counted(home)
    with pytest.raises(HaltedInput, match=r"words of batch b1 is halted since run run-1: All rows were refused\."):
        publish(home, inputs={"words": 1})
    assert counted(home) == before
    assert publish(home, partition="b2").version == 1


def test_a_record_that_fails_leaves_nothing_visible(home: Home):
    def fails(connection: sa.Connection, rows: Sequence[Any]) -> None:
        assert rows == [{"message_id": "m0", "stars": 3}]
        connection.execute(sa.delete(AUDIT))
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        publish(home, stars=[3, 0], notices=[Notice("key", "title", "body")], record=fails)
    assert counted(home) == EMPTY


def test_a_notice_that_another_batch_recorded_first_is_a_conflict_and_nothing_is_visible(home: Home):
    publish(home, partition="b2", notices=[Notice("fire", "title", "body")])
    before = counted(home)
    with pytest.raises(Conflict, match="'fire'"):
        publish(home, notices=[Notice("flood", "title", "body"), Notice("fire", "title", "body")])
    assert counted(home) == before
    again = publish(home, replaces=1, partition="b2", notices=[Notice("fire", "title", "body")])
    assert again.version == 2
    with home.ledger.read() as connection:
        assert [notice["key"] for notice in outbox.recorded(connection)] == ["fire"]


def test_a_halt_is_recorded_with_its_refused_rows_and_its_audit_entry(home: Home):
    halt(home, reason="All 2 rows were refused.")
    assert counted(home) == EMPTY | {"quarantine": 2, "halts": 1, "audit": 1}
    with home.ledger.read() as connection:
        (found,) = halts.open_halts(connection, "b1")
        assert (found.asset, found.run_id, found.reason) == ("note", "run-1", "All 2 rows were refused.")
        refusal = ("note", "b1", "stars_greater_than_or_equal_to")
        assert quarantine.refusals_of(connection, "m1") == [refusal]


def test_whoever_judged_what_is_no_longer_current_halts_nothing(home: Home):
    publish(home, asset="words")
    publish(home, replaces=1, asset="words")
    before = counted(home)
    with pytest.raises(Conflict, match="words, an input of note"):
        halt(home, inputs={"words": 1})
    publish(home, inputs={"words": 2})
    with pytest.raises(Conflict, match="note of b1"):
        halt(home, inputs={"words": 2})
    assert counted(home) == before | {"manifest": 3, "audit": before["audit"] + 1}


def test_an_input_of_an_input_that_was_halted_meanwhile_publishes_nothing(home: Home):
    publish(home, asset="words")
    publish(home, asset="phrases", inputs={"words": 1})
    halt(home, asset="words", replaces=1)
    with pytest.raises(HaltedInput, match="words of batch b1 is halted"):
        publish(home, inputs={"phrases": 1})


def test_a_passing_run_closes_the_halt_of_its_own_asset_and_batch_only(home: Home):
    for asset, partition in (("note", "b1"), ("note", "b2"), ("other", "b1")):
        halt(home, asset=asset, partition=partition)
    publish(home)
    with home.ledger.read() as connection:
        left = {(halt.asset, halt.partition) for halt in halts.open_halts(connection)}
        (entry,) = connection.execute(sa.select(AUDIT.c.detail).where(AUDIT.c.action == "published")).scalars()
    assert left == {("note", "b2"), ("other", "b1")}
    assert '"halts_closed":1' in entry


def test_refused_rows_are_kept_as_they_came_with_unparsable_lines_last(home: Home):
    place = {"file": "notes.jsonl", "file_sha256": "5ha", "line": [7]}
    broken = pd.DataFrame({"message_id": ["u1"], "error": ["no JSON"], "raw": ['{"x'], **place})
    origin = pd.DataFrame({"file": "notes.jsonl", "file_sha256": "5ha", "line": [2, 3, 4, 5]})
    publish(home, stars=[1, 0, 2, -1], unparsable=broken, origin=origin, contract="c0n7r4c7")
    with home.ledger.read() as connection:
        kept = connection.execute(sa.select(QUARANTINE).order_by(QUARANTINE.c.position)).mappings().all()
    assert [(row["message_id"], row["position"], row["reason"]) for row in kept] == [
        ("m1", 0, "stars_greater_than_or_equal_to"),
        ("m3", 1, "stars_greater_than_or_equal_to"),
        ("u1", 2, "unparsable: no JSON"),
    ]
    assert [(row["file"], row["file_sha256"], row["line"]) for row in kept] == [
        ("notes.jsonl", "5ha", line) for line in (3, 5, 7)
    ]
    assert {row["contract"] for row in kept} == {"c0n7r4c7"}
    rows = pd.read_parquet(home.warehouse.quarantine / kept[0]["path"])
    assert rows["stars"].tolist()[:2] == ["'0'", "'-1'"]
    assert rows["raw"].tolist()[2:] == ['{"x']
    assert rows["line"].tolist()[2:] == ["7"]


def test_a_later_run_supersedes_what_an_earlier_one_refused(home: Home):
    publish(home, stars=[1, 0])
    publish(home, replaces=1, stars=[1, 1])
    with home.ledger.read() as connection:
        assert quarantine.refused_messages(connection) == {}
    publish(home, replaces=2, stars=[0, 1])
    with home.ledger.write() as connection:
        claims.claim_messages(connection, home, "b1", ["m0", "m1"], asset="note")
    with home.ledger.read() as connection:
        assert quarantine.refused_messages(connection) == {"b1": 1}


@pytest.mark.parametrize("value", [{"a": [1]}, ["x"], b"\xff\x00", "\ud800", None, 1.5, "٣ 😀 \x00"])
def test_whatever_stood_in_a_refused_row_is_kept(home: Home, value: object):
    raw = pd.DataFrame({"message_id": ["m0", "m1"], 7: pd.Series([value, value], dtype=object)})
    publish(home, stars=[0, 1], raw=raw)
    with home.ledger.read() as connection:
        (path,) = connection.execute(sa.select(QUARANTINE.c.path)).scalars()
    (kept,) = pd.read_parquet(home.warehouse.quarantine / path)["7"]
    assert pd.isna(kept) if value is None else kept == str(value).replace("\ud800", "\\ud800")


PUBLISHER = """
import sys
from pathlib import Path
import pandas as pd
from orchestration_project.core.contracts import Contract, check
from orchestration_project.core.errors import Conflict
from orchestration_project.core.settings import Settings
from orchestration_project.model_output import publication
from orchestration_project.model_output.gate import judge
from orchestration_project.stores import manifest
from orchestration_project.stores.home import Home

class Note(Contract):
    message_id: str

home, run = Home(Settings(home=Path(sys.argv[1]))), sys.argv[2]
frame = pd.DataFrame({"message_id": [run]})
outcome = publication.Outcome(
    "note", "b1", run, judge(check(Note, frame), home.settings), frame, frame.head(0), 0, False, None, {}
)
left = 5
while left:
    with home.ledger.read() as connection:
        before = manifest.current(connection, "note", "b1")
    try:
        publication.publish(home, outcome, Note, replaces=before.version if before else 0, inputs={})
        left -= 1
    except Conflict:
        pass
"""


def test_processes_that_publish_the_same_partition_lose_nothing(home: Home):
    started = [
        subprocess.Popen([sys.executable, "-c", PUBLISHER, str(home.root), run], stderr=subprocess.PIPE, text=True)
        for run in ("one", "two")
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    with home.ledger.read() as connection:
        found = connection.execute(sa.select(MANIFEST).order_by(MANIFEST.c.version)).mappings().all()
        assert audit.breaks(connection) == []
    assert [row["version"] for row in found] == list(range(1, 11))
    assert [row["is_current"] for row in found] == [False] * 9 + [True]
    assert sorted(row["run_id"] for row in found) == ["one"] * 5 + ["two"] * 5
    assert counted(home)["audit"] == 10
