"""The steps of the feedback workflow for tests: messages sent into a real home, single assets run on them by Dagster."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow

from orchestration_project.core.contracts import Contract, arrow_schema
from orchestration_project.performers.text_classifier import train
from orchestration_project.stores import arrivals, batches, champions, manifest
from orchestration_project.stores.files import write_file
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion


def send(home: Home, messages: Iterable[Mapping[str, Any]]) -> str:
    """Send messages as one file of JSON lines, and open a batch for them; returns its key."""
    file = home.root / "sent.jsonl"
    file.write_text("".join(f"{json.dumps(message)}\n" for message in messages), encoding="utf-8")
    arrivals.register(home, arrivals.receive(home, file))
    batch = batches.open_next(home)
    assert batch is not None
    return batch


def run(home: Home, *assets: dg.AssetsDefinition, batch: str | None = None) -> dg.ExecuteInProcessResult:
    """Materialise assets as Dagster does it, on an instance of their own; a failure is in the result."""
    with dg.DagsterInstance.ephemeral() as instance:
        if batch is not None:
            instance.add_dynamic_partitions("batch", [batch])
        return dg.materialize(
            list(assets), partition_key=batch, instance=instance, resources={"home": home}, raise_on_error=False
        )


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the first failed step says; empty when none failed."""
    failures = result.filter_events(lambda event: event.is_step_failure)
    if not failures:
        return ""
    data = failures[0].step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return str(data.error)


def passed(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Check → whether it passed."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def put(home: Home, asset: str, batch: str, rows: pd.DataFrame, contract: type[Contract]) -> None:
    """Publish rows as an asset's next version, without running it."""
    schema = arrow_schema(contract)
    table = pyarrow.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
    file = home.warehouse.write(asset, batch, "by-hand", table)
    with home.ledger.write() as connection:
        before = manifest.current(connection, asset, batch)
        replaces = before.version if before else 0
        named = {"asset": asset, "partition": batch, "run_id": "by-hand", "file": file}
        manifest.publish(connection, **named, replaces=replaces, inputs={})


def rows_of(home: Home, asset: str, batch: str = manifest.UNPARTITIONED) -> pd.DataFrame:
    """The rows that are current."""
    with home.ledger.read() as connection:
        version = manifest.current(connection, asset, batch)
    assert version is not None, f"{asset} of {batch or 'the project'} was never published"
    return home.warehouse.read(version.path).to_pandas()


def routed(messages: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of `route` for tests: what a message does not state is a plain, surely decided complaint about delivery."""
    plain = {"issue": "delivery", "accepted": True, "decided_by": "model", "team": "Logistics", "priority": 2}
    plain |= {"respond_within_hours": 8.0, "rule": "parcel", "text": "Where is my parcel?"}
    rows = pd.DataFrame(
        [{**plain, **message} for message in messages], columns=["message_id", "received_at", "batch", *plain]
    )
    return rows.astype({"received_at": "datetime64[us, UTC]"})


def put_routed(home: Home, batch: str, messages: Iterable[Mapping[str, Any]]) -> None:
    """Publish messages as a batch's feedback and route, so that it can be summed up."""
    from assets.feedback.feedback import Feedback
    from assets.feedback.route import Route

    rows = routed(messages)
    put(home, "feedback", batch, rows.assign(channel="email", account=None, metadata="{}"), Feedback)
    put(home, "route", batch, rows, Route)


def use_model(home: Home, family: str, labelled: Mapping[str, Iterable[str]], **fields: Any) -> ModelVersion:
    """Put a small model in use that was trained on a few texts of each label."""
    content, sha256 = _trained(tuple((label, tuple(texts)) for label, texts in labelled.items()))
    path = home.artifacts / family / "small.joblib"
    write_file(path, content)
    plain: dict[str, Any] = {"family": family, "version": "small", "path": home.below(path), "sha256": sha256}
    plain |= {"threshold": 0.5, "labels": tuple(sorted(labelled)), "metrics": {"macro_f1": 0.5}, "rules": {}}
    champion = ModelVersion(**{**plain, **fields})
    with home.ledger.write() as connection:
        champions.promote(connection, champion)
    return champion


@cache
def _trained(labelled: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[bytes, str]:
    pairs = [(text, label) for label, texts in labelled for text in texts]
    classifier = train([text for text, _ in pairs], [label for _, label in pairs], folds=2).classifier
    with TemporaryDirectory() as folder:
        path = Path(folder) / "small.joblib"
        sha256 = classifier.save(path)
        return path.read_bytes(), sha256


FEELINGS = {
    "negative": ["awful late broken rude", "terrible never again", "refund me now this is a scam", "worst awful box"],
    "neutral": ["when does the box ship", "how do I change my address", "where is the list", "which tea is in it"],
    "positive": ["lovely thank you", "the best tea ever wonderful", "perfect great kind", "happy lovely wonderful"],
}
MATTERS = {
    "account": ["the app forgets my login", "my profile is empty", "the app crashes", "code for the account"],
    "billing": ["charged twice refund", "the invoice is wrong", "money taken from my card", "fee on the bill"],
    "cancellation": ["cancel the subscription", "stop the renewal", "pause did not work", "unsubscribe me"],
    "damaged": ["arrived broken", "glass smashed in the box", "leaking bottle", "crushed and dented"],
    "delivery": ["parcel late", "courier lost the parcel", "tracking stuck at depot", "not delivered"],
    "quality": ["stale coffee", "tea tastes of nothing", "candle has no scent", "cheap and flimsy"],
    "service": ["agent was rude", "nobody answers my mail", "support ignores the ticket", "on hold for an hour"],
    "wrong_item": ["wrong size", "not what I ordered", "somebody else's box", "two things are missing"],
}
