"""What each customer feels about us."""

import pandas as pd

from assets.feedback.anomalies import WATCH
from assets.feedback.lexicon import Lexicon
from assets.feedback.urgency import PERSON
from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model

CASCADE = Cascade(Model("sentiment"), PERSON, safe_state=Lexicon())


class Sentiment(Decision):
    """negative, neutral or positive, for each message."""


@model_output(CASCADE, contract=Sentiment, watch=WATCH, group_name="feedback", owners=["team:data-science"])
def sentiment(feedback: pd.DataFrame) -> pd.DataFrame:
    """What each customer feels about us."""
    return feedback[["message_id", "text"]]
