"""What starts what, on one page. What has a name here is seen, stopped and started in Dagster's UI, under Automation.

| trigger | starts | when | at first |
|---|---|---|---|
| feedback_arrived | workflow | a file lies in the inbox, or a message was sent | running |
| `POST /inbox` | workflow, at once by the dispatcher | a message was posted | on, in `up` and `serve-inbox` |
| feedback_arrived | verdicts_on_… | a person decided what waited in a review, or nobody did in time | running |
| documents_changed | read_documents | a document of ORCHESTRATE_KNOWLEDGE was added, changed or removed | running |
| run_changed | nothing: it adds to the audit log | a run began or ended, whatever started it | running |
| enough_learnt | train_…, promote_… | people decided enough since the last training; a version on trial answered enough | running |
| limits_kept | nothing: it switches | a performer breaks a limit of `policy.toml`: it goes into shadow | running |
| quarantine_changed | list_what_waits | a row was refused or settled, a batch halted, set aside or taken up | running |
| checks_changed | estimate_live_error | a random check was drawn, answered or closed, or a day began | running |
| feedback_stopped | nothing: it tells | no batch came for as long as `anomalies.csv` allows (silence) | running |
| upstream_changed | assets with an automation condition | what they are made from changed, and passed its gate | running |
| daily_digest | send_digest | 07:00, in ORCHESTRATE_TIME_ZONE | running |
| nightly_training | train | 02:00, in ORCHESTRATE_TIME_ZONE | running |
| weekly_thresholds | choose_thresholds | Monday, 03:00, in ORCHESTRATE_TIME_ZONE | running |
| a threshold in a run | alert: its notice | `alert.csv` says so of the batch and the hours before it | on, in `workflow` |
| a threshold across batches | alert: its notice | the same: its counts are SQL over every batch | on, in `workflow` |
| a limit of a batch | a halt or a warning, and its notice | `anomalies.csv` says so, or the gate | on, in every run |
| a run that failed | a notice; another attempt | a run of a batch failed, or halted it | on, in every run |

How each is switched off: docs/triggers.md. By hand, from a job's Launchpad: `promote_…`, and the orders
`correct_refused_row`, `correct_refused_rows`, `rename_refused_column`, `replay_refused_rows`, `discard_refused_rows`,
`retry_batch`, `rescore_batch`, `discard_batch`, `pass_halt`, `discard_halt`, `accept_column`, `switch`.
"""

import dagster as dg

from assets.feedback.anomalies import WATCH
from orchestration_project.core.settings import Settings
from orchestration_project.dispatch.checks_sensor import checks_sensor
from orchestration_project.dispatch.disengagement_sensor import disengagement_sensor
from orchestration_project.dispatch.document_sensor import documents_sensor
from orchestration_project.dispatch.learning_sensor import Jobs, learning_sensor
from orchestration_project.dispatch.order_jobs import order_jobs
from orchestration_project.dispatch.run_history import run_history_sensor
from orchestration_project.dispatch.sensor import arrivals_sensor
from orchestration_project.dispatch.silence_sensor import silence_sensor
from orchestration_project.dispatch.verdict_jobs import verdict_job
from orchestration_project.dispatch.waiting_sensor import waiting_sensor
from orchestration_project.stores.families import families
from orchestration_project.stores.run_requests import WORKFLOW

TIME_ZONE = Settings.from_environment().time_zone
FAMILIES = [family.name for family in families()]

workflow = dg.define_asset_job(
    WORKFLOW,
    selection=dg.AssetSelection.groups("feedback"),
    description="A batch of messages from its arrival to the alert.",
)
read_documents = dg.define_asset_job(
    "read_documents",
    selection=dg.AssetSelection.assets("documents"),
    description="What the documents of the knowledge folder say.",
)
train = dg.define_asset_job(
    "train", selection=dg.AssetSelection.groups("models"), description="Train, evaluate and promote every model."
)
train_one = [
    dg.define_asset_job(
        f"train_{family}",
        selection=dg.AssetSelection.assets(
            *(f"{family}_{part}" for part in ("labels", "challenger", "evaluation", "champion"))
        ),
        description=f"Train, evaluate and promote the {family} model.",
    )
    for family in FAMILIES
]
promote_one = [
    dg.define_asset_job(
        f"promote_{family}",
        selection=dg.AssetSelection.assets(f"{family}_champion"),
        description=f"Put the version of the {family} model in use that the run's tags name: orchestrate model promote.",
    )
    for family in FAMILIES
]
send_digest = dg.define_asset_job(
    "send_digest",
    selection=dg.AssetSelection.assets("digest"),
    description="What came in on the last whole day, as a notice.",
)
list_what_waits = dg.define_asset_job(
    "list_what_waits",
    selection=dg.AssetSelection.assets("refused_rows", "open_halts"),
    description="What waits for somebody: the rows that gates refused, what is halted, what is set aside.",
)
estimate_live_error = dg.define_asset_job(
    "estimate_live_error",
    selection=dg.AssetSelection.assets("live_error"),
    description="How often accepted answers are wrong, by the random checks that people answered.",
)
choose_thresholds = dg.define_asset_job(
    "choose_thresholds",
    selection=dg.AssetSelection.assets("live_error", "acceptance_thresholds"),
    description="From which confidence on models' answers are accepted: raised where random checks ask for it.",
)
after_verdicts = [verdict_job(asset, dg.AssetSelection.groups("feedback")) for asset in ("sentiment", "issue")]
orders = order_jobs()

feedback_arrived = arrivals_sensor(
    "feedback_arrived",
    workflow,
    after_verdicts,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes in the inbox and starts the workflow for each batch of messages.",
)
documents_changed = documents_sensor(
    "documents_changed",
    read_documents,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has the documents read when what stands in their folder changed.",
)
run_changed = run_history_sensor(
    "run_changed",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds to the audit log which run began, for whom, and how it ended.",
)
quarantine_changed = waiting_sensor(
    "quarantine_changed",
    list_what_waits,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Lists what waits for somebody when that changed.",
)
checks_changed = checks_sensor(
    "checks_changed",
    estimate_live_error,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Estimates how often accepted answers are wrong when what was checked changed.",
)
enough_learnt = learning_sensor(
    "enough_learnt",
    {family: Jobs(*jobs) for family, *jobs in zip(families(), train_one, promote_one, strict=True)},
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has a model trained on what people decided, and one on trial judged.",
)
limits_kept = disengagement_sensor(
    "limits_kept",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sends a performer that breaks a limit of the policy into shadow.",
)
feedback_stopped = silence_sensor(
    "feedback_stopped",
    WATCH,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells that no message comes any more, once.",
)
upstream_changed = dg.AutomationConditionSensorDefinition(
    "upstream_changed",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes assets that no job runs again, by their automation conditions.",
)
daily_digest = dg.ScheduleDefinition(
    name="daily_digest",
    job=send_digest,
    cron_schedule="0 7 * * *",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Tells what came in on the last whole day.",
)
nightly_training = dg.ScheduleDefinition(
    name="nightly_training",
    job=train,
    cron_schedule="0 2 * * *",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Trains the models on what is labelled by now.",
)
weekly_thresholds = dg.ScheduleDefinition(
    name="weekly_thresholds",
    job=choose_thresholds,
    cron_schedule="0 3 * * 1",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Holds acceptance thresholds against what people found in random checks.",
)
