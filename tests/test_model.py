"""A trained model as a performer: only the recorded file of the recorded libraries answers, and doubts have reasons."""

import hashlib
import io
from dataclasses import replace
from importlib.metadata import version

import joblib
import pandas as pd
import pytest
from workflow_steps import MATTERS, use_model

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.performers.model import Model, loaded
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

ROWS = pd.DataFrame({"text": ["charged twice refund", "my parcel and my login"]}, index=[7, 3])


def answers(home: Home) -> pd.DataFrame:
    return Model("issue").prepare(home).answer(ROWS)


def test_answer_that_is_not_accepted_gives_its_words_and_one_that_is_gives_none(home: Home) -> None:
    use_model(home, "issue", MATTERS, threshold=0.0)
    assert answers(home)["reason"].tolist() == ["", ""]
    use_model(home, "issue", MATTERS, version="strict", threshold=None)
    found = answers(home)
    assert found.index.tolist() == [7, 3]
    assert found["label"][7] == "billing"
    assert all("for " in reason for reason in found["reason"])
    assert "charged" in found["reason"][7] or "refund" in found["reason"][7]


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_answer_to_an_unknown_kind_is_never_accepted_and_says_so(home: Home, threshold: float) -> None:
    use_model(home, "issue", MATTERS, threshold=threshold)
    rows = pd.DataFrame({"text": ["ωψ ξπ", "charged twice refund"]})
    strange, known = Model("issue").prepare(home).answer(rows).to_dict("records")
    assert strange["confidence"] <= threshold - 0.01
    assert strange["reason"].startswith("unknown kind")
    assert (known["label"], "unknown kind" in known["reason"]) == ("billing", False)


@pytest.mark.parametrize(
    ("libraries", "is_read"),
    [({}, True), ({"scikit-learn": version("scikit-learn")}, True), ({"scikit-learn": "1.2.3"}, False)],
    ids=["not recorded", "the installed one", "another one"],
)
def test_model_of_another_scikit_learn_is_refused_by_name(home: Home, libraries: dict[str, str], is_read: bool) -> None:
    champion = use_model(home, "issue", MATTERS, libraries=libraries)
    if is_read:
        assert loaded(home, champion).labels == champion.labels
        return
    with pytest.raises(ArtifactRefused, match=r"Version small of 'issue' was trained with scikit-learn 1\.2\.3, and"):
        answers(home)


def test_model_whose_labels_are_not_the_recorded_ones_is_refused(home: Home) -> None:
    champion = use_model(home, "issue", MATTERS)
    with pytest.raises(ArtifactRefused, match=r"answers account, .*, recorded is billing, delivery\. Run"):
        loaded(home, replace(champion, labels=("billing", "delivery")))


def test_file_that_other_code_wrote_is_refused(home: Home) -> None:
    champion = use_model(home, "issue", MATTERS)
    stream = io.BytesIO()
    joblib.dump({"labels": champion.labels, "calibration": 1.0}, stream)
    (home.root / champion.path).write_bytes(stream.getvalue())
    older: ModelVersion = replace(champion, sha256=hashlib.sha256(stream.getvalue()).hexdigest())
    with pytest.raises(ArtifactRefused, match=r"small\.joblib was written by other code than this"):
        loaded(home, older)
