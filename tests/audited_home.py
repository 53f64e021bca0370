"""A small home in which everything happened once that the audit log is held against, for tests of its verification.

Three batches of notes, one of them run again and one given up; three versions of a model, of which the first came back
into use; labels that were imported; and heads in Dagster's event log.
"""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import note_workflow
from note_workflow import CHAMPION, run_next, send

from orchestration_project.dispatch.audit_heads import kept_heads
from orchestration_project.governance import audit, batch_orders
from orchestration_project.governance.audit import Head
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.stores.families import Family
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.model_versions import ModelVersion


def make(home: Home, instance: dg.DagsterInstance) -> list[Head]:
    """Let it happen in a home that the environment names; returns the heads that were kept elsewhere."""
    first = model(home, "1", "what it learnt")
    use(home, first, "the first")
    use(home, model(home, "2", "what it learnt later"), "better")
    use(home, model(home, "3", "what it forgot"), "worse", is_promoted=False)
    use(home, first, "back from 2")
    take_labels(home)
    batches = []
    for text in ("angry", "calm", "angry again"):
        batches.append(send(home, text))
        work(home, instance)
    batch_orders.retry_batch(home, batches[0], "looked into it")
    work(home, instance)
    batch_orders.discard_batch(home, batches[2], "sent by mistake")
    note_workflow.run(instance, None, job="catalogue_job")  # its end keeps the head behind all that happened
    return list(kept_heads(home, instance))


def model(home: Home, version: str, content: str) -> ModelVersion:
    file = home.artifacts / f"mood-{version}.joblib"
    file.write_text(content)
    metrics = {"macro_f1": 0.5 + int(version) / 10}
    return replace(CHAMPION, version=version, path=home.below(file), sha256=file_digest(file), metrics=metrics)


def use(home: Home, version: ModelVersion, reason: str, *, is_promoted: bool = True) -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, version, Verdict(is_promoted, reason), "anna")


def take_labels(home: Home) -> None:
    lines = ["message_id,text,label"]
    lines += [
        f"{label}{number},{label} thing {chr(97 + number)},{label}"
        for label in ("angry", "calm")
        for number in range(12)
    ]
    file = home.root / "labels.csv"
    file.write_text("\n".join(lines))
    import_labels(home, Family("mood", str(file), "label"), read_label_file(file), replaces=True)


def work(home: Home, instance: dg.DagsterInstance) -> None:
    result = run_next(home, instance)
    assert result is not None and result.success


def entries(home: Home) -> list[audit.Entry]:
    with home.ledger.read() as connection:
        return list(audit.entries(connection, print))


def files(home: Home) -> list[Path]:
    """Every file that a row names."""
    folders = (home.warehouse.root, home.labels, home.artifacts)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
