"""The ordered performers of a model output: each decides what it is sure of and passes the rest on.

1. A row whose confidence reaches the performer's acceptance threshold is accepted; the rest go on to the next
   performer. A missing confidence, or a performer without a threshold, accepts nothing.
2. A performer that is unavailable is asked again with backoff. One that fails all the same is not asked again in this
   batch; its rows go on to the next, and every one of them says so.
3. A row that nobody is sure of keeps the surest answer it got, not accepted. The safe state answers only rows that
   nobody could answer, each of them, and is never accepted.
4. A decision on the same content by the same cascade is reused; one of the safe state, one behind a failure, or one
   whose label its performer cannot answer any more, never is.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import stamina

from orchestration_project.core.contracts import arrow_schema
from orchestration_project.core.errors import OrchestrationError, PerformerFailed, PerformerUnavailable
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.performer import BrokenContract, Performer, Prepared, hold_to_contract
from orchestration_project.stores.home import Home

CHUNK_ROWS = 10_000
"""Most rows a performer is asked about in one call."""

ATTEMPTS = 3
"""Calls of a performer that is unavailable before it is given up for the batch."""

COLUMNS = tuple(arrow_schema(Decision).names)


@dataclass
class Work:
    """What one performer did in a batch: rows asked and accepted, seconds spent, and how it failed if it did.

    `failure` is for metadata and audit: a broken contract in our words, or the type of what the performer raised. It
    quotes neither an error nor an answer, which may repeat a message; the reason of a row does.
    """

    performer: str
    version: str
    asked: int = 0
    accepted: int = 0
    seconds: float = 0.0
    failure: str | None = None


@dataclass(frozen=True)
class Decisions:
    """The decisions on a batch (columns of `Decision`, index of the rows) and the work behind them.

    `labels` are all that the performers could have answered, as they were ready for this batch.
    """

    frame: pd.DataFrame
    work: list[Work] = field(default_factory=lambda: list[Work]())
    reused: int = 0
    labels: frozenset[str] = frozenset()

    def decided_by(self) -> dict[str, int]:
        """Performer → number of rows it decided."""
        return dict(Counter(self.frame["performer"].tolist()))


class Cascade:
    """Performers in the order in which they are asked, and the safe state behind them."""

    def __init__(self, *performers: Performer, safe_state: Performer) -> None:
        if safe_state.kind != "safe_state":
            raise TypeError(
                f"{safe_state.name} is a {safe_state.kind}. Give safe_state a performer of kind safe_state."
            )
        self.performers = performers
        self.safe_state = safe_state

    @property
    def families(self) -> tuple[str, ...]:
        """The models whose champions the performers need, each once."""
        return tuple(dict.fromkeys(family for performer in self._all() for family in performer.families))

    def labels(self, home: Home, *, safe_state: bool = True) -> frozenset[str]:
        """Every label that some performer may answer, the safe state among them or not."""
        asked = self._all() if safe_state else self.performers
        return frozenset().union(*(performer.prepare(home).labels for performer in asked))

    def decide(self, rows: pd.DataFrame, home: Home, stored: pd.DataFrame | None = None) -> Decisions:
        """Decide each row.

        `rows` has `message_id` and what the performers look at; `stored` are earlier decisions that may be reused.
        """
        rows = rows.reset_index(drop=True)
        prepared = [(performer, performer.prepare(home)) for performer in self._all()]
        frame = self._undecided(rows)
        reused = _reuse(frame, _lasting(stored, prepared))
        work: list[Work] = []
        for performer, ready in prepared[:-1]:
            waiting = frame.index[~(frame["accepted"] | reused)]
            if len(waiting):
                work.append(self._ask(performer, ready, rows.loc[waiting], frame))
        unanswered = frame.index[frame["label"].isna()]
        if len(unanswered):
            safe, ready = prepared[-1]
            work.append(self._ask(safe, ready, rows.loc[unanswered], frame))
        labels = frozenset[str]().union(*(ready.labels for _, ready in prepared))
        return Decisions(frame, work, int(reused.sum()), labels)

    def _all(self) -> tuple[Performer, ...]:
        return (*self.performers, self.safe_state)

    def _undecided(self, rows: pd.DataFrame) -> pd.DataFrame:
        frame = pd.DataFrame(index=rows.index, columns=list(COLUMNS))
        frame["message_id"] = rows["message_id"].astype("str")
        frame["label"] = pd.Series(None, rows.index, dtype="str")
        frame["confidence"] = np.nan
        frame["accepted"] = frame["degraded"] = False
        frame["state"] = "decided"
        for name in ("decided_by", "performer", "version", "reason"):
            frame[name] = pd.Series("", rows.index, dtype="str")
        names = [f"{performer.kind}:{performer.name}" for performer in self._all()]
        frame["message_digest"] = pd.Series(list(_digests(rows, names)), rows.index, dtype="str")
        return frame.astype({"accepted": "bool", "degraded": "bool", "state": "str", "confidence": "float64"})

    def _ask(self, performer: Performer, ready: Prepared, rows: pd.DataFrame, frame: pd.DataFrame) -> Work:
        """Ask one performer about the rows that wait, and write its answers into the frame."""
        work = Work(performer.name, ready.version)
        started = time.perf_counter()
        failure: PerformerFailed | None = None
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows.iloc[start : start + CHUNK_ROWS]
            failure = failure or self._ask_chunk(performer, ready, chunk, frame, work)
            if failure is not None:
                frame.loc[chunk.index, "degraded"] = True
                _note(frame, chunk.index, _reasons(failure, chunk.index))
        if failure is not None:
            work.failure = type(failure.__cause__).__name__ if failure.__cause__ else str(failure)
        work.seconds = time.perf_counter() - started
        return work

    def _ask_chunk(
        self, performer: Performer, ready: Prepared, rows: pd.DataFrame, frame: pd.DataFrame, work: Work
    ) -> PerformerFailed | None:
        """Ask about one chunk; returns how the performer failed, or None.

        Nobody stands behind the safe state: its failure is raised.
        """
        try:
            answers = _answers(performer, ready, rows)
        except PerformerFailed as failure:
            if performer is self.safe_state:
                raise
            return failure
        if performer is self.safe_state and answers["label"].isna().any():
            raise PerformerFailed(f"{performer.name} left rows without a label. A safe state answers every row.")
        work.asked += len(rows)
        work.accepted += _take(frame, performer, ready, answers)
        return None


def _answers(performer: Performer, ready: Prepared, rows: pd.DataFrame) -> pd.DataFrame:
    """The performer's answers, held to its contract; whatever it raises but a refusal becomes PerformerFailed with its
    cause.
    """

    @stamina.retry(on=PerformerUnavailable, attempts=ATTEMPTS, timeout=None, wait_initial=0.05, wait_max=2.0)
    def call() -> pd.DataFrame:
        try:
            return hold_to_contract(performer, ready, rows, ready.answer(rows.copy()))
        except BrokenContract:
            raise
        except (PerformerUnavailable, ConnectionError, TimeoutError) as error:
            raise PerformerUnavailable(f"{performer.name} is unavailable: {type(error).__name__}") from error
        except Exception as error:
            if isinstance(error, OrchestrationError) and not isinstance(error, PerformerFailed):
                raise
            raise PerformerFailed(f"{performer.name} failed: {type(error).__name__}") from error

    return call()


def _reasons(failure: PerformerFailed, rows: pd.Index) -> pd.Series:
    """How a performer failed, as the rows keep it: with what its error says, and with the row's own strange answer."""
    told = str(failure).rstrip(".")
    cause = failure.__cause__
    if cause is not None:
        told = told.removesuffix(type(cause).__name__) + repr(cause)
    reasons = pd.Series(told, rows, dtype="str")
    if isinstance(failure, BrokenContract):
        own = failure.answers[failure.answers.index.isin(rows)].dropna()
        reasons[own.index] += ": " + own
    return reasons


