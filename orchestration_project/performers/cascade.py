"""The ordered performers of a model output: each decides what it is sure of and passes the rest on.

1. A row whose confidence reaches the performer's acceptance threshold is accepted; the rest go on to the next
   performer. A missing confidence, or a performer without a threshold, accepts nothing.
2. A performer that is unavailable is asked again with backoff. One that fails all the same, or whose time is over, is
   not asked again in this batch; one whose circuit is open is not asked at all. Its rows go on to the next performer,
   and every one of them says so. When the time of all performers together is over, nobody but the safe state is asked.
3. A row that nobody is sure of keeps the surest answer it got, not accepted. The safe state answers only rows that
   nobody could answer, each of them, and is never accepted.
4. With a `Person()` behind the others a row that nobody is sure of waits for a verdict instead, and a verdict stands
   first (see `person`). Rows that wait are decided when people, or time, decided them.
5. A decision on the same content by the same cascade is reused, also one that waits; one of the safe state, one behind a
   failure, or one whose label its performer cannot answer any more, never is.
"""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from orchestration_project.core.contracts import arrow_schema
from orchestration_project.core.errors import PerformerFailed, PerformerTimeout
from orchestration_project.performers.asking import Work, ask, reasons, told
from orchestration_project.performers.breaker import Circuit
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.performers.person import (
    PERSON,
    Said,
    add_reason,
    apply_verdicts,
    goes_to_safe_state,
    hear,
    let_wait,
)
from orchestration_project.stores.home import Home

CHUNK_ROWS = 10_000
"""Most rows a performer is asked about in one call, where it says nothing else: a limit ends it between two calls."""

COLUMNS = tuple(arrow_schema(Decision).names)


@dataclass(frozen=True)
class Decisions:
    """The decisions on a batch (columns of `Decision`, index of the rows) and the work behind them.

    `labels` are all that the performers could have answered, as they were ready for this batch, and what people said; `waiting` has a row for
    each that waits for people: message_id, content_digest, cause, runner_up. None: the cascade has no people.
    """

    frame: pd.DataFrame
    work: list[Work] = field(default_factory=lambda: list[Work]())
    reused: int = 0
    labels: frozenset[str] = frozenset()
    waiting: pd.DataFrame | None = None

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
        if any(performer.kind == PERSON for performer in performers[:-1]):
            raise TypeError("Person() stands before other performers. Put it last: who is asked first need not wait.")
        self.performers = performers
        self.safe_state = safe_state

    @property
    def families(self) -> tuple[str, ...]:
        """The models whose champions the performers need, each once."""
        return tuple(dict.fromkeys(family for performer in self._all() for family in performer.families))

    @property
    def has_people(self) -> bool:
        """Whether rows that nobody is sure of wait for a person."""
        return bool(self.performers) and self.performers[-1].kind == PERSON

    def labels(self, home: Home, *, safe_state: bool = True) -> frozenset[str]:
        """Every label that some performer may answer, the safe state among them or not."""
        asked = self._all() if safe_state else self.performers
        return frozenset().union(*(performer.prepare(home).labels for performer in asked))

    def decide(
        self,
        rows: pd.DataFrame,
        home: Home,
        stored: pd.DataFrame | None = None,
        *,
        asset: str = "",
        partition: str = "",
        limit_seconds: float | None = None,
    ) -> Decisions:
        """Decide each row.

        `rows` has `message_id` and what the performers look at; `stored` are earlier decisions that may be reused.
        `asset` and `partition` say whose rows they are: people's verdicts are kept by them. `limit_seconds` is the time of
        all performers together; None: the setting's.
        """
        rows = rows.reset_index(drop=True)
        prepared = [(performer, performer.prepare(home)) for performer in self._all()]
        frame = self._undecided(rows)
        reused = _reuse(frame, _lasting(stored, prepared))
        said = hear(home, asset, partition) if self.has_people else Said()
        settled = apply_verdicts(frame, rows, said, home.secret) if said.verdicts else pd.Series(False, frame.index)
        beyond = goes_to_safe_state(frame, rows, said, home.secret) if said.overdue else pd.Series(False, frame.index)
        work: list[Work] = []
        seconds = limit_seconds or home.settings.asset_seconds
        until = time.monotonic() + seconds
        for performer, ready in prepared[:-1]:
            open_rows = frame.index[~(frame["accepted"] | reused | settled | beyond)]
            if len(open_rows) and performer.kind != PERSON:
                work.append(_ask(performer, ready, rows.loc[open_rows], frame, home, (seconds, until)))
        waiting = None
        if self.has_people:
            undecided = ~frame["accepted"] & (~reused | (frame["state"] == "pending"))
            waiting = let_wait(frame, rows, undecided, said, home.secret)
        unanswered = frame.index[frame["label"].isna() & (frame["state"] == "decided")]
        if len(unanswered):
            safe, ready = prepared[-1]
            work.append(_ask_safe_state(safe, ready, rows.loc[unanswered], frame, home))
        labels = frozenset[str](frame.loc[settled, "label"]).union(*(ready.labels for _, ready in prepared))
        return Decisions(frame[list(COLUMNS)], work, int((reused & ~settled).sum()), labels, waiting)

    def _all(self) -> tuple[Performer, ...]:
        return (*self.performers, self.safe_state)

    def _undecided(self, rows: pd.DataFrame) -> pd.DataFrame:
        frame = pd.DataFrame(index=rows.index, columns=list(COLUMNS))
        frame["message_id"] = rows["message_id"].astype("str")
        frame["label"] = pd.Series(None, rows.index, dtype="str")
        frame["confidence"] = np.nan
        frame["accepted"] = frame["degraded"] = frame["disagreed"] = False
        frame["state"] = "decided"
        for name in ("decided_by", "performer", "version", "reason", "runner_up"):
            frame[name] = pd.Series("", rows.index, dtype="str")
        names = [f"{performer.kind}:{performer.name}" for performer in self._all()]
        frame["message_digest"] = pd.Series(list(_digests(rows, names)), rows.index, dtype="str")
        flags = dict.fromkeys(("accepted", "degraded", "disagreed"), "bool")
        return frame.astype({**flags, "state": "str", "confidence": "float64"})


