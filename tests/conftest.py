"""Stores for tests: a home on `tmp_path`, and the ledger on both databases.

PostgreSQL is a private cluster of the test process, without network.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger

DATABASES = ["sqlite", "postgresql"]

LONGEST = ("test_killed", "test_ways_to_start", "test_up", "test_executor", "test_demo", "test_airline_feedback")
"""Files that take a minute or more: they begin first, so that all workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A prepared home, its ledger on SQLite."""
    home = Home(Settings(home=tmp_path / "home"))
    home.prepare()
    yield home
    home.ledger.close()


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database (a schema of PostgreSQL), SQLite's and PostgreSQL's in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'ledger.db'}"
    server: str = request.getfixturevalue("postgresql_server")
    name = f"ledger_{uuid4().hex}"
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    return f"{server}&options=-csearch_path%3D{name}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger, on SQLite and on PostgreSQL in turn."""
    ledger = Ledger(ledger_url)
    yield ledger
    ledger.close()


@pytest.fixture
def any_home(ledger_url: str, tmp_path: Path) -> Iterator[Home]:
    """A prepared home, its ledger on SQLite and on PostgreSQL in turn."""
    home = Home(Settings(home=tmp_path / "home", ledger_url=ledger_url))
    home.prepare()
    yield home
    home.ledger.close()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a running cluster, made for this process and removed with it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        reason = "PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/initdb"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="ledger-"))  # short: the path of a socket has at most 107 bytes
    user = _unprivileged_user()
    shutil.chown(folder, user)
    data, options = str(folder / "data"), f"-k {folder} -h '' -F -c timezone=Asia/Tokyo"

    def run(program: str, *arguments: str) -> None:
        command = [str(programs[-1].with_name(program)), "-D", data, *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "--no-sync", "--auth=trust", "--username=ledger", "--encoding=UTF8")
    run("pg_ctl", "start", "--wait", "--log", str(folder / "log"), "--options", options)
    try:
        yield f"postgresql+psycopg://ledger@/postgres?host={folder}"
    finally:
        run("pg_ctl", "stop", "--wait", "--mode", "immediate")
        shutil.rmtree(folder)


def _unprivileged_user() -> str | None:
    """Who may run PostgreSQL, which root may not; None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
