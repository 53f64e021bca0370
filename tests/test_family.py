"""A model family, run by Dagster: what is held out, what makes a version, and which version is in use afterwards."""

import base64
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from workflow_steps import failure, rows_of, run

from assets.models.challenger import version_of
from assets.models.family import is_holdout, labels_of, model_family
from orchestration_project.core.errors import TableRefused
from orchestration_project.core.settings import Settings
from orchestration_project.governance import audit
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.outcomes import Failure, finish
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.model import Model
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores import arrivals, batches, champions, run_requests
from orchestration_project.stores.families import Family
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.registry import Registry
from orchestration_project.stores.schema import AUDIT, CHAMPIONS

pytestmark = [
    # MLflow 3.17 with SQLAlchemy 2.1: its own affair, and it is once per process.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]

Row = tuple[str, str, str]
"""message_id, text, label"""

SAID = {
    "glad": ["lovely tea thank you", "best box ever wonderful", "perfect and kind", "happy with this gift"],
    "cross": ["awful late broken", "rude answer never again", "refund me this is a scam", "worst stale coffee"],
}
OTHER = {"glad": "cross", "cross": "glad"}
PLAIN: list[Row] = [
    (f"m{n}", f"{SAID[label][n // 2 % 4]} {n}", label) for n, label in enumerate(["glad", "cross"] * 60)
]
HELD = [message_id for message_id, _, _ in PLAIN if is_holdout(message_id)]

TARGET_ERROR = 0.1
"""What so few labels can prove."""

Trained = tuple[Home, dg.ExecuteInProcessResult]
"""A home in which one version was trained, and how that went."""


def untried(folder: Path) -> Path:
    """A policy under which a version need not be tried before it is in use."""
    file = folder / "policy.toml"
    file.write_text("[learning]\nshadow_rows = 0\n")
    return file


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """The first training; making MLflow's database takes most of its time, so the other tests begin with a copy."""
    root = tmp_path_factory.mktemp("family")
    home = Home(Settings(home=root / "home", target_error=TARGET_ERROR, policy=untried(root)))
    home.prepare()
    yield home, train(home, PLAIN)
    home.ledger.close()


@pytest.fixture
def trained(first: Trained, tmp_path: Path) -> Iterator[Home]:
    """A home of its own in which the first version is in use."""
    first[0].ledger.close()
    shutil.copytree(first[0].root, tmp_path / "home")
    home = Home(Settings(home=tmp_path / "home", target_error=TARGET_ERROR, policy=untried(tmp_path)))
    yield home
    home.ledger.close()


def attempt(home: Home, labelled: Iterable[Row], family: str = "mood", **more: Any) -> dg.ExecuteInProcessResult:
    """Run the four assets of a family on these labels."""
    file = home.root / "labels.csv"
    pd.DataFrame(labelled, columns=["message_id", "text", "mood"]).to_csv(file, index=False)
    return run(home, *model_family(Family(family, str(file), "mood"), **more))


def train(home: Home, labelled: Iterable[Row], family: str = "mood", **more: Any) -> dg.ExecuteInProcessResult:
    """The same, and it succeeds."""
    result = attempt(home, labelled, family, **more)
    assert result.success, failure(result)
    return result


def relabelled(count: int) -> list[Row]:
    """The plain labels, with the other label for the first so many messages that are trained on."""
    chosen = [message_id for message_id, _, _ in PLAIN if message_id not in HELD][:count]
    return [(m, text, OTHER[label] if m in chosen else label) for m, text, label in PLAIN]


def last(home: Home, part: str) -> dict[str, Any]:
    """The one row of an asset of the family."""
    (row,) = rows_of(home, f"mood_{part}").to_dict("records")
    return row


def in_use(home: Home, family: str = "mood") -> ModelVersion:
    with home.ledger.read() as connection:
        return champions.require_champion(connection, family)


def decided(home: Home, family: str = "mood") -> dict[str, Any]:
    """How a cascade of the family's model decides a message."""
    rows = pd.DataFrame({"message_id": ["x"], "text": ["lovely tea thank you"]})
    return Cascade(Model(family), safe_state=SafeLabel("unknown")).decide(rows, home).frame.iloc[0].to_dict()


def promotions(home: Home) -> list[tuple[str, dict[str, Any]]]:
    """(subject, detail) of every promotion that was audited; there is a champion's record for each."""
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        query = (
            sa.select(AUDIT.c.subject, AUDIT.c.detail).where(AUDIT.c.action == "promoted").order_by(AUDIT.c.sequence)
        )
        found = [
            (subject, {name: json.loads(detail)[name] for name in ("reason", "batches_resumed")})
            for subject, detail in connection.execute(query)
        ]
        assert connection.execute(sa.select(sa.func.count()).select_from(CHAMPIONS)).scalar_one() == len(found)
    return found


def registered(home: Home) -> tuple[list[int], int | None]:
    """Numbers of the versions in the registry, newest first, and which is the champion there."""
    registry = Registry(home.registry_url, home.artifacts)
    champion = registry.champion("mood")
    return [version.number for version in registry.versions("mood")], champion.number if champion else None


def metadata(result: dg.ExecuteInProcessResult, part: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(f"mood_{part}")
    return {name: value.value for name, value in event.metadata.items()}


def test_one_message_in_five_is_held_out_by_a_hash_of_its_id() -> None:
    assert [number for number in range(30) if is_holdout(f"m{number}")] == [2, 3, 4, 7, 10, 23, 27, 28]
    assert 0.19 < sum(is_holdout(f"L{number}") for number in range(10_000)) / 10_000 < 0.21


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(), min_size=1, unique=True), st.randoms())
def test_order_of_the_labels_makes_no_other_version(ids: list[str], random: Any) -> None:
    rows = pd.DataFrame({"message_id": ids, "text": ids, "label": "glad", "is_holdout": False})
    assert version_of(rows.iloc[random.sample(range(len(ids)), len(ids))], 0.05) == version_of(rows, 0.05)


