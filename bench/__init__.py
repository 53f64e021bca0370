"""Measurements of the project, each a command of its own; nothing here is imported by the product."""
