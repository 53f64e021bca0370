"""What every performer keeps, whoever it is: one suite, a line for each performer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.feedback.lexicon import Lexicon
from orchestration_project.core.errors import NoChampion, PerformerFailed
from orchestration_project.core.settings import Settings
from orchestration_project.performers.faulty import Faulty, Plan
from orchestration_project.performers.model import Model
from orchestration_project.performers.performer import (
    ANSWER_COLUMNS,
    KINDS,
    BrokenContract,
    Performer,
    Prepared,
    hold_to_contract,
)
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.performers.text_classifier import train
from orchestration_project.stores import champions
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

FAMILY = "tone"

LABELLED = [
    (f"{words} {number}", label)
    for label, texts in {
        "good": ("thank you so much", "great box", "love it", "what a treat"),
        "bad": ("late again", "broken and cold", "refund me now", "never again"),
    }.items()
    for words in texts
    for number in range(10)
]


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """A script that looks at its rows, as a real performer does."""
    length = rows["text"].str.len()
    label = pd.Series(np.where(length > 10, "good", "bad"), rows.index).where(length > 0)
    return pd.DataFrame({"label": label, "confidence": 1 / (1 + length), "reason": ""}, index=rows.index)


def rules(folder: Path, family: str | None = None) -> Rules:
    table = folder / "tone.csv"
    table.write_text("rule,text,label\nthanks,~(?i)thank|love,good\nrefund,~(?i)refund|late,bad\n")
    return Rules(table, family=family)


PERFORMERS: dict[str, Callable[[Path], Performer]] = {
    "Model": lambda _: Model(FAMILY),
    "Rules, measured": lambda folder: rules(folder, FAMILY),
    "Rules, not measured": rules,
    "Faulty": lambda _: Faulty(Scripted("script", by_length, labels=["good", "bad"]), Plan("slow", share=0.5)),
    "Scripted": lambda _: Scripted("script", by_length, labels=["good", "bad"]),
    "Scripted, silent": lambda _: Scripted("silent", same_answer(None, None), labels=[]),
    "SafeLabel": lambda _: SafeLabel("unknown"),
    "Lexicon": lambda _: Lexicon(),
}
"""A performer that joins the project joins this suite: one line."""


@dataclass(frozen=True)
class Case:
    """A performer, and its home with a champion of the family."""

    performer: Performer
    home: Home

    def answers(self, rows: pd.DataFrame) -> pd.DataFrame:
        prepared = self.performer.prepare(self.home)
        return hold_to_contract(self.performer, prepared, rows, prepared.answer(rows.copy()))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the family has a small real champion, whose rules were measured."""
    home = Home(Settings(home=tmp_path_factory.mktemp("home")))
    texts, labels = zip(*LABELLED, strict=True)
    classifier = train(texts, labels, folds=3).classifier
    artifact = home.artifacts / "tone.joblib"
    sha256 = classifier.save(artifact)
    measured = rules(home.root).measure(pd.DataFrame({"text": texts}), pd.Series(labels), target_error=0.5)
    new = ModelVersion(FAMILY, "v1", home.below(artifact), sha256, 0.6, classifier.labels, {}, measured)
    with home.ledger.write() as connection:
        champions.promote(connection, new)
    return home


