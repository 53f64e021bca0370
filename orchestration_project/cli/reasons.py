"""Why somebody orders what they order: asked by every verb that changes something, kept in the audit log."""

from typing import Annotated

import typer

from orchestration_project.core.errors import Refused

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it goes into the audit log.")]


def stated(reason: str) -> str:
    """The reason without the white space around it; Refused when nothing is left."""
    if not reason.strip():
        raise Refused("The reason is empty. Say why, for whoever reads the audit log.")
    return reason.strip()
