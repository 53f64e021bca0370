"""Rows of arrivals are read back as they stood, with where they came from."""

import re

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from received_files import BY, receive, rows_of, take_in

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.home import Home


def test_rows_come_back_in_the_order_of_coming_with_where_they_stood(any_home: Home) -> None:
    found = take_in(any_home, "text\na\nb\n", "text\nc\n", name="feedback.csv")
    assert found.rows.to_dict("list") == {"text": ["a", "b", "c"]}
    assert found.origin["line"].tolist() == [2, 3, 2]
    assert found.origin["file"].tolist() == ["feedback.csv"] * 3
    assert found.origin["file_sha256"].nunique() == 2
    assert str(found.origin["registered_at"].dtype) == "datetime64[us, UTC]"
    assert found.rows.index.equals(found.origin.index)
    assert found.unparsable.empty


def test_line_that_cannot_be_parsed_is_kept_apart_with_its_text(home: Home) -> None:
    found = take_in(home, '{"text": "a"}\nnonsense\n{"text": "b"}\n')
    assert found.rows["text"].tolist() == ["a", "b"]
    assert found.origin["line"].tolist() == [1, 3]
    [broken] = found.unparsable.to_dict("records")
    assert (broken["raw"], broken["line"], broken["file"]) == ("nonsense", 2, "feedback.jsonl")
    assert broken["error"].startswith("not JSON")
    assert re.fullmatch("m-[0-9a-f]{32}", broken["message_id"])


def test_batch_of_nothing_but_broken_lines_has_no_rows(home: Home) -> None:
    found = take_in(home, "nonsense\nmore\n", '{"text": "a"}\n')
    assert (len(found.rows), len(found.unparsable)) == (0, 2)
    assert found.unparsable["message_id"].is_unique


def test_broken_line_changes_no_other_row(home: Home) -> None:
    whole = '{"message_id": 7, "sure": true, "share": 0.5}\n{"message_id": 8, "sure": false, "share": 1.5}\n'
    found = take_in(home, whole + "nonsense\n").rows
    pd.testing.assert_frame_equal(found, take_in(home, whole).rows)
    assert [str(dtype) for dtype in found.dtypes] == ["int64", "bool", "float64"]


def test_whole_numbers_stay_whole_where_some_are_absent(home: Home) -> None:
    large = 2**60 + 1
    found = take_in(home, [{"message_id": large, "text": "a"}, {"text": "b"}])
    assert found.rows["message_id"].tolist() == [large, pd.NA]
    given, made = found.identify(found.rows, BY)
    assert (given, made[:2]) == (str(large), "m-")


def test_unsigned_numbers_of_parquet_stay_whole_too(home: Home) -> None:
    table = pyarrow.table({"message_id": pyarrow.array([2**64 - 1, None], pyarrow.uint64()), "text": ["a", "b"]})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    found = take_in(home, sink.getvalue().to_pybytes(), name="feedback.parquet")
    assert found.identify(found.rows, BY)[0] == str(2**64 - 1)


def test_columns_named_like_ours_are_the_senders_and_stay(home: Home) -> None:
    row = {"_file": "x", "_filename": "y", "_file_sha256": "z", "_registered_at": "now", "file": "f", "line": 9}
    found = take_in(home, [row])
    assert found.rows.to_dict("records") == [row]
    assert found.origin["line"].tolist() == [1]


def test_staged_file_that_is_gone_is_refused_by_name(home: Home) -> None:
    arrivals.register(home, receive(home, rows_of("a")))
    batch = batches.open_next(home)
    [staged] = home.staged.iterdir()
    staged.unlink()
    with pytest.raises(ArtifactRefused, match=f"staged/{staged.name} is named in the ledger"):
        arrivals.read(home, batch or "")


def test_tokens_tell_which_batches_took_what_was_received(any_home: Home) -> None:
    first, second = (receive(any_home, rows_of(text)) for text in "ab")
    tokens = [path.name.partition("-")[0] for path in (first, second)]
    arrivals.register(any_home, first)
    batch = batches.open_next(any_home)
    arrivals.register(any_home, second)
    with any_home.ledger.read() as connection:
        assert arrivals.batches_of(connection, tokens) == {batch, None}
        assert arrivals.batches_of(connection, tokens[:1]) == {batch}
        assert arrivals.batches_of(connection, []) == set()
        assert arrivals.batches_of(connection, [*tokens, *(f"{number:032x}" for number in range(3000))]) == {
            batch,
            None,
        }
