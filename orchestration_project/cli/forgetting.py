"""The verb `forget`: a message that somebody wants erased."""

from typing import Annotated

import typer

from orchestration_project.cli.printing import AsJson, complain, note, say, say_json, say_table
from orchestration_project.cli.reasons import stated


def forget(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="As in the tables and alerts.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Who asked for it; it goes into the audit log.")],
    as_json: AsJson = False,
) -> None:
    """Erase what a message said, and its account, everywhere in this project. It cannot be taken back.

    The row stays with its id, its labels, who decided and how surely. The audit log still holds, and says that it was
    erased. What is not reached is told, and which models learnt the message. Takes the role privacy.

    Example: orchestrate forget F0062 --why "The customer asked for it, ticket 4711"
    """
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.governance.erasure import forget as erase
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    found = erase(home, message_id, stated(why))
    if as_json:
        models = [vars(one) for one in found.models]
        told = {"message_id": message_id, "is_new": found.is_new, "places": dict(+found.places), "models": models}
        say_json({**told, "commands": found.commands(), "unreached": found.unreached, "requests": found.requests})
    else:
        if found.before is not None:
            moment = found.before.erased_at.isoformat(timespec="seconds")
            more = "More of it has come since, and is erased too." if found.is_new else "Nothing more was found."
            say(f"{found.before.person} had message {message_id} erased already, at {moment}. {more}")
        if found.is_new:
            say_table(("erased", "how many"), [(place, f"{number:,}") for place, number in (+found.places).items()])
        if found.models:
            rows = [(one.family, one.version, "yes" if one.is_in_use else "") for one in found.models]
            say_table(("to be retrained", "version", "in use"), rows)
            say("Next: " + " && ".join(found.commands()))
        for sentence in found.unreached:
            complain(f"Not reached: {sentence}")
    if found.requests:
        note("What waited for people on it takes its default.")
        run_unless_project_does(home)
