"""The sensor by which models learn: it has a model trained when people decided enough since, and one that was on trial
judged when it answered enough in shadow.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from orchestration_project.governance.policy import Learning, read_policy
from orchestration_project.governance.promotion import Order
from orchestration_project.governance.trial_results import result_of
from orchestration_project.stores import outbox, trials
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.trials import Trial
from orchestration_project.stores.verdict_labels import verdicts_of


@dataclass(frozen=True)
class Jobs:
    """What trains a model, and what judges one of its versions."""

    train: Any
    promote: Any


def learning_sensor(
    name: str, models: Mapping[Family, Jobs], *, seconds_between: int = 60, **arguments: Any
) -> dg.SensorDefinition:
    """A sensor that starts a model's training, and the end of its trial. `arguments` go to `dg.sensor`."""
    jobs = [job for own in models.values() for job in (own.train, own.promote)]

    @dg.sensor(name=name, jobs=jobs, minimum_interval_seconds=seconds_between, **arguments)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        home, seen = current_home(), json.loads(context.cursor) if context.cursor else {}
        policy = read_policy(home.settings.policy).learning
        asked = [
            request
            for family, own in models.items()
            for request in (*_training(home, family, own, policy, seen), *_judgement(home, family, own, policy))
        ]
        if not asked:
            return dg.SkipReason("Too few verdicts are new to train on, and no trial is over.")
        return dg.SensorResult(run_requests=asked, cursor=json.dumps(seen))

    return sensor


def _training(
    home: Home, family: Family, jobs: Jobs, policy: Learning, seen: dict[str, int]
) -> Iterator[dg.RunRequest]:
    """A training, where enough verdicts are new since the last that this sensor asked for; notes the last of them."""
    with home.ledger.read() as connection:
        numbers = [verdict.verdict_id for verdict in verdicts_of(connection, family)]
    new = [number for number in numbers if number > seen.get(family.name, 0)]
    if len(new) >= policy.new_verdicts:
        seen[family.name] = max(new)
        yield dg.RunRequest(run_key=f"{family.name}/verdicts/{max(new)}", job_name=jobs.train.name)


def _judgement(home: Home, family: Family, jobs: Jobs, policy: Learning) -> Iterator[dg.RunRequest]:
    """The end of a trial, where the version answered enough in shadow; where somebody has to approve, a notice."""
    with home.ledger.read() as connection:
        trial = trials.of_family(connection, family.name)
    if trial is None or result_of(home, trial.version, family.performer).answers < policy.shadow_rows:
        return
    key = f"trial/{trial.version.name}/{trial.started_at.isoformat()}"
    if policy.approval == "nobody":
        order = Order("train", trial.version.version, "its trial is over", even_if_worse=trial.even_if_worse)
        yield dg.RunRequest(run_key=key, job_name=jobs.promote.name, tags=order.to_tags())
    else:
        with home.ledger.write() as connection:
            outbox.record(connection, asset=outbox.OF_A_RUN, partition="", notices=[_notice(key, trial)])


def _notice(key: str, trial: Trial) -> Notice:
    version = trial.version
    lines = (
        f"On trial since: {trial.started_at.isoformat(timespec='minutes')}",
        f"Trained by: {trial.trained_by or 'a schedule or a sensor'}",
        f"Look: orchestrate model trial {version.family}",
        f"Approve: orchestrate model promote {version.family} {version.version} --reason TEXT",
        "Until then the version in use decides",
    )
    body = "\n".join(f"- {line}" for line in lines)
    return Notice(key, f"{version.family} {version.version} waits for approval", body, {"trial": trial.facts()})
