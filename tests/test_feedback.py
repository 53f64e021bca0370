"""Feedback: whatever file it came in, each message has one shape, one id and one moment, and counts once."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workflow_steps import failure, passed, rows_of, run, send

from assets.feedback.feedback import ALIASES, feedback, is_json_object, parse_times, with_own_names
from orchestration_project.core.settings import Settings
from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now

COLUMNS = ["message_id", "received_at", "channel", "account", "text", "metadata"]
FULL = {
    "message_id": "m1",
    "received_at": "2026-03-02T10:00:00Z",
    "channel": "email",
    "account": "QB-1",
    "text": "No box.",
    "metadata": '{"stars": 2}',
}


def taken_in(home: Home, *messages: Mapping[str, Any]) -> pd.DataFrame:
    batch = send(home, messages)
    result = run(home, feedback, batch=batch)
    assert result.success, failure(result)
    return rows_of(home, "feedback", batch)


def counts_of(home: Home, batch: str) -> dict[str, int]:
    with home.ledger.read() as connection:
        counts = batches.count_states(connection, only=[batch])
    return {state: count for state, count in counts.items() if count}


# Columns


@pytest.mark.parametrize("alias", sorted((name, alias) for name, others in ALIASES.items() for alias in others))
def test_every_alias_is_read_as_its_column(alias: tuple[str, str]) -> None:
    name, other = alias
    renamed = {other if key == name else key: value for key, value in FULL.items()}
    assert with_own_names(pd.DataFrame([renamed])).to_dict("records") == [
        {key: FULL[key] for key in [*(key for key in FULL if key != name), name]}
    ]


def test_no_alias_stands_for_two_columns() -> None:
    aliases = [alias for others in ALIASES.values() for alias in others]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(ALIASES)


def test_of_several_names_of_a_column_the_first_with_a_value_counts() -> None:
    rows = pd.DataFrame({"text": ["own", None, None], "message": ["a", "b", None], "body": ["x", "y", "z"]})
    assert with_own_names(rows)["text"].tolist() == ["own", "b", "z"]


def test_a_file_of_aliases_becomes_feedback(home: Home) -> None:
    [row] = taken_in(
        home, {"id": 7, "created_at": FULL["received_at"], "source": "app", "user": "QB-1", "comment": "Hi", "meta": {}}
    ).to_dict("records")
    assert row.pop("received_at") == pd.Timestamp("2026-03-02T10:00Z")
    assert row == {"message_id": "7", "channel": "app", "account": "QB-1", "text": "Hi", "metadata": "{}"}


def test_a_text_alone_is_enough(home: Home) -> None:
    [row] = taken_in(home, {"text": "No box."}).to_dict("records")
    assert list(row) == COLUMNS
    assert (row["channel"], row["metadata"], row["text"]) == ("unknown", "{}", "No box.")
    assert pd.isna(row["account"])
    with home.ledger.read() as connection:
        registered_at = connection.exec_driver_sql("SELECT registered_at FROM arrivals").scalar_one()
    assert row["received_at"] == pd.Timestamp(registered_at, tz="UTC")


@pytest.mark.parametrize(
    ("message", "column"),
    [({**FULL, "stars": "2"}, "unknown column 'stars'"), ({"id": "1", "account": "A"}, "missing column 'text'")],
)
def test_an_unknown_or_missing_column_is_drift_and_halts_the_batch(
    home: Home, message: dict[str, str], column: str
) -> None:
    batch = send(home, [message])
    result = run(home, feedback, batch=batch)
    assert column in failure(result)
    assert passed(result)["gate"] is False
    assert counts_of(home, batch) == {"halted": 1}
    with home.ledger.read() as connection:
        assert [(halt.asset, halt.partition) for halt in open_halts(connection)] == [("feedback", batch)]


@pytest.mark.parametrize("column", ["text", "channel", "account", "metadata"])
def test_numbers_where_text_belongs_are_a_retyped_column(home: Home, column: str) -> None:
    result = run(home, feedback, batch=send(home, [{"text": "Hi", column: 5}, {"text": "Hi", column: None}]))
    assert f"retyped column '{column}'" in failure(result)


def test_an_alias_of_another_type_is_a_retyped_column(home: Home) -> None:
    result = run(home, feedback, batch=send(home, [{"text": "Hi"}, {"message": 5}]))
    assert "retyped column 'text'" in failure(result)


# Identity


def test_two_customers_who_write_the_same_stay_two(home: Home) -> None:
    rows = taken_in(home, {"text": "thanks"}, {"text": "thanks"})
    assert rows["message_id"].nunique() == len(rows) == 2
    assert rows["message_id"].str.fullmatch(r"m-[0-9a-f]{32}").all()


def test_a_made_id_is_keyed_by_a_secret_of_the_home(home: Home, tmp_path: Path) -> None:
    other = Home(Settings(home=tmp_path / "other"))
    other.prepare()
    without_id = {**FULL, "message_id": None}
    assert taken_in(home, without_id)["message_id"].tolist() != taken_in(other, without_id)["message_id"].tolist()


def test_the_same_moment_written_otherwise_is_the_same_message(home: Home) -> None:
    same = {**FULL, "message_id": None, "received_at": "2026-03-02T11:00:00+01:00"}
    assert len(taken_in(home, {**FULL, "message_id": None}, same)) == 1


def test_the_same_message_counts_once_within_a_batch_and_across_batches(home: Home) -> None:
    without_id = {**FULL, "message_id": None}
    first = send(home, [FULL, without_id, FULL, without_id, {**FULL, "message_id": "m2"}])
    assert run(home, feedback, batch=first).success
    second = send(home, [{**FULL, "text": "other words, same id"}, without_id, {**FULL, "message_id": "m3"}])
    assert run(home, feedback, batch=second).success
    assert rows_of(home, "feedback", first)["message_id"].tolist()[::2] == ["m1", "m2"]
    assert rows_of(home, "feedback", second)["message_id"].tolist() == ["m3"]
    with home.ledger.read() as connection:
        counted = [connection.exec_driver_sql("SELECT duplicates FROM batches ORDER BY number").scalars().all()]
    assert counted == [[2, 2]]


def test_a_file_sent_twice_counts_once_though_nothing_in_it_has_an_id(home: Home) -> None:
    messages = [{"text": "thanks"}, {"text": "thanks"}, {"text": "No box."}]
    first, second = send(home, messages), send(home, messages)
    for batch in (first, second):
        assert run(home, feedback, batch=batch).success
    assert (len(rows_of(home, "feedback", first)), len(rows_of(home, "feedback", second))) == (3, 0)


def test_a_second_run_keeps_its_messages_and_changes_nothing(home: Home) -> None:
    batch = send(home, [FULL, {"text": "thanks"}])
    before, after = ((run(home, feedback, batch=batch), rows_of(home, "feedback", batch))[1] for _ in range(2))
    pd.testing.assert_frame_equal(before, after)


# Moments


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z"),
        ("2026-03-02T10:00:00+05:30", "2026-03-02T04:30:00Z"),
        ("2026-03-02 10:00:00.123456-0800", "2026-03-02T18:00:00.123456Z"),
        ("20260302T100000Z", "2026-03-02T10:00:00Z"),
        ("2026-03-02T10:00-05", "2026-03-02T15:00:00Z"),
        (" 2026-03-02T10:00:00Z ", "2026-03-02T10:00:00Z"),
        ("2026-03-02T10:00:00", None),  # whose ten o'clock?
        ("2026-03-02", None),
        ("1772445600", None),
        ("02/03/2026 10:00 +0000", None),
        ("2026-02-30T10:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_moment_is_iso_8601_that_states_its_zone(written: str | None, moment: str | None) -> None:
    [found] = parse_times(pd.Series([written], dtype="str"))
    assert (found is pd.NaT) if moment is None else (found == pd.Timestamp(moment))


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=30), st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", fullmatch=True)))
)
def test_any_text_is_a_moment_in_utc_or_none(texts: list[str | None]) -> None:
    found = parse_times(pd.Series(texts, dtype="str"))
    assert str(found.dtype) == "datetime64[us, UTC]"
    alone = [parse_times(pd.Series([text], dtype="str"))[0] for text in texts]
    assert [pd.isna(one) for one in alone] == found.isna().tolist()  # its neighbours decide nothing


def test_times_with_a_zone_in_parquet_are_kept_and_those_without_refused(home: Home) -> None:
    def sent(times: "pyarrow.Array[Any]") -> str:
        file = home.root / "sent.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "received_at": times}), file)
        arrivals.register(home, arrivals.receive(home, file))
        batch = batches.open_next(home)
        assert batch
        return batch

    moments = [pd.Timestamp("2026-03-02T10:00Z"), None]
    zoned = sent(pyarrow.array(moments, pyarrow.timestamp("ns", "Asia/Tokyo")))
    assert run(home, feedback, batch=zoned).success
    rows = rows_of(home, "feedback", zoned)
    assert rows["received_at"][0] == moments[0]
    assert rows["received_at"].notna().all()  # one that is not stated is the moment it was registered
    naive = sent(pyarrow.array([pd.Timestamp("2026-03-02T10:00"), pd.Timestamp("2026-03-02T11:00")]))
    assert "received_at_not_null" in failure(run(home, feedback, batch=naive))


def test_a_message_with_a_moment_nobody_can_read_is_quarantined_and_the_others_go_on(home: Home) -> None:
    good = [{**FULL, "message_id": f"m{number}"} for number in range(3)]
    batch = send(home, [*good, {**FULL, "message_id": "bad", "received_at": "2026-03-02 10:00"}])
    assert run(home, feedback, batch=batch).success
    assert rows_of(home, "feedback", batch)["message_id"].tolist() == ["m0", "m1", "m2"]
    assert counts_of(home, batch) == {"working": 3, "quarantined": 1}


def test_blanks_are_nothing_stated(home: Home) -> None:
    [row] = taken_in(
        home, {"text": "Hi", "received_at": " ", "channel": "", "metadata": "", "message_id": " ", "account": ""}
    ).to_dict("records")
    assert (row["channel"], row["metadata"]) == ("unknown", "{}")
    assert pd.isna(row["account"])
    assert row["message_id"].startswith("m-")


# Metadata and text


@pytest.mark.parametrize("text", ["{}", '{"stars": 2}', ' {"a": {"b": [1]}} '])
def test_metadata_is_a_json_object(text: str) -> None:
    assert is_json_object(text)


@pytest.mark.parametrize("text", ["", "[]", "2", "null", "{", "{'a': 1}", "[" * 100_000, '{"a":' * 100_000])
def test_other_metadata_is_refused(text: str) -> None:
    assert not is_json_object(text)


def test_bad_metadata_or_a_blank_text_quarantines_the_message_alone(home: Home) -> None:
    bad = [{**FULL, "message_id": "deep", "metadata": "[" * 100_000}, {**FULL, "message_id": "blank", "text": " \n"}]
    good = [{**FULL, "message_id": f"m{number}", "metadata": {"stars": number}} for number in range(3)]
    batch = send(home, [*bad, *good])
    result = run(home, feedback, batch=batch)
    assert result.success
    checks = passed(result)
    assert (checks["gate"], checks["metadata_json_object"], checks["text_not_blank"]) == (True, False, False)
    assert [json.loads(text)["stars"] for text in rows_of(home, "feedback", batch)["metadata"]] == [0, 1, 2]


ODD = {
    "control": "a\x1b[31m\x07\x08\x01 b",
    "right to left": "الطرد \u202eتالف\u202c כאן",
    "joined": "👨‍👩‍👧 e\u0301 \u200b \ufeff",
    "long": "late again " * 9_091,
    "quotes and lines": "He said \"no\",\r\nthen; 'left'\t\n",
}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "json"])
def test_odd_texts_are_published_as_they_were_written(home: Home, tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"message_id": list(ODD), "text": list(ODD.values())})
    file = tmp_path / f"odd.{kind}"
    if kind == "csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_json(file, orient="records", lines=kind == "jsonl")
    arrivals.register(home, arrivals.receive(home, file))
    batch = batches.open_next(home)
    assert batch
    result = run(home, feedback, batch=batch)
    assert result.success, failure(result)
    rows = rows_of(home, "feedback", batch)
    assert dict(zip(rows["message_id"], rows["text"], strict=True)) == ODD


def test_a_message_of_the_future_is_quarantined_and_one_of_tonight_is_not(home: Home) -> None:
    moments = {"tonight": now() + timedelta(hours=20), "later": now() + timedelta(days=2), "far": None}
    texts = {name: moment.isoformat() if moment else "9999-12-31T23:59:59Z" for name, moment in moments.items()}
    batch = send(home, [{**FULL, "message_id": name, "received_at": text} for name, text in texts.items()])
    result = run(home, feedback, batch=batch)
    assert result.success, failure(result)
    assert rows_of(home, "feedback", batch)["message_id"].tolist() == ["tonight"]
    assert passed(result)["received_at_not_in_future"] is False
    assert counts_of(home, batch) == {"working": 1, "quarantined": 2}


def test_one_message_that_is_refused_alone_ends_its_batch_well(home: Home) -> None:
    batch = send(home, [{**FULL, "text": " "}])
    result = run(home, feedback, batch=batch)
    assert result.success
    assert len(rows_of(home, "feedback", batch)) == 0
    assert counts_of(home, batch) == {"quarantined": 1}


def test_a_mail_is_one_message_of_its_sender(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "letter.eml"
    file.write_text(
        "Message-ID: <m-1@example.org>\nFrom: Ann <ann@example.org>\nSubject: Box\n"
        "Date: Tue, 03 Mar 2026 10:00:00 +0100\n\nThe box is empty.\n"
    )
    arrivals.register(home, arrivals.receive(home, file))
    batch = batches.open_next(home)
    assert batch is not None
    assert run(home, feedback, batch=batch).success
    [row] = rows_of(home, "feedback", batch).to_dict("records")
    assert row == {
        "message_id": "m-1@example.org",
        "received_at": pd.Timestamp("2026-03-03T09:00Z"),
        "channel": "email",
        "account": "ann@example.org",
        "text": "The box is empty.",
        "metadata": '{"subject": "Box", "to": []}',
    }