def _take(frame: pd.DataFrame, performer: Performer, ready: Prepared, answers: pd.DataFrame) -> int:
    """Write accepted answers, and those surer than what the row has; returns how many were accepted."""
    rows = answers.index
    accepts_nothing = ready.threshold is None or performer.kind == "safe_state"
    threshold = np.inf if accepts_nothing else ready.threshold
    confidence = answers["confidence"]
    accepted = answers["label"].notna() & (confidence >= threshold)
    before = frame.loc[rows]
    surer = before["label"].isna() | (confidence.fillna(-1) > before["confidence"].fillna(-1))
    takes = answers["label"].notna() & (accepted | surer)
    doubt = _doubts(performer, ready, answers)
    _note(frame, rows[~accepted], doubt[~accepted])
    chosen = rows[takes]
    for name in ("label", "confidence"):
        frame.loc[chosen, name] = answers.loc[chosen, name]
    frame.loc[rows, "accepted"] = accepted
    frame.loc[chosen, ["decided_by", "performer", "version"]] = [performer.kind, performer.name, ready.version]
    _note(frame, rows[accepted], answers.loc[accepted, "reason"])
    return int(accepted.sum())


def _doubts(performer: Performer, ready: Prepared, answers: pd.DataFrame) -> pd.Series:
    """Why each answer is not accepted, in words."""
    if performer.kind == "safe_state":
        return answers["reason"]
    limit = "no threshold is set" if ready.threshold is None else f"below {ready.threshold:.2f}"
    texts = [
        f"{performer.name}: {own or 'no answer'}"
        if pd.isna(label)
        else f"{performer.name}: {label} without a measured confidence"
        if np.isnan(confidence)
        else f"{performer.name}: {label} {confidence:.2f}, {limit}" + (f" ({own})" if own else "")
        for label, confidence, own in zip(answers["label"], answers["confidence"], answers["reason"], strict=True)
    ]
    return pd.Series(texts, answers.index, dtype="str")


