"""Which batches of feedback are unusual: the limits of `anomalies.csv`."""

from pathlib import Path

from orchestration_project.model_output.watch import Watch

WATCH = Watch(Path(__file__).with_name("anomalies.csv"), vocabulary="sentiment")
