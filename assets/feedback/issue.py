"""What each unhappy customer's message is about."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from assets.feedback.anomalies import WATCH
from assets.feedback.sentiment import CASCADE as SENTIMENT
from assets.feedback.urgency import PERSON
from orchestration_project.core.errors import SettingRefused, did_you_mean
from orchestration_project.core.settings import shown, variable
from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores.home import Home

UNKNOWN = "unknown"
"""What is answered when nobody could say."""

RULES = Rules(Path(__file__).with_name("issue_rules.csv"), family="issue")
CASCADE = Cascade(RULES, Model("issue"), PERSON, safe_state=SafeLabel(UNKNOWN))


class Issue(Decision):
    """The matter of each unhappy message."""


def possible_labels(labels: Iterable[str]) -> set[str]:
    """Every issue that somebody may answer when the model has these labels."""
    return {*labels, *(row.then["label"] for row in RULES.read().rows), UNKNOWN}


def follow_up_labels(home: Home) -> tuple[str, ...]:
    """The sentiments whose messages go on.

    SettingRefused for a name that sentiment cannot answer, and where the model in use answers none of them: after
    another label set was promoted, nothing would go on, and nobody would be told.
    """
    names = home.settings.follow_up_labels
    said = f"{variable('follow_up_labels')} is {shown(names)!r}."
    every, of_performers = SENTIMENT.labels(home), SENTIMENT.labels(home, safe_state=False)
    for name in names:
        if name not in every:
            raise SettingRefused(f"{said} No sentiment is called '{name}'.{did_you_mean(name, every)}")
    if of_performers.isdisjoint(names):
        near = did_you_mean(names[0], of_performers)
        raise SettingRefused(f"{said} The sentiment model in use answers none of these; set labels of it.{near}")
    return names


@model_output(CASCADE, contract=Issue, watch=WATCH, group_name="feedback", owners=["team:data-science"])
def issue(feedback: pd.DataFrame, sentiment: pd.DataFrame, home: Home) -> pd.DataFrame:
    """What each unhappy customer's message is about."""
    unhappy = sentiment.loc[sentiment["label"].isin(follow_up_labels(home)), "message_id"]
    return feedback.loc[feedback["message_id"].isin(unhappy), ["message_id", "text"]]