def _note(frame: pd.DataFrame, rows: pd.Index, note: str | pd.Series) -> None:
    """Add a reason behind those a row already has; an empty one adds nothing."""
    before = frame.loc[rows, "reason"]
    added = pd.Series(note, rows, dtype="str")
    joined = (before + "; " + added).where(before != "", added)
    frame.loc[rows, "reason"] = joined.where(added != "", before)


def _lasting(stored: pd.DataFrame | None, prepared: Sequence[tuple[Performer, Prepared]]) -> pd.DataFrame | None:
    """The stored decisions that may stand, whatever the messages say now."""
    if stored is None:
        return None
    answerable = pd.Series(False, stored.index)
    for performer, ready in prepared:
        own = stored["performer"] == performer.name
        answerable |= own & (stored["label"].isna() | stored["label"].isin(ready.labels))
    return stored[answerable & (stored["decided_by"] != "safe_state") & ~stored["degraded"]]


def _reuse(frame: pd.DataFrame, lasting: pd.DataFrame | None) -> pd.Series:
    """Fill in the stored decisions on the same content; returns which rows they are."""
    if lasting is None or lasting.empty or frame.empty:
        return pd.Series(False, frame.index)
    lasting = lasting.drop_duplicates("message_id").set_index("message_id").reindex(frame["message_id"])
    lasting.index = frame.index
    same = (lasting["message_digest"] == frame["message_digest"]).fillna(False).astype("bool")
    for name in COLUMNS[1:]:
        frame[name] = frame[name].mask(same, lasting[name]).astype(frame[name].dtype)
    return same


def _digests(rows: pd.DataFrame, cascade: list[str]) -> Iterator[str]:
    shown = [name for name in sorted(rows.columns) if name != "message_id"]
    prefix = hashlib.sha256(json.dumps([cascade, shown]).encode())
    for values in zip(*(rows[name] for name in shown), strict=True) if shown else ((),) * len(rows):
        digest = prefix.copy()
        digest.update(json.dumps(values, default=str).encode())
        yield digest.hexdigest()
