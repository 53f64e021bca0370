"""The one folder of all data: how it is made, what stays in it, and what cannot be one."""

import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from orchestration_project.core.errors import SettingRefused
from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home, current_home, prepared_home

FOLDERS = ["archive", "dagster", "inbox", "notices", "received", "refused", "registry", "staged"]

SHOW_SECRET = """
import sys
from pathlib import Path
from orchestration_project.core.settings import Settings
from orchestration_project.stores.home import Home

print(Home(Settings(home=Path(sys.argv[1]))).secret.hex())
"""


def home_in(folder: Path, **settings: str) -> Home:
    return Home(Settings(home=folder / "home", **settings))  # type: ignore[arg-type]


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_making_the_object_touches_nothing(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    assert (home.ledger, home.warehouse) == (home.ledger, home.warehouse)
    assert below(tmp_path) == []


def test_a_prepared_home_has_every_folder_and_dagsters_settings(tmp_path: Path) -> None:
    home = home_in(tmp_path / "not" / "there" / "yet")
    home.prepare()
    assert below(home.root) == sorted([*FOLDERS, "dagster/dagster.yaml"])
    places = [home.archive, home.dagster, home.inbox, home.notices, home.received, home.refused, home.artifacts]
    assert sorted(place.name for place in [*places, home.staged]) == FOLDERS
    assert yaml.safe_load((home.dagster / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}


def test_preparing_again_keeps_what_is_there(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    home.prepare()
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (home.inbox / "waiting.csv").write_text("text\nhello\n")
    before, secret = below(home.root), home.secret
    home.prepare()
    assert below(home.root) == sorted([*before, "secret"])
    assert (home.dagster / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert home_in(tmp_path).secret == secret


def a_file(folder: Path) -> Path:
    (folder / "home").write_text("I am a file")
    return folder


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("I am a file")
    return folder / "file"


def with_a_file_for_a_folder(folder: Path) -> Path:
    (folder / "home").mkdir()
    (folder / "home" / "inbox").write_text("I am a file")
    return folder


@pytest.mark.parametrize(
    ("make", "cause"),
    [(a_file, "Not a directory"), (below_a_file, "Not a directory"), (with_a_file_for_a_folder, "File exists")],
)
def test_what_cannot_be_a_home_is_refused_with_its_path_and_cause(
    tmp_path: Path, make: Callable[[Path], Path], cause: str
) -> None:
    home = home_in(make(tmp_path))
    with pytest.raises(SettingRefused) as refusal:
        home.prepare()
    said = f"{home.root} cannot be the home: {cause}. Set ORCHESTRATE_HOME to a folder you may write in."
    assert str(refusal.value) == said


def test_ledger_and_registry_are_databases_of_the_home_unless_a_url_says_otherwise(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    assert home.ledger_url == home.ledger.url == f"sqlite:///{home.root}/ledger.db"
    assert home.registry_url == f"sqlite:///{home.root}/registry.db"
    elsewhere = home_in(tmp_path, ledger_url="sqlite:////srv/ledger.db", registry_url="https://mlflow.example")
    assert (elsewhere.ledger_url, elsewhere.registry_url) == ("sqlite:////srv/ledger.db", "https://mlflow.example")


@pytest.mark.parametrize("name", ["what?", "50%", "a%41b", "a#b", "a b", "a=b&c:d@e", 'Müller\'s "x"'])
def test_databases_lie_in_the_home_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    home = Home(Settings(home=tmp_path / name))
    with home.ledger.write():
        pass
    home.ledger.close()
    assert below(tmp_path) == [name, f"{name}/ledger.db"]
    assert sa.make_url(home.registry_url).database == f"{tmp_path}/{name}/registry.db"


def test_the_environment_names_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "named"))
    assert current_home().root == tmp_path / "named"
    assert below(tmp_path) == []
    assert prepared_home().inbox.is_dir()


def test_a_stored_path_is_relative_so_that_the_home_may_be_moved(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    assert home.below(home.artifacts / "mood" / "1.joblib") == "registry/mood/1.joblib"
    with pytest.raises(ValueError, match="not in the subpath"):
        home.below(tmp_path / "elsewhere")


def test_the_secret_is_32_bytes_of_its_own_for_each_home_and_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = home_in(tmp_path / "first"), home_in(tmp_path / "second")
    assert len(first.secret) == 32
    assert first.secret != second.secret
    assert stat.S_IMODE((first.root / "secret").stat().st_mode) == 0o600


def test_processes_that_ask_for_the_secret_at_once_get_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHOW_SECRET, str(tmp_path / "home")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    shown = {process.communicate(timeout=120)[0].strip() for process in started}
    assert shown == {home_in(tmp_path).secret.hex()}
