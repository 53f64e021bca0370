"""A time limit: what comes in time is given, what hangs is left behind, and not without end."""

import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path
from threading import TIMEOUT_MAX, Event

import pytest
from live_project import SMALL_WORKFLOW, Project, wait_until

from orchestration_project.core.errors import PerformerTimeout, PerformerUnavailable
from orchestration_project.performers.time_limit import MOST_LEFT_BEHIND, left_behind, within

LONG = 60.0
SHORT = 0.01


def test_what_a_call_gives_or_raises_in_time_comes_through() -> None:
    assert within(LONG, lambda: 7, "quick") == 7
    with pytest.raises(ZeroDivisionError):
        within(LONG, lambda: 1 / 0, "quick")
    with pytest.raises(SystemExit):
        within(LONG, exit, "quick")
    assert left_behind("quick") == 0


def test_a_call_sees_the_context_of_its_caller() -> None:
    told = ContextVar("told", default="nothing")
    told.set("the truth")
    assert within(LONG, told.get, "quick") == "the truth"


def test_a_call_that_hangs_is_left_behind_until_it_ends(hanging: Event) -> None:
    with pytest.raises(PerformerTimeout, match=r"^slow gave no answer within 0\.01 s\.$"):
        within(SHORT, hanging.wait, "slow")
    assert left_behind("slow") == 1
    hanging.set()
    wait_until(lambda: left_behind("slow") == 0, "the call to end")


LEAVES_A_CALL_BEHIND = """
import threading, duckdb
from orchestration_project.core.errors import PerformerTimeout
from orchestration_project.performers import time_limit

begun = threading.Event()

def compute():
    begun.set()
    duckdb.connect(config={"threads": 1}).execute("SELECT max(hash(range)) FROM range(100000000)").fetchall()

def hang():
    begun.set()
    threading.Event().wait()

time_limit.EXIT_SECONDS = {seconds}
try:
    time_limit.within(0.001, {call}, "late")
except PerformerTimeout:
    begun.wait()
    print(time_limit.left_behind("late"), "left behind")
"""


@pytest.mark.parametrize(("call", "seconds"), [("compute", 60.0), ("hang", 0.1)])
def test_a_process_waits_a_while_for_calls_left_behind_and_ends_in_order(call: str, seconds: float) -> None:
    code = LEAVES_A_CALL_BEHIND.replace("{call}", call).replace("{seconds}", str(seconds))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=2 * LONG)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1 left behind\n", "")


def test_no_limit_is_too_long() -> None:
    assert within(2 * TIMEOUT_MAX, lambda: 7, "quick") == 7


def test_a_performer_whose_calls_all_hang_is_asked_no_more_and_others_are(hanging: Event) -> None:
    for _ in range(MOST_LEFT_BEHIND):
        with pytest.raises(PerformerTimeout):
            within(SHORT, hanging.wait, "stuck")
    begun: list[int] = []
    with pytest.raises(PerformerUnavailable, match=r"^stuck was not asked: 4 calls of it that hang still go on\.$"):
        within(LONG, lambda: begun.append(1), "stuck")
    assert begun == []
    assert within(LONG, lambda: 1, "another") == 1
    hanging.set()
    wait_until(lambda: left_behind("stuck") == 0, "the calls to end")
    assert within(LONG, lambda: 1, "stuck") == 1


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_without_time_nobody_is_called(seconds: float) -> None:
    begun: list[int] = []
    with pytest.raises(PerformerTimeout, match="had no time left"):
        within(seconds, lambda: begun.append(1), "late")
    assert begun == []


def test_a_run_whose_performer_hangs_is_done_by_the_next_and_the_circuit_spares_the_next_run(tmp_path: Path) -> None:
    settings = {"PERFORMER_SECONDS": "0.5", "BREAKER_FAILURES": "1", "BREAKER_WAIT_SECONDS": "3600"}
    variables = {f"ORCHESTRATE_{name}": value for name, value in settings.items()}
    project = Project(tmp_path / "home", {**variables, "PYTHONPATH": str(SMALL_WORKFLOW)})
    project.start_daemon()
    try:
        project.put("first", [{"text": f"wait for {tmp_path / 'never'}"}])
        wait_until(lambda: project.status() == {"done": 1}, "the batch whose performer hangs")
        project.put("second", [{"text": "so angry"}])
        wait_until(lambda: project.status() == {"done": 2}, "the batch after it")
    finally:
        project.kill()
    mood = project.rows("mood").set_index("message_id")["reason"]
    note = project.rows("note").set_index("message_id")["text"]
    said = {note[message_id][:9]: reason for message_id, reason in mood.items()}
    assert said["wait for "].startswith("words gave no answer within ")
    assert said["so angry"].startswith("words was not asked: circuit open since ")
    assert set(project.rows("mood")["performer"]) == {"safe label unknown"}
    assert "✗ words is away: circuit open since" in project.orchestrate("status")
    (circuit,) = project.orchestrate("status", "--json")["circuits"]
    assert (circuit["performer"], circuit["state"], circuit["openings"]) == ("words", "open", 1)
