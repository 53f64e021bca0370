"""What each unhappy customer's message is about."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel

UNHAPPY = ("negative",)
"""Sentiments whose messages go on."""

UNKNOWN = "unknown"
"""What is answered when nobody could say."""

RULES = Rules(Path(__file__).with_name("issue_rules.csv"), family="issue")
CASCADE = Cascade(RULES, Model("issue"), safe_state=SafeLabel(UNKNOWN))


class Issue(Decision):
    """The matter of each unhappy message."""


def possible_labels(labels: Iterable[str]) -> set[str]:
    """Every issue that somebody may answer when the model has these labels."""
    return {*labels, *(row.then["label"] for row in RULES.read().rows), UNKNOWN}


@model_output(CASCADE, contract=Issue, group_name="feedback", owners=["team:data-science"])
def issue(feedback: pd.DataFrame, sentiment: pd.DataFrame) -> pd.DataFrame:
    """What each unhappy customer's message is about."""
    unhappy = sentiment.loc[sentiment["label"].isin(UNHAPPY), "message_id"]
    return feedback.loc[feedback["message_id"].isin(unhappy), ["message_id", "text"]]
