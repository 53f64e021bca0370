"""The checks of a watch: each with its figures in their unit, and with a picture of the batches before."""

from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.feedback.anomalies import WATCH
from assets.feedback.feedback import feedback
from orchestration_project.core.outliers import LEAST_BATCHES
from orchestration_project.model_output.history_plot import MOST_CHARACTERS
from orchestration_project.model_output.measures import Seen
from orchestration_project.model_output.watch import COLUMNS, Watch
from orchestration_project.model_output.watch_checks import watch_results, watch_specs
from orchestration_project.stores.home import Home

HEADER = ",".join(COLUMNS)

HOUR = pd.Timedelta(hours=1)
DECISIONS = f"""{HEADER}
call,null_share,account,halt,6,0.2,why
call,text_length,text,halt,6,2,why
call,age,at,warn,6,10,why
call,mix,label,halt,0.25,0.15,why
call,confidence,confidence,halt,0.25,0.15,why
"""


def calls(label: str = "calm", hours: float = 2.0) -> Seen:
    """A batch of forty calls that are alike; three of four have the label, the newest is so many hours old."""
    frame = pd.DataFrame({"text": ["a text of so many letters", "short"] * 20, "label": [label] * 30 + ["angry"] * 10})
    frame["account"] = ["", None] * 20
    frame["confidence"] = [0.95] * 30 + [0.55] * 10
    frame["at"] = pd.Timestamp.now(tz="UTC") - hours * HOUR
    return Seen(frame, 40, 0, 0, {})


def judged(home: Home, file: Path, seen: Seen) -> dict[str, dg.AssetCheckResult]:
    """Check → its result, of a batch behind eight usual ones."""
    file.write_text(DECISIONS)
    watch = Watch(file)
    for number in range(LEAST_BATCHES):
        with home.ledger.write() as connection:
            watch.look(home, "call", f"usual-{number}", calls()).record(connection, "call", f"usual-{number}")
    return {str(one.check_name): one for one in watch_results("call", watch, watch.look(home, "call", "own", seen))}


def test_every_check_shows_its_history_where_it_stands(home: Home, tmp_path: Path) -> None:
    found = judged(home, tmp_path / "calls.csv", calls("cross", hours=60))
    assert len(found) == 5
    for name, result in found.items():
        history = str(result.metadata["history"].value)
        assert history.startswith("![history](data:image/svg+xml;base64,"), name
        assert len(history) <= MOST_CHARACTERS, name
        picture = b64decode(history.partition("base64,")[2].removesuffix(")")).decode()
        assert "9 batches, " in picture, name
    assert not found["usual_mix_of_label"].passed and found["usual_confidence_of_confidence"].passed


def test_age_is_told_in_hours(home: Home, tmp_path: Path) -> None:
    result = judged(home, tmp_path / "calls.csv", calls(hours=60))["usual_age_of_at"]
    assert not result.passed
    assert str(result.description).startswith("age of at 60 hours, usually 2 (")
    assert result.metadata["value"].value == pytest.approx(60, abs=0.01)
    assert result.metadata["usual"].value == pytest.approx(2, abs=0.01)
    assert result.metadata["unit"].value == "hours"
    assert str(result.description).endswith(f". {'▁' * LEAST_BATCHES}█")


def test_mix_is_drawn_as_its_distance_from_the_window_against_the_limit(home: Home, tmp_path: Path) -> None:
    result = judged(home, tmp_path / "calls.csv", calls("cross"))["usual_mix_of_label"]
    history = str(result.metadata["history"].value)
    picture = b64decode(history.partition("base64,")[2].removesuffix(")")).decode()
    assert f" to {result.metadata['value'].value:.3g}; dashed: limit" in picture


def test_batch_without_history_is_drawn_and_not_judged(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(DECISIONS)
    watch = Watch(file)
    for result in watch_results("call", watch, watch.look(home, "call", "first", calls())):
        assert result.passed
        assert str(result.description) == "Not judged: too little history: 0 of 8 batches."
        assert "history" in result.metadata


def test_a_silence_is_no_check_of_a_batch_and_a_policy_of_its_asset() -> None:
    assert "usual_silence" not in {spec.name for spec in watch_specs("feedback", WATCH)}
    (limit,) = WATCH.silences()
    assert (limit.asset, limit.level) == ("feedback", "warn")
    (spec,) = feedback.specs
    hours = timedelta(hours=limit.limit)
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(fail_window=2 * hours, warn_window=hours)
    assert WATCH.freshness("sentiment") is None
