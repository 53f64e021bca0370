"""A small home in which everything happened once that the audit log is held against, for tests of its verification.

Three batches of notes, one of them run again and one given up; five versions of a model, of which the first came back
into use and the last is on trial; labels that were imported; verdicts, of which one was corrected; a performer and an asset that were
switched; a message that
was erased; and heads in Dagster's event log.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import note_workflow
from note_workflow import CHAMPION, run_next, send

from orchestration_project.dispatch.audit_heads import kept_heads
from orchestration_project.governance import audit, batch_orders, review_orders
from orchestration_project.governance.audit import Head
from orchestration_project.governance.erasure import forget
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.governance.switch_orders import Turn, turn
from orchestration_project.stores import cascades, reviews
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.families import Family
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.ledger import now
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
    for version in ("4", "5"):
        try_out(home, model(home, version, f"what it learnt in {version}"))
    for label in ("angry", "calm"):  # the second corrects the first
        judge(home, batches[0], label)
    for state in ("off", "on", "shadow"):
        turn(home, Turn("performer", "mood rules", state), "looked into it")
    turn(home, Turn("asset", "mood", "safe_state"), "looked into it")
    forget(home, "id of calm", "the customer asked")
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


def try_out(home: Home, version: ModelVersion) -> None:
    with home.ledger.write() as connection:
        record_verdict(connection, version, Verdict(False, "on trial from now on", is_on_trial=True), "anna")


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


def judge(home: Home, batch: str, label: str) -> None:
    """A person decides a review of the batch, whose notes nobody but the rules has decided."""
    row = {
        "asset": "mood",
        "partition": batch,
        "message_id": "id of angry",
        "content_digest": "digest",
        "cause": "unsure",
    }
    proposal = {"label": "unknown", "accepted": False, "performer": "unknown"}
    with home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("mood", ("mood rules", "person", "unknown"), ("angry", "calm"), True))
        reviews.insert(connection, [{**row, "proposal": proposal, "respond_by": now() + timedelta(hours=1)}])
        number = max(review.review_id for review in reviews.of_batch(connection, "mood", batch))
    review_orders.decide(home, number, label, "as he says")


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
