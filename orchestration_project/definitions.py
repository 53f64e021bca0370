"""The composition root: loads the workflows from `assets/`, gives them their stores and executor."""

import dagster as dg

import assets
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.io_manager import WarehouseIOManager
from orchestration_project.stores.home import current_home


@dg.definitions
def defs() -> dg.Definitions:
    """Everything under `assets/`, on the home that the environment names."""
    home = current_home()
    return dg.Definitions.merge(
        dg.load_definitions_from_package_module(assets),
        dg.Definitions(resources={HOME: home, "io_manager": WarehouseIOManager(home)}, executor=ledger_executor),
    )
