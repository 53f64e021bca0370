"""The verb `explain`: a message's whole story, as text, as JSON or as a picture."""

from enum import StrEnum
from typing import Annotated

import typer

from orchestration_project.cli.printing import AsJson, say, say_json


class Format(StrEnum):
    """How a story is told."""

    TEXT = "text"
    JSON = "json"
    MERMAID = "mermaid"


def explain(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="As in the tables and alerts.")],
    form: Annotated[
        Format, typer.Option("--format", help="text; json, for programs; mermaid, a flowchart with redacted words.")
    ] = Format.TEXT,
    as_json: AsJson = False,
) -> None:
    """A message's whole story.

    Which file it came in with, what each performer answered and why, from which confidence it is accepted and in which
    version, who decided, what was alerted and where that was delivered. Words that spoke for an accepted answer of a
    model are found anew. A row that is read although a later run of its asset was halted is marked `halted since`.

    Example: orchestrate explain F0062

    Example: orchestrate explain F0062 --format mermaid
    """
    from functools import partial

    from orchestration_project.performers.why import reason_of
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.story import whole_story

    home = prepared_home()
    story = whole_story(home, message_id, partial(reason_of, home))
    if as_json or form is Format.JSON:
        say_json(story)
    elif form is Format.MERMAID:
        from orchestration_project.cli.flowchart import flowchart

        say(flowchart(story))
    else:
        from orchestration_project.cli.telling import lines_of

        for line in lines_of(story):
            say(line)
