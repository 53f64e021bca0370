"""What starts what, on one page. Each trigger is seen, stopped and started in Dagster's UI, under Automation.

| trigger | starts | when | at first |
|---|---|---|---|
| feedback_arrived | workflow | a message was sent, or a file lies in the inbox | running |
| documents_changed | read_documents | a document of ORCHESTRATE_KNOWLEDGE was added, changed or removed | running |
| upstream_changed | assets with an automation condition | what they are made from changed, and passed its gate | running |
| daily_digest | send_digest | 07:00, in ORCHESTRATE_TIME_ZONE | running |
| nightly_training | train | 02:00, in ORCHESTRATE_TIME_ZONE | running |
| hourly_quarantine | list_refused_rows | on the hour | running |

By hand, from a job's Launchpad: `promote_…`, and the orders `correct_refused_row`, `replay_refused_rows`,
`discard_refused_rows`, `retry_batch`, `discard_batch`, `pass_halt`, `discard_halt`.
"""

import dagster as dg

from orchestration_project.core.settings import Settings
from orchestration_project.dispatch.document_sensor import documents_sensor
from orchestration_project.dispatch.order_jobs import order_jobs
from orchestration_project.dispatch.sensor import arrivals_sensor
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
list_refused_rows = dg.define_asset_job(
    "list_refused_rows",
    selection=dg.AssetSelection.assets("refused_rows"),
    description="The rows that gates refused and that wait for somebody.",
)
orders = order_jobs()

feedback_arrived = arrivals_sensor(
    "feedback_arrived",
    workflow,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Takes in the inbox and starts the workflow for each batch of messages.",
)
documents_changed = documents_sensor(
    "documents_changed",
    read_documents,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Has the documents read when what stands in their folder changed.",
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
hourly_quarantine = dg.ScheduleDefinition(
    name="hourly_quarantine",
    job=list_refused_rows,
    cron_schedule="0 * * * *",
    execution_timezone=TIME_ZONE,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Lists the rows that wait in quarantine.",
)
