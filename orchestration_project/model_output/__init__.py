"""Assets of a workflow: `governed_asset` and `model_output`."""

from orchestration_project.model_output.decorators import governed_asset, model_output
from orchestration_project.model_output.inputs import Batch, Run
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.model_output.step import Result

__all__ = ["BATCHES", "Batch", "Result", "Run", "governed_asset", "model_output"]
