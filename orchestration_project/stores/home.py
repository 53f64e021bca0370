"""The one folder that holds all data of a project: where everything lies, and how the folder is made.

home/
├── ledger.db          the ledger (unless a URL says otherwise)
├── warehouse/         asset tables; quarantine/ beside it keeps refused rows
├── inbox/             drop files here; archive/ keeps them once registered, refused/ those that cannot be read
├── received/          files taken in and not yet registered; staged/ their rows
├── labels/            labels that were imported, a file for each import
├── registry/, registry.db   model artifacts and MLflow's database
├── notices/           delivered alerts, a file each
├── secret             key of the message ids that this home makes
└── dagster/           Dagster's own home
"""

import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestration_project.core.errors import SettingRefused
from orchestration_project.core.settings import Settings
from orchestration_project.stores.files import write_once
from orchestration_project.stores.ledger import Ledger
from orchestration_project.stores.warehouse import Warehouse

_DAGSTER_YAML = """\
# Written by the project. Settings of Dagster itself: https://docs.dagster.io/deployment/oss/dagster-yaml
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: {batches_at_once}
run_queue:
  dequeue_interval_seconds: 1
"""


@dataclass(frozen=True)
class Home:
    """Paths and stores of one home. Making the object touches nothing; `prepare` makes the folder."""

    settings: Settings

    @property
    def root(self) -> Path:
        return self.settings.home

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def received(self) -> Path:
        return self.root / "received"

    @property
    def staged(self) -> Path:
        return self.root / "staged"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def refused(self) -> Path:
        return self.root / "refused"

    @property
    def notices(self) -> Path:
        return self.root / "notices"

    @property
    def labels(self) -> Path:
        return self.root / "labels"

    @property
    def artifacts(self) -> Path:
        return self.root / "registry"

    @property
    def running_lock(self) -> Path:
        return self.root / "running.lock"

    @property
    def ledger_url(self) -> str:
        return self.settings.ledger_url or self._database("ledger.db")

    @property
    def registry_url(self) -> str:
        return self.settings.registry_url or self._database("registry.db")

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.ledger_url)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.root / "warehouse", self.root / "quarantine")

    @cached_property
    def secret(self) -> bytes:
        """Key of this home's message ids; made once, and never shown."""
        path = self.root / "secret"
        if not path.exists():
            write_once(path, secrets.token_bytes(32), mode=0o600)
        return path.read_bytes()

    def prepare(self) -> None:
        """Make every folder and Dagster's settings; what is there stays as it is. SettingRefused where it cannot be."""
        folders = (self.inbox, self.received, self.staged, self.archive, self.refused, self.notices, self.artifacts)
        try:
            for folder in (*folders, self.dagster):
                folder.mkdir(parents=True, exist_ok=True)
            if not (self.dagster / "dagster.yaml").exists():
                text = _DAGSTER_YAML.format(batches_at_once=self.settings.batches_at_once)
                write_once(self.dagster / "dagster.yaml", text.encode())
        except OSError as error:
            raise SettingRefused(
                f"{self.root} cannot be the home: {error.strerror}. Set ORCHESTRATE_HOME to a folder you may write in."
            ) from error

    def below(self, path: Path) -> str:
        """A path as the ledger stores it: relative to the home, so that the folder may be moved."""
        return os.fspath(path.relative_to(self.root))

    def _database(self, name: str) -> str:
        """URL of a database in the home, whatever the folder is called: `?` and `%41` mean something else in a URL."""
        path = os.fspath(self.root / name).replace("%", "%25").replace("?", "%3F")
        return f"sqlite:///{path}"


def current_home() -> Home:
    """The home that the environment names."""
    return Home(Settings.from_environment())


def prepared_home() -> Home:
    """The home that the environment names, with its folders made."""
    home = current_home()
    home.prepare()
    return home