def test_any_other_text_label_message_holdout_or_choice_is_another_version() -> None:
    held = [False, True]
    rows = pd.DataFrame({"message_id": ["1", "2"], "text": ["a", "b"], "label": ["x", "y"], "is_holdout": held})
    others = [rows.assign(**{name: ["1", "z"]}) for name in ("message_id", "text", "label")]
    others.append(rows.assign(is_holdout=held[::-1]))
    found = {version_of(frame, 0.05) for frame in (rows, rows.head(1), *others)}
    assert len(found | {version_of(rows, 0.1), version_of(rows, 0.05, "rules")}) == 8


def test_text_that_another_message_says_again_stays_on_its_side_of_the_holdout(home: Home, tmp_path: Path) -> None:
    """Else the version in use would be measured on what it learnt."""
    (tmp_path / "moods.csv").write_text("message_id,text,mood\nm0,lovely,glad\nm2,awful,cross\n")
    mood = Family("mood", str(tmp_path / "moods.csv"), "mood")
    again = tmp_path / "again.csv"
    again.write_text("message_id,text,label\nm3,lovely,cross\nm5,awful,glad\nm7,new,glad\n")
    import_labels(home, mood, read_label_file(again), reason="two are enough here")
    found = labels_of(home, mood)[["message_id", "text", "is_holdout"]].to_numpy().tolist()
    assert found == [["m3", "lovely", False], ["m5", "awful", True], ["m7", "new", True]]
    assert [is_holdout(number) for number in ("m0", "m2", "m3", "m5", "m7")] == [False, True, True, False, True]


def test_first_version_is_promoted_recorded_and_audited(first: Trained) -> None:
    challenger, champion = last(first[0], "challenger"), in_use(first[0])
    assert (champion.version, champion.sha256) == (challenger["version"], challenger["sha256"])
    assert champion.path.endswith(f"/{champion.version}-{champion.sha256[:8]}.joblib"), "other bytes, another file"
    assert champion.sha256 == file_digest(first[0].root / champion.path)
    assert (champion.labels, champion.rules) == (("cross", "glad"), {})
    assert champion.threshold == challenger["threshold"] == 0.5
    reason = "the first version of its family"
    row = {
        "family": "mood",
        "version": champion.version,
        "candidate": champion.version,
        "is_new": True,
        "is_on_trial": False,
        "even_if_worse": False,
        "ordered_by": audit.system_user(),
    }
    assert last(first[0], "champion") == {**row, "reason": reason, "record": champion.to_json()}
    assert promotions(first[0]) == [(f"mood/{champion.version}", {"reason": reason, "batches_resumed": []})]
    assert registered(first[0]) == ([1], 1)


def test_version_in_the_registry_links_to_dagsters_run(first: Trained) -> None:
    url = first[0].registry_url
    tags = MlflowClient(tracking_uri=url, registry_uri=url).get_model_version("mood", "1").tags
    run_id = first[1].run_id
    assert (tags["dagster_run_id"], tags["dagster_run"]) == (run_id, f"http://127.0.0.1:3000/runs/{run_id}")
    assert in_use(first[0]).run_id == run_id


