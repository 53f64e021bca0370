"""The labels of a home: what the next training learns after each import, and that no import is changed unseen."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import ArtifactRefused, FileRefused
from orchestration_project.core.settings import PROJECT, Settings
from orchestration_project.stores import labels
from orchestration_project.stores.families import Family, require_family
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file, write_label_file

Row = tuple[str, str, str]
"""message_id, text, label"""

SHIPPED = "nr,message_id,text,mood\n1,m2,so so,cross\n2,m1,lovely,glad\n3,m3,never labelled,\n"


@pytest.fixture
def mood(tmp_path: Path) -> Family:
    """A family that ships with two labels."""
    (tmp_path / "moods.csv").write_text(SHIPPED)
    return Family("mood", str(tmp_path / "moods.csv"), "mood")


def take(
    home: Home, family: Family, rows: Sequence[Row], *, source: str = "more.csv", replaces: bool = False
) -> labels.Import:
    """Import rows, without looking through them."""
    content = labels.to_parquet(pd.DataFrame(rows, columns=["message_id", "text", "label"], dtype="str"))
    path = labels.store(home, family.name, content)
    facts: dict[str, Any] = {"source": source, "rows": len(rows), "replaces": replaces, "reason": None}
    with home.ledger.write() as connection:
        sha256 = file_digest(home.root / path)
        return labels.record(connection, family=family.name, path=path, sha256=sha256, **facts)


def learnt(home: Home, family: Family) -> list[Row]:
    return list(labels.current(home, family)[["message_id", "text", "label"]].itertuples(index=False, name=None))


def test_a_new_home_learns_the_labels_that_ship_with_the_family(home: Home, mood: Family) -> None:
    found = labels.current(home, mood)
    assert found.to_dict("list") == {
        "message_id": ["m1", "m2"],
        "text": ["lovely", "so so"],
        "label": ["glad", "cross"],
        "source": [mood.labels_file] * 2,
        "first_id": ["m1", "m2"],
    }
    assert (list(found.index), set(map(str, found.dtypes))) == ([0, 1], {"str"})


@pytest.mark.parametrize(("family", "rows"), [("sentiment", 3599), ("issue", 3599)])
def test_the_families_of_this_project_learn_every_row_of_their_file(home: Home, family: str, rows: int) -> None:
    found = labels.current(home, require_family(family))
    shipped = pd.read_csv(PROJECT / "assets" / "samples" / "labels.csv", dtype="str", keep_default_na=False)
    expected = shipped.rename(columns={family: "label"}).sort_values("message_id")[["message_id", "text", "label"]]
    assert found.drop(columns=["source", "first_id"]).to_numpy().tolist() == expected.to_numpy().tolist()
    assert (len(found), set(found["source"])) == (rows, {"assets/samples/labels.csv"})


def test_an_import_adds_to_what_was_there(home: Home, mood: Family) -> None:
    take(home, mood, [("n1", "great", "glad")])
    assert learnt(home, mood) == [("m1", "lovely", "glad"), ("m2", "so so", "cross"), ("n1", "great", "glad")]
    assert labels.current(home, mood)["source"].tolist() == [mood.labels_file, mood.labels_file, "more.csv"]


def test_a_text_keeps_the_id_that_it_came_with_first(home: Home, mood: Family) -> None:
    take(home, mood, [("m1", "lovely, not", "cross"), ("other", "so so", "glad")])
    take(home, mood, [("again", "lovely", "glad"), ("last", "so so", "cross")])
    found = labels.current(home, mood)[["message_id", "text", "first_id"]].to_numpy().tolist()
    assert found == [["again", "lovely", "m1"], ["last", "so so", "m2"], ["m1", "lovely, not", "m1"]]


def test_a_later_import_corrects_rows_of_the_same_id_and_of_the_same_text(home: Home, mood: Family) -> None:
    take(home, mood, [("m1", "lovely, not", "cross"), ("other", "so so", "glad")])
    assert learnt(home, mood) == [("m1", "lovely, not", "cross"), ("other", "so so", "glad")]
    take(home, mood, [("other", "lovely, not", "glad")])
    assert learnt(home, mood) == [("other", "lovely, not", "glad")]


def test_one_import_may_hold_a_text_with_two_labels_under_two_ids(home: Home, mood: Family) -> None:
    both = [("a", "so so", "glad"), ("b", "so so", "cross")]
    take(home, mood, both, replaces=True)
    assert learnt(home, mood) == both


def test_an_import_that_replaces_starts_anew_and_later_ones_add_to_it(home: Home, mood: Family) -> None:
    take(home, mood, [("n1", "gone", "glad")])
    replacing = take(home, mood, [("z", "new", "fine")], replaces=True)
    take(home, mood, [("a", "newer", "poor")])
    assert learnt(home, mood) == [("a", "newer", "poor"), ("z", "new", "fine")]
    with home.ledger.read() as connection:
        recorded = labels.imports(connection, "mood")
        assert labels.latest_replacement(connection, "mood") == replacing.import_id
        assert labels.is_replaced(connection, "mood")
    assert labels.counting(recorded) == recorded[1:]


def test_a_replaced_shipped_file_is_not_needed_any_more(home: Home, mood: Family) -> None:
    take(home, mood, [("z", "new", "fine")], replaces=True)
    mood.path.unlink()
    assert learnt(home, mood) == [("z", "new", "fine")]


def test_families_do_not_touch_each_other(home: Home, mood: Family) -> None:
    other = Family("topic", mood.labels_file, "nr")
    take(home, mood, [("z", "new", "fine")], replaces=True)
    assert [row[2] for row in learnt(home, other)] == ["2", "1", "3"]
    with home.ledger.read() as connection:
        assert (labels.imports(connection, "topic"), labels.counting([])) == ([], [])
        assert labels.latest_replacement(connection, "topic") is None
        assert not labels.is_replaced(connection, "topic")


def test_an_import_is_recorded_as_it_was_taken_on_both_databases(any_home: Home, mood: Family) -> None:
    taken = [take(any_home, mood, [(f"n{n}", "text", "glad")], replaces=bool(n)) for n in range(2)]
    with any_home.ledger.read() as connection:
        assert labels.imports(connection, "mood") == taken
        assert labels.latest_replacement(connection, "mood") == taken[1].import_id
    assert [(entry.source, entry.rows, entry.replaces) for entry in taken] == [
        ("more.csv", 1, False),
        ("more.csv", 1, True),
    ]
    assert taken[0].path.startswith("labels/mood/")
    assert learnt(any_home, mood) == [("n1", "text", "glad")]


def test_an_import_that_was_changed_or_lost_is_refused_by_name(home: Home, mood: Family) -> None:
    entry = take(home, mood, [("n1", "great", "glad")])
    file = home.root / entry.path
    content = file.read_bytes()
    file.write_bytes(content.replace(b"great", b"awful"))
    with pytest.raises(ArtifactRefused, match=rf"^{entry.path} is not the file that was imported from more\.csv\. "):
        labels.current(home, mood)
    file.unlink()
    with pytest.raises(
        ArtifactRefused, match=rf"^{entry.path} is named in the ledger and is not in .*\. Put it back\."
    ):
        labels.current(home, mood)
    file.write_bytes(content)
    assert ("n1", "great", "glad") in learnt(home, mood)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("message_id,text,mood\nm1,a,x,y\n", "Line 2 of .* cannot be read: expected 3 fields"),
        ("message_id,text,mood\nm1,a,x\nm2,,x\n", r"Line 3 of .* has a label and no text\. Write the text\."),
        ("message_id,text,mood\nm1,b,x\nm1,a,y\n", "Line 2 of .* has the message id 'm1' of another"),
        ("message_id,text,tone\nm1,a,x\n", r"moods\.csv has no column 'mood'\."),
        (None, r"There is no label file .*moods\.csv\. Put it there, or name another for mood in families\.toml\."),
    ],
)
def test_a_shipped_file_that_cannot_be_learnt_whole_is_refused_by_name(
    home: Home, mood: Family, content: str | None, said: str
) -> None:
    assert len(learnt(home, mood)) == 2
    mood.path.unlink()
    if content is not None:
        mood.path.write_text(content)
    with pytest.raises(FileRefused, match=said):
        labels.current(home, mood)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home for many examples; each has a family of its own."""
    home = Home(Settings(home=tmp_path_factory.mktemp("labels") / "home"))
    home.prepare()
    yield home
    home.ledger.close()


