"""A team's labels are taken in: what is stored and audited, what is refused and then leaves nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused, FileRefused, Refused
from orchestration_project.governance import audit
from orchestration_project.governance.label_imports import ACTION, Outcome, import_labels
from orchestration_project.stores import labels
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.schema import AUDIT

GLAD = [f"g{n},lovely thing {chr(97 + n)},glad" for n in range(12)]
CROSS = [f"c{n},awful thing {chr(97 + n)},cross" for n in range(12)]
CONTRADICTION = "x,lovely thing a,cross"


@pytest.fixture
def mood(tmp_path: Path) -> Family:
    file = tmp_path / "moods.csv"
    file.write_text("\n".join(["message_id,text,mood", *GLAD, *CROSS]))
    return Family("mood", str(file), "mood")


def take(home: Home, family: Family, *lines: str, header: str = "message_id,text,label", **more: Any) -> Outcome:
    file = home.root / "more.csv"
    file.write_text("\n".join([header, *lines]))
    return import_labels(home, family, read_label_file(file), **more)


def audited(home: Home) -> list[tuple[str, dict[str, Any]]]:
    """(subject, detail) of every audited import; there is a record and a file for each."""
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        query = sa.select(AUDIT.c.subject, AUDIT.c.detail).where(AUDIT.c.action == ACTION).order_by(AUDIT.c.sequence)
        found = [(subject, json.loads(detail)) for subject, detail in connection.execute(query)]
        recorded = labels.imports(connection, "mood")
    assert [detail["sha256"] for _, detail in found] == [entry.sha256 for entry in recorded]
    files = {home.below(path) for path in home.labels.rglob("*") if path.is_file()}
    assert files == {entry.path for entry in recorded}
    return found


def test_an_import_is_stored_recorded_and_audited_without_a_text(home: Home, mood: Family) -> None:
    outcome = take(home, mood, "n1,a great thing,glad", "n2,,glad", "n3,one thing,", reason="of the new shop")
    entry = outcome.entry
    assert (outcome.is_new, entry.source, entry.rows, entry.replaces, entry.reason) == (
        *(True, "more.csv", 1, False),
        "of the new shop",
    )
    ((subject, detail),) = audited(home)
    assert (subject, detail) == (
        "mood",
        {**vars(entry), "imported_at": entry.imported_at.isoformat(), "findings": {"empty texts": 1}},
    )
    assert "great" not in json.dumps(detail)


def test_what_is_found_is_refused_without_a_reason_and_leaves_nothing(home: Home, mood: Family) -> None:
    bad = [*GLAD, *CROSS, CONTRADICTION]
    with pytest.raises(
        FileRefused, match=r"^more\.csv was not imported\. 1 text has several labels \(lines 2 and 26\)"
    ):
        take(home, mood, *bad)
    assert audited(home) == []
    assert len(labels.current(home, mood)) == 24
    assert take(home, mood, *bad, reason="both are meant").entry.reason == "both are meant"
    found = labels.current(home, mood)
    assert found[found["text"] == "lovely thing a"]["label"].tolist() == ["glad", "cross"]
    assert [detail["findings"] for _, detail in audited(home)] == [{"contradicting texts": 1}]


def test_a_reason_is_kept_only_where_something_was_found(home: Home, mood: Family) -> None:
    assert take(home, mood, "n1,a great thing,glad", reason="in any case").entry.reason is None


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_without_words_is_refused(home: Home, mood: Family, reason: str) -> None:
    with pytest.raises(Refused, match=r"^--force has no reason\. Write why"):
        take(home, mood, CONTRADICTION, reason=reason)
    assert audited(home) == []


def test_an_unknown_label_is_refused_even_with_a_reason_unless_the_file_replaces(home: Home, mood: Family) -> None:
    lines = [*GLAD, *(line.replace("cross", "crosss") for line in CROSS)]
    with pytest.raises(
        FileRefused, match=r"mood has no label 'crosss' so far .* Did you mean 'cross'\?.* --replace\.$"
    ):
        take(home, mood, *lines, reason="new names")
    assert audited(home) == []
    take(home, mood, *lines, replaces=True)
    assert set(labels.current(home, mood)["label"]) == {"glad", "crosss"}
    take(home, mood, "n1,horrid,crosss")
    with pytest.raises(FileRefused, match="mood has no label 'cross' so far"):
        take(home, mood, "n1,horrid,cross")


def test_a_file_without_a_labelled_row_is_refused(home: Home, mood: Family) -> None:
    for replaces in (False, True):
        with pytest.raises(FileRefused, match=r"^more\.csv has no labelled row\. Write a label in each row"):
            take(home, mood, "n1,a great thing,", replaces=replaces, reason="nothing in it")
    assert audited(home) == []


def test_a_set_with_one_label_is_refused_even_with_a_reason(home: Home, mood: Family) -> None:
    with pytest.raises(
        FileRefused, match=r"^With more\.csv every message of mood has the label 'glad'\. Label messages"
    ):
        take(home, mood, *GLAD, replaces=True, reason="all are glad")
    take(home, mood, *GLAD, *CROSS, replaces=True)


def test_the_same_rows_twice_in_a_row_change_nothing(home: Home, mood: Family) -> None:
    lines = [*GLAD, *CROSS, CONTRADICTION]
    first = take(home, mood, *lines, reason="both are meant")
    again = take(home, mood, *reversed(lines))
    assert (first.is_new, again.is_new, again.entry) == (True, False, first.entry)
    assert len(audited(home)) == 1
    replacing = take(home, mood, *lines, reason="both are meant", replaces=True)
    assert (replacing.is_new, take(home, mood, *lines).is_new, len(audited(home))) == (True, False, 2)


def test_the_same_rows_after_others_are_a_new_import(home: Home, mood: Family) -> None:
    for label in ("cross", "glad", "cross"):
        assert take(home, mood, f"n1,a thing of changes,{label}").is_new
    with home.ledger.read() as connection:
        assert len(labels.imports(connection, "mood")) == 3
    assert labels.current(home, mood).set_index("message_id")["label"]["n1"] == "cross"


def test_a_lost_import_is_put_back_by_importing_its_file_again(home: Home, mood: Family) -> None:
    entry = take(home, mood, "n1,a great thing,glad").entry
    (home.root / entry.path).unlink()
    with pytest.raises(ArtifactRefused):
        labels.current(home, mood)
    assert take(home, mood, "n1,a great thing,glad").entry == entry
    assert len(labels.current(home, mood)) == 25
    assert len(audited(home)) == 1


def test_an_import_that_meets_another_is_refused(home: Home, mood: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    look = labels.current

    def look_and_be_overtaken(home: Home, family: Family) -> Any:
        monkeypatch.setattr(labels, "current", look)
        found = look(home, family)
        (home.root / "other").mkdir()
        file = home.root / "other" / "other.csv"
        file.write_text("\n".join(["message_id,text,label", *GLAD, *(line + "er" for line in CROSS)]))
        import_labels(home, family, read_label_file(file), replaces=True)
        return found

    monkeypatch.setattr(labels, "current", look_and_be_overtaken)
    with pytest.raises(Refused, match=r"^Somebody else imported labels of mood meanwhile\. Import more\.csv again\.$"):
        take(home, mood, "n1,a sad thing,cross")
    assert set(labels.current(home, mood)["label"]) == {"glad", "crosser"}
    assert len(audited(home)) == 1
