"""When upstream changed: an asset is asked for after a new version that passed its blocking checks, and only then."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

from assets.knowledge.document_changes import document_changes
from assets.knowledge.documents import documents
from orchestration_project.core.settings import Settings
from orchestration_project.model_output.automation import when_upstream_changed
from orchestration_project.model_output.decorators import HOME
from orchestration_project.stores.home import Home


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="prices", blocking=True)])
def prices(context: dg.AssetExecutionContext):
    """An ordinary asset, which is there whatever its check says."""
    is_sound = "unsound" not in context.run.tags
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=is_sound)])


@dg.asset
def rates() -> None:
    """An asset without checks."""


@dg.asset(deps=[prices, rates], automation_condition=when_upstream_changed())
def offers() -> None:
    """What is made from both."""


SHOP = dg.Definitions([prices, rates, offers])


class Watcher:
    """The sensor's ticks on assets, one after another."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.definitions = definitions
        self.instance = instance
        self.cursor: AssetDaemonCursor | None = None

    def asked(self) -> int:
        """How many assets the next tick asks for."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return result.total_requested


@pytest.fixture
def shop(instance: dg.DagsterInstance) -> Watcher:
    """The shop with all made once, and a watcher that has seen it."""
    make(instance, prices, rates, offers)
    watcher = Watcher(SHOP, instance)
    watcher.asked()
    return watcher


def make(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, sound: bool = True) -> None:
    tags = {} if sound else {"unsound": "yes"}
    dg.materialize(list(assets), instance=instance, tags=tags, raise_on_error=False)


def test_a_new_version_upstream_asks_once(shop: Watcher, instance: dg.DagsterInstance) -> None:
    assert shop.asked() == 0
    make(instance, rates)
    assert shop.asked() == 1
    assert shop.asked() == 0


def test_what_was_made_with_its_upstream_is_not_asked_for_again(shop: Watcher, instance: dg.DagsterInstance) -> None:
    make(instance, prices, rates, offers)
    assert shop.asked() == 0


def test_a_blocking_check_that_fails_upstream_starts_nothing(shop: Watcher, instance: dg.DagsterInstance) -> None:
    make(instance, prices, sound=False)
    assert shop.asked() == 0
    make(instance, rates)
    assert shop.asked() == 0


def test_it_is_made_up_for_when_the_check_passes_again(shop: Watcher, instance: dg.DagsterInstance) -> None:
    make(instance, prices, sound=False)
    assert shop.asked() == 0
    make(instance, prices)
    assert shop.asked() == 1


def test_eager_alone_would_have_started_on_a_failed_check(instance: dg.DagsterInstance) -> None:
    """Why the condition has its second half."""

    @dg.asset(deps=[prices], automation_condition=dg.AutomationCondition.eager())
    def hasty() -> None: ...

    make(instance, prices, hasty)
    watcher = Watcher(dg.Definitions([prices, hasty]), instance)
    watcher.asked()
    make(instance, prices, sound=False)
    assert watcher.asked() == 1


def test_nothing_is_asked_for_while_an_upstream_was_never_made(instance: dg.DagsterInstance) -> None:
    for asset in ("prices", "rates", "offers"):
        instance.wipe_assets([dg.AssetKey(asset)])
    watcher = Watcher(SHOP, instance)
    watcher.asked()
    make(instance, prices)
    assert watcher.asked() == 0
    make(instance, rates)
    assert watcher.asked() == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    return folder


@pytest.fixture
def home(home: Home, folder: Path) -> Iterator[Home]:
    home = Home(Settings(home=home.root, knowledge=folder))
    yield home
    home.ledger.close()


def test_changes_of_documents_are_asked_for_after_their_gate_passed(
    home: Home, folder: Path, instance: dg.DagsterInstance
) -> None:
    watcher = Watcher(dg.Definitions([documents, document_changes], resources={HOME: home}), instance)

    def read(content: bytes) -> bool:
        for name in ("a.md", "b.md"):
            (folder / name).write_bytes(content)
        resources = {HOME: home}
        return dg.materialize([documents], instance=instance, resources=resources, raise_on_error=False).success

    assert watcher.asked() == 0
    assert read(b"one")
    assert watcher.asked() == 1
    assert not read(b"\0"), "the gate halts"
    assert watcher.asked() == 0
    assert read(b"two")
    assert watcher.asked() == 1
