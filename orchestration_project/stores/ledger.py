"""The operational database: arrivals, run requests, manifest, halts, champions, outbox and audit, in one transaction
where they belong together.

SQLite by default, PostgreSQL by URL; the same code and the same promise: reading sees one moment, and one transaction
writes at a time. Every transaction is short: nobody thinks while one is open.

A ledger that cannot be used says so in a sentence, as LedgerUnavailable; a mistake in a statement of ours stays
SQLAlchemy's error.
"""

import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from orchestration_project.core.errors import LedgerUnavailable, Refused, SettingRefused
from orchestration_project.stores.schema import METADATA
from orchestration_project.stores.sqlite_files import clean_connection

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_SECONDS = 30
WRITER_LOCK = 6_847_301  # of PostgreSQL, in the ledger's database

_LOCKED = "is locked: others kept it for more than {seconds} seconds. Wait until they have ended, and try again."
_NO_ROOM = "cannot be written: {cause}. Free space on its disk, and try again."
_NOT_WRITTEN = "cannot be written: {cause}. Let this user read and write it and its folder, and try again."
_NOT_OPENED = "cannot be opened: {cause}. Let this user read and write it and its folder, and try again."
_BROKEN_DISK = "cannot be read or written: {cause}. See whether its disk is full or broken, and try again."
_DAMAGED = "is damaged, or no ledger: {cause}. Put a copy of it back, and try again."
_AWAY = (
    "cannot be used: {cause}. See that its server runs, has room and takes writes, and that ORCHESTRATE_LEDGER_URL "
    "names it; then try again."
)

_SQLITE_TROUBLES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_FULL: _NO_ROOM,
    sqlite3.SQLITE_READONLY: _NOT_WRITTEN,
    sqlite3.SQLITE_PERM: _NOT_WRITTEN,
    sqlite3.SQLITE_CANTOPEN: _NOT_OPENED,
    sqlite3.SQLITE_IOERR: _BROKEN_DISK,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
"""What SQLite's primary result codes say of the database, not of our statement (sqlite.org/rescode.html)."""

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE: lock_timeout is over
_READ_ONLY = "25006"  # PostgreSQL's SQLSTATE: the transaction may not write


class Ledger:
    """One ledger. Opening it brings its tables up to date; reading and writing are context managers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = _engine(url)
        self._lock = Lock()
        self._is_current = False

    @contextmanager
    def read(self) -> Generator[sa.Connection]:
        """A consistent view; nothing can be written. LedgerUnavailable where the ledger cannot be used."""
        self._bring_up_to_date()
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """One transaction: all of it is kept when the block ends, none when it raises. LedgerUnavailable where the
        ledger cannot be used; nothing is kept then, unless a server was lost before it confirmed the end.
        """
        self._bring_up_to_date()
        with self._engine.connect().execution_options(is_write=True) as connection, connection.begin():
            yield connection

    def clean(self) -> str | None:
        """Write the database anew, without what was deleted or overwritten in it; a sentence where others keep it from
        that. What PostgreSQL's own write-ahead log and backups hold is its server's.
        """
        connection = self._engine.raw_connection()
        try:
            own: Any = connection.driver_connection
            if self._engine.dialect.name == "sqlite":
                own.execute("PRAGMA query_only = OFF")
                return clean_connection(own, "The ledger")
            own.autocommit = True
            own.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
            own.execute(f"VACUUM (FULL) {', '.join(table.name for table in METADATA.sorted_tables)}")
        except self._engine.dialect.loaded_dbapi.Error as error:
            return f"The ledger keeps what was deleted in it until nobody else uses it: {' '.join(str(error).split())}."
        finally:
            connection.invalidate()  # it is set up otherwise than the others
        return None

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


def is_over(moment: datetime, longest_seconds: float) -> bool:
    """Whether a moment has come that was set at most so many seconds ahead. It has, too, where it lies further ahead: the
    clock was stepped back since, and nobody waits for it to catch up.
    """
    return not now() < moment <= now() + timedelta(seconds=longest_seconds)


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


def in_parts(values: Sequence[T], count: int = 500) -> Iterator[Sequence[T]]:
    """The values some at a time, in their order: one statement binds only so many."""
    return (values[start : start + count] for start in range(0, len(values), count))


@cache
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
    event.listen(engine, "handle_error", _named)
    return engine


def _refused_url(url: str, cause: str) -> SettingRefused:
    try:
        shown = _without_password(sa.make_url(url))
    except ArgumentError:
        shown = "no URL"
    return SettingRefused(
        f"ORCHESTRATE_LEDGER_URL is {shown!r} ({cause}). Set postgresql+psycopg://USER:PASSWORD@HOST/DATABASE and "
        "install psycopg, or leave it empty for SQLite in the home."
    )


def _without_password(url: sa.URL) -> str:
    return url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)


def _named(context: ExceptionContext) -> LedgerUnavailable | None:
    """What to raise in place of an error that says that the database cannot be used; None for every other error."""
    error = context.sqlalchemy_exception
    if not isinstance(error, DBAPIError) or context.engine is None or context.is_pre_ping:
        return None  # after a failed ping another connection is tried
    may_write = context.connection is None or _is_write(context.connection)
    if context.dialect.name == "sqlite":
        sentence = _sqlite_trouble(error.orig, may_write)
    else:
        sentence = _postgresql_trouble(error, may_write)
    if sentence is None:
        return None
    return _unavailable(context.engine.url, sentence, error.orig)


def _sqlite_trouble(error: object, may_write: bool) -> str | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code == sqlite3.SQLITE_READONLY and not may_write:
        return None  # a statement that writes while reading: our mistake
    return _SQLITE_TROUBLES.get(code & 0xFF)  # without what the extended code adds


def _postgresql_trouble(error: DBAPIError, may_write: bool) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    if state == _LOCK_NOT_AVAILABLE:
        return _LOCKED
    is_away = isinstance(error, OperationalError) or error.connection_invalidated
    return _AWAY if is_away or (state == _READ_ONLY and may_write) else None


def _unavailable(url: sa.URL, sentence: str, cause: BaseException | None) -> LedgerUnavailable:
    place = url.database if url.get_backend_name() == "sqlite" else _without_password(url)
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)  # of psycopg, where the server spoke
    words = primary or getattr(cause, "strerror", None) or str(cause)
    told = sentence.format(seconds=BUSY_TIMEOUT_SECONDS, cause=" ".join(words.split()).rstrip("."))
    return LedgerUnavailable(f"The ledger {place} {told}")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000:.0f}")
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
        try:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable(engine.url, _NOT_OPENED, error) from error
    with engine.connect() as connection:
        if _stored_revision(connection) == latest_revision():
            return  # nobody who only reads waits for the one who writes
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