@pytest.fixture(scope="module", params=PERFORMERS)
def case(request: pytest.FixtureRequest, home: Home, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(PERFORMERS[request.param](tmp_path_factory.mktemp("tables")), home)


ODD = [
    "",
    " \n\t ",
    "thank you, love it",
    "ΠΟΤΕ ΞΑΝΑ",
    "配達が遅い",
    "أين طلبي؟",
    "👩‍👩‍👧‍👦🔥🔥🔥",
    "zero\u200bwidth\u202e and \x00 null \x1b[31m",
    "late " * 3000,
    "'; DROP TABLE rows; --",
    "é and e\u0301",
]


def rows_of(texts: list[str], index: list[int] | None = None) -> pd.DataFrame:
    ids = pd.Series([f"m{number}" for number in range(len(texts))], dtype="str")
    frame = pd.DataFrame({"message_id": ids, "text": pd.Series(texts, dtype="str")})
    return frame if index is None else frame.set_index(pd.Index(index))


def assert_kept(prepared: Prepared, rows: pd.DataFrame, answers: pd.DataFrame) -> None:
    assert answers.index.equals(rows.index)
    assert set(ANSWER_COLUMNS) <= set(answers.columns)
    assert set(answers["label"].dropna()) <= prepared.labels
    known = answers["confidence"].astype("float64").dropna()
    assert known.between(0, 1).all()


def test_an_answer_has_the_index_asked_its_own_labels_and_a_confidence_from_0_to_1(case: Case):
    rows = rows_of(ODD, index=[3 * number + 2 for number in range(len(ODD))])
    prepared = case.performer.prepare(case.home)
    assert_kept(prepared, rows, prepared.answer(rows.copy()))
    held = case.answers(rows)
    assert [str(held[name].dtype) for name in ANSWER_COLUMNS] == ["str", "float64", "str"]
    assert held["reason"].notna().all()


def test_no_rows_are_answered_by_no_rows(case: Case):
    answers = case.answers(rows_of([]))
    assert (len(answers), list(answers.columns)) == (0, [*ANSWER_COLUMNS, "runner_up"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=8))
def test_any_text_is_answered(case: Case, texts: list[str]):
    rows = rows_of(texts)
    prepared = case.performer.prepare(case.home)
    assert_kept(prepared, rows, prepared.answer(rows.copy()))


def test_what_a_row_is_answered_depends_on_no_other_row(case: Case):
    rows = rows_of(ODD)
    together = case.answers(rows)
    backwards = case.answers(rows.iloc[::-1]).loc[rows.index]
    alone = pd.concat([case.answers(rows.iloc[[position]]) for position in range(len(rows))])
    for other in (backwards, alone):
        pd.testing.assert_frame_equal(together, other, check_exact=False, rtol=1e-12)


def test_the_same_rows_are_answered_alike_every_time(case: Case):
    rows = rows_of(ODD)
    pd.testing.assert_frame_equal(case.answers(rows), case.answers(rows), check_exact=True)


def test_the_rows_asked_about_are_left_as_they_were(case: Case):
    rows = rows_of(ODD)
    case.performer.prepare(case.home).answer(rows)
    pd.testing.assert_frame_equal(rows, rows_of(ODD))


def test_a_performer_says_what_it_is(case: Case):
    prepared = case.performer.prepare(case.home)
    assert case.performer.name.strip()
    assert case.performer.kind in KINDS
    assert prepared.version.strip()
    assert prepared.threshold is None or 0 <= prepared.threshold <= 1
    assert (
        prepared == case.performer.prepare(case.home) or prepared.version == case.performer.prepare(case.home).version
    )


@pytest.mark.parametrize("name", PERFORMERS)
def test_a_performer_is_made_without_touching_its_home_and_its_model_is_missed_by_name(name: str, tmp_path: Path):
    empty = Home(Settings(home=tmp_path / "never made"))
    performer = PERFORMERS[name](tmp_path)
    assert not empty.root.exists()
    if not performer.families:
        assert performer.prepare(empty).labels is not None
        return
    with pytest.raises(NoChampion, match=f"'{FAMILY}' has no version in use; run: orchestrate train"):
        performer.prepare(empty)


def test_rules_are_as_sure_as_they_were_measured_and_a_changed_table_is_not_trusted(home: Home, tmp_path: Path):
    rows = rows_of(["thank you", "a late box", "nothing that a rule knows"])
    performer = rules(tmp_path, FAMILY)
    prepared = performer.prepare(home)
    measured = prepared.answer(rows)
    assert measured["label"].tolist()[:2] == ["good", "bad"]
    assert pd.isna(measured["label"][2])
    assert measured["reason"].tolist() == ["rule thanks", "rule refund", "no rule matches"]
    assert measured["confidence"][:2].between(0.5, 1, inclusive="neither").all()
    assert prepared.threshold is not None
    performer.table.write_text(performer.table.read_text().replace("love", "adore"))
    changed = performer.prepare(home)
    assert changed.threshold is None
    assert changed.answer(rows)["confidence"].isna().all()
    assert "orchestrate train" in changed.answer(rows)["reason"][0]
    assert changed.version != prepared.version


def test_a_model_is_the_champion_that_the_ledger_names(home: Home):
    prepared = Model(FAMILY).prepare(home)
    assert (prepared.version, prepared.threshold, prepared.labels) == ("v1", 0.6, frozenset({"good", "bad"}))
    answers = prepared.answer(rows_of(["thank you so much", "refund me now"]))
    assert answers["label"].tolist() == ["good", "bad"]


def test_the_lexicon_reads_the_tone_of_words_and_claims_no_confidence(home: Home):
    rows = rows_of(["I love this, wonderful!", "Horrible, I hate it.", "The box came on Tuesday."])
    answers = Lexicon().prepare(home).answer(rows)
    assert answers["label"].tolist() == ["positive", "negative", "neutral"]
    assert answers["confidence"].isna().all()


ASKED = rows_of(["a", "b"], index=[4, 9])


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (lambda good: None, "NoneType"),
        (lambda good: good.to_dict("records"), "list"),
        (lambda good: good.drop(columns="label"), "label"),
        (lambda good: pd.concat([good, good], axis="columns"), "label, confidence, reason"),
        (lambda good: good.head(1), "asked about 2 rows and answered 1"),
        (lambda good: pd.concat([good, good]), "answered 4"),
        (lambda good: good.reset_index(drop=True), "asked about 2 rows"),
        (lambda good: good.iloc[::-1], "asked about 2 rows"),
        (lambda good: good.assign(label="ugly"), "answered 2 of 2 rows with none of its labels"),
        (lambda good: good.assign(label=["ugly", "good"]), "answered 1 of 2 rows with none of its labels"),
        (lambda good: good.assign(label=1), "answered 2 of 2 rows with none of its labels"),
        (lambda good: good.assign(confidence=[1.2, 1]), "answered 1 of 2 rows with a confidence beyond 0 to 1"),
        (lambda good: good.assign(confidence=-0.1), "2 of 2 rows with a confidence beyond 0 to 1"),
        (lambda good: good.assign(confidence=np.inf), "2 of 2 rows with a confidence beyond 0 to 1"),
        (lambda good: good.assign(confidence="sure"), "no number"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_a_failure_that_says_how(
    broken: Callable[[pd.DataFrame], pd.DataFrame], what: str, home: Home
):
    performer = Scripted("script", same_answer("good", 0.9), labels=["good"])
    prepared = performer.prepare(home)
    good = prepared.answer(ASKED)
    assert len(hold_to_contract(performer, prepared, ASKED, good)) == 2
    with pytest.raises(PerformerFailed, match=f"^script .*{what}"):
        hold_to_contract(performer, prepared, ASKED, broken(good))


@pytest.mark.parametrize(
    ("column", "answered", "kept"),
    [
        ("label", ["my card 4111", "good"], {4: "my card 4111"}),
        ("label", ["ugly", None], {4: "ugly"}),
        ("confidence", [0.5, 1.2], {9: "1.2"}),
        ("confidence", ["my card 4111", "sure"], {4: "my card 4111", 9: "sure"}),
    ],
)
def test_a_broken_contract_is_told_without_the_answer_which_is_kept_for_its_row(
    column: str, answered: list[object], kept: dict[int, str], home: Home
):
    performer = Scripted("script", same_answer("good", 0.9), labels=["good"])
    prepared = performer.prepare(home)
    answers = prepared.answer(ASKED).assign(**{column: pd.Series(answered, ASKED.index, dtype="object")})
    with pytest.raises(BrokenContract) as broken:
        hold_to_contract(performer, prepared, ASKED, answers)
    assert broken.value.answers.to_dict() == kept
    assert all(answer not in str(broken.value) for answer in kept.values())
    assert broken.value.__cause__ is None


@pytest.mark.parametrize(
    "confidence", [None, np.nan, pd.array([None, 0.5], dtype="Float64"), np.array([0.25, 1], dtype="float32"), [0, 1]]
)
def test_an_unknown_confidence_and_every_type_of_number_are_allowed(confidence: object, home: Home):
    performer = Scripted("script", same_answer("good", 0.9), labels=["good"])
    prepared = performer.prepare(home)
    held = hold_to_contract(
        performer, prepared, ASKED, prepared.answer(ASKED).assign(confidence=confidence, reason=None)
    )
    assert (str(held["confidence"].dtype), held["reason"].tolist()) == ("float64", ["", ""])
