"""Every fault once, under load: no message is lost or doubled, every complaint is told once, and the audit chain holds.

`make chaos` does it for fifty rounds.
"""

import os
from pathlib import Path

import pytest
from chaos import chaos_in, run

SEED = 4


def test_no_promise_is_broken_when_everything_fails_once(tmp_path: Path) -> None:
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("only root can give the warehouse a disk of its own that fills up")
    lines: list[str] = []
    with chaos_in(tmp_path / "home", SEED) as project:
        faults = list(project.faults())
        project.random.shuffle(faults)
        broken = run(project, faults, lines.append)
        sent = len(project.sent.ids)
    assert broken == [], lines
    assert len(lines) == len(faults)
    assert sent > 100
