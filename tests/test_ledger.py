"""The ledger, on both databases: what one transaction promises, and that the migrations make the schema."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from orchestration_project.core.errors import LedgerUnavailable, Refused, SettingRefused
from orchestration_project.governance import audit
from orchestration_project.stores import ledger as ledger_module
from orchestration_project.stores.ledger import WRITER_LOCK, Ledger, in_parts, insert_new, latest_revision, now
from orchestration_project.stores.schema import AUDIT, BATCHES, CLAIMS, METADATA

SPAWN = multiprocessing.get_context("spawn")


def claim(ledger: Ledger, *message_ids: str) -> int:
    with ledger.write() as connection:
        return insert_new(connection, CLAIMS, [{"message_id": name, "batch": "b"} for name in message_ids])


def claimed(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(sa.select(CLAIMS.c.message_id).order_by(CLAIMS.c.message_id)).scalars())


def shape(connection: sa.Connection) -> dict[str, Any]:
    """Everything the database says of the ledger's tables."""
    inspector = sa.inspect(connection)
    return {
        name: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            ],
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": [constraint["column_names"] for constraint in inspector.get_unique_constraints(name)],
            "indexes": sorted((str(index["name"]), index["column_names"]) for index in inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def together(work: Callable[..., None], *arguments: object, processes: int = 4) -> None:
    """Run a function in several new processes, all at the same moment."""
    barrier = SPAWN.Barrier(processes)
    workers = [SPAWN.Process(target=work, args=(barrier, *arguments)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes


def open_and_append(barrier: Barrier, url: str, times: int) -> None:
    ledger = Ledger(url)
    barrier.wait()
    for _ in range(times):
        with ledger.write() as connection:
            audit.append(connection, "tested", "process", {"of": os.getpid()})


def die_while_writing(barrier: Barrier, url: str) -> None:
    barrier.wait()
    with Ledger(url).write() as connection:
        insert_new(connection, CLAIMS, [{"message_id": "unfinished", "batch": "b"}])
        os._exit(0)


def test_migrations_make_exactly_the_tables_of_the_schema(ledger: Ledger) -> None:
    with ledger.write() as connection:
        migrated = shape(connection)
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        assert migrated == shape(connection)
    assert migrated.keys() == METADATA.tables.keys()


def test_processes_that_open_an_empty_ledger_at_once_find_it_made_once(ledger_url: str) -> None:
    together(open_and_append, ledger_url, 5)
    ledger = Ledger(ledger_url)
    with ledger.read() as connection:
        assert audit.breaks(connection) == []
        writers = connection.execute(sa.select(AUDIT.c.detail, sa.func.count()).group_by(AUDIT.c.detail)).all()
    ledger.close()
    assert sorted(count for _, count in writers) == [5, 5, 5, 5]


def test_threads_that_open_an_empty_ledger_at_once_find_it_made_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: claim(ledger, f"m{number}"), range(40))) == 40
    assert len(claimed(ledger)) == 40


def test_opening_again_changes_nothing(ledger: Ledger, ledger_url: str) -> None:
    claim(ledger, "m1")
    again = Ledger(ledger_url)
    assert claimed(again) == ["m1"]
    again.close()


def test_what_a_failing_block_wrote_is_not_kept(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.write() as connection:
        insert_new(connection, CLAIMS, [{"message_id": "m1", "batch": "b"}])
        raise RuntimeError
    assert claimed(ledger) == []


def test_what_a_killed_process_wrote_is_not_kept_and_blocks_nobody(ledger: Ledger, ledger_url: str) -> None:
    claim(ledger, "before")
    together(die_while_writing, ledger_url, processes=1)
    claim(ledger, "after")
    assert claimed(ledger) == ["after", "before"]


def test_reading_cannot_write(ledger: Ledger) -> None:
    claim(ledger, "m1")
    with pytest.raises(DBAPIError) as refusal, ledger.read() as connection:
        insert_new(connection, CLAIMS, [{"message_id": "m2", "batch": "b"}])
    assert not isinstance(refusal.value, LedgerUnavailable), "the fault is ours, not the database's"
    assert claim(ledger, "m2") == 1, "the connection of the reader cannot write afterwards"


def test_reading_sees_one_moment_while_others_write(ledger: Ledger) -> None:
    claim(ledger, "m1")
    count = sa.select(sa.func.count()).select_from(CLAIMS)
    with ledger.read() as connection:
        before = connection.execute(count).scalar_one()
        claim(ledger, "m2")
        assert connection.execute(count).scalar_one() == before == 1
    assert claimed(ledger) == ["m1", "m2"]


def test_a_decision_within_a_transaction_rests_on_what_no_other_can_change(ledger: Ledger) -> None:
    def add_one(_: int) -> None:
        with ledger.write() as connection:
            number = connection.execute(sa.select(sa.func.count()).select_from(CLAIMS)).scalar_one()
            connection.execute(sa.insert(CLAIMS).values(message_id=f"m{number}", batch="b"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(80)))
    assert len(claimed(ledger)) == 80


def test_inserting_new_rows_tells_how_many_were_new(ledger: Ledger) -> None:
    assert claim(ledger) == 0
    assert claim(ledger, "a", "b") == 2
    assert claim(ledger, "b", "c", "c") == 1
    assert claimed(ledger) == ["a", "b", "c"]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (3, [3]), (500, [500]), (1201, [500, 500, 201])])
