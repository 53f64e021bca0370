"""The composition root: loads the workflows from `assets/`, gives them their stores and executor."""

import dagster as dg

import assets
from orchestration_project.dispatch.audit_heads import AUDIT_LOG
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.dispatch.verdict_jobs import require_verdict_jobs
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.io_manager import WarehouseIOManager
from orchestration_project.model_output.with_people import VERDICTS
from orchestration_project.stores.home import current_home


@dg.definitions
def defs() -> dg.Definitions:
    """Everything under `assets/`, on the home that the environment names, people, and the audit log."""
    home = current_home()
    workflows = dg.load_definitions_from_package_module(assets)
    require_verdict_jobs(workflows.assets or (), workflows.jobs or ())
    resources = {HOME: home, "io_manager": WarehouseIOManager(home)}
    return dg.Definitions.merge(
        workflows, dg.Definitions(assets=[VERDICTS, AUDIT_LOG], resources=resources, executor=ledger_executor)
    )
