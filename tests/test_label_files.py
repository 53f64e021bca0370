"""A file of labels: what is read of it, what is left out, and that what is written is read again."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.formats import SUFFIXES
from orchestration_project.stores.label_files import LabelFile, made_id, read_label_file, write_label_file

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


def written(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def rows(file: LabelFile) -> list[tuple[str, str, str, int]]:
    return list(file.rows.itertuples(index=False, name=None))


def test_rows_have_id_text_label_and_line(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, 'text,label,message_id\n"two\nlines",late,m2\nok,fine,m1\n'))
    assert rows(file) == [("m1", "ok", "fine", 4), ("m2", "two\nlines", "late", 2)]
    assert (file.name, file.not_labelled, file.repeated, file.empty_texts) == ("labels.csv", 0, 0, ())
    assert (file.unreadable, file.unknown_columns) == ({}, ())


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"message_id": ["7", "007"], "text": ["NA", 'null, "x"\n'], "label": ["1", "0"]})
    write_label_file(tmp_path / f"labels{suffix}", table)
    found = [row[:3] for row in rows(read_label_file(tmp_path / f"labels{suffix}"))]
    assert found == [("007", 'null, "x"\n', "0"), ("7", "NA", "1")]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([12, 7], ["12", "7"]),
        ([12, None], ["12", None]),
        ([12, 1.5], ["12", "1.5"]),
        ([2**70, 7], [str(2**70), "7"]),
        ([567588278875214000, "007"], ["567588278875214000", "007"]),
        ([True, None], ["true", None]),
    ],
)
def test_an_id_that_is_a_number_stays_as_it_is_written(tmp_path: Path, values: list[Any], expected: list[Any]) -> None:
    lines = [json.dumps({"message_id": id_, "text": f"t{n}", "label": "x"}) for n, id_ in enumerate(values)]
    file = read_label_file(written(tmp_path, "\n".join(lines), "labels.jsonl"))
    found = dict(zip(file.rows["text"], file.rows["message_id"], strict=True))
    assert found == {f"t{n}": made_id(f"t{n}") if id_ is None else id_ for n, id_ in enumerate(expected)}


def test_whole_numbers_that_parquet_holds_as_floats_have_no_point(tmp_path: Path) -> None:
    table = pa.table({"message_id": [1.0, None, float("nan")], "text": ["a", "b", "c"], "label": [0, 1, 1]})
    pq.write_table(table, tmp_path / "labels.parquet")
    found = read_label_file(tmp_path / "labels.parquet").rows
    assert set(found["message_id"]) == {"1", made_id("b"), made_id("c")}
    assert sorted(found["label"]) == ["0", "1", "1"]


def test_a_text_without_an_id_has_one_made_from_it_the_same_in_every_home(tmp_path: Path) -> None:
    assert made_id("late again") == "t-0ab2d0ae15ec2bb0"
    file = read_label_file(written(tmp_path, "text,label\nlate again,x\n"))
    blank = read_label_file(written(tmp_path, "text,label,message_id\nlate again,x, \n"))
    assert [row[0] for row in rows(file)] == [row[0] for row in rows(blank)] == [made_id("late again")]


def test_ids_and_labels_lose_the_space_around_them_and_texts_keep_it(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, "message_id,text,label\n m1 , so so ,\tfine \n"))
    assert rows(file) == [("m1", " so so ", "fine", 2)]


def test_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, "text,label\na,x\nb,\nc, \n,\n"))
    assert ([row[1] for row in rows(file)], file.not_labelled, file.empty_texts) == (["a"], 3, ())


def test_a_label_without_a_text_is_left_out_with_its_line(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, "text,label\na,x\n,x\n  ,y\n"))
    assert ([row[1] for row in rows(file)], file.not_labelled, file.empty_texts) == (["a"], 0, (3, 4))


def test_exact_repeats_are_kept_once_under_the_first_id_and_counted(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, "message_id,text,label\nm2,a,x\nm1,a,x\nm3,a,y\nm4,A,x\n"))
    assert rows(file) == [("m1", "a", "x", 3), ("m3", "a", "y", 4), ("m4", "A", "x", 5)]
    assert file.repeated == 1


def test_of_several_rows_with_one_id_the_first_in_order_is_learnt(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, "message_id,text,label\nm1,b,x\nm1,a,y\nm2,c,x\n"))
    assert len(file.rows) == 3
    assert file.learnt.to_dict("split")["data"] == [["m1", "a", "y"], ["m2", "c", "x"]]


def test_a_row_that_cannot_be_read_is_left_out_with_its_line_and_why(tmp_path: Path) -> None:
    file = read_label_file(written(tmp_path, b"text,label\na,x\nb,x,y\n\xff,x\n"))
    assert [row[1] for row in rows(file)] == ["a"]
    assert {line: why[:16] for line, why in file.unreadable.items()} == {3: "expected 2 field", 4: "byte 1 of the ro"}
    pq.write_table(pa.table({"text": ["a\0", "b"], "label": ["x", "x"]}), tmp_path / "labels.parquet")
    found = read_label_file(tmp_path / "labels.parquet")
    assert ([row[1] for row in rows(found)], list(found.unreadable)) == (["b"], [1])


def test_columns_may_have_other_names_and_all_that_nobody_named_are_unknown(tmp_path: Path) -> None:
    file = written(tmp_path, "nr,body,kind,source,date,by\n1,a,x,s,d,p\n")
    found = read_label_file(file, message_id="nr", text="body", label="kind", ignore=["date", "nothing"])
    assert rows(found) == [("1", "a", "x", 2)]
    assert found.unknown_columns == ("by",)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "labels.csv has no column 'label'. Name the one it has with --label. Did you mean 'labels'?"),
        (
            {"label": "labels", "text": "txt"},
            "labels.csv has no column 'txt'. Name the one it has with --text. Did you",
        ),
        (
            {"label": "labels", "message_id": "nr"},
            "labels.csv has no column 'nr'. Name the one it has with --message-id.",
        ),
        ({"label": "text"}, "One column of labels.csv is named twice: message_id, text, text. Name three columns."),
    ],
)
def test_a_column_that_is_not_there_is_refused_by_name(tmp_path: Path, named: dict[str, str], said: str) -> None:
    file = written(tmp_path, "text,labels\na,x\n")
    assert len(read_label_file(file, label="labels").rows) == 1
    with pytest.raises(FileRefused, match="^" + re.escape(said)):
        read_label_file(file, **named)


def test_a_file_without_rows_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    for content in ("", "text,label\n"):
        with pytest.raises(FileRefused, match=r"^labels\.csv has no rows\."):
            read_label_file(written(tmp_path, content))
    with pytest.raises(FileRefused, match=r"nowhere\.csv is not a file"):
        read_label_file(tmp_path / "nowhere.csv")
    with pytest.raises(FileRefused, match=r"has the suffix '\.xlsx'"):
        read_label_file(written(tmp_path, "x", "labels.xlsx"))


def test_a_column_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    for value in (b"x", ["x"]):
        pq.write_table(pa.table({"text": [value], "label": ["x"]}), tmp_path / "labels.parquet")
        with pytest.raises(FileRefused, match=r"^The column 'text' of labels\.parquet holds (binary|list<.*>)\. Write"):
            read_label_file(tmp_path / "labels.parquet")


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["a"], "label": ["x"]})
    write_label_file(tmp_path / "new" / "labels.csv", table)
    with pytest.raises(FileRefused, match=r"labels\.csv is there already\. Name a new file"):
        write_label_file(tmp_path / "new" / "labels.csv", table.head(0))
    assert len(read_label_file(tmp_path / "new" / "labels.csv").rows) == 1


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["a"], "label": ["x"]})
    with pytest.raises(FileRefused, match=r"labels\.txt has the suffix '\.txt'\. Name one of: \.csv"):
        write_label_file(tmp_path / "labels.txt", table)
    (tmp_path / "file").touch()
    with pytest.raises(FileRefused, match=r"labels\.csv cannot be written: .*\. Name a file where you may write\."):
        write_label_file(tmp_path / "file" / "labels.csv", table)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(WORDS.map(str.strip), WORDS, WORDS.map(str.strip)), min_size=1),
    st.sampled_from(sorted(SUFFIXES)),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, labelled: list[tuple[str, str, str]], suffix: str
) -> None:
    unique = {(text, label): (id_, text, label) for id_, text, label in labelled}.values()
    file = tmp_path_factory.getbasetemp() / f"again{suffix}"
    file.unlink(missing_ok=True)
    write_label_file(file, pd.DataFrame(unique, columns=["message_id", "text", "label"]))
    found = read_label_file(file)
    assert [row[:3] for row in rows(found)] == sorted(unique)
    assert (found.repeated, found.not_labelled, found.unreadable) == (0, 0, {})


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(*[st.sampled_from("abc")] * 3), min_size=1), st.randoms())
def test_order_of_the_rows_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, labelled: list[tuple[str, str, str]], random: Any
) -> None:
    found: list[list[Any]] = []
    for order in (labelled, random.sample(labelled, len(labelled))):
        lines = ["message_id,text,label", *map(",".join, order)]
        file = read_label_file(written(tmp_path_factory.getbasetemp(), "\n".join(lines)))
        found.append([file.learnt.to_dict("list"), file.repeated])
    assert found[0] == found[1]