def test_values_come_in_parts_that_one_statement_binds(number: int, sizes: list[int]) -> None:
    parts = list(in_parts(range(number)))
    assert [len(part) for part in parts] == sizes
    assert [one for part in parts for one in part] == list(range(number))


def test_more_rows_than_one_statement_binds_are_inserted(ledger: Ledger) -> None:
    names = [f"{number:05d}" for number in range(70_000)]
    assert claim(ledger, *names[:10]) == 10
    assert claim(ledger, *names) == 69_990


@pytest.mark.parametrize("hours", [-11, 0, 5.5])
def test_a_moment_comes_back_in_utc(ledger: Ledger, hours: float) -> None:
    zone = timezone(timedelta(hours=hours))
    moment = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=zone)
    with ledger.write() as connection:
        connection.execute(sa.insert(BATCHES).values(batch="b", rows=1, duplicates=0, state="done", opened_at=moment))
    with ledger.read() as connection:
        found = connection.execute(sa.select(BATCHES.c.opened_at)).scalar_one()
        earlier = connection.execute(sa.select(BATCHES.c.opened_at < moment + timedelta(microseconds=1))).scalar_one()
    assert (found, found.isoformat()) == (moment, moment.astimezone(UTC).isoformat())
    assert earlier
    assert now().utcoffset() == timedelta(0)


def test_closed_ledger_opens_again_when_it_is_used(ledger: Ledger) -> None:
    claim(ledger, "m1")
    ledger.close()
    assert claimed(ledger) == ["m1"]


def test_ledger_of_a_newer_checkout_is_refused(ledger: Ledger, ledger_url: str) -> None:
    with ledger.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    older = Ledger(ledger_url)
    with pytest.raises(Refused, match=f"at revision 9999, and this checkout knows revisions up to {latest_revision()}"):
        claimed(older)
    older.close()


def test_latest_revision_is_the_newest_migration() -> None:
    names = sorted(path.name for path in (ledger_module.MIGRATIONS / "versions").glob("0*.py"))
    assert latest_revision() == names[-1][:4]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgres://anna:secret@host/ledger", "postgres://anna:\\*\\*\\*@host/ledger"),
        ("mysql+pymysql://anna:secret@host/ledger", "mysql"),
        ("oracle://anna:secret@host/ledger", "oracle"),
        ("/var/ledger.db", "no URL"),
        ("mssql+nothing://host", "mssql"),
    ],
)
def test_url_of_another_kind_is_refused_without_its_password(url: str, told: str) -> None:
    with pytest.raises(SettingRefused, match=f"ORCHESTRATE_LEDGER_URL is .*{told}.*Set postgresql") as refusal:
        Ledger(url)
    assert "secret" not in str(refusal.value)


