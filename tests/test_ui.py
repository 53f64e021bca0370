"""Dagster's UI in a real browser: the lineage reads like the workflow, and every rule of a contract is a check by its name."""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_project import free_port, wait_until

from orchestration_project.core.settings import PROJECT, Settings
from orchestration_project.stores.home import Home

PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "Chromium is not installed. Install it to see the UI tested: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running webserver on an empty home."""
    home = Home(Settings(home=tmp_path_factory.mktemp("ui") / "home"))
    home.prepare()
    port = free_port()
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(PROJECT / "workspace.yaml")]
    environment = {**os.environ, "ORCHESTRATE_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    server = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", str(port)],
        cwd=home.root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{address}/server_info"), "the web server", PATIENCE_SECONDS)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=60)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def page(browser: str, address: str, *wanted: str) -> str:
    """The page's document once it shows all that is wanted; the last one if it never does."""
    document = ""
    for virtual_milliseconds in (20_000, 40_000, 80_000):
        with tempfile.TemporaryDirectory() as profile:
            command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
            command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
            command += [f"--user-data-dir={profile}", f"--virtual-time-budget={virtual_milliseconds}", "--dump-dom"]
            shown = subprocess.run([*command, address], capture_output=True, text=True, timeout=120, check=False)
        document = shown.stdout
        if all(text in document for text in wanted):
            break
    return document


def test_the_lineage_shows_the_workflow(browser: str, url: str) -> None:
    assets = ("feedback", "sentiment", "issue", "route", "summary", "alert", "sentiment_champion", "issue_champion")
    shown = page(browser, f"{url}/locations/orchestration_project/asset-groups/feedback/lineage", *assets)
    assert [asset for asset in assets if asset not in shown] == []


def test_every_rule_of_a_contract_is_a_check_by_its_name(browser: str, url: str) -> None:
    checks = ("gate", "message_id_unique", "text_not_blank", "metadata_json_object")
    shown = page(browser, f"{url}/assets/feedback?view=checks", *checks)
    assert [check for check in checks if check not in shown] == []


def test_triggers_are_seen_with_their_state(browser: str, url: str) -> None:
    triggers = ("feedback_arrived", "documents_changed", "upstream_changed", "daily_digest", "nightly_training")
    shown = page(browser, f"{url}/automation", *triggers)
    assert [trigger for trigger in triggers if trigger not in shown] == []


def test_a_column_is_described(browser: str, url: str) -> None:
    described = ("received_at", "When it came in, UTC.")
    shown = page(browser, f"{url}/assets/feedback?view=overview", *described)
    assert [text for text in described if text not in shown] == []


def test_the_pictures_of_the_readme_are_pictures() -> None:
    for name in ("lineage", "checks", "run"):
        assert Path(PROJECT / "docs" / "images" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
