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
   failure, or one whose label its performer cannot answer any more, never is. One on a message that was erased since
   stands: nobody can judge it any more.
6. Switches are read before every call (see `switchboard`). A performer that is off is passed over; one in shadow is asked
   when the batch is decided, about the rows that came to its place, and its answers only recorded; so is a version of a
   model on trial, beside the one in use. What is off is not loaded, so that its file may be gone. Of an asset that is
   sent to people nothing new is accepted; of one sent to its safe state nobody else is asked.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from orchestration_project.core.erasing import ERASED
from orchestration_project.core.errors import Refused
from orchestration_project.governance.policy import Policy
from orchestration_project.performers.asking import Work
from orchestration_project.performers.decision import COLUMNS
from orchestration_project.performers.performer import Performer, Prepared
from orchestration_project.performers.person import (
    PERSON,
    Person,
    Said,
    Urgent,
    add_reason,
    apply_verdicts,
    goes_to_safe_state,
    hear,
    let_wait,
)
from orchestration_project.performers.reuse import digests, lasting, reuse
from orchestration_project.performers.switchboard import Switchboard
from orchestration_project.performers.turns import Turns
from orchestration_project.stores.home import Home
from orchestration_project.stores.switches import Switch

Ready = tuple[Performer, Prepared]


@dataclass(frozen=True)
class Decisions:
    """The decisions on a batch (columns of `Decision`, index of the rows) and the work behind them.

    `labels` are all that the performers could have answered, as they were ready for this batch, what people said, and what
    stands of erased messages; `waiting` has a row for each that waits for people, cannot wait and has a review beside, or
    is drawn for a check (see `person.let_wait`), None: the cascade has no people; `probability` is how likely each accepted
    row was drawn, and `policy` what all of that was done by. `shadow` has the answers of performers in shadow, columns of
    `Decision`. None: none was asked.
    """

    frame: pd.DataFrame
    work: list[Work] = field(default_factory=lambda: list[Work]())
    reused: int = 0
    labels: frozenset[str] = frozenset()
    waiting: pd.DataFrame | None = None
    shadow: pd.DataFrame | None = None
    probability: float = 0.0
    policy: Policy = field(default_factory=Policy)

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

    @property
    def _at_once(self) -> Urgent | None:
        last = self.performers[-1]
        return last.at_once if isinstance(last, Person) else None

    def labels(self, home: Home, *, safe_state: bool = True) -> frozenset[str]:
        """Every label that some performer may answer, the safe state among them or not."""
        asked, switchboard = self._all() if safe_state else self.performers, Switchboard(home, "")
        return frozenset().union(*(_recorded(performer, home, switchboard).labels for performer in asked))

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
        switchboard = Switchboard(home, asset)
        prepared = [(performer, _prepared(performer, home, switchboard)) for performer in self._all()]
        frame = self._undecided(rows)
        reused = reuse(frame, lasting(stored, prepared))
        said = hear(home, asset, partition) if self.has_people else Said()
        settled = apply_verdicts(frame, rows, said, home.secret) if said.verdicts else pd.Series(False, frame.index)
        beyond = goes_to_safe_state(frame, rows, said, home.secret) if said.overdue else pd.Series(False, frame.index)
        seconds = limit_seconds or home.settings.asset_seconds
        turns = Turns(home, switchboard, seconds, time.monotonic() + seconds)
        work: list[Work] = []
        in_shadow: list[tuple[Ready, pd.Index]] = []
        for performer, ready in prepared[:-1]:
            open_rows = frame.index[~(frame["accepted"] | reused | settled | beyond)]
            if performer.kind == PERSON or open_rows.empty or _is_safe(switchboard.of_asset()):
                continue
            if switchboard.is_in_shadow(performer, ready):
                in_shadow.append(((performer, ready), open_rows))
            else:
                work.append(turns.take(performer, ready, rows.loc[open_rows], frame))
            if (tried := _on_trial(performer, home, work)) is not None:
                in_shadow.append(((performer, tried), open_rows))
        asset_switch = switchboard.of_asset()
        sent = _heed(asset_switch, frame, ~(reused | settled | beyond))
        waiting, probability = None, 0.0
        if self.has_people:
            undecided = ~frame["accepted"] & (~reused | (frame["state"] == "pending")) & ~sent
            if _is_sent_to_people(asset_switch):
                said = replace(said, room=len(frame))
            waiting, probability = let_wait(frame, rows, undecided, said, home.secret, self._at_once)
        unanswered = frame.index[frame["label"].isna() & (frame["state"] == "decided")]
        if len(unanswered):
            work.append(turns.take_safe_state(*prepared[-1], rows.loc[unanswered], frame))
        shadows = [self._in_shadow(turns, ready, rows.loc[places], work) for ready, places in in_shadow]
        standing = frame.loc[settled | (frame["message_digest"] == ERASED), "label"].dropna()
        labels = frozenset[str](standing).union(*(ready.labels for _, ready in prepared))
        shadow = pd.concat(shadows, ignore_index=True) if shadows else None
        return Decisions(
            frame[list(COLUMNS)],
            work,
            int((reused & ~settled).sum()),
            labels,
            waiting,
            shadow,
            probability,
            said.policy,
        )

    def _in_shadow(self, turns: Turns, ready: Ready, rows: pd.DataFrame, work: list[Work]) -> pd.DataFrame:
        """What a performer in shadow answers, columns of `Decision`; whatever ails it, the batch is decided without it."""
        frame = self._undecided(rows)
        try:
            work.append(turns.take(*ready, rows, frame, in_shadow=True))
        except Refused as refusal:
            performer, prepared = ready
            work.append(_not_asked(performer, refusal, prepared.version))
        return frame.loc[frame["label"].notna(), list(COLUMNS)]

    def _all(self) -> tuple[Performer, ...]:
        return (*self.performers, self.safe_state)

    def _undecided(self, rows: pd.DataFrame) -> pd.DataFrame:
        frame = pd.DataFrame(index=rows.index, columns=list(COLUMNS))
        frame["message_id"] = rows["message_id"].astype("str")
        frame["label"] = pd.Series(None, rows.index, dtype="str")
        frame["confidence"] = np.nan
        frame["accepted"] = frame["degraded"] = frame["disagreed"] = frame["switched"] = False
        frame["state"] = "decided"
        for name in ("decided_by", "performer", "version", "reason", "runner_up"):
            frame[name] = pd.Series("", rows.index, dtype="str")
        names = [f"{performer.kind}:{performer.name}" for performer in self._all()]
        frame["message_digest"] = pd.Series(list(digests(rows, names)), rows.index, dtype="str")
        flags = dict.fromkeys(("accepted", "degraded", "disagreed", "switched"), "bool")
        return frame.astype({**flags, "state": "str", "confidence": "float64"})


