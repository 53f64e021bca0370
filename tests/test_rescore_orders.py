"""Batches that are decided again: which are, who may order it, what is asked anew and what stands."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import dagster as dg
import letter_workflow
import letters_home
import pandas as pd
import pytest
import sqlalchemy as sa
from shop_workflow import audited, mood_asset, order, rows, run, send, version

from orchestration_project.core.erasing import ERASED
from orchestration_project.core.errors import Refused, UnknownName
from orchestration_project.governance import batch_orders, erasure, rescore_orders
from orchestration_project.governance.rescore_orders import Wanted
from orchestration_project.model_output.decorators import step_of
from orchestration_project.performers.performer import Prepared
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores import batches, run_requests
from orchestration_project.stores.halts import record_halt
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.manifest import COLUMNS, Version
from orchestration_project.stores.run_requests import RunRequest
from orchestration_project.stores.schema import BATCHES, MANIFEST

WHY = "the new version knows better"
ALL = Wanted(everything=True)


@pytest.fixture
def shop(home: Home) -> tuple[dg.AssetsDefinition, Scripted]:
    """Batches `b1` and `b2`, each of one order; what decided on their mood."""
    mood, reader = mood_asset(same_answer("glad", 0.9))
    for batch in ("b1", "b2"):
        send(home, f"{batch},hello,1")
        assert run(home, order, mood, batch=batch).success
    return mood, reader


def open_requests(home: Home) -> list[RunRequest]:
    with home.ledger.read() as connection:
        return run_requests.open_requests(connection)


def chosen(home: Home, wanted: Wanted) -> rescore_orders.Chosen:
    with home.ledger.read() as connection:
        return rescore_orders.choose(connection, wanted)


def discard(home: Home) -> None:
    batch_orders.discard_batch(home, "b1", "a test")


def halt(home: Home) -> None:
    with home.ledger.write() as connection:
        record_halt(connection, asset="order", partition="b1", run_id="later", reason="Too many.")


def request(home: Home) -> None:
    batch_orders.retry_batch(home, "b1", "once more")


def withdraw(home: Home) -> None:
    with home.ledger.write() as connection:
        its = (MANIFEST.c.asset == "mood") & (MANIFEST.c.partition == "b1")
        connection.execute(sa.update(MANIFEST).where(its).values(is_current=False))


# What is written


def test_rescored_batch_is_decided_anew_and_the_earlier_version_stays_readable(
    home: Home, shop: tuple[dg.AssetsDefinition, Scripted]
) -> None:
    before = version(home, "mood")
    assert before is not None
    assert rescore_orders.rescore(home, Wanted(("b1",)), WHY).batches == ("b1",)
    assert audited(home)[-1] == ("rescored", "every model output")
    (found,) = open_requests(home)
    assert (found.key, found.job) == ("b1/rescore/1", run_requests.WORKFLOW)
    better, _ = mood_asset(same_answer("cross", 0.8))
    assert run(home, order, better, tags=found.run_tags()).success
    assert rows(home, "mood")["label"].tolist() == ["cross"]
    after = version(home, "mood")
    assert after is not None and after.version == before.version + 1
    assert home.warehouse.read(before.path)["label"].to_pylist() == ["glad"]
    assert rows(home, "mood", "b2")["label"].tolist() == ["glad"]


def test_only_the_named_model_output_is_asked_again(home: Home, shop: tuple[dg.AssetsDefinition, Scripted]) -> None:
    mood, reader = shop
    assert reader.asked == 2
    for name, asked in (("another", 2), ("mood", 3), ("true", 4), ("false", 4)):
        assert run(home, order, mood, tags={run_requests.RESCORE_TAG: name}).success
        assert reader.asked == asked, name
    rescore_orders.rescore(home, Wanted(("b1",), model_output="mood"), WHY)
    assert [found.tags for found in open_requests(home)] == [{run_requests.RESCORE_TAG: "mood"}]
    assert audited(home)[-1] == ("rescored", "mood")


def test_next_rescore_is_another_request_with_tags_of_its_own_and_another_attempt_keeps_them(
    home: Home, shop: tuple[dg.AssetsDefinition, Scripted]
) -> None:
    for attempt, name in ((1, "mood"), (2, None)):
        rescore_orders.rescore(home, Wanted(("b1",), model_output=name), WHY)
        (found,) = open_requests(home)
        assert (found.key, found.tags) == (f"b1/rescore/{attempt}", {run_requests.RESCORE_TAG: name or "true"})
        with home.ledger.write() as connection:
            run_requests.end(connection, found.key, "failed", "no luck")
    with home.ledger.write() as connection:
        run_requests.request(connection, batch="b1", cause="rescore", attempt=3)
    assert [found.tags for found in open_requests(home)] == [{run_requests.RESCORE_TAG: "true"}]


# Which batches


def test_batches_are_all_or_those_opened_since_a_moment(home: Home, shop: tuple[dg.AssetsDefinition, Scripted]) -> None:
    with home.ledger.write() as connection:
        long_ago = sa.update(BATCHES).where(BATCHES.c.batch == "b1").values(opened_at=now() - timedelta(days=9))
        connection.execute(long_ago)
    assert chosen(home, ALL).batches == ("b1", "b2")
    assert chosen(home, Wanted(since=now() - timedelta(days=1))).batches == ("b2",)
    with pytest.raises(Refused, match=r"^No batch was opened by then\. See: orchestrate batch list$"):
        chosen(home, Wanted(since=now() + timedelta(days=1)))


@pytest.mark.parametrize(
    ("hinder", "told"),
    [
        (discard, r"^Batch b1 was discarded: a test\. Send its messages again\.$"),
        (request, r"^A run of batch b1 is requested already\. See: orchestrate status$"),
        (halt, r"^order of batch b1 is halted since run later: Too many\. .*: orchestrate halt retry b1$"),
        (withdraw, r"^Nothing is decided in batch b1 that could be decided again\.$"),
    ],
)
def test_named_batch_that_cannot_be_decided_again_is_refused_and_another_left_out(
    home: Home, shop: tuple[dg.AssetsDefinition, Scripted], hinder: Callable[[Home], None], told: str
) -> None:
    hinder(home)
    before = (audited(home), open_requests(home))
    with pytest.raises(Refused, match=told):
        rescore_orders.rescore(home, Wanted(("b2", "b1")), WHY)
    assert (audited(home), open_requests(home)) == before
    found = rescore_orders.rescore(home, ALL, WHY)
    assert (found.batches, list(found.left_out)) == (("b2",), ["b1"])


def test_what_does_not_exist_is_refused_with_the_nearest(
    home: Home, shop: tuple[dg.AssetsDefinition, Scripted]
) -> None:
    with pytest.raises(UnknownName, match=r"^There is no batch 'b3'\. There are: b1, b2\.$"):
        chosen(home, Wanted(("b1", "b3")))
    with pytest.raises(
        UnknownName, match=r"^No model output 'moods' has decided anything yet\. Did you mean 'mood'\?$"
    ):
        chosen(home, Wanted(("b1",), model_output="moods"))


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(("b1",), everything=True), Wanted(since=now(), everything=True)])
def test_batches_are_named_in_one_way(home: Home, wanted: Wanted) -> None:
    with pytest.raises(Refused, match=r"^Say which batches: --batches B1,B2, --since DATE or --all\.$"):
        chosen(home, wanted)


# What stands


def test_erased_message_is_neither_asked_about_nor_changed(named_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    step = step_of(letter_workflow.mood)
    assert step is not None and step.cascade is not None
    reader = step.cascade.performers[0]
    prepare = reader.prepare

    def watched(home: Home) -> Prepared:
        ready = prepare(home)

        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            seen.extend(rows["text"])
            return ready.answer(rows)

        return replace(ready, answer=answer)

    monkeypatch.setattr(reader, "prepare", watched)
    with dg.DagsterInstance.ephemeral() as instance:
        content = letters_home.csv(
            [(letters_home.ID, f"{letters_home.TEXT}, a word", letters_home.ACCOUNT, 1), *letters_home.others()]
        )
        letters_home.receive(named_home, "a.csv", content)
        letters_home.work(named_home, instance)
        erasure.forget(named_home, letters_home.ID, "asked")
        batch, before = letters_home.batch_of(named_home), letters_home.decision(named_home)
        assert before["message_digest"] == ERASED
        seen.clear()
        rescore_orders.rescore(named_home, Wanted((batch,)), WHY)
        assert letters_home.work(named_home, instance) == [True]
    assert sorted(seen) == sorted(letters_home.OTHERS.values())
    assert letters_home.decision(named_home) == before
    with named_home.ledger.read() as connection:
        versions = [Version(*row) for row in connection.execute(sa.select(*COLUMNS))]
        found = batches.get(connection, batch)
    assert [one.version for one in versions if one.asset == "mood"] == [1, 2]
    assert found is not None and found.state == "done"
