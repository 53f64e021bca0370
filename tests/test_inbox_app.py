"""`POST /inbox`: what is accepted, what each refusal says, and that nothing of a refused body is kept."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from orchestration_project.core.settings import Settings
from orchestration_project.serving.inbox_app import ACCEPTED, inbox_app
from orchestration_project.stores import arrivals, batches, ledger
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import ARRIVALS

JSON, LINES, EVENT, EVENTS = ACCEPTED
DOCUMENTED = {202, 400, 413, 415, 422, 429, 503}
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "review"}


@pytest.fixture
def client(home: Home) -> Iterator[TestClient]:
    with TestClient(inbox_app(home), raise_server_exceptions=False) as client:
        yield client


def post(client: TestClient, body: Any, media_type: str = JSON, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/inbox", content=content, headers={"Content-Type": media_type, **headers})


def rows_in(home: Home) -> int:
    with home.ledger.read() as connection:
        return connection.execute(sa.select(sa.func.coalesce(sa.func.sum(ARRIVALS.c.rows), 0))).scalar_one()


def assert_nothing_is_kept(home: Home) -> None:
    assert rows_in(home) == 0
    assert [*home.staged.iterdir(), *home.received.iterdir(), *home.archive.iterdir()] == []


def assert_problem(answer: Any, status: int, *words: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told = answer.json()
    assert told["status"] == status
    assert all(word in told["detail"] for word in words), told


def rows_of(home: Home) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        keys = batches.all_keys(connection)
    return [row for key in keys for row in arrivals.read(home, key).rows.to_dict("records")]


BODIES: dict[str, tuple[str, bytes, int]] = {
    "object": (JSON, b'{"text": "late"}', 1),
    "array": (JSON, b' [\n{"text": "late"},\n {"text": "early"} ]\n', 2),
    "byte order mark": (JSON, b'\xef\xbb\xbf{"text": "late"}', 1),
    "lines": (LINES, b'{"text": "late"}\r\n\n{"text": "early"}', 2),
    "event": (EVENT, json.dumps({**ENVELOPE, "data": {"text": "late"}}).encode(), 1),
    "events": (
        EVENTS,
        json.dumps([{**ENVELOPE, "id": str(n), "data": {"text": "late"}} for n in range(3)]).encode(),
        3,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_accepted_messages_are_durable_and_in_one_batch_with_their_ids(
    home: Home, client: TestClient, name: str
) -> None:
    media_type, body, rows = BODIES[name]
    answer = post(client, body, f"{media_type}; charset=utf-8")
    assert answer.status_code == 202, answer.text
    assert answer.json()["rows"] == rows
    found = rows_of(home)
    assert [row["message_id"] for row in found] == answer.json()["message_ids"]
    assert found[0]["text"] == "late"
    assert list(home.received.iterdir()) == []
    assert len(list(home.archive.iterdir())) == 1


REFUSED: list[tuple[str, bytes, dict[str, Any], str]] = [
    (JSON, b"", {"line": 1}, "not JSON"),
    (JSON, b"[]", {}, "no message"),
    (JSON, b'{"a": 1} x', {"line": 1}, "Extra data"),
    (JSON, b'[{"a": 1},\n{"a": }]', {"line": 2}, "character 7"),
    (JSON, b'[{"a": 1},\n{"b": 1, "b": 2}]', {"line": 2, "field": "b"}, "stands 2 times"),
    (JSON, b'[{"a": 1},\n 7]', {"line": 2}, "expected an object"),
    (JSON, b'[{"a": 1}\n{"a": 2}]', {"line": 2}, "',' delimiter"),
    (JSON, b'{"a": 1,\n"b": 1e999}', {"line": 1, "field": "b"}, "float64"),
    (JSON, b'{"a": NaN}', {"line": 1, "field": "a"}, "NaN"),
    (JSON, b'{"a": "\\ud800"}', {"line": 1, "field": "a"}, "half a character"),
    (JSON, b'{"a": "x\\u0000"}', {"line": 1, "field": "a"}, "NUL"),
    (JSON, b'{"a": "\xff"}', {"line": 1}, "0xff"),
    (JSON, b'{"_line": 1}', {"line": 1, "field": "_line"}, "taken"),
    (JSON, b'{"message_id": true}', {"line": 1, "field": "message_id"}, "neither text nor"),
    (JSON, b'{"message_id": "a", "ticket_id": 0.5}', {"line": 1, "field": "ticket_id"}, "neither text nor"),
    (JSON, b"[" * 100_000, {}, "too deep"),
    (LINES, b'{"a": 1}\n{"a": 2', {"line": 2}, "not JSON"),
    (LINES, b"\n\n", {}, "no message"),
    (EVENT, b'{"specversion": "1.0"}', {"line": 1, "field": "id"}, "missing"),
    (EVENT, json.dumps({**ENVELOPE, "specversion": "0.3"}).encode(), {"line": 1, "field": "specversion"}, "0.3"),
    (EVENT, json.dumps({**ENVELOPE, "data": "late"}).encode(), {"line": 1, "field": "data"}, "text"),
    (EVENT, json.dumps({**ENVELOPE, "data": {}, "time": "noon"}).encode(), {"line": 1, "field": "time"}, "noon"),
    (EVENT, json.dumps({**ENVELOPE, "data_base64": "e30="}).encode(), {"line": 1, "field": "data_base64"}, "no JSON"),
    (EVENT, json.dumps([{**ENVELOPE, "data": {}}]).encode(), {"line": 1}, "one envelope"),
    (EVENTS, json.dumps({**ENVELOPE, "data": {}}).encode(), {"line": 1}, "array of envelopes"),
    (
        EVENT,
        json.dumps({**ENVELOPE, "data": {"message_id": 0.5}}).encode(),
        {"line": 1, "field": "message_id"},
        "neither",
    ),
]


@pytest.mark.parametrize(("media_type", "body", "place", "word"), REFUSED)
def test_body_with_a_fault_is_refused_by_line_and_field_and_nothing_is_kept(
    home: Home, client: TestClient, media_type: str, body: bytes, place: dict[str, Any], word: str
) -> None:
    answer = post(client, body, media_type)
    assert_problem(answer, 400, word)
    assert answer.json()["errors"] == [place]
    assert_nothing_is_kept(home)


@pytest.mark.parametrize(
    ("media_type", "headers"),
    [
        ("text/plain", {}),
        ("", {}),
        (f"{JSON}; charset=latin-1", {}),
        (JSON, {"Content-Encoding": "gzip"}),
        (LINES, {"ce-id": "1"}),
    ],
)
def test_other_types_are_refused_with_what_is_accepted(
    home: Home, client: TestClient, media_type: str, headers: dict[str, str]
) -> None:
    assert_problem(post(client, {"text": "late"}, media_type, **headers), 415, JSON if not headers else "Send")
    assert_nothing_is_kept(home)


def test_other_paths_methods_and_web_pages_are_refused(home: Home, client: TestClient) -> None:
    assert_problem(client.get("/outbox"), 404, "/outbox")
    answer = client.get("/inbox")
    assert_problem(answer, 405, "POST")
    assert answer.headers["allow"] == "POST"
    assert_problem(post(client, {"text": "late"}, Origin="https://example.org"), 403, "web page")
    assert_nothing_is_kept(home)


def test_body_up_to_the_limit_is_accepted_and_a_larger_one_refused_also_without_a_length(home: Home) -> None:
    body = json.dumps({"text": "late"}).encode()
    limited = Home(Settings(home=home.root, inbox_body_bytes=len(body)))
    with TestClient(inbox_app(limited)) as client:
        assert_problem(post(client, body + b" "), 413, str(len(body)))
        pieces = iter([body, b" ", b" "])
        answer = client.post("/inbox", content=pieces, headers={"Content-Type": JSON})
        assert_problem(answer, 413)
        assert next(pieces, None) is None
        assert_nothing_is_kept(home)
        assert post(client, body).status_code == 202
    limited.ledger.close()


def test_messages_are_put_off_while_the_backlog_is_full_and_health_says_so(home: Home) -> None:
    small = Home(Settings(home=home.root, inbox_backlog_rows=2))
    with TestClient(inbox_app(small)) as client:
        assert client.get("/health").json() == {"status": "ok", "waiting": 0, "most": 2}
        assert post(client, [{"text": "late"}] * 3).status_code == 202  # nothing waited
        answer = post(client, {"text": "one more"})
        assert_problem(answer, 429, "3 messages wait")
        assert int(answer.headers["retry-after"]) > 0
        assert client.get("/health").json() == {"status": "full", "waiting": 3, "most": 2}
        assert rows_in(home) == 3
    small.ledger.close()


def test_locked_ledger_puts_messages_off_and_keeps_nothing(
    home: Home, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BUSY_TIMEOUT_SECONDS", 0)
    other = sqlite3.connect(home.root / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = post(client, {"text": "late"})
    assert_problem(answer, 503, "locked")
    assert "retry-after" in answer.headers
    other.execute("ROLLBACK")
    other.close()
    assert_nothing_is_kept(home)


@pytest.mark.parametrize("trouble", ["damaged", "no file", "out of reach"])
def test_ledger_that_cannot_be_used_puts_messages_off_and_only_the_log_says_where_it_is(
    home: Home, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    url = "postgresql+psycopg://anna:secret@127.0.0.1:1/ledger" if trouble == "out of reach" else ""
    lost = Home(Settings(home=home.root, ledger_url=url))
    if trouble != "out of reach":
        (home.root / "ledger.db").unlink()
    if trouble == "damaged":
        (home.root / "ledger.db").write_bytes(b"no database" * 1000)
    elif trouble == "no file":
        (home.root / "ledger.db").mkdir()
    with TestClient(inbox_app(lost)) as client:
        for answer in (post(client, {"text": "late"}), client.get("/health")):
            assert_problem(answer, 503, "ledger cannot be")
            assert int(answer.headers["retry-after"]) > 0
            assert not any(told in answer.text for told in (str(home.root), "anna", "secret", "127.0.0.1"))
    where = "anna:***@127.0.0.1" if trouble == "out of reach" else str(home.root)
    assert [where in told and "secret" not in told for told in caplog.messages if "The ledger" in told] == [True, True]
    assert [*home.staged.iterdir(), *home.received.iterdir(), *home.archive.iterdir()] == []


def test_disk_that_cannot_be_written_puts_messages_off(home: Home, client: TestClient) -> None:
    home.received.rmdir()
    home.received.touch()
    assert_problem(post(client, {"text": "late"}), 503, "cannot be written")
    home.received.unlink()
    home.received.mkdir()
    assert_nothing_is_kept(home)
    assert post(client, {"text": "late"}).status_code == 202


def test_full_disk_under_the_ledger_puts_messages_off(home: Home, client: TestClient) -> None:
    with home.ledger.read() as connection:
        size = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def cap(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {size}")

    sa.event.listen(home.ledger._engine, "connect", cap)  # pyright: ignore[reportPrivateUsage]
    home.ledger.close()
    assert_problem(post(client, {"x" * 100_000: "late"}), 503, "full", "Nothing was kept")  # the ledger has the names
    assert_nothing_is_kept(home)


def test_same_key_gives_the_same_answer_whatever_the_form_and_other_messages_are_refused(
    home: Home, client: TestClient
) -> None:
    first = post(client, [{"text": "late"}, {"text": "early"}], **{"Idempotency-Key": "k1"})
    again = post(client, b'{"text":"late"}\n{"text":"early"}', LINES, **{"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert rows_in(home) == 2
    assert_problem(post(client, {"text": "early"}, **{"Idempotency-Key": "k1"}), 422, "other messages")
    assert_problem(post(client, {"text": "x"}, **{"Idempotency-Key": "k" * 256}), 400, "255")
    assert_problem(post(client, {"text": "x"}, **{"Idempotency-Key": " "}), 400, "255")
    assert rows_in(home) == 2


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200)
    | st.sampled_from([body for _, body, _ in BODIES.values()])
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode()),
    media_type=st.sampled_from([*ACCEPTED, f"{JSON}; charset=utf-16", "text/csv", "x"]),
    headers=st.dictionaries(
        st.sampled_from(["Idempotency-Key", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"]),
        st.text("k1.0/ %é", max_size=3).map(lambda text: text.encode("latin-1")),
    ),
)
def test_whatever_is_sent_gives_a_documented_answer(
    client: TestClient, home: Home, body: bytes, media_type: str, headers: dict[str, bytes]
) -> None:
    before = rows_in(home)
    sent: Any = {"Content-Type": media_type, **headers}
    answer = client.post("/inbox", content=body, headers=sent)
    assert answer.status_code in DOCUMENTED, answer.text
    if answer.status_code == 202:
        assert rows_in(home) - before in (0, answer.json()["rows"])
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert rows_in(home) == before


_KEPT = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(_TEXT.map(lambda name: f"x{name}"), _KEPT | _TEXT), min_size=1, max_size=5))
def test_any_objects_are_accepted_one_row_each(client: TestClient, home: Home, messages: list[dict[str, Any]]) -> None:
    before = rows_in(home)
    answer = post(client, messages)
    assert answer.status_code == 202, answer.text
    assert len(set(answer.json()["message_ids"])) == len(messages)
    assert rows_in(home) == before + len(messages)