def test_sqlite_file_is_made_with_its_folders(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/a b/ü/100%/#1/ledger.db")
    claim(ledger, "m1")
    ledger.close()
    assert (tmp_path / "a b" / "ü" / "100%" / "#1" / "ledger.db").is_file()


# A ledger that cannot be used


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a lock."""
    monkeypatch.setattr(ledger_module, "BUSY_TIMEOUT_SECONDS", 0.05)


@contextmanager
def locked(url: str) -> Generator[None]:
    """Another connection writes meanwhile, and does not end."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
    else:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
            yield
        engine.dispose()


@pytest.fixture
def sqlite_file(tmp_path: Path, made_ledger: Path) -> Path:
    """A ledger on SQLite whose tables are made."""
    file = tmp_path / "ledger.db"
    file.write_bytes(made_ledger.read_bytes())
    return file


def unavailable(ledger: Ledger, use: Callable[[Ledger], object] = claim) -> str:
    """What the ledger says of itself when it cannot be used; one sentence or more, in one line."""
    with pytest.raises(LedgerUnavailable) as told:
        use(ledger)
    assert not isinstance(told.value, Refused), "a run that meets it is tried again"
    assert "\n" not in str(told.value)
    return str(told.value)


def test_locked_ledger_says_so_and_is_written_when_the_lock_is_gone(
    ledger: Ledger, ledger_url: str, impatient: None
) -> None:
    claim(ledger, "before")
    with locked(ledger_url):
        assert claimed(ledger) == ["before"], "readers are not kept waiting"
        told = unavailable(ledger, lambda ledger: claim(ledger, "m1"))
    assert "is locked: others kept it for more than 0.05 seconds" in told
    assert claim(ledger, "m1") == 1


def test_ledger_that_is_locked_when_it_is_opened_is_read(ledger: Ledger, ledger_url: str, impatient: None) -> None:
    claim(ledger, "before")
    with locked(ledger_url):
        again = Ledger(ledger_url)
        assert claimed(again) == ["before"]
        assert "is locked" in unavailable(again)
    again.close()


def test_ledger_that_is_locked_before_its_tables_are_made_says_so(tmp_path: Path, impatient: None) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    new = Ledger(url)
    with locked(url):
        assert "is locked" in unavailable(new, claimed)
    assert claimed(new) == []
    new.close()


def test_what_was_written_before_the_disk_was_full_is_not_kept(sqlite_file: Path) -> None:
    ledger = Ledger(f"sqlite:///{sqlite_file}")

    def cap(connection: Any, *_: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {sqlite_file.stat().st_size // 4096}")

    event.listen(ledger._engine, "connect", cap)  # pyright: ignore[reportPrivateUsage]
    told = unavailable(ledger, lambda ledger: claim(ledger, "m1", "x" * 100_000))
    assert told == (
        f"The ledger {sqlite_file} cannot be written: database or disk is full. Free space on its disk, and try again."
    )
    assert claimed(ledger) == []
    ledger.close()


@contextmanager
def unprivileged() -> Generator[None]:
    """Nobody who may write everything: root becomes another user."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "cause"),
    [
        (0o444, 0o777, "written: attempt to write a readonly database"),
        (0o444, 0o555, "written: attempt to write a readonly database"),
        (0o000, 0o777, "opened: unable to open database file"),
        (0o666, 0o000, "opened: unable to open database file"),
    ],
)
def test_ledger_that_may_not_be_written_says_so(
    made_ledger: Path, file_mode: int, folder_mode: int, cause: str
) -> None:
    with tempfile.TemporaryDirectory() as name:  # into which another user may look
        folder = Path(name)
        file = folder / "ledger.db"
        shutil.copyfile(made_ledger, file)
        file.chmod(file_mode)
        folder.chmod(folder_mode)
        with unprivileged():
            told = unavailable(Ledger(f"sqlite:///{file}"), lambda ledger: claim(ledger, "m1"))
        folder.chmod(0o755)
    assert told.startswith(f"The ledger {file} cannot be {cause}")
    assert told.endswith(". Let this user read and write it and its folder, and try again.")


@pytest.mark.parametrize(("place", "cause"), [("", "unable to open database file"), ("file/a/b", "Not a directory")])
def test_ledger_that_cannot_be_made_where_it_should_lie_says_so(tmp_path: Path, place: str, cause: str) -> None:
    (tmp_path / "file").touch()
    ledger = Ledger(f"sqlite:///{tmp_path / place}")
    assert unavailable(ledger, claimed).startswith(f"The ledger {tmp_path / place} cannot be opened: {cause}. Let ")


@pytest.mark.parametrize("content", [b"not a database\n" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_file_that_is_no_ledger_says_so_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ledger.db"
    file.write_bytes(content)
    told = unavailable(Ledger(f"sqlite:///{file}"), claimed)
    assert f"The ledger {file} is damaged, or no ledger: file is not a database." in told
    assert file.read_bytes() == content


def test_ledger_out_of_reach_says_where_it_is_without_its_password() -> None:
    url = "postgresql+psycopg://anna:secret@127.0.0.1:1/ledger"
    told = unavailable(Ledger(f"{url}?connect_timeout=5&password=secret&sslpassword=secret"), claimed)
    assert told.startswith(
        "The ledger postgresql+psycopg://anna:***@127.0.0.1:1/ledger?connect_timeout=5 cannot be used:"
    )
    assert "refused" in told
    assert "ORCHESTRATE_LEDGER_URL" in told
    assert "secret" not in told


def test_server_that_is_away_for_a_moment_is_asked_again(postgresql_server: str) -> None:
    ledger = Ledger(postgresql_server)
    engine = sa.create_engine(postgresql_server, isolation_level="AUTOCOMMIT")

    def end_all_others(ledger: Ledger) -> None:
        with ledger.read() as connection, engine.connect() as other:
            own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
            other.exec_driver_sql(f"{own} AND datname = current_database()")
            connection.exec_driver_sql("SELECT 1")

    assert "terminating connection" in unavailable(ledger, end_all_others)
    assert claimed(ledger) == []
    engine.dispose()
    ledger.close()


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO claims (message_id, batch) VALUES ('m1', 'b')", "SELECT nothing FROM nowhere", "SELEKT 1"],
)
def test_mistake_in_a_statement_stays_what_it_is(ledger: Ledger, statement: str) -> None:
    claim(ledger, "m1")
    with pytest.raises(DBAPIError) as mistake, ledger.write() as connection:
        connection.exec_driver_sql(statement)
    assert not isinstance(mistake.value, LedgerUnavailable)


def test_trouble_of_another_database_within_the_block_stays_what_it_is(ledger: Ledger, tmp_path: Path) -> None:
    other = sa.create_engine(f"sqlite:///{tmp_path}")
    with pytest.raises(OperationalError) as trouble, ledger.write():
        other.connect()
    assert not isinstance(trouble.value, LedgerUnavailable)
