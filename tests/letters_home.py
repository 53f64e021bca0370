"""A home for tests of erasure: one letter whose words and account went everywhere where they can go.

It was refused, corrected and replayed, sent again in a compressed file, published twice, told in a notice, in logs and in
the error of a run that failed, decided by a person with a note, and learnt by a model.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as pq
import sqlalchemy as sa
from letter_workflow import REPOSITORY, mishaps

from orchestration_project.dispatch.sensor import take_in
from orchestration_project.governance import batch_orders, mending, review_orders
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.stores import arrivals, claims, manifest, reviews, run_requests
from orchestration_project.stores.families import Family
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.quarantine import Selection

ID = "letter-77"
TEXT = 'The "Quetzal" parcel drowned near Zanzibar pier, über alles: call 0176 5550199 now'
ACCOUNT = "acct-quetzalcoatl-991"
TRACES = ("Quetzal", "Zanzibar", "drowned near", "quetzalcoatl", "5550199")
"""Words that nobody else says."""

OTHERS = {"letter-1": "A calm word about the garden", "letter-2": "An angry word about the fence"}


def fill(home: Home, instance: dg.DagsterInstance) -> str:
    """Let it all happen in a home that the environment names; returns the batch that has the letter."""
    receive(home, "letters.csv", csv([(ID, TEXT, ACCOUNT, 0), *others()]))
    work(home, instance)
    row = _refused_row(home)
    with_note = pd.DataFrame([{"quarantine row": str(row), "pieces": "3", "text": TEXT}], dtype="str")
    mending.fix(home, with_note, "looked up")
    mending.replay(home, Selection(rows=(row,)), "mended")
    work(home, instance)
    receive(
        home, "again.jsonl.gz", gzip.compress(_jsonl([(ID, TEXT, ACCOUNT, 3), ("letter-3", "A word", "acct-3", 1)]))
    )
    work(home, instance)
    batch = batch_of(home)
    mishaps.append(f"cannot read: {TEXT} by {ACCOUNT}")
    batch_orders.retry_batch(home, batch, "once more")
    work(home, instance)
    review = next(one for one in all_reviews(home) if one.message_id == ID)
    review_orders.decide(home, review.review_id, "angry", f"It says {TEXT}")
    work(home, instance)
    review_orders.appeal(home, "mood", batch, ID, decision(home), f"But {ACCOUNT} wrote {TEXT}")
    learn(home)
    orphan = home.warehouse.root / "letter" / f"batch={batch}" / "lost.parquet"
    pq.write_table(arrow.table({"message_id": [ID], "text": [TEXT]}), orphan)
    return batch


def learn(home: Home) -> None:
    """Import labels, the letter among them twice, and train on them."""
    rows = [
        (f"{label}-{number}", f"{label} thing {chr(97 + number)}", label)
        for label in ("angry", "calm")
        for number in range(9)
    ]
    rows += [(ID, TEXT, "angry"), ("", f"{TEXT} ", "angry")]
    file = home.root.parent / "labels.csv"
    pd.DataFrame(rows, columns=["message_id", "text", "label"]).to_csv(file, index=False)
    import_labels(home, Family("mood", str(file), "label"), read_label_file(file), replaces=True, reason="a test")
    model = home.artifacts / "mood.joblib"
    model.write_text("what it learnt")
    version = ModelVersion("mood", "abcd1234", home.below(model), file_digest(model), None, ("angry", "calm"), {}, {})
    with home.ledger.write() as connection:
        record_verdict(connection, version, Verdict(True, "test"), "anna")


def work(home: Home, instance: dg.DagsterInstance) -> list[bool]:
    """Open a batch for what waits, and run every requested run; whether each succeeded."""
    take_in(home)
    done: list[bool] = []
    while True:
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, 60)
        if found is None:
            return done
        instance.add_dynamic_partitions("batch", [found.batch])
        tags = {"dagster/partition": found.batch, **found.run_tags()}
        job = REPOSITORY.get_reconstructable_job(found.job)
        with dg.execute_job(job, instance, tags=tags, raise_on_error=False) as result:
            done.append(result.success)


def batch_of(home: Home) -> str:
    with home.ledger.read() as connection:
        return str(claims.batch_of(connection, ID))


def current_rows(home: Home, asset: str, batch: str) -> list[dict[str, Any]]:
    with home.ledger.read() as connection:
        version = manifest.current(connection, asset, batch)
    assert version is not None
    return home.warehouse.read(version.path).to_pylist()


def decision(home: Home) -> dict[str, Any]:
    return next(row for row in current_rows(home, "mood", batch_of(home)) if row["message_id"] == ID)


def all_reviews(home: Home) -> list[reviews.Review]:
    with home.ledger.read() as connection:
        return reviews.select(connection)


def places_that_tell(*folders: Path) -> list[str]:
    """Every file below the folders in which a trace of the letter stands, also unpacked, and read back as Parquet."""
    return [
        f"{file}: {trace}"
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for trace in TRACES
        if any(trace.encode(codec) in content for content in _contents(file) for codec in ("utf-8", "utf-16-le"))
    ]


def _contents(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    yield content
    yield content.replace(b'\\"', b'"')
    if file.suffix == ".gz":
        yield gzip.decompress(content)
    if file.suffix == ".zst":
        yield arrow.CompressedInputStream(arrow.BufferReader(content), "zstd").read()
    if content[:4] == b"PAR1":
        table = pq.ParquetFile(file)
        yield repr((table.read().to_pylist(), table.schema_arrow.metadata)).encode()


def _refused_row(home: Home) -> int:
    with home.ledger.read() as connection:
        (row,) = Selection().find(connection)
    return row.row_id


def others() -> list[tuple[str, str, str, int]]:
    return [(message_id, text, f"of {message_id}", 1) for message_id, text in OTHERS.items()]


def receive(home: Home, name: str, content: bytes) -> None:
    file = home.root.parent / name
    file.write_bytes(content)
    arrivals.register(home, arrivals.receive(home, file))
    file.unlink()


def csv(rows: list[tuple[str, str, str, int]]) -> bytes:
    frame = pd.DataFrame(rows, columns=["message_id", "text", "account", "pieces"])
    return frame.to_csv(index=False).encode()


def _jsonl(rows: list[tuple[str, str, str, int]]) -> bytes:
    names = ("message_id", "text", "account", "pieces")
    return "".join(json.dumps(dict(zip(names, map(str, row), strict=True))) + "\n" for row in rows).encode()


def batch_with(home: Home, message_id: str) -> str:
    with home.ledger.read() as connection:
        return str(claims.batch_of(connection, message_id))


def all_rows(home: Home, *, without: str) -> list[dict[str, Any]]:
    """Every row with an id in every version, but those of one message."""
    with home.ledger.read() as connection:
        versions = [manifest.Version(*row) for row in connection.execute(sa.select(*manifest.COLUMNS))]
    versions.sort(key=lambda version: (version.asset, version.partition, version.version))
    rows = [row for version in versions for row in home.warehouse.read(version.path).to_pylist()]
    return [row for row in rows if row.get("message_id", without) != without]


def with_people(home: Home, file: Path) -> Home:
    """The same stores under another list of people."""
    other = Home(replace(home.settings, people=file))
    vars(other)["ledger"] = home.ledger
    return other


def end_requests(home: Home) -> None:
    """Nobody asks for a run any more."""
    with home.ledger.write() as connection:
        for found in run_requests.open_requests(connection):
            run_requests.end(connection, found.key, "succeeded", run_id=found.run_id)
