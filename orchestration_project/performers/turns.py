"""A performer's turn in a batch: it is asked about the rows that wait, chunk by chunk, and its answers are taken.

Its switch is read before every call, its circuit before its turn. One that fails, or is switched off, is not asked again
in this batch; a row that it did not answer says why.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestration_project.core.errors import PerformerFailed, PerformerTimeout, SwitchedOff
from orchestration_project.performers.asking import Work, ask, reasons, told
from orchestration_project.performers.breaker import Circuit
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.performers.person import add_reason
from orchestration_project.performers.switchboard import Switchboard
from orchestration_project.stores.home import Home

CHUNK_ROWS = 10_000
"""Most rows a performer is asked about in one call, where it says nothing else: a limit ends it between two calls."""


@dataclass(frozen=True)
class Turns:
    """What holds for every performer's turn in a batch. The time of all together is so many seconds and ends at a moment
    (of `time.monotonic`); a performer whose call that cuts off is not at fault.
    """

    home: Home
    switchboard: Switchboard
    seconds: float
    until: float

    def take(
        self, performer: Performer, ready: Prepared, rows: pd.DataFrame, frame: pd.DataFrame, *, in_shadow: bool = False
    ) -> Work:
        """Ask one performer about the rows that wait, and write its answers into the frame. What is asked in shadow has no
        circuit: it speaks neither for nor against the performer that decides.
        """
        work, started = Work(performer.name, ready.version, threshold=ready.threshold), time.perf_counter()
        work.in_shadow = in_shadow
        limit = _limit_seconds(performer, self.home)
        circuit = None if in_shadow else Circuit(self.home, performer.name, limit)
        over = PerformerFailed(
            f"{performer.name} gave no answer before the {self.seconds:.3g} s of the asset were over."
        )

        def refusal() -> SwitchedOff | None:
            return self.switchboard.refusal(performer, ready, in_shadow=in_shadow)

        failure = over if self.until <= time.monotonic() else refusal() or (circuit.refusal() if circuit else None)
        for chunk in _chunks(performer, rows):
            if failure is None:
                left = self.until - time.monotonic()
                try:
                    answers = ask(performer, ready, chunk, min(limit, left), work, refusal)
                except SwitchedOff as switched:
                    failure = switched
                except PerformerFailed as error:
                    is_over = left < limit and isinstance(error, PerformerTimeout)
                    failure = over if is_over else error
                    work.opened = circuit is not None and not is_over and circuit.failed(error)
                else:
                    _take(frame, performer, ready, answers, work)
                    if circuit is not None:
                        circuit.call_answered()
            if failure is not None:
                flag = "switched" if isinstance(failure, SwitchedOff) else "degraded"
                frame.loc[chunk.index, flag] = True
                add_reason(frame, chunk.index, reasons(failure, chunk.index))
        if failure is not None:
            work.failure = told(failure)
        elif circuit is not None:
            circuit.batch_answered()
        work.seconds = time.perf_counter() - started
        return work

    def take_safe_state(self, safe: Performer, ready: Prepared, rows: pd.DataFrame, frame: pd.DataFrame) -> Work:
        """Have the safe state answer. Nobody stands behind it: it has no circuit and no switch, the asset's time does
        not end it, and its failure is raised.
        """
        work, started = Work(safe.name, ready.version), time.perf_counter()
        for chunk in _chunks(safe, rows):
            answers = ask(safe, ready, chunk, _limit_seconds(safe, self.home), work)
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
