"""The ledger's tables. A change here comes with a numbered migration in `migrations/versions/`."""

from datetime import UTC, datetime

import sqlalchemy as sa

METADATA = sa.MetaData()


class _Moment(sa.TypeDecorator[datetime]):
    """A moment in UTC: SQLite forgets the zone and PostgreSQL gives its own, so it is put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


_MOMENT = _Moment()


ARRIVALS = sa.Table(
    "arrivals",
    METADATA,
    sa.Column("arrival_id", sa.String, primary_key=True),  # name of the received file and number of the slice
    sa.Column("file", sa.String, nullable=False),  # name the sender gave
    sa.Column("file_sha256", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),  # staged Parquet file, below the home
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("columns", sa.String, nullable=False),  # JSON; only arrivals with equal columns share a batch
    sa.Column("batch", sa.String, index=True),
    sa.Column("registered_at", _MOMENT, nullable=False),
)

BATCHES = sa.Table(
    "batches",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("batch", sa.String, nullable=False, unique=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("duplicates", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.String, nullable=False, index=True),  # working, done, set_aside, discarded
    sa.Column("cause", sa.String),  # why it was set aside
    sa.Column("opened_at", _MOMENT, nullable=False),
    sa.Column("completed_at", _MOMENT),  # when it was done first; null: never yet
)

CLAIMS = sa.Table(
    "claims",
    METADATA,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("batch", sa.String, nullable=False, index=True),
)

RUN_REQUESTS = sa.Table(
    "run_requests",
    METADATA,
    sa.Column("key", sa.String, primary_key=True),  # BATCH/CAUSE/ATTEMPT
    sa.Column("batch", sa.String, nullable=False, index=True),
    sa.Column("job", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),  # requested, submitted, running, succeeded, failed
    sa.Column("requested_at", _MOMENT, nullable=False),
    sa.Column("lease_until", _MOMENT),
    sa.Column("run_id", sa.String),
    sa.Column("heartbeat_at", _MOMENT),
    sa.Column("cause", sa.String),  # why it failed
    sa.Column("tags", sa.JSON),  # more tags of its run; null: none
    sa.Column("due_at", _MOMENT),  # of another attempt after a failure; null: at once
)

MANIFEST = sa.Table(
    "manifest",
    METADATA,
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column("partition", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("is_current", sa.Boolean, nullable=False, index=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),  # input asset → version it was computed from
    sa.Column("published_at", _MOMENT, nullable=False),
)

HALTS = sa.Table(
    "halts",
    METADATA,
    sa.Column("halt_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("partition", sa.String, nullable=False, index=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("opened_at", _MOMENT, nullable=False),
    sa.Column("closed_at", _MOMENT),
    sa.Column("closed_by", sa.String),
)

QUARANTINE = sa.Table(
    "quarantine",
    METADATA,
    sa.Column("row_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("partition", sa.String, nullable=False, index=True),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("message_id", sa.String),
    sa.Column("path", sa.String, nullable=False),  # Parquet file that keeps the raw rows
    sa.Column("position", sa.Integer, nullable=False),  # of the row in that file, from 0
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # open, superseded, replayed, discarded
    sa.Column("refused_at", _MOMENT, nullable=False),
    sa.Column("contract", sa.String, nullable=False),  # digest of the contract that refused it
    sa.Column("file", sa.String),  # that it came in with, as the sender named it; null: it was computed
    sa.Column("file_sha256", sa.String),
    sa.Column("line", sa.Integer),  # of that file
    sa.Column("correction", sa.JSON),  # column → value that somebody set right; null: nobody did
    sa.Column("successor", sa.String),  # batch that it was replayed in
)

LABEL_IMPORTS = sa.Table(
    "label_imports",
    METADATA,
    sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("family", sa.String, nullable=False, index=True),
    sa.Column("source", sa.String, nullable=False),  # name of the file it came from
    sa.Column("path", sa.String, nullable=False),  # Parquet file of its rows, below the home
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("replaces", sa.Boolean, nullable=False),  # whether it starts the label set anew
    sa.Column("reason", sa.String),  # why it was imported against the findings; null: nothing was found
    sa.Column("imported_at", _MOMENT, nullable=False),
)

MODEL_VERSIONS = sa.Table(
    "model_versions",
    METADATA,
    sa.Column("family", sa.String, primary_key=True),
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("sha256", sa.String, primary_key=True),  # of the artifact: another machine rounds otherwise
    sa.Column("path", sa.String, nullable=False),
    sa.Column("threshold", sa.Float),  # null: nothing is accepted
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("rules", sa.JSON, nullable=False),  # what was measured of the family's rules; empty without rules
    sa.Column("number", sa.Integer),  # in the registry
    sa.Column("label_digest", sa.String, nullable=False),
    sa.Column("code_version", sa.String, nullable=False),
    sa.Column("libraries", sa.JSON, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),  # Dagster's, that trained it
    sa.Column("recorded_at", _MOMENT, nullable=False),
)

CHAMPIONS = sa.Table(
    "champions",
    METADATA,
    sa.Column("family", sa.String, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("promoted_at", _MOMENT, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("threshold", sa.Float),  # from which it accepts since then; null: nothing
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("notice_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("partition", sa.String, nullable=False),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("body", sa.String, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("recorded_at", _MOMENT, nullable=False),
    sa.Column("delivered_at", _MOMENT),
)

DELIVERY_TARGETS = sa.Table(
    "delivery_targets",
    METADATA,
    sa.Column("target", sa.String, primary_key=True),  # short name, without secrets
    sa.Column("planned_through", sa.Integer, nullable=False),  # notice; it gets those after it
    sa.Column("failures", sa.Integer, nullable=False),  # attempts in a row that failed
    sa.Column("attempt_id", sa.Integer),  # that holds the lease; null: none is made
    sa.Column("lease_until", _MOMENT),
)

DELIVERIES = sa.Table(
    "deliveries",
    METADATA,
    sa.Column("delivery_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("notice_id", sa.Integer, nullable=False),
    sa.Column("target", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # waiting, delivered, failed
    sa.Column("attempts", sa.Integer, nullable=False),  # since it was recorded, or started anew
    sa.Column("next_attempt_at", _MOMENT),  # null: none will be made
    sa.Column("last_error", sa.String),
    sa.Column("delivered_at", _MOMENT),
    sa.UniqueConstraint("notice_id", "target"),
    sa.Index("ix_deliveries_open", "target", "state", "notice_id"),
)

DELIVERY_ATTEMPTS = sa.Table(
    "delivery_attempts",
    METADATA,
    sa.Column("attempt_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("delivery_id", sa.Integer, nullable=False, index=True),
    sa.Column("began_at", _MOMENT, nullable=False),
    sa.Column("ended_at", _MOMENT),
    sa.Column("outcome", sa.String),  # delivered, failed; null: under way, or its process died
    sa.Column("error", sa.String),
)

AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String, nullable=False),  # ISO 8601, UTC: the digest covers the text as stored
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False, index=True),
    sa.Column("subject", sa.String, nullable=False, index=True),
    sa.Column("detail", sa.String, nullable=False),  # canonical JSON
    sa.Column("previous", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)

AUDIT_HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("only", sa.Integer, primary_key=True),  # always 1
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("digest", sa.String, nullable=False),
)

MEASUREMENTS = sa.Table(
    "measurements",
    METADATA,
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column("partition", sa.String, primary_key=True),
    sa.Column("measure", sa.String, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    sa.Column("measured_at", _MOMENT, nullable=False, index=True),  # of the batch's first version
)

PASSES = sa.Table(
    "passes",
    METADATA,
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column("partition", sa.String, primary_key=True),
    sa.Column("reason", sa.String, nullable=False),  # why its anomalies may pass
    sa.Column("passed_at", _MOMENT, nullable=False),
)

INBOX_KEYS = sa.Table(
    "inbox_keys",
    METADATA,
    sa.Column("key_digest", sa.String, primary_key=True),  # of an Idempotency-Key, keyed with the home's secret
    sa.Column("messages_digest", sa.String, nullable=False),  # of what was sent with it, keyed too
    sa.Column("token", sa.String, nullable=False),  # that it was received under
    sa.Column("kept_until", _MOMENT, nullable=False, index=True),
)

BREAKERS = sa.Table(
    "breakers",
    METADATA,
    sa.Column("performer", sa.String, primary_key=True),
    sa.Column("state", sa.String, nullable=False),  # closed, open, half_open
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("openings", sa.Integer, nullable=False),  # since it was closed; the wait grows with them
    sa.Column("opened_at", _MOMENT),  # null: closed
    sa.Column("probe_at", _MOMENT),  # from then on one caller may probe; of a half-open one: another, if it died
)

CASCADES = sa.Table(
    "cascades",
    METADATA,
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column(
        "performers", sa.JSON, nullable=False
    ),  # their names in the order in which they are asked, safe state last
    sa.Column("labels", sa.JSON, nullable=False),  # that they may answer
    sa.Column("has_people", sa.Boolean, nullable=False),
    sa.Column("recorded_at", _MOMENT, nullable=False),
)

REVIEWS = sa.Table(
    "reviews",
    METADATA,
    sa.Column("review_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("partition", sa.String, nullable=False),
    sa.Column("message_id", sa.String, nullable=False, index=True),
    sa.Column("content_digest", sa.String, nullable=False),  # of what the performers were shown, keyed
    sa.Column("cause", sa.String, nullable=False),  # one of reviews.CAUSES
    sa.Column("state", sa.String, nullable=False),  # open, decided, overdue, closed
    sa.Column(
        "proposal", sa.JSON, nullable=False
    ),  # label, confidence, accepted, decided_by, performer, version, reason
    sa.Column("probability", sa.Float),  # with which a check was drawn; null: no check
    sa.Column("why", sa.String),  # of an appeal
    sa.Column("needs_lead", sa.Boolean, nullable=False),
    sa.Column("assigned_to", sa.String),
    sa.Column("claimed_by", sa.String),
    sa.Column("claimed_until", _MOMENT),
    sa.Column("passed_by", sa.JSON, nullable=False),  # persons who skipped it
    sa.Column("opened_at", _MOMENT, nullable=False),
    sa.Column("respond_by", _MOMENT, nullable=False),
    sa.Column("closed_at", _MOMENT),
    sa.Index("ix_reviews_state", "state", "asset", "respond_by"),
    sa.Index("ix_reviews_partition", "partition", "asset"),
    sa.Index("ix_reviews_cause", "cause", "opened_at"),
)

VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("verdict_id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("review_id", sa.Integer, nullable=False, index=True),
    sa.Column("asset", sa.String, nullable=False),
    sa.Column("partition", sa.String, nullable=False),
    sa.Column("message_id", sa.String, nullable=False, index=True),
    sa.Column("content_digest", sa.String, nullable=False),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("person", sa.String, nullable=False),
    sa.Column("note", sa.String),
    sa.Column("is_current", sa.Boolean, nullable=False),  # false: a later one corrects it
    sa.Column("decided_at", _MOMENT, nullable=False),
    sa.Index("ix_verdicts_partition", "partition", "asset", "is_current"),
)

SWITCHES = sa.Table(
    "switches",
    METADATA,
    sa.Column("kind", sa.String, primary_key=True),  # performer, version, asset
    sa.Column("name", sa.String, primary_key=True),  # of a version: FAMILY/VERSION
    sa.Column("state", sa.String, nullable=False),  # on, shadow, off, people, safe_state
    sa.Column("successor", sa.String),  # of a version: the one that is in use in its place
    sa.Column("person", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("is_drill", sa.Boolean, nullable=False),  # a drill said so, which puts back what was before
    sa.Column("switched_at", _MOMENT, nullable=False),
)

TRIALS = sa.Table(
    "trials",
    METADATA,
    sa.Column("family", sa.String, primary_key=True),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("trained_by", sa.String, nullable=False),  # empty: a schedule or a sensor trained
    sa.Column("even_if_worse", sa.Boolean, nullable=False),  # as a person ordered
    sa.Column("started_at", _MOMENT, nullable=False),
)

DRAWS = sa.Table(
    "draws",
    METADATA,
    sa.Column("asset", sa.String, primary_key=True),
    sa.Column("partition", sa.String, primary_key=True),
    sa.Column("probability", sa.Float, nullable=False),  # with which each of its accepted rows is drawn for a check
    sa.Column("accepted", sa.Integer, nullable=False),  # rows that could be drawn, when the batch was drawn from first
    sa.Column("drawn_at", _MOMENT, nullable=False),
    sa.Index("ix_draws_moment", "asset", "drawn_at"),
)

ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("message_id", sa.String, primary_key=True),
    sa.Column("why", sa.String, nullable=False),
    sa.Column("person", sa.String, nullable=False),
    sa.Column("erased_at", _MOMENT, nullable=False),
    sa.Column("found", sa.JSON, nullable=False),  # place → how many rows or files were erased there, the last time
)
