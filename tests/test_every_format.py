"""Whatever a message comes in, it ends in exactly one state: every format, encoding and compression that is read, and
every type of body that is posted.

Of each file and body the test knows what was written where. It comes in, is run and is replayed by the project's own
code; then every record is looked for by itself, and the numbers of `orchestrate status` are held against what was found.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
import sqlalchemy as sa
from conftest import new_home
from dagster._core.definitions.reconstruct import ReconstructableRepository
from every_format import (
    BLANK,
    BROKEN,
    MOMENTS,
    ODD,
    SUFFIXES,
    Broken,
    Message,
    Place,
    Record,
    SentFile,
    Turn,
    fields_of,
    files_of,
    json_of,
    record_of,
    turns,
)
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from typer.testing import CliRunner

from assets.feedback.feedback import feedback
from orchestration_project.cli.main import app
from orchestration_project.dispatch.executor import PARTITION_TAG, ledger_executor
from orchestration_project.dispatch.sensor import take_in
from orchestration_project.governance import mending
from orchestration_project.model_output.decorators import HOME
from orchestration_project.serving.inbox_app import ACCEPTED, inbox_app
from orchestration_project.stores import arrivals, batches, halts, manifest, run_requests
from orchestration_project.stores.file_kinds import (
    COMPRESSIONS,
    ENCODINGS,
    PARQUET,
    TEXT_SUFFIXES,
    FileKind,
    kind_of,
    name_with_encoding,
)
from orchestration_project.stores.formats import LINE
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.quarantine import QuarantinedRow, Selection
from orchestration_project.stores.run_requests import KEY_TAG, WORKFLOW
from orchestration_project.stores.schema import ARRIVALS
from orchestration_project.stores.staging import read_staged

JSON, LINES, EVENT, EVENTS = ACCEPTED
BINARY = "a CloudEvent in headers"
ENVELOPE = {"specversion": "1.0", "type": "review"}
SETTINGS = {"QUARANTINE_SHARE": "0.5", "BATCHES_AT_ONCE": "1"}
"""Of most batches the good rows go on; what comes in together waits together, and is one batch."""

EXAMPLES = 10 if os.environ.get("CI") == "true" else 2
"""Drawn ones of each format, besides those that stand here."""

PROPERTY = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])

OLD = Message("1", "2024-03-02T10:00:00Z", "ann@example.org", "No box.", 1)
NEW = OLD._replace(message_id=None, text=ODD[0])
EVERYTHING = [
    *(OLD, OLD, NEW, NEW),
    *(NEW._replace(text=text, event=number) for number, text in enumerate([*ODD, *BLANK])),
    *(OLD._replace(message_id=f"t{number}", received_at=time) for number, time in enumerate(MOMENTS)),
]
FAULTS = [Broken(number) for number in range(6)]
WHOLE = [
    Turn([*EVERYTHING, *FAULTS], damaged=1, is_repeated=True),
    Turn([OLD, *FAULTS, OLD._replace(message_id="2")], packing=1, line_end="\r\n", has_stranger=True),
    Turn([OLD._replace(text=None), *EVERYTHING], packing=2, damaged=1),
]


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[feedback],
        jobs=[dg.define_asset_job(WORKFLOW, selection=["feedback"])],
        resources={HOME: dg.ResourceDefinition(lambda _: current_home())},
        executor=ledger_executor,
    )


REPOSITORY = ReconstructableRepository.for_module(__name__, "definitions", str(Path(__file__).parent))
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
numbers = count()


@contextmanager
def fresh_home(tmp_path: Path, made_ledger: Path) -> Generator[Home]:
    """A home for one example, which the environment names."""
    with pytest.MonkeyPatch.context() as environment:
        root = tmp_path / f"home{next(numbers)}"
        environment.setenv("ORCHESTRATE_HOME", str(root))
        for name, value in SETTINGS.items():
            environment.setenv(f"ORCHESTRATE_{name}", value)
        with new_home(root, made_ledger):
            home = current_home()
            yield home
            home.ledger.close()


def run_all(home: Home, instance: dg.DagsterInstance) -> None:
    """Take in what waits and run what is requested, until nothing is."""
    while True:
        assert take_in(home) == []
        with home.ledger.write() as connection:
            found = run_requests.lease_next(connection, 60)
        if found is None:
            return
        instance.add_dynamic_partitions("batch", [found.batch])
        tags = {PARTITION_TAG: found.batch, KEY_TAG: found.key}
        job = REPOSITORY.get_reconstructable_job(WORKFLOW)
        with dg.execute_job(job, instance, tags=tags, run_config=QUIET):
            pass


def send(home: Home, files: Sequence[SentFile]) -> list[Record]:
    """Send the files; the records of those that are to be kept."""
    folder = home.root / "sent"
    folder.mkdir(exist_ok=True)
    for file in files:
        path = folder / file.name
        path.write_bytes(file.content)
        arrivals.receive(home, path, file.encoding)
    return [record for file in files if not file.is_spoiled for record in file.records]


def refused_files(home: Home) -> list[str]:
    """The names of the files that were refused, each of which has its reason beside it."""
    names = [path.name for path in home.refused.iterdir()]
    files = [name for name in names if not name.endswith(".reason.txt")]
    assert sorted(names) == sorted([*files, *(f"{name}.reason.txt" for name in files)])
    assert all((home.refused / f"{name}.reason.txt").read_text().strip() for name in files)
    return [name.partition("-")[2] for name in files]


# Where each record is


def places_by_batch(home: Home) -> dict[str | None, Counter[Place]]:
    """Batch → the places that it took in; None: that wait."""
    found: defaultdict[str | None, Counter[Place]] = defaultdict(Counter)
    with home.ledger.read() as connection:
        entries = connection.execute(sa.select(ARRIVALS.c.batch, ARRIVALS.c.path, ARRIVALS.c.file_sha256)).all()
    for batch, path, sha256 in entries:
        found[batch].update((sha256, line) for line in read_staged(home, path)[LINE].to_pylist())
    return found


def places(home: Home) -> Counter[Place]:
    return sum(places_by_batch(home).values(), Counter())


def place_of(row: QuarantinedRow) -> Place:
    assert row.file, f"row {row.row_id} does not say where it came from"
    assert row.file_sha256
    assert row.line
    return row.file_sha256, row.line


def published_by_batch(home: Home) -> dict[str, list[dict[str, Any]]]:
    with home.ledger.read() as connection:
        current = manifest.all_current(connection)
    assert len({version.partition for version in current}) == len(current)
    return {version.partition: home.warehouse.read(version.path).to_pylist() for version in current}


def channel_of(row: dict[str, Any]) -> str:
    """What marks a row: its channel, the subject of a mail."""
    return json.loads(row["metadata"])["subject"] if row["channel"] == "email" else row["channel"]


class Books:
    """What was written, held against what became of it."""

    def __init__(self, home: Home, written: Sequence[Record]) -> None:
        self.home = home
        self.written = written
        self.known = {record.place: record for record in written}
        with home.ledger.read() as connection:
            rows = Selection().find(connection, None)
        self.refused = [row for row in rows if row.state == "open"]
        self.replayed = [row for row in rows if row.state == "replayed"]
        self.published = published_by_batch(home)

    def check(self) -> None:
        """Every record has exactly one state, and `status` counts it there."""
        came_in = places_by_batch(self.home)
        gone = Counter(place_of(row) for row in self.replayed)
        assert None not in came_in
        assert places(self.home) == Counter(record.place for record in self.written) + gone
        kept: list[Record] = []
        halted = 0
        for batch, own_places in came_in.items():
            own, behind_halt = self._kept_of(str(batch), own_places)
            kept += own
            halted += behind_halt
        twice = [identity for identity, times in Counter(record.identity for record in kept).items() if times > 1]
        assert twice == [], "a message is kept twice"
        different = {record.identity for record in self.written}
        assert len(kept) + halted == len(different), "a message is lost, or counted in two states"
        self._check_ids()
        self._check_status()

    def _kept_of(self, batch: str, came_in: Counter[Place]) -> tuple[list[Record], int]:
        """The records that the batch published or quarantined, and how many more are behind its halt. The rest are
        duplicates.
        """
        with self.home.ledger.read() as connection:
            counts = batches.count_states(connection, [batch])
            is_halted = any(halt.partition == batch for halt in halts.open_halts(connection))
        rest = came_in - Counter(place_of(row) for row in self.replayed if row.partition == batch)
        assert sum(counts.values()) == rest.total()
        published = [self._taken(rest, row) for row in self.published.get(batch, [])]
        refused: list[Record] = []
        for row in (row for row in self.refused if row.partition == batch):
            place = place_of(row)
            assert rest[place] > 0, f"{self.known.get(place)} is refused, and published or not of this batch"
            rest[place] -= 1
            refused.append(self.known[place])
        assert [record for record in published if record.is_sound is False] == []
        assert [record for record in refused if record.is_sound] == []
        unkept = rest.total() - counts["duplicates"]
        expected = {"quarantined": len(refused), "halted" if is_halted else "done": len(published) + unkept}
        expected |= {"duplicates": counts["duplicates"]}
        assert {name: number for name, number in counts.items() if number} == {k: v for k, v in expected.items() if v}
        assert unkept >= 0
        assert is_halted or unkept == 0, "a record is neither published nor refused, and no duplicate"
        return published + refused, unkept

    def _taken(self, rest: Counter[Place], row: dict[str, Any]) -> Record:
        """Take the record that a published row is out of the rest of its batch."""
        for place, times in rest.items():
            record = self.known[place]
            if times and (record.text == row["text"] if record.channel is None else record.channel == channel_of(row)):
                assert row["text"] == record.text
                rest[place] -= 1
                return record
        raise AssertionError(f"{row} is published, and refused or never written")

    def _check_ids(self) -> None:
        ids = Counter(row["message_id"] for rows in self.published.values() for row in rows)
        assert [message_id for message_id, times in ids.items() if times > 1] == []

    def _check_status(self) -> None:
        result = CliRunner().invoke(app, ["status", "--json"])
        assert result.exit_code == 0, result.exception
        counts = {name: number for name, number in json.loads(result.stdout).items() if number}
        assert sum(counts.values()) == len(self.written)
        assert counts.keys() <= {"done", "quarantined", "duplicates", "halted"}, "everything was worked on"
        assert counts.get("quarantined", 0) == len(self.refused)


def replay_refused(home: Home) -> None:
    """Send every row again that could be read."""
    with home.ledger.read() as connection:
        rows = [row.row_id for row in Selection().find(connection) if not row.reason.startswith("unparsable:")]
    if rows:
        mending.replay(home, Selection(rows=tuple(rows)), "again")


# Files


def test_every_format_encoding_and_compression_is_written() -> None:
    assert {*SUFFIXES} == {*TEXT_SUFFIXES, PARQUET}
    for suffix in SUFFIXES:
        files = [file for number, turn in enumerate(WHOLE) for file in files_of(turn, suffix, number)]
        kinds = {
            kind_of(name_with_encoding(file.name, file.encoding) if file.encoding else file.name) for file in files
        }
        encodings = (None, *ENCODINGS) if suffix in TEXT_SUFFIXES else (None,)
        compressions = (None, *COMPRESSIONS) if suffix in TEXT_SUFFIXES else (None,)
        assert kinds == {FileKind(suffix, packed, encoding) for packed in compressions for encoding in encodings}


@pytest.mark.parametrize("suffix", SUFFIXES)
@PROPERTY
@example(WHOLE)
@example([Turn([Broken(0)])])  # equal files in one batch
@given(st.lists(turns, min_size=1, max_size=3))
def test_each_message_of_a_file_is_in_exactly_one_state(
    tmp_path: Path, made_ledger: Path, instance: dg.DagsterInstance, suffix: str, sent: list[Turn]
) -> None:
    note(f"sent: {sent}")
    with fresh_home(tmp_path, made_ledger) as home:
        written: list[Record] = []
        spoiled: list[str] = []
        for number, turn in enumerate(sent):
            files = files_of(turn, suffix, number)
            for _ in range(1 + turn.is_repeated):
                written += send(home, files)
                spoiled += [file.name for file in files if file.is_spoiled]
                run_all(home, instance)
                Books(home, written).check()
        assert len(refused_files(home)) == len(spoiled)
        replay_refused(home)
        run_all(home, instance)
        Books(home, written).check()


# Bodies


class Body(NamedTuple):
    """A body to be posted, and of each of its messages the columns and the event that it comes as; None: no message."""

    media_type: str
    content: str
    headers: dict[str, str]
    messages: list[tuple[dict[str, str | None], tuple[str, str] | None] | None]


def bodies_of(turn: Turn, media_type: str, number: int) -> list[Body]:
    """The turn as bodies of a type; of one that holds one message, its first two. BINARY is an event in headers."""
    is_event, is_alone = media_type in (EVENT, EVENTS, BINARY), media_type in (EVENT, BINARY)
    texts: list[str] = []
    messages: list[tuple[dict[str, str | None], tuple[str, str] | None] | None] = []
    for place, item in enumerate(turn.items[:2] if is_alone else turn.items):
        if isinstance(item, Broken):
            forms = [form for form in BROKEN[".jsonl"] if "\udcff" not in form]
            texts.append(forms[item.number % len(forms)])
            messages.append(None)
            continue
        fields = fields_of(item, media_type, f"{number}-{media_type}-{place}", has_stranger=turn.has_stranger)
        event = ("/shop", f"{media_type} {item.event}") if is_event else None
        text = json_of(fields, with_nulls=turn.packing == 0)
        if event and media_type != BINARY:
            text = json.dumps({**ENVELOPE, "source": event[0], "id": event[1], "data": json.loads(text)})
        texts.append(text)
        messages.append((fields, event))
    if media_type == BINARY:
        events = [message[1] if message and message[1] else ("/shop", "none") for message in messages]
        binary = [{"ce-specversion": "1.0", "ce-type": "review", "ce-source": s, "ce-id": i} for s, i in events]
        return [Body(JSON, *own) for own in zip(texts, binary, ([message] for message in messages), strict=True)]
    if is_alone:
        return [Body(media_type, text, {}, [message]) for text, message in zip(texts, messages, strict=True)]
    whole = turn.line_end.join(texts) if media_type == LINES else f"[{f',{turn.line_end}'.join(texts)}]"
    return [Body(media_type, whole, {}, messages)]


def post(home: Home, client: TestClient, body: Body) -> list[Record]:
    """Post a body; the records of one that is accepted. One with a fault is refused whole, with the reason."""
    before = places(home)
    headers = {"Content-Type": body.media_type, **body.headers}
    answer = client.post("/inbox", content=body.content.encode(), headers=headers)
    messages = [message for message in body.messages if message]
    if len(messages) < len(body.messages):
        assert (answer.status_code, bool(answer.json()["detail"])) == (400, True)
        assert places(home) == before
        return []
    assert (answer.status_code, answer.json()["rows"]) == (202, len(messages)), answer.text
    [sha256] = {digest for digest, _ in places(home) - before}
    return [
        record_of(fields, (sha256, line), event and ("event", *event))
        for line, (fields, event) in enumerate(messages, start=1)
    ]


@pytest.mark.parametrize("media_type", [*ACCEPTED, BINARY])
@PROPERTY
@example(
    [*(turn._replace(items=[item for item in turn.items if isinstance(item, Message)]) for turn in WHOLE), WHOLE[0]]
)
@given(st.lists(turns, min_size=1, max_size=3))
def test_each_posted_message_is_in_exactly_one_state(
    tmp_path: Path, made_ledger: Path, instance: dg.DagsterInstance, media_type: str, sent: list[Turn]
) -> None:
    note(f"sent: {sent}")
    with fresh_home(tmp_path, made_ledger) as home, TestClient(inbox_app(home)) as client:
        written: list[Record] = []
        for number, turn in enumerate(sent):
            for body in bodies_of(turn, media_type, number) * (1 + turn.is_repeated):
                written += post(home, client, body)
            run_all(home, instance)
            Books(home, written).check()
        replay_refused(home)
        run_all(home, instance)
        Books(home, written).check()