IMPORTS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.sampled_from("tuvw"), st.sampled_from("xy")),
            min_size=1,
            unique_by=lambda row: row[0],
        ),
        st.booleans(),
    ),
    max_size=4,
)


@settings(deadline=None, max_examples=12)
@given(IMPORTS, st.randoms())
def test_message_ids_are_unique_and_order_within_an_import_makes_no_difference(
    shared_home: Home, taken: list[tuple[list[Row], bool]], random: Any
) -> None:
    found: list[list[Row]] = []
    for shuffles in (False, True):
        family = Family(f"f{uuid4().hex}", "assets/samples/labels.csv", "issue")
        take(shared_home, family, [("s", "start", "x")], replaces=True)
        for rows, replaces in taken:
            order = random.sample(rows, len(rows)) if shuffles else rows
            take(shared_home, family, order, replaces=replaces)
        found.append(learnt(shared_home, family))
    assert found[0] == found[1] == sorted(found[0])
    ids = [row[0] for row in found[0]]
    assert len(set(ids)) == len(ids)
    if taken:
        assert set(taken[-1][0]) <= set(found[0])


@settings(deadline=None, max_examples=12)
@given(IMPORTS.filter(bool), st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_what_is_exported_and_imported_in_place_of_all_is_the_same_set(
    shared_home: Home, tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[list[Row], bool]], suffix: str
) -> None:
    family = Family(f"f{uuid4().hex}", "assets/samples/labels.csv", "issue")
    for number, (rows, replaces) in enumerate(taken):
        unique = {row[1:]: row for row in sorted(rows, reverse=True)}.values()  # as read_label_file gives them
        take(shared_home, family, sorted(unique), replaces=replaces or number == 0)
    before = learnt(shared_home, family)
    file = tmp_path_factory.getbasetemp() / f"set{suffix}"
    file.unlink(missing_ok=True)
    write_label_file(file, labels.current(shared_home, family))
    again = read_label_file(file).learnt
    take(shared_home, family, list(again.itertuples(index=False, name=None)), replaces=True)
    assert learnt(shared_home, family) == before
