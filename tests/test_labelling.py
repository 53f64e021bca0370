"""The verbs about labels: what they take, print and refuse, and which command they name next."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestration_project.cli.main import app
from orchestration_project.core.errors import FileRefused, OrchestrationError, UnknownName
from orchestration_project.stores import labels
from orchestration_project.stores.champions import promote
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home, prepared_home
from orchestration_project.stores.model_versions import ModelVersion

FEELINGS = ("negative", "neutral", "positive")
AIRLINE = ["--label", "sentiment", "--ignore", "received_at,sentiment_agreement,issue,issue_agreement"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "home"))
    home = prepared_home()
    yield home
    home.ledger.close()


@pytest.fixture
def airline() -> Path:
    """Tweets to airlines that people labelled, some of them one text with two labels."""
    folder = os.environ.get("ORCHESTRATE_EVAL_DATA")
    if folder is None:
        reason = "ORCHESTRATE_EVAL_DATA is not set. Set it to a folder with airline_labels.csv."
        pytest.skip(reason)
    return Path(folder) / "airline_labels.csv"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["labels", *map(str, arguments)])


def answer(*arguments: str | Path) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.exception or result.output
    return json.loads(result.stdout)


def refusal(*arguments: str | Path) -> OrchestrationError:
    result = run(*arguments)
    assert isinstance(result.exception, OrchestrationError), result.output
    return result.exception


def labelled(folder: Path, *names: str, count: int = 12, more: str = "") -> Path:
    """A file with so many messages of each label."""
    file = folder / "team.csv"
    rows = [f"{name}{n},{name} of sort {chr(97 + n)},{name}" for name in names for n in range(count)]
    file.write_text("\n".join(["message_id,text,label", *rows, more]))
    return file


def use_model(home: Home, family: str, names: tuple[str, ...]) -> None:
    """Put a version in use that answers these labels."""
    with home.ledger.write() as connection:
        promote(connection, ModelVersion(family, "v1", "registry/v1.joblib", "0" * 64, 0.5, names, {}, {}))


def test_an_import_says_what_was_taken_and_what_to_do_next(home: Home, tmp_path: Path) -> None:
    file = labelled(
        tmp_path, *FEELINGS, more="x,positive OF sort a!,positive\ny,no label,\nz,positive of sort a,positive"
    )
    shown = run("import", file, "--model", "sentiment").stdout
    assert "37 labels of sentiment taken from team.csv: added to those before, which they correct." in shown
    assert [line.split("│")[1:4] for line in shown.splitlines() if line.startswith("│ positive")] == [
        [" positive ", " 13           ", " 764         "]
    ]
    for line in (
        "1 without a label: left out.",
        "1 say again what another row says: left out.",
        "1 nearly the same as another text, but for case, punctuation, digits, links or names.",
        "Next: orchestrate train --model sentiment",
    ):
        assert line in shown.splitlines()
    assert len(labels.current(home, require_family("sentiment"))) == 3599 + 37


def test_an_import_as_json_has_counts_and_lines(home: Home, tmp_path: Path) -> None:
    found = answer("import", labelled(tmp_path, "good", "bad"), "--model", "issue", "--replace")
    assert (found["model"], found["rows"], found["replaces"], found["is_new"]) == ("issue", 24, True, True)
    assert found["findings"]["labels"] == found["labels_in_file"] == {"bad": 12, "good": 12}
    assert (found["not_labelled"], found["repeated"], found["findings"]["near_duplicates"]) == (0, 0, [])
    assert found["next"] == "orchestrate train --model issue"
    assert len(labels.current(home, require_family("issue"))) == 24


def test_what_was_taken_against_the_findings_is_told(home: Home, tmp_path: Path) -> None:
    file = labelled(tmp_path, "good", "bad", more="x,good of sort a,bad\ny,,bad\nz,a,b,c\nr,strange,rare")
    error = refusal("import", file, "--model", "issue", "--replace")
    assert str(error).startswith("team.csv was not imported. 1 text has several labels (lines 2 and 26). 1 label has")
    result = run("import", file, "--model", "issue", "--replace", "--force", "it is all we have")
    assert result.exit_code == 0
    for line in (
        "1 text has several labels (lines 2 and 26). They stay as they are",
        "1 label has fewer than 10 examples ('rare' 1). They stay.",
        "1 row has a label and no text (line 27). They are left out.",
        "1 row cannot be read (line 28: expected 3 fields, found 4",
    ):
        assert line in result.stderr
    assert "The most frequent label has 13 examples for one of the rarest." in result.stdout
    assert answer("list", "--model", "issue")[0]["reason"] == "it is all we have"


def test_the_same_file_again_is_told_and_changes_nothing(home: Home, tmp_path: Path) -> None:
    file = labelled(tmp_path, *FEELINGS)
    run("import", file, "--model", "sentiment")
    shown = run("import", file, "--model", "sentiment").stdout
    assert shown == (
        "team.csv is what was imported last for sentiment. Nothing was changed.\n"
        "Next: orchestrate train --model sentiment\n"
    )
    assert len(answer("list", "--model", "sentiment")) == 2


@pytest.mark.parametrize(
    ("names", "following"),
    [
        (FEELINGS, "orchestrate train --model sentiment"),
        (("a", "b"), "orchestrate train --model sentiment --new-labels REASON"),
    ],
)
def test_labels_other_than_the_champions_ask_for_a_reason_at_training(
    home: Home, tmp_path: Path, names: tuple[str, ...], following: str
) -> None:
    use_model(home, "sentiment", FEELINGS)
    assert answer("import", labelled(tmp_path, *names), "--model", "sentiment", "--replace")["next"] == following


def test_columns_with_other_names_are_named_or_ignored(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "tickets.tsv"
    rows = [f"{n}\tsort {chr(97 + n)} of {kind}\t{kind}\tx\ty" for n, kind in enumerate(["good", "bad"] * 10)]
    file.write_text("\n".join(["nr\tbody\tkind\tby\tdate", *rows]))
    named = ["--model", "issue", "--replace", "--message-id", "nr", "--text", "body", "--label", "kind"]
    assert "has no column 'text'" in str(refusal("import", file, "--model", "issue"))
    assert "2 columns are unknown (by, date)" in str(refusal("import", file, *named))
    assert answer("import", file, *named, "--ignore", "by, date")["rows"] == 20


def test_a_model_or_file_that_is_not_there_is_refused_by_name(home: Home, tmp_path: Path) -> None:
    file = labelled(tmp_path, *FEELINGS)
    for verb in (["import", file], ["export", tmp_path / "out.csv"], ["list"], ["stats"]):
        error = refusal(*verb, "--model", "sentimant")
        assert isinstance(error, UnknownName)
        assert str(error) == "There is no model 'sentimant'. Did you mean 'sentiment'?"
    assert isinstance(refusal("import", tmp_path / "nowhere.csv", "--model", "issue"), FileRefused)
    assert run("import", file).exit_code == run("export", file).exit_code == 2


def test_the_list_begins_with_the_shipped_file_while_it_counts(home: Home, tmp_path: Path) -> None:
    shipped = {"source": "assets/samples/labels.csv", "rows": 3599, "replaces": False, "reason": None, "counts": True}
    found = answer("list")
    assert found == [{"model": name, "imported_at": None, **shipped} for name in ("sentiment", "issue")]
    run("import", labelled(tmp_path, *FEELINGS), "--model", "sentiment")
    run("import", labelled(tmp_path, "good", "bad"), "--model", "sentiment", "--replace")
    found = answer("list", "--model", "sentiment")
    assert [(one["rows"], one["replaces"], one["counts"]) for one in found] == [(36, False, False), (24, True, True)]
    assert [line.count("yes") for line in run("list").stdout.splitlines() if "team.csv" in line] == [0, 2]


def test_stats_count_what_is_learnt_next(home: Home, tmp_path: Path) -> None:
    use = labelled(tmp_path, "good", "bad", more="x,GOOD of sort a,good")
    run("import", use, "--model", "sentiment", "--replace")
    sentiment, issue = answer("stats")
    assert sentiment == {
        "model": "sentiment",
        "rows": 25,
        "labels": {"good": 13, "bad": 12},
        "shares": {"good": 0.52, "bad": 0.48},
        "near_duplicates": 1,
        "imbalance": 1.08,
        "sources": {"team.csv": 25},
    }
    assert (issue["rows"], issue["sources"]) == (3599, {"assets/samples/labels.csv": 3599})
    shown = run("stats", "--model", "sentiment").stdout
    assert "52.0%" in shown
    assert "From team.csv (25)." in shown


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_export_is_whole_new_and_can_be_imported_again(home: Home, tmp_path: Path, suffix: str) -> None:
    run("import", labelled(tmp_path, *FEELINGS), "--model", "sentiment")
    file = tmp_path / f"out{suffix}"
    assert run("export", file, "--model", "sentiment").stdout == f"3,635 labels of sentiment written to {file}.\n"
    before = labels.current(home, require_family("sentiment"))
    found = answer("import", file, "--model", "sentiment", "--replace")
    assert (found["rows"], found["repeated"]) == (3635, 0)
    after = labels.current(home, require_family("sentiment"))
    assert after.drop(columns="source").equals(before.drop(columns="source"))
    assert "is there already" in str(refusal("export", file, "--model", "sentiment"))


def test_labels_of_people_that_contradict_each_other_are_refused_and_taken_with_a_reason(
    home: Home, airline: Path
) -> None:
    texts: dict[str, set[str]] = {}
    with airline.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            texts.setdefault(row["text"], set()).add(row["sentiment"])
    contradicting = sum(len(given) > 1 for given in texts.values())
    error = refusal("import", airline, "--model", "sentiment", *AIRLINE)
    assert f"airline_labels.csv was not imported. {contradicting} texts have several labels (lines " in str(error)
    assert answer("list", "--model", "sentiment")[0]["rows"] == 3599
    assert len(answer("list", "--model", "sentiment")) == 1
    found = answer("import", airline, "--model", "sentiment", *AIRLINE, "--force", "people disagree")
    assert found["rows"] == len(texts) + contradicting
    assert len(found["findings"]["contradicting_texts"]) == contradicting
    assert set(found["labels_in_file"]) == set(FEELINGS)
    assert found["findings"]["near_duplicates"]
    stats = answer("stats", "--model", "sentiment")[0]
    assert stats["sources"] == {"assets/samples/labels.csv": 3599, "airline_labels.csv": found["rows"]}
