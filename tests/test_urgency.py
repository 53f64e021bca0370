"""What cannot wait for a person: the words that `route.csv` gives the highest priority, whatever the issue."""

import pandas as pd
import pytest

from assets.feedback.issue import CASCADE as ISSUE
from assets.feedback.sentiment import CASCADE as SENTIMENT
from assets.feedback.urgency import PERSON, is_urgent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The granola gave him hives, we called an ambulance", True),
        ("My account was hacked", True),
        ("There was glass in my jam", True),
        ("My lawyer will write to you", True),
        ("I say allergy in my profile", False),
        ("My parcel is late", False),
        ("", False),
    ],
)
def test_words_of_the_highest_priority_are_urgent(text: str, expected: bool) -> None:
    rows = pd.DataFrame({"message_id": ["m"], "text": [text]}, index=[7])
    assert is_urgent(rows).to_dict() == {7: expected}


def test_both_model_outputs_of_the_sample_ask_people_but_for_these() -> None:
    assert SENTIMENT.performers[-1] is ISSUE.performers[-1] is PERSON
    assert PERSON.at_once is is_urgent