def test_evaluation_has_a_row_for_each_class_and_one_for_all_of_the_holdout(first: Trained) -> None:
    rows = rows_of(first[0], "mood_evaluation").set_index("label")
    held = pd.Series([label for message_id, _, label in PLAIN if message_id in HELD]).value_counts()
    assert rows["n"].to_dict() == {"cross": held["cross"], "glad": held["glad"], "all": len(HELD)}
    overall = rows.loc["all"]
    assert overall["f1"] == rows.loc[["cross", "glad"], "f1"].mean()
    assert rows["accuracy"].notna().tolist() == [False, False, True]
    metrics = in_use(first[0]).metrics
    assert metrics["macro_f1"] == overall["f1"]
    assert {name: metrics[name] for name in ("accuracy", "ece", "n")} == overall[["accuracy", "ece", "n"]].to_dict()


def test_metrics_confusion_and_reliability_stand_in_the_metadata(first: Trained) -> None:
    shown, overall = metadata(first[1], "evaluation"), rows_of(first[0], "mood_evaluation").iloc[-1]
    for name in ("precision", "recall", "f1", "n", "accuracy", "ece", "accepted_share"):
        assert shown[name] == round(overall[name], 4), name
    for name, title in (("confusion", "confusion matrix"), ("reliability", "reliability diagram")):
        picture = shown[name].removeprefix(f"![{title}](data:image/png;base64,").removesuffix(")")
        assert base64.b64decode(picture, validate=True).startswith(b"\x89PNG\r\n")
    trained = metadata(first[1], "challenger")
    assert trained["labels trained on"] == len(PLAIN) - len(HELD)
    assert (trained["registry number"], trained["acceptance threshold"]) == (1, 0.5)


def test_same_labels_in_any_order_are_the_same_version_and_file(trained: Home) -> None:
    before, made = in_use(trained), last(trained, "challenger")
    train(trained, reversed(PLAIN))
    again = last(trained, "challenger")
    assert ModelVersion.from_json(again.pop("record")).run_id != before.run_id
    assert (in_use(trained), again) == (before, {name: made[name] for name in again})
    assert file_digest(trained.root / before.path) == before.sha256
    assert (last(trained, "champion")["is_new"], registered(trained)) == (False, ([1], 1))
    assert last(trained, "champion")["reason"] == "the same labels and code gave the version in use"
    assert len(promotions(trained)) == 1


def test_another_label_or_other_rules_are_another_version_and_as_good_a_one_is_promoted(trained: Home) -> None:
    table, before = trained.root / "mood_rules.csv", in_use(trained)
    table.write_text("rule,text,label\nthanks,~thank you,glad\n")
    train(trained, relabelled(1))
    train(trained, PLAIN, rules=Rules(table, family="mood"))
    after = in_use(trained)
    assert after.version == last(trained, "challenger")["version"]
    assert (len({subject for subject, _ in promotions(trained)}), registered(trained)) == (3, ([2, 1], 1))
    reason = "not worse: macro-F1 on the same holdout +0.000 (95 % +0.000 to +0.000) against "
    reason += promotions(trained)[1][0].removeprefix("mood/")
    assert promotions(trained)[2] == (f"mood/{after.version}", {"reason": reason, "batches_resumed": []})
    asked = sum("thank you" in text for message_id, text, _ in PLAIN if message_id not in HELD)
    assert (after.rules["rules"]["thanks"]["asked"], before.rules) == (asked, {})


def test_worse_challenger_is_not_promoted_and_the_reason_gives_the_difference(trained: Home) -> None:
    before = in_use(trained)
    train(trained, relabelled(len(PLAIN)), before_promotion=lambda labels: pytest.fail("not asked"))
    row = last(trained, "champion")
    assert row["reason"].startswith(f"worse than {before.version} on the same holdout: macro-F1 -1.000 (95 % -1.000")
    assert (row["version"], row["is_new"]) == (before.version, False)
    refused = ModelVersion.from_json(row["record"])
    assert (refused.version, refused.metrics["macro_f1"]) == (last(trained, "challenger")["version"], 0)
    assert (in_use(trained), len(promotions(trained))) == (before, 1)
    assert registered(trained) == ([2, 1], 1), "the challenger is kept, and is not the champion"
    assert decided(trained)["version"] == before.version