def _ask(
    performer: Performer,
    ready: Prepared,
    rows: pd.DataFrame,
    frame: pd.DataFrame,
    home: Home,
    time_of_asset: tuple[float, float],
) -> Work:
    """Ask one performer about the rows that wait, and write its answers into the frame. The time of the asset is so many
    seconds and ends at a moment (of `time.monotonic`); a performer whose call that cuts off is not at fault.
    """
    seconds, until = time_of_asset
    work, started = Work(performer.name, ready.version, threshold=ready.threshold), time.perf_counter()
    limit = _limit_seconds(performer, home)
    circuit = Circuit(home, performer.name, limit)
    over = PerformerFailed(f"{performer.name} gave no answer before the {seconds:.3g} s of the asset were over.")
    failure = over if until <= time.monotonic() else circuit.refusal()
    for chunk in _chunks(performer, rows):
        if failure is None:
            left = until - time.monotonic()
            try:
                answers = ask(performer, ready, chunk, min(limit, left), work)
            except PerformerFailed as error:
                is_over = left < limit and isinstance(error, PerformerTimeout)
                failure = over if is_over else error
                work.opened = not is_over and circuit.failed(error)
            else:
                _take(frame, performer, ready, answers, work)
                circuit.call_answered()
        if failure is not None:
            frame.loc[chunk.index, "degraded"] = True
            add_reason(frame, chunk.index, reasons(failure, chunk.index))
    if failure is None:
        circuit.batch_answered()
    else:
        work.failure = told(failure)
    work.seconds = time.perf_counter() - started
    return work


def _ask_safe_state(safe: Performer, ready: Prepared, rows: pd.DataFrame, frame: pd.DataFrame, home: Home) -> Work:
    """Have the safe state answer. Nobody stands behind it: it has no circuit, the asset's time does not end it, and its
    failure is raised.
    """
    work, started = Work(safe.name, ready.version), time.perf_counter()
    for chunk in _chunks(safe, rows):
        answers = ask(safe, ready, chunk, _limit_seconds(safe, home), work)
        if answers["label"].isna().any():
            raise PerformerFailed(f"{safe.name} left rows without a label. A safe state answers every row.")
        _take(frame, safe, ready, answers, work)
    work.seconds = time.perf_counter() - started
    return work


def _limit_seconds(performer: Performer, home: Home) -> float:
    return performer.limit_seconds or home.settings.performer_seconds


def _chunks(performer: Performer, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    size = performer.chunk_rows or CHUNK_ROWS
    for start in range(0, len(rows), size):
        yield rows.iloc[start : start + size]


def _take(frame: pd.DataFrame, performer: Performer, ready: Prepared, answers: pd.DataFrame, work: Work) -> None:
    """Write accepted answers, and those surer than what the row has; count them."""
    rows = answers.index
    accepts_nothing = ready.threshold is None or performer.kind == "safe_state"
    threshold = np.inf if accepts_nothing else ready.threshold
    confidence = answers["confidence"]
    accepted = answers["label"].notna() & (confidence >= threshold)
    before = frame.loc[rows]
    surer = before["label"].isna() | (confidence.fillna(-1) > before["confidence"].fillna(-1))
    takes = answers["label"].notna() & (accepted | surer)
    frame.loc[rows, "disagreed"] |= (
        (before["label"] != answers["label"]) & before["label"].notna() & answers["label"].notna()
    )
    doubt = _doubts(performer, ready, answers)
    add_reason(frame, rows[~accepted], doubt[~accepted])
    chosen = rows[takes]
    for name in ("label", "confidence", "runner_up"):
        frame.loc[chosen, name] = answers.loc[chosen, name]
    frame.loc[rows, "accepted"] = accepted
    frame.loc[chosen, ["decided_by", "performer", "version"]] = [performer.kind, performer.name, ready.version]
    add_reason(frame, rows[accepted], answers.loc[accepted, "reason"])
    work.asked += len(rows)
    work.accepted += int(accepted.sum())


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
