"""Whether a model is worse than another: what chance explains is not held against it, and what it does not is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.comparison import OVERALL, Difference, paired_bootstrap, worse
from orchestration_project.core.statistics import classification_scores

LABELS = ["billing", "delivery", "quality"]


def answers(truth: list[str], wrong: int, of: str | None = None) -> list[str]:
    """The truth, with another label for so many rows (of one label)."""
    left, given_answers = wrong, list[str]()
    for label in truth:
        is_wrong = left > 0 and of in (None, label)
        left -= is_wrong
        given_answers.append(LABELS[(LABELS.index(label) + 1) % 3] if is_wrong else label)
    return given_answers


TRUTH = LABELS * 100


def test_equal_answers_are_no_difference() -> None:
    found = paired_bootstrap(TRUTH, TRUTH, TRUTH)
    assert [(one.label, one.difference, one.low, one.high) for one in found] == [
        (label, 0, 0, 0) for label in [OVERALL, *LABELS]
    ]
    assert worse(found) == []


def test_much_worse_answers_are_worse_over_all() -> None:
    found = paired_bootstrap(TRUTH, answers(TRUTH, 60), answers(TRUTH, 10))
    assert found[0].label == OVERALL
    assert found[0].low < found[0].difference < found[0].high < 0
    assert OVERALL in [one.label for one in worse(found)]


def test_better_answers_are_not_worse() -> None:
    found = paired_bootstrap(TRUTH, answers(TRUTH, 10), answers(TRUTH, 60))
    assert found[0].low > 0
    assert worse(found) == []


def test_one_more_mistake_in_three_hundred_is_chance() -> None:
    found = paired_bootstrap(TRUTH, answers(TRUTH, 11), answers(TRUTH, 10))
    assert found[0].difference < 0 <= found[0].high
    assert worse(found) == []


def test_one_class_that_became_worse_is_named_though_the_mean_did_not() -> None:
    truth = ["billing"] * 40 + ["delivery"] * 400 + ["quality"] * 400
    before = answers(truth, 250, of="delivery")
    after = answers(truth, 25, of="billing")
    found = worse(paired_bootstrap(truth, after, before))
    assert [one.label for one in found] == ["billing"]


def test_holms_correction_asks_more_of_many_classes() -> None:
    doubtful = [Difference("a", -0.1, -0.2, -0.01, 0.02)]
    others = [Difference(label, 0, -0.1, 0.1, 0.5) for label in "bcd"]
    assert worse(doubtful) == doubtful
    assert worse([*doubtful, *others]) == []
    sure = [Difference("b", -0.3, -0.4, -0.2, 0.0001)]
    assert worse([*others[1:], *sure, Difference("c", -0.1, -0.2, -0.01, 0.008)]) == [
        sure[0],
        Difference("c", -0.1, -0.2, -0.01, 0.008),
    ]


def test_no_rows_are_no_difference_and_other_lengths_an_error() -> None:
    assert paired_bootstrap([], [], []) == []
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap(["a", "b"], ["a"], ["a", "b"])


rows = st.lists(st.tuples(*[st.sampled_from(LABELS)] * 3), min_size=1, max_size=30)


@settings(deadline=None, max_examples=25)
@given(rows, st.randoms())
def test_differences_are_those_of_the_scores_and_the_order_of_rows_makes_none(
    rows: list[tuple[str, str, str]], random: np.random.Generator
) -> None:
    truth, new, old = zip(*rows, strict=True)
    found = {one.label: one for one in paired_bootstrap(truth, new, old)}
    scores = [classification_scores(truth, side)["per_class"] for side in (new, old)]
    for label in found.keys() - {OVERALL}:
        of_both = [own[label]["f1"] if label in own else 0 for own in scores]
        assert found[label].difference == pytest.approx(of_both[0] - of_both[1])
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert {one.label: one for one in paired_bootstrap(*zip(*shuffled, strict=True))} == found


def test_a_challenger_that_is_as_good_is_refused_seldom() -> None:
    """By the test of the macro mean alone in one case of forty; the classes add as much at most."""
    random = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        truth = random.choice(LABELS, 200)
        sides = [np.where(random.random(200) < 0.15, random.choice(LABELS, 200), truth) for _ in range(2)]
        refused += bool(worse(paired_bootstrap(truth, *sides)))
    assert refused <= 8