def test_both_are_judged_on_the_same_holdout_however_much_harder_it_became(trained: Home) -> None:
    harder = [
        (f"h{n}", "so so" if n % 3 else "quite so", ["glad", "cross"][n % 3 > 0] if n % 7 else "glad")
        for n in range(90)
    ]
    train(trained, [*PLAIN, *harder])
    rows = rows_of(trained, "mood_evaluation").set_index("label")
    overall = rows.loc["all"]
    assert overall["difference_low"] < overall["difference"] < overall["difference_high"]
    assert overall["difference"] == pytest.approx(rows.loc[["cross", "glad"], "difference"].mean())
    assert overall["f1"] < in_use_before(trained) == 1, (
        "what was measured then, on an easier holdout, is not held against it"
    )
    assert (last(trained, "champion")["is_new"], registered(trained)) == (True, ([2, 1], 2))


def in_use_before(home: Home) -> float:
    """Macro-F1 with which the version before the one in use was promoted."""
    with home.ledger.read() as connection:
        return champions.history(connection, "mood")[-1].metrics["macro_f1"]


def test_what_does_not_fit_the_challenger_stops_the_promotion_with_its_own_words(trained: Home) -> None:
    before, asked = in_use(trained), list[Sequence[str]]()

    def refuses(labels: Sequence[str]) -> None:
        asked.append(labels)
        raise TableRefused("route.csv names 'sad', which nobody answers. Change line 3.")

    result = attempt(trained, relabelled(1), before_promotion=refuses)
    assert failure(result) == "route.csv names 'sad', which nobody answers. Change line 3."
    assert asked == [("cross", "glad")]
    assert last(trained, "challenger")["version"] != before.version
    assert (in_use(trained), registered(trained)) == (before, ([2, 1], 1))
    assert (last(trained, "champion")["version"], len(promotions(trained))) == (before.version, 1)


def test_training_again_mends_a_version_in_use_whose_file_is_lost_or_is_another_machines(trained: Home) -> None:
    before = in_use(trained)
    (trained.root / before.path).unlink()
    train(trained, PLAIN)
    assert (decided(trained)["label"], in_use(trained)) == ("glad", before)
    with trained.ledger.write() as connection:
        champions.promote(connection, replace(before, sha256="0" * 64, path="registry/mood/gone.joblib"))
    train(trained, PLAIN)
    assert (decided(trained)["label"], in_use(trained)) == ("glad", before)


def test_promotion_resumes_batches_that_a_refusal_set_aside(trained: Home) -> None:
    arrivals.register(trained, arrivals.receive_message(trained, {"text": "hello"}))
    batch = batches.open_next(trained)
    assert batch is not None
    finish(trained, f"{batch}/arrival/1", batch, Failure("no model is in use", is_final=True))
    train(trained, PLAIN)
    with trained.ledger.read() as connection:
        assert [found.batch for found in batches.set_aside(connection)] == [batch], "nothing was promoted"
    train(trained, relabelled(1))
    with trained.ledger.read() as connection:
        assert batches.set_aside(connection) == []
        (request,) = run_requests.open_requests(connection, batch)
    assert request.key == f"{batch}/promotion-{in_use(trained).version}/1"
    assert promotions(trained)[-1][1]["batches_resumed"] == [batch]


def test_without_a_threshold_that_keeps_the_target_error_nothing_is_accepted(trained: Home) -> None:
    home = Home(replace(trained.settings, target_error=0.0))
    result = train(home, [(name, f"{name} is here", label) for name, _, label in PLAIN], "doubt")
    (event,) = result.asset_materializations_for_node("doubt_challenger")
    assert event.metadata["acceptance threshold"].value == "none: nothing is accepted"
    assert pd.isna(rows_of(home, "doubt_challenger")["threshold"][0])
    overall = rows_of(home, "doubt_evaluation").set_index("label").loc["all"]
    assert (overall["accepted_share"], pd.isna(overall["accepted_error"])) == (0, True)
    assert in_use(home, "doubt").threshold is None
    assert (decided(home, "doubt")["accepted"], decided(trained)["accepted"]) == (False, True)
    home.ledger.close()


def test_labels_of_which_none_is_held_out_are_refused_with_what_to_do(trained: Home) -> None:
    result = attempt(trained, [row for row in PLAIN if row[0] not in HELD])
    assert failure(result) == "None of the 91 labels of mood is held out to evaluate on. Label more messages."
