"""The inbox does what GET /openapi.json says of it: requests are made up from the description, good ones and bad ones,
sent to a real server, and every answer is held to it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_project import Project, free_port, listens, wait_until

MOST_EXAMPLES = 1_000 if os.environ.get("CI") == "true" else 200
"""Made up at random for each operation, the same in every run, besides those that try each limit of the description."""

CHECKS = """
[checks]
# A key that comes with other messages is refused, and the made-up requests hit upon the same few keys.
positive_data_acceptance.expected-statuses = ["2xx", "422"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path / "home", {"ORCHESTRATE_PORT": str(free_port())})
    project.start("orchestration_project.cli.main", "serve-inbox")
    wait_until(lambda: listens(project.inbox_port), "the server")
    yield project
    project.kill()


def test_no_request_gets_an_answer_that_is_not_described(project: Project, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    options = ("--checks", "all", "--max-examples", str(MOST_EXAMPLES), "--generation-deterministic")
    ended = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", *options, "--continue-on-failure", url(project)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Tested: 2" in ended.stdout  # POST /inbox and GET /health
    assert project.status()["working"] > 0


def url(project: Project) -> str:
    return f"http://127.0.0.1:{project.inbox_port}/openapi.json"
