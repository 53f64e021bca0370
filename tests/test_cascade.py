"""The cascade: who decides, who is sure, and when the safe state answers."""

import numpy as np
import pandas as pd
import pytest
from scripted_cascades import LABELS, SAFE, by_row, column, decide, decided, failing, messages, scripted

from orchestration_project.core.errors import (
    PerformerFailed,
)
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.model import Model
from orchestration_project.performers.scripted import Script, Scripted, same_answer
from orchestration_project.stores.home import Home

# Rule 1: a row whose confidence reaches the threshold is accepted; the rest go on to the next.


def test_each_performer_decides_what_it_is_sure_of_and_passes_the_rest_on(home: Home):
    first = scripted("first", by_row({"m0": ("red", 0.9), "m1": ("red", 0.2), "m2": (None, None)}))
    second = scripted("second", by_row({"m1": ("green", 0.7), "m2": ("green", 0.6)}))
    third = scripted("third", same_answer("red", 1.0))
    found = decided(home, first, second, third)
    assert column(found, "label") == ["red", "green", "green"]
    assert column(found, "performer") == ["first", "second", "second"]
    assert column(found, "accepted") == [True, True, True]
    assert (first.asked, second.asked, third.asked) == (3, 2, 0)
    assert found.decided_by() == {"first": 1, "second": 2}
    assert [(work.performer, work.asked, work.accepted) for work in found.work] == [("first", 3, 1), ("second", 2, 2)]


@pytest.mark.parametrize(
    ("confidence", "threshold", "is_accepted"),
    [
        (0.5, 0.5, True),
        (np.nextafter(0.5, 0), 0.5, False),
        (1.0, 1.0, True),
        (0.0, 0.0, True),
        (None, 0.0, False),
        (np.nan, 0.0, False),
        (1.0, None, False),
        (None, None, False),
    ],
)
def test_an_answer_is_accepted_from_the_threshold_on_and_never_without_one_or_without_confidence(
    home: Home, confidence: float | None, threshold: float | None, is_accepted: bool
):
    found = decided(home, scripted("only", same_answer("red", confidence), threshold))
    assert column(found, "accepted") == [is_accepted] * 3
    assert column(found, "label") == ["red"] * 3  # unsure, and still an answer


def test_an_accepted_answer_stands_though_an_earlier_doubt_was_surer(home: Home):
    strict = scripted("strict", same_answer("red", 0.8), threshold=0.9)
    easy = scripted("easy", same_answer("green", 0.6), threshold=0.5)
    found = decided(home, strict, easy)
    assert column(found, "label") == ["green"] * 3
    assert column(found, "confidence") == [0.6] * 3
    assert column(found, "accepted") == [True] * 3


# Rule 3: nobody is sure: the surest answer stays; the safe state answers only what nobody answered.


def test_a_row_that_nobody_is_sure_of_keeps_the_surest_answer(home: Home):
    first = scripted("first", by_row({"m0": ("red", 0.3), "m1": ("red", 0.1), "m2": ("red", None)}))
    second = scripted("second", by_row({"m0": ("green", 0.2), "m1": ("green", 0.4), "m2": ("green", 0.0)}))
    found = decided(home, first, second)
    assert column(found, "label") == ["red", "green", "green"]
    assert column(found, "confidence") == [0.3, 0.4, 0.0]
    assert column(found, "performer") == ["first", "second", "second"]
    assert column(found, "accepted") == [False] * 3
    assert SAFE.name not in found.decided_by()
    assert column(found, "reason")[0] == "first: red 0.30, below 0.50; second: green 0.20, below 0.50"
    assert column(found, "reason")[2] == "first: red without a measured confidence; second: green 0.00, below 0.50"


def test_of_two_equally_sure_answers_the_first_stays(home: Home):
    found = decided(home, scripted("first", same_answer("red", 0.3)), scripted("second", same_answer("green", 0.3)))
    assert column(found, "performer") == ["first"] * 3
    unknown = decided(home, scripted("first", same_answer("red", None)), scripted("second", same_answer("green", None)))
    assert column(unknown, "performer") == ["first"] * 3


