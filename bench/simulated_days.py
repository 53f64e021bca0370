"""A workflow that lives through days in minutes: messages come in, a cascade decides on them, people answer what waits for
them and what is checked, a policy is kept, a model is trained at night, tried in shadow and put in use.

Everything is the product's own but time, which a clock tells that is set by hand, and people: their verdicts are the
true labels, and an operator switches a performer on again by a rule (`Workflow.operator`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from assets.models.family import model_family
from bench.materialize import materialize
from bench.set_clock import Clock
from orchestration_project.core.contracts import Contract
from orchestration_project.core.settings import Settings
from orchestration_project.dispatch.learning_sensor import Jobs, learning_sensor
from orchestration_project.governance import review_orders, switch_orders
from orchestration_project.governance.disengagement import disengage
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.live_errors import Standing, live_errors
from orchestration_project.governance.switch_orders import Turn
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.person import Person
from orchestration_project.stores import arrivals, batches, champions, manifest, reviews, switches
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import read_label_file
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import REVIEWS
from orchestration_project.stores.verdict_labels import verdicts_of

POLICY = """\
[reviews]
most_open = 150         # what people decide of one batch; checks are not counted among them

[checks]
per_day = 100

[learning]
new_verdicts = 1000000  # models are trained at night only
shadow_rows = 200
"""
"""The policy of every story; what it does not name is as shipped."""

SECRET = b"the same rows are drawn each time"
LEAST_SHOWN = 100
"""Answers in shadow that would have been accepted, and that people decided: fewer show the operator nothing."""

NIGHT = {"dagster/schedule_name": "nightly_training"}


class Message(Contract):
    """One message."""

    message_id: str = pa.Field(unique=True, description="Stable id.")
    text: str = pa.Field(description="What was written.")


class Answer(Decision):
    """What was decided on a message."""


@governed_asset(contract=Message)
def message(arrivals: Arrivals) -> pd.DataFrame:
    """Every message of the batch."""
    return arrivals.rows


@dataclass(frozen=True)
class Step:
    """A batch that was decided on, and what the policy went by when people had answered; `seen` None: the model was in
    shadow.
    """

    moment: datetime
    batch: str
    seen: Standing | None


@dataclass
class Workflow:
    """One model with people behind it, in a home of its own below `folder`."""

    folder: Path
    family: Family
    safe_state: Performer
    stated: float
    clock: Clock
    truth: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    steps: list[Step] = field(default_factory=lambda: list[Step]())
    events: list[tuple[datetime, str]] = field(default_factory=lambda: list[tuple[datetime, str]]())
    _names: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    _accepted: dict[str, dict[str, Any]] = field(default_factory=lambda: dict[str, dict[str, Any]]())
    _in_shadow: list[str] = field(default_factory=lambda: list[str]())

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        policy = self.folder / "policy.toml"
        policy.write_text(POLICY, encoding="utf-8")
        self.home = Home(Settings(home=self.folder / "home", policy=policy, target_error=self.stated))
        self.home.prepare()
        (self.home.root / "secret").write_bytes(SECRET)
        cascade = Cascade(Model(self.family.name), Person(), safe_state=self.safe_state)

        @model_output(cascade, contract=Answer, name=self.family.name)
        def answer(message: pd.DataFrame) -> pd.DataFrame:
            return message

        self.answer = answer
        self.models = model_family(self.family)
        train, promote = (dg.define_asset_job(f"{name}_{self.family.name}") for name in ("train", "promote"))
        self.enough_learnt = learning_sensor("enough_learnt", {self.family: Jobs(train, promote)})

    def learn_first(self, moment: datetime, labelled: pd.DataFrame) -> None:
        """Import the labels (message_id, text, label) that people gave before anything was decided, and train."""
        self.clock.set(moment)
        file = self.folder / "labels.csv"
        labelled.to_csv(file, index=False)
        import_labels(self.home, self.family, read_label_file(file), replaces=True, reason="People disagree.")
        self._train(self.models, NIGHT)

    def take(self, moment: datetime, messages: pd.DataFrame) -> None:
        """Decide on the messages (message_id, text, truth) of a batch, and let people, the policy and the sensor follow."""
        self.clock.set(moment)
        self.truth |= dict(zip(messages["message_id"], messages["truth"], strict=True))
        file = self.folder / "sent.jsonl"
        rows = messages[["message_id", "text"]].to_dict("records")
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        arrivals.register(self.home, arrivals.receive(self.home, file))
        batch = batches.open_next(self.home)
        assert batch is not None, "the batch that was sent just now"
        is_off = self._switch_state() != "on"
        self._decide(batch, message)
        for touched in self._let_people_decide():
            self._decide(touched)
        self.steps.append(Step(moment, batch, None if is_off else self._standing()))
        for switch in disengage(self.home):
            self._tell(f"The policy sends the model into shadow: {switch.reason.partition(': ')[2]}")
            self._in_shadow.clear()
        if is_off:
            self._in_shadow.append(batch)
        self._heed_sensor()
        self.operator()

    def night(self, moment: datetime) -> None:
        """Train on what is labelled by then."""
        self.clock.set(moment)
        self._train(self.models, NIGHT)

    def operator(self) -> None:
        """Switch the model on again when, of the rows that people decided while it was in shadow, those that the version
        in use would have accepted are wrong no more often than is stated; `LEAST_SHOWN` of them at least.
        """
        if self._switch_state() == "on":
            return
        with self.home.ledger.read() as connection:
            version = champions.require_champion(connection, self.family.name).version
            said = {one.message_id: one.label for one in verdicts_of(connection, self.family)}
        found = [self._read(f"{self.family.name}_shadow", batch) for batch in self._in_shadow]
        shown = pd.concat([pd.DataFrame(columns=["message_id", "version", "accepted", "label"]), *found])
        shown = shown[(shown["version"] == version) & shown["accepted"] & shown["message_id"].isin(said.keys())]
        wrong = int((shown["label"] != shown["message_id"].map(said)).sum())
        if len(shown) < LEAST_SHOWN:
            return
        told = f"{wrong} of {len(shown)} answers in shadow that it would have accepted were wrong"
        if wrong > self.stated * len(shown):
            self._tell(f"The operator leaves {self._names[version]} in shadow: {told}")
            return
        switch_orders.turn(self.home, Turn("performer", self.family.performer, "on"), told)
        self._tell(f"The operator switches the model on, now {self._names[version]}: {told}")

    def by_day(self) -> dict[str, Standing]:
        """Day (`18 Feb`) → what its checks say."""
        found = live_errors(self.home, self.family.name)
        return {f"{one.day:%d %b}": one for one in found if one.day is not None}

    def overall(self) -> Standing:
        """What all checks say together."""
        return live_errors(self.home, self.family.name)[0]

    def close(self) -> None:
        """Give the ledger back."""
        self.home.ledger.close()

    def outcome(self) -> pd.DataFrame:
        """What became of every message: message_id, batch, truth, and `by`: `model` (accepted), `person`, `waits` (for
        one, still), `surest` (kept, not accepted, for people had too much to do) or `safe state`. Of the accepted ones also label, version and the
        `moment`; whether they were checked later makes no difference.
        """
        found = pd.concat([self._read(self.family.name, step.batch).assign(batch=step.batch) for step in self.steps])
        is_safe, is_person = found["decided_by"] == "safe_state", found["decided_by"] == "person"
        by = pd.Series("surest", found.index).mask(is_safe, "safe state").mask(is_person, "person")
        by = by.mask(found["state"] == "pending", "waits")
        rows = found[["message_id", "batch"]].assign(truth=found["message_id"].map(self.truth), by=by)
        accepted = pd.DataFrame(list(self._accepted.values()), columns=["message_id", "label", "version", "moment"])
        accepted = accepted.astype({"moment": "datetime64[us, UTC]"})
        rows = rows.merge(accepted, on="message_id", how="left", validate="one_to_one")
        return rows.assign(by=rows["by"].mask(rows["moment"].notna(), "model"))

    def _standing(self) -> Standing:
        """What the policy goes by: the checks since the version in use was put there, or switched on."""
        with self.home.ledger.read() as connection:
            switched = switches.get(connection, "performer", self.family.performer)
            used = champions.since(connection, self.family.name)
        since = max(moment for moment in (switched.switched_at if switched else None, used) if moment)
        found = [one for one in live_errors(self.home, self.family.name, after=since) if one.day is None]
        return next(one for one in reversed(found) if one.performer in (self.family.performer, None))

    def _decide(self, batch: str, *first: dg.AssetsDefinition) -> None:
        """Run the model output of a batch, and note what the model accepted for the first time."""
        materialize(self.home, *first, self.answer, batch=batch)
        rows = self._read(self.family.name, batch)
        for row in rows[rows["accepted"] & (rows["performer"] == self.family.performer)].to_dict("records"):
            own = {"message_id": row["message_id"], "label": row["label"], "moment": self.clock.moment}
            self._accepted.setdefault(row["message_id"], {**own, "version": self._names[row["version"]]})

    def _let_people_decide(self) -> list[str]:
        """Answer all that waits by the true labels; returns the batches that it was of."""
        with self.home.ledger.read() as connection:
            waiting = reviews.select(connection, REVIEWS.c.state == "open")
        for review in waiting:
            review_orders.decide(self.home, review.review_id, self.truth[review.message_id])
        return sorted({review.partition for review in waiting})

    def _heed_sensor(self) -> None:
        """Run what the sensor asks for, as the daemon does."""
        named = {"HOME": self.home.root, "POLICY": self.home.settings.policy, "TARGET_ERROR": self.stated}
        with patch.dict(os.environ, {f"ORCHESTRATE_{name}": str(value) for name, value in named.items()}):
            found = self.enough_learnt(dg.build_sensor_context())
        for request in found.run_requests or () if isinstance(found, dg.SensorResult) else ():
            self._train(self.models[-1:], {**request.tags, "dagster/sensor_name": self.enough_learnt.name})

    def _train(self, assets: list[dg.AssetsDefinition], tags: Mapping[str, str]) -> None:
        materialize(self.home, *assets, tags=tags)
        row = self._read(f"{self.family.name}_champion", manifest.UNPARTITIONED).iloc[0]
        candidate = ModelVersion.from_json(row["record"])
        is_new = candidate.version not in self._names
        name = self._names.setdefault(candidate.version, f"version {len(self._names) + 1}")
        sure = "accepts nothing" if candidate.threshold is None else f"accepts from {candidate.threshold:g}"
        made = f"{name} is trained ({sure})" if is_new else name
        became = (
            "is in use" if row["is_new"] else "goes on trial" if row["is_on_trial"] else f"stays out: {row['reason']}"
        )
        self._tell(f"{made[0].upper()}{made[1:]}{', and' if is_new else ''} {became}")

    def _switch_state(self) -> str:
        with self.home.ledger.read() as connection:
            found = switches.get(connection, "performer", self.family.performer)
        return found.state if found else "on"

    def _read(self, asset: str, partition: str) -> pd.DataFrame:
        with self.home.ledger.read() as connection:
            version = manifest.current(connection, asset, partition)
        assert version is not None, f"{asset} of {partition} is published"
        return self.home.warehouse.read(version.path).to_pandas()

    def _tell(self, what: str) -> None:
        self.events.append((self.clock.moment, what))
        print(f"  {self.clock.moment:%d %b %H:%M}  {what}", flush=True)
