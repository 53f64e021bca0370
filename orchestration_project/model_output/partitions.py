"""The partition of every asset that handles messages: one key for each batch."""

import warnings

import dagster as dg

# Dagster calls two things "preview" that this project stands on and its tests hold: checks that have partitions, and
# loading definitions from a package. Its warning for each of them, in every process, would bury the ones that matter.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

BATCHES = dg.DynamicPartitionsDefinition(name="batch")
"""The name is also what `orchestrate send` adds keys to, without importing this module."""
