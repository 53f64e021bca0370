"""The sensor by which models learn: a training after enough verdicts, once; the end of a trial; a notice where somebody
has to approve.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from learning_home import CHALLENGER, decided, in_use, on_trial, publish, say

from orchestration_project.dispatch import learning_sensor as sensor_module
from orchestration_project.dispatch.learning_sensor import Jobs, learning_sensor
from orchestration_project.governance import trial_results
from orchestration_project.governance.promotion import Order
from orchestration_project.governance.trial_results import TrialResult
from orchestration_project.stores import trials
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import OUTBOX
from orchestration_project.stores.trials import Trial


@dg.asset
def mood_champion() -> None:
    """What the jobs of these tests make."""


definitions = dg.Definitions(
    [mood_champion], jobs=[dg.define_asset_job("train_mood", "*"), dg.define_asset_job("promote_mood", "*")]
).get_repository_def()
JOBS = Jobs(definitions.get_job("train_mood"), definitions.get_job("promote_mood"))
SENSOR = learning_sensor("enough_learnt", {Family("mood", "moods.csv", "mood"): JOBS})


class Ticks:
    """The sensor's ticks, one after another, with the cursor between them as the daemon keeps it."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.skipped = ""

    def tick(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(self.instance, cursor=self.cursor, repository_def=definitions) as context:
            found = SENSOR.evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        self.skipped = found.skip_message or ""
        return list(found.run_requests or ())


@pytest.fixture
def ticks(shared_instance: dg.DagsterInstance) -> Iterator[Ticks]:
    yield Ticks(shared_instance)


@pytest.fixture
def home(named_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose policy asks for three verdicts, and for two answers in shadow."""
    ask_for(tmp_path, monkeypatch)
    in_use(named_home)
    notes = [{"message_id": f"m{number}", "text": f"text {number}"} for number in range(9)]
    publish(named_home, "note", "b1", notes)
    return named_home


def ask_for(folder: Path, monkeypatch: pytest.MonkeyPatch, approval: str = "nobody") -> None:
    file = folder / "policy.toml"
    file.write_text(f'[learning]\nnew_verdicts = 3\nshadow_rows = 2\napproval = "{approval}"\n')
    monkeypatch.setenv("ORCHESTRATE_POLICY", str(file))


def decide(home: Home, first: int, last: int) -> None:
    for number in range(first, last):
        say(home, "b1", f"m{number}", "angry")


def test_a_training_is_asked_for_after_enough_verdicts_and_once(home: Home, ticks: Ticks) -> None:
    decide(home, 0, 2)
    assert ticks.tick() == []
    decide(home, 2, 3)
    (asked,) = ticks.tick()
    assert (asked.job_name, asked.run_key) == ("train_mood", "mood/verdicts/3")
    decide(home, 3, 5)
    assert ticks.tick() == []
    decide(home, 5, 6)
    assert [asked.run_key for asked in ticks.tick()] == ["mood/verdicts/6"]


def test_a_corrected_verdict_counts_once(home: Home, ticks: Ticks) -> None:
    for _ in range(3):
        decide(home, 0, 1)
    assert ticks.tick() == []


def test_a_trial_is_judged_when_it_gave_enough_answers(home: Home, ticks: Ticks) -> None:
    on_trial(home)
    decided(home, "b2", {"a": ("calm", "calm")})
    assert ticks.tick() == []
    decided(home, "b3", {"b": ("calm", "calm")})
    (asked,) = ticks.tick()
    assert asked.job_name == "promote_mood"
    order = Order.from_tags(asked.tags)
    assert (order.action, order.version, order.person) == ("train", CHALLENGER.version, "")
    assert ticks.tick() == [], "once"
    with home.ledger.write() as connection:
        trials.end(connection, "mood")
    on_trial(home)
    decided(home, "b4", {"c": ("calm", "calm"), "d": ("calm", "calm")})
    (again,) = ticks.tick()
    assert again.run_key != asked.run_key, "another trial"


def test_how_a_trial_stands_that_goes_on_is_told(home: Home, ticks: Ticks) -> None:
    on_trial(home)
    decided(home, "b2", {"a": ("calm", "calm")})
    assert ticks.tick() == []
    assert ticks.skipped == (
        "Too few verdicts are new to train on, and no trial is over. "
        "mood/challenger is on trial: 1 of 2 answers in shadow. "
        "Its file none is gone, and it answers no more. Put it back, or run: orchestrate train"
    )


@pytest.mark.parametrize("approval", ["nobody", "somebody"])
def test_answers_are_counted_until_the_end_of_a_trial_was_asked_for(
    home: Home, ticks: Ticks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approval: str
) -> None:
    ask_for(tmp_path, monkeypatch, approval)
    calls: list[str] = []

    def counted(home: Home, trial: Trial) -> TrialResult:
        calls.append(trial.version.version)
        return trial_results.counted(home, trial)

    monkeypatch.setattr(sensor_module, "counted", counted)
    on_trial(home)
    decided(home, "b2", {"a": ("calm", "calm")})
    ticks.tick()
    decided(home, "b3", {"b": ("calm", "calm")})
    for _ in range(3):
        ticks.tick()
    assert calls == ["challenger"] * 2


def test_where_somebody_has_to_approve_there_is_a_notice_once_and_no_run(
    home: Home, ticks: Ticks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(tmp_path, monkeypatch, "somebody_else")
    on_trial(home, trained_by="anna")
    decided(home, "b2", {"a": ("calm", "calm"), "b": ("calm", "calm")})
    assert [ticks.tick(), ticks.tick()] == [[], []]
    with home.ledger.read() as connection:
        ((title, body),) = connection.execute(sa.select(OUTBOX.c.title, OUTBOX.c.body)).all()
    assert title == "mood challenger waits for approval"
    assert "- Trained by: anna" in body
    assert "- Approve: orchestrate model promote mood challenger --reason TEXT" in body


def test_notice_names_the_options_without_which_the_approval_would_be_refused(
    home: Home, ticks: Ticks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(tmp_path, monkeypatch, "somebody")
    on_trial(home, replace(CHALLENGER, labels=("angry", "calm", "merry")))
    decided(home, "b2", {"a": ("calm", "calm"), "b": ("calm", "calm")})
    assert ticks.tick() == []
    with home.ledger.read() as connection:
        body = connection.execute(sa.select(OUTBOX.c.body)).scalar_one()
    assert "- Approve: orchestrate model promote mood challenger --new-labels --reason TEXT" in body