def _prepared(performer: Performer, home: Home, switchboard: Switchboard) -> Prepared:
    """The performer, ready to be asked; one that is switched off is not loaded."""
    ready = _recorded(performer, home, switchboard)
    if switchboard.refusal(performer, ready) is None:
        ready.load()
    return ready


def _recorded(performer: Performer, home: Home, switchboard: Switchboard) -> Prepared:
    """The performer as it is recorded. One that cannot be made ready stands in nobody's way once it is switched off: what
    ails it is raised when it is asked after all.
    """
    try:
        return performer.prepare(home)
    except Refused:
        unready = Prepared(
            switchboard.version_in_use(performer),
            None,
            switchboard.known_labels(performer),
            lambda rows: performer.prepare(home).answer(rows),
        )
        if switchboard.refusal(performer, unready) is None:
            raise
        return unready


def _on_trial(performer: Performer, home: Home, work: list[Work]) -> Prepared | None:
    """The version of a performer that is on trial; one that cannot be made ready stands in nobody's way, and the work
    says so.
    """
    try:
        return performer.on_trial(home)
    except Refused as refusal:
        work.append(_not_asked(performer, refusal))
        return None


def _not_asked(performer: Performer, refusal: Refused, version: str = "") -> Work:
    """The work of one that is in shadow, or on trial, and cannot be asked."""
    return Work(performer.name, version, failure=type(refusal).__name__, in_shadow=True)


def _is_safe(switch: Switch | None) -> bool:
    return switch is not None and switch.state == "safe_state"


def _is_sent_to_people(switch: Switch | None) -> bool:
    return switch is not None and switch.state == "people"


def _heed(switch: Switch | None, frame: pd.DataFrame, new: pd.Series) -> pd.Series:
    """Have the new rows of an asset go where it is sent; returns which go to the safe state, bool of shape (n,)."""
    nowhere = pd.Series(False, frame.index)
    if switch is None:
        return nowhere
    chosen = new & (frame["label"].isna() if _is_safe(switch) else frame["accepted"])
    add_reason(frame, frame.index[chosen], switch.told())
    frame.loc[chosen, "accepted"] = False
    frame.loc[chosen, "switched"] = True
    return chosen if _is_safe(switch) else nowhere
