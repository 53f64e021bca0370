"""The partition of every asset that handles messages: one key for each batch."""

import dagster as dg

BATCHES = dg.DynamicPartitionsDefinition(name="batch")
"""The name is also what `orchestrate send` adds keys to, without importing this module."""
