"""Many processes that answer reviews at once."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
from reviewed_notes import (
    UNSURE,
    Desk,
    acting,
    actions,
    all_reviews,
    all_verdicts,
    counts,
    desk_of,
    requests,
    review_of,
)
from reviewed_shop import READER, published, run_requested
from shop_workflow import rows

from orchestration_project.core.errors import Refused
from orchestration_project.core.settings import Settings
from orchestration_project.governance import review_orders
from orchestration_project.governance.review_orders import next_review
from orchestration_project.stores import run_requests
from orchestration_project.stores.home import Home, current_home

PROCESSES = 8


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "orchestration_project.dispatch.executor"])
    with ProcessPoolExecutor(PROCESSES, context) as pool:
        yield pool


def answer(folder: Path, url: str, review: int, label: str, name: str) -> str:
    """What one process is told that answers a review."""
    people = folder / "people.toml"
    theirs = Home(Settings(home=folder, ledger_url=url, people=people, person=name))
    try:
        review_orders.decide(theirs, review, label)
    except Refused as refusal:
        return str(refusal)
    finally:
        theirs.ledger.close()
    return f"{name} won"


def test_of_8_processes_that_answer_one_review_one_wins(any_home: Home, processes: ProcessPoolExecutor) -> None:
    desk_of(any_home)
    untouched = review_of(any_home, "b")
    acting(any_home, "anna")
    names = ["anna", "ben", "lea"] * 3
    labels = ["angry", "merry", "calm", "unknown"] * 2
    asked = [(any_home.root, any_home.ledger_url, 1, *pair) for pair in zip(labels, names[:PROCESSES], strict=True)]
    told = [found.result() for found in [processes.submit(answer, *one) for one in asked]]
    (verdict,) = all_verdicts(any_home)
    assert told.count(f"{verdict.person} won") == 1
    refused = [one for one in told if not one.endswith(" won")]
    assert len(refused) == PROCESSES - 1
    assert all(one.startswith(f"{verdict.person} decided review 1 first, at ") for one in refused)
    assert all(f": {verdict.label}. " in one for one in refused)
    assert (actions(any_home), len(requests(any_home))) == (["verdict"], 1)
    assert all_reviews(any_home, "open") == [untouched]


def test_8_processes_that_ask_for_the_next_review_get_one_each(any_home: Home, processes: ProcessPoolExecutor) -> None:
    Desk(any_home, {f"m{index}": UNSURE for index in range(5)}).publish()
    lines = [f'[people.p{index}]\nusers = ["*"]\nroles = ["reviewer"]\nskills = ["*"]' for index in range(PROCESSES)]
    (any_home.root / "people.toml").write_text("\n".join(lines))
    asked = [processes.submit(take, any_home.root, any_home.ledger_url, f"p{index}") for index in range(PROCESSES)]
    taken = [found.result() for found in asked]
    assert sorted(found for found in taken if found) == [f"m{index}" for index in range(5)]
    assert taken.count(None) == 3


def take(folder: Path, url: str, name: str) -> str | None:
    theirs = Home(Settings(home=folder, ledger_url=url, people=folder / "people.toml", person=name))
    found = next_review(theirs)
    theirs.ledger.close()
    return found.message_id if found else None


def test_8_verdicts_on_one_batch_at_once_lose_none(
    any_home: Home, processes: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    acting(any_home, "anna")
    environment = {"ORCHESTRATE_HOME": str(any_home.root), "ORCHESTRATE_LEDGER_URL": any_home.ledger_url}
    environment |= {"ORCHESTRATE_PEOPLE": str(any_home.root / "people.toml"), "ORCHESTRATE_PERSON": "anna"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = {f"m{index}": "cross" if index % 2 else "unknown" for index in range(PROCESSES)}
    batch = published(any_home, instance, **dict.fromkeys(said, "glad 0.1"), sure="glad 0.9")
    decided = [
        processes.submit(decide_and_run, environment, review_of(any_home, message_id).review_id, label)
        for message_id, label in said.items()
    ]
    assert [found.result() for found in decided] == [0] * PROCESSES, "no performer is asked again"
    found = rows(any_home, "mood", batch).set_index("message_id")
    assert found["label"].to_dict() == {**said, "sure": "glad"}
    assert found["state"].unique().tolist() == ["decided"]
    assert found["performer"].drop("sure").unique().tolist() == ["anna"]
    replies = rows(any_home, "reply", batch).set_index("message_id")["text"]
    assert replies.to_dict() == {one: f"We hear that you are {label}" for one, label in found["label"].items()}
    with any_home.ledger.read() as connection:
        assert run_requests.open_requests(connection) == []
    assert (counts(any_home), all_reviews(any_home, "open")) == ({"done": PROCESSES + 1}, [])
    assert actions(any_home).count("verdict") == PROCESSES


def decide_and_run(environment: dict[str, str], review: int, label: str) -> int:
    """What one process does: decide a review, and run what is requested until nothing is; returns how many rows the
    reader was asked about.
    """
    os.environ.update(environment)
    home, before = current_home(), READER.asked
    review_orders.decide(home, review, label)
    with dg.DagsterInstance.ephemeral() as instance:
        assert all(result.success for result in run_requested(home, instance))
    home.ledger.close()
    return READER.asked - before