def test_the_safe_state_answers_only_where_nobody_could(home: Home):
    silent = scripted("silent", by_row({"m0": ("red", 0.1), "m1": (None, None), "m2": (None, 0.99)}))
    found = decided(home, silent)
    assert column(found, "label") == ["red", "unknown", "unknown"]
    assert column(found, "decided_by") == ["model", "safe_state", "safe_state"]
    assert column(found, "accepted") == [False] * 3
    assert column(found, "confidence") == [0.1, None, None]
    assert column(found, "reason")[1] == "silent: no answer; nobody else could decide"


def test_a_failed_performer_leaves_the_unsure_answer_of_another_and_no_safe_state(home: Home):
    found = decided(home, scripted("unsure", same_answer("red", 0.1)), scripted("broken", failing(ValueError("x"))))
    assert column(found, "performer") == ["unsure"] * 3
    assert column(found, "degraded") == [True] * 3
    assert column(found, "accepted") == [False] * 3


def test_the_safe_state_answers_all_when_every_performer_failed(home: Home):
    found = decided(home, scripted("a", failing(ValueError("x"))), scripted("b", failing(TimeoutError("y"))))
    assert column(found, "decided_by") == ["safe_state"] * 3
    assert column(found, "degraded") == [True] * 3
    reason = "a failed: ValueError('x'); b is unavailable: TimeoutError('y'); nobody else could decide"
    assert column(found, "reason") == [reason] * 3
    assert [work.failure for work in found.work] == ["ValueError", "TimeoutError", None]


def test_a_cascade_of_the_safe_state_alone_answers(home: Home):
    found = decided(home)
    assert column(found, "label") == ["unknown"] * 3
    assert column(found, "degraded") == [False] * 3


def test_the_safe_state_is_never_accepted_however_sure_it_is(home: Home):
    sure = Scripted("sure", same_answer("red", 1.0), labels=LABELS, threshold=0.1, kind="safe_state")
    found = decided(home, safe_state=sure)
    assert column(found, "accepted") == [False] * 3
    assert column(found, "confidence") == [1.0] * 3


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (failing(ValueError("no list of words")), "last failed: ValueError"),
        (failing(TimeoutError("slow")), "last is unavailable: TimeoutError"),
        (same_answer(None, None), "last left rows without a label"),
        (same_answer("blue", None), "last answered 3 of 3 rows with none of its labels"),
    ],
)
def test_nobody_stands_behind_the_safe_state_so_its_failure_is_raised(home: Home, script: Script, says: str):
    last = Scripted("last", script, labels=LABELS, kind="safe_state")
    with pytest.raises(PerformerFailed, match=says):
        decide(Cascade(safe_state=last), home)


def test_a_safe_state_of_another_kind_is_refused_when_the_cascade_is_written():
    with pytest.raises(TypeError, match=r"first is a model\. Give safe_state a performer of kind safe_state\."):
        Cascade(safe_state=scripted("first", same_answer("red", 1.0)))


# Whatever is asked and answered.


def test_no_rows_are_decided_by_nobody(home: Home):
    only = scripted("only", same_answer("red", 0.9))
    found = decided(home, only, rows=messages(0))
    assert (len(found.frame), found.work, only.asked) == (0, [], 0)


def test_labels_are_those_of_every_performer_and_the_safe_state(home: Home):
    other = Scripted("other", same_answer(None, None), labels=["blue"])
    cascade = Cascade(scripted("first", same_answer("red", 0.9)), other, safe_state=SAFE)
    assert cascade.labels(home) == {"red", "green", "blue", "unknown"}
    assert Cascade(Model("a"), Model("b"), Model("a"), safe_state=SAFE).families == ("a", "b")


def test_the_rows_shown_keep_their_columns_and_the_index_of_the_caller_does_not_matter(home: Home):
    shown: list[pd.DataFrame] = []

    def script(rows: pd.DataFrame) -> pd.DataFrame:
        shown.append(rows)
        rows["text"] = "scribbled over"
        return same_answer("red", 0.1)(rows)

    rows = messages().assign(tier=[1, 2, 3]).set_index(pd.Index([5, 5, 9]))
    before = rows.copy()
    found = decided(home, scripted("a", script), scripted("b", script), rows=rows)
    assert [list(frame.columns) for frame in shown] == [["message_id", "text", "tier"]] * 2
    pd.testing.assert_frame_equal(rows, before)
    assert column(found, "label") == ["red"] * 3
