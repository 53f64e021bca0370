"""The sensor by which models learn: it has a model trained when people decided enough since, and one that was on trial
judged when it answered enough in shadow.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from orchestration_project.governance.policy import Learning, read_policy
from orchestration_project.governance.promotion import Order, how_to_approve
from orchestration_project.governance.trial_results import counted, trouble
from orchestration_project.stores import champions, outbox, trials
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home, current_home
from orchestration_project.stores.model_versions import ModelVersion
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
        told: list[str] = []
        asked = [
            request
            for family, own in models.items()
            for request in (
                *_training(home, family, own, policy, seen),
                *_judgement(home, family, own, policy, seen, told.append),
            )
        ]
        for line in told:
            context.log.info(line)
        if not asked:
            return dg.SkipReason(" ".join(("Too few verdicts are new to train on, and no trial is over.", *told)))
        return dg.SensorResult(run_requests=asked, cursor=json.dumps(seen))

    return sensor


def _training(
    home: Home, family: Family, jobs: Jobs, policy: Learning, seen: dict[str, Any]
) -> Iterator[dg.RunRequest]:
    """A training, where enough verdicts are new since the last that this sensor asked for; notes the last of them."""
    with home.ledger.read() as connection:
        said = verdicts_of(connection, family, after=seen.get(family.name, 0))
    new = [verdict.verdict_id for verdict in said]
    if len(new) >= policy.new_verdicts:
        seen[family.name] = max(new)
        yield dg.RunRequest(run_key=f"{family.name}/verdicts/{max(new)}", job_name=jobs.train.name)


def _judgement(
    home: Home, family: Family, jobs: Jobs, policy: Learning, seen: dict[str, Any], tell: Callable[[str], object]
) -> Iterator[dg.RunRequest]:
    """The end of a trial, where the version answered enough in shadow; where somebody has to approve, a notice. Either is
    asked for once, and answers are counted until then only; `tell` gets how a trial stands that goes on.
    """
    with home.ledger.read() as connection:
        trial = trials.of_family(connection, family.name)
        if trial is None:
            return
        key = f"trial/{trial.version.name}/{trial.started_at.isoformat()}"
        if seen.get(f"trial/{family.name}") == key or outbox.is_recorded(connection, key):
            return
        used = champions.champion(connection, family.name)
    result = counted(home, trial)
    if result.answers < policy.shadow_rows:
        tell(f"{trial.version.name} is on trial: {result.told(policy.shadow_rows)}. {trouble(home, trial)}".strip())
        return
    if policy.approval == "nobody":
        seen[f"trial/{family.name}"] = key
        order = Order("train", trial.version.version, "its trial is over", even_if_worse=trial.even_if_worse)
        yield dg.RunRequest(run_key=key, job_name=jobs.promote.name, tags=order.to_tags())
    else:
        with home.ledger.write() as connection:
            outbox.record(connection, asset=outbox.OF_A_RUN, partition="", notices=[_notice(key, trial, used)])


def _notice(key: str, trial: Trial, used: ModelVersion | None) -> Notice:
    version = trial.version
    lines = (
        f"On trial since: {trial.started_at.isoformat(timespec='minutes')}",
        f"Trained by: {trial.trained_by or 'a schedule or a sensor'}",
        f"Look: orchestrate model trial {version.family}",
        f"Approve: {how_to_approve(trial, used)}",
        "Until then the version in use decides",
    )
    body = "\n".join(f"- {line}" for line in lines)
    return Notice(key, f"{version.family} {version.version} waits for approval", body, {"trial": trial.facts()})
