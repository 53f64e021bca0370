"""The operational database: arrivals, run requests, manifest, halts, champions, outbox and audit, in one transaction
where they belong together.

SQLite by default, PostgreSQL by URL; the same code and the same promise: reading sees one moment, and one transaction
writes at a time. Every transaction is short: nobody thinks while one is open.
"""

import sqlite3
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError

from orchestration_project.core.errors import Refused, SettingRefused

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_SECONDS = 30
WRITER_LOCK = 6_847_301  # of PostgreSQL, in the ledger's database


class Ledger:
    """One ledger. Opening it brings its tables up to date; reading and writing are context managers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)
        self._lock = Lock()
        self._is_current = False

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A consistent view; nothing can be written."""
        self._bring_up_to_date()
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """One transaction: all of it is kept when the block ends, none when it raises."""
        self._bring_up_to_date()
        with self._engine.connect().execution_options(is_write=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give back every connection; the ledger opens new ones when it is used again."""
        self._engine.dispose()

    def _bring_up_to_date(self) -> None:
        if self._is_current:
            return
        with self._lock:
            if not self._is_current:
                _migrate(self._engine)
                self._is_current = True


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not taken yet; returns how many were."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    statement = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(statement, rows).rowcount


def latest_revision() -> str:
    """Name of the newest migration in this checkout."""
    return max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).split("_")[0]


def _engine(url: str) -> sa.Engine:
    try:
        engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, ImportError) as error:
        raise _refused_url(url, str(error)) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "begin", _begin_postgresql)
    else:
        raise _refused_url(url, f"{engine.dialect.name} is not supported")
    return engine


def _refused_url(url: str, cause: str) -> SettingRefused:
    try:
        shown = sa.make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        shown = "no URL"
    return SettingRefused(
        f"ORCHESTRATE_LEDGER_URL is {shown!r} ({cause}). Set postgresql+psycopg://USER:PASSWORD@HOST/DATABASE and "
        "install psycopg, or leave it empty for SQLite in the home."
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: Any) -> None:
    """Write ahead. Of processes that open a new database at once SQLite lets one change this, and has no patience with
    the others, whatever the busy timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    is_write = _is_write(connection)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if is_write else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if _is_write(connection):  # one writer at a time, as in SQLite
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _is_write(connection: sa.Connection) -> bool:
    return connection.get_execution_options().get("is_write", False)


def _migrate(engine: sa.Engine) -> None:
    """Run the migrations that the database lacks; Alembic is imported only when there are any."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    with engine.connect().execution_options(is_write=True) as connection, connection.begin():
        stored = _stored_revision(connection)
        if stored == latest_revision():
            return
        if stored is not None and stored > latest_revision():
            raise Refused(
                f"The ledger is at revision {stored}, and this checkout knows revisions up to {latest_revision()}. "
                "Take the checkout that wrote it, or a newer one."
            )
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _stored_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
