"""Cascades of scripted performers for tests: they answer, doubt and fail as they are told."""

from typing import Any

import pandas as pd
import stamina

from orchestration_project.core.contracts import check
from orchestration_project.performers.asking import ATTEMPTS
from orchestration_project.performers.cascade import Cascade, Decisions
from orchestration_project.performers.decision import COLUMNS, Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Script, Scripted
from orchestration_project.stores.home import Home

LABELS = ("red", "green")
SAFE = SafeLabel("unknown")


def scripted(name: str, script: Script, threshold: float | None = 0.5, **more: Any) -> Scripted:
    return Scripted(name, script, labels=LABELS, threshold=threshold, **more)


def by_row(answers: dict[str, tuple[Any, Any]], reason: str = "") -> Script:
    """A script that answers each message with the label and confidence that stand for it."""

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        found = [answers[message_id] for message_id in rows["message_id"]]
        frame = pd.DataFrame(found, index=rows.index, columns=["label", "confidence"])
        return frame.assign(reason=reason)

    return script


def failing(error: Exception) -> Script:
    def script(rows: pd.DataFrame) -> pd.DataFrame:
        raise error

    return script


def failing_first(times: int, error: Exception, then: Script) -> Script:
    """A script that fails so many times and then answers."""
    left = [error] * times

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        if left:
            raise left.pop()
        return then(rows)

    return script


def messages(count: int = 3) -> pd.DataFrame:
    ids = pd.Series([f"m{number}" for number in range(count)], dtype="str")
    return pd.DataFrame({"message_id": ids, "text": pd.Series("text of " + ids, dtype="str")})


def decide(cascade: Cascade, home: Home, rows: pd.DataFrame | None = None, **more: Any) -> Decisions:
    """What a cascade makes of rows. Retries follow one another at once; how often is the product's own number."""
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):
        return cascade.decide(messages() if rows is None else rows, home, **more)


def decided(home: Home, *performers: Scripted, rows: pd.DataFrame | None = None, **more: Any) -> Decisions:
    """What performers decide, in which each row has one decision that keeps the contract."""
    decisions = decide(Cascade(*performers, safe_state=more.pop("safe_state", SAFE)), home, rows, **more)
    assert_each_row_decided_once(messages() if rows is None else rows, decisions)
    return decisions


def assert_each_row_decided_once(rows: pd.DataFrame, decisions: Decisions) -> None:
    assert decisions.frame["message_id"].tolist() == rows["message_id"].tolist()
    assert list(decisions.frame.columns) == list(COLUMNS)
    checked = check(Decision, decisions.frame)
    assert (checked.drift, checked.refusals) == ((), ())


def column(decisions: Decisions, name: str) -> list[Any]:
    return [None if pd.isna(value) else value for value in decisions.frame[name]]
