"""The command line `orchestrate`. Exit status: 0 done, 1 refused or failed, 2 wrong usage.

It reaches the workflows by starting Dagster's own commands, never by importing them, and imports heavy libraries only
in the verb that needs them.
"""

import errno
import os
import sys
from contextlib import suppress

import typer

from orchestration_project.cli import (
    auditing,
    batching,
    contracting,
    delivering,
    drilling,
    evaluating,
    explaining,
    forgetting,
    inbox_server,
    labelling,
    looking,
    modelling,
    quarantining,
    rescoring,
    reviewing,
    running,
    sending,
    switching,
)
from orchestration_project.cli.printing import complain
from orchestration_project.core.errors import OrchestrationError

app = typer.Typer(
    name="orchestrate",
    help="Run AI workflows that may be trusted alone: send messages, watch what becomes of them, see why.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

RUN, LOOK, MEND, GOVERN, MODELS = "Run", "Look", "Mend", "Govern", "Models"

app.command(rich_help_panel=RUN)(sending.send)
app.command(rich_help_panel=RUN)(running.train)
app.command(rich_help_panel=RUN)(running.demo)
app.command(rich_help_panel=RUN)(running.up)
app.command(name="serve-inbox", rich_help_panel=RUN)(inbox_server.serve_inbox)
app.command(rich_help_panel=LOOK)(looking.status)
app.command(rich_help_panel=LOOK)(looking.alerts)
app.command(rich_help_panel=LOOK)(explaining.explain)
app.command(rich_help_panel=LOOK)(looking.sql)
app.command(rich_help_panel=LOOK)(looking.people)
app.command(rich_help_panel=LOOK)(looking.where)
app.add_typer(delivering.app, name="deliveries", rich_help_panel=LOOK)
app.add_typer(quarantining.app, name="quarantine", rich_help_panel=MEND)
app.add_typer(batching.halt_app, name="halt", rich_help_panel=MEND)
app.add_typer(batching.batch_app, name="batch", rich_help_panel=MEND)
app.add_typer(contracting.app, name="contract", rich_help_panel=MEND)
app.add_typer(drilling.app, name="drill", rich_help_panel=MEND)
app.add_typer(reviewing.app, name="review", rich_help_panel=GOVERN)
app.command(rich_help_panel=GOVERN)(reviewing.appeal)
app.add_typer(switching.app, name="switch", rich_help_panel=GOVERN)
app.add_typer(auditing.app, name="audit", rich_help_panel=GOVERN)
app.command(rich_help_panel=GOVERN)(forgetting.forget)
app.command(rich_help_panel=MODELS)(evaluating.evaluate)
app.command(rich_help_panel=MODELS)(rescoring.rescore)
app.add_typer(labelling.app, name="labels", rich_help_panel=MODELS)
app.add_typer(modelling.app, name="model", rich_help_panel=MODELS)


EXAMPLE = "Example: "


def verbs() -> dict[str, str]:
    """Every verb as it is typed, such as `labels import`, and its help."""
    apps = [("", app)]
    apps += [(f"{group.name} ", group.typer_instance) for group in app.registered_groups if group.typer_instance]
    return {
        f"{prefix}{command.name or command.callback.__name__}": command.callback.__doc__ or ""
        for prefix, one in apps
        for command in one.registered_commands
        if command.callback
    }


def examples() -> list[str]:
    """The example of each verb, as its help gives it."""
    texts = verbs().values()
    return [line.strip().removeprefix(EXAMPLE) for text in texts for line in text.splitlines() if EXAMPLE in line]


_DISK_TROUBLES = {
    errno.ENOSPC: "Free space there, and try again.",
    errno.EDQUOT: "Free space there, and try again.",
    errno.EROFS: "Name a place that this user may write, and try again.",
    errno.EACCES: "Let this user read and write it, and try again.",
}
"""What to do next, for each error of the system that says what is wrong with a disk, file or folder."""

app.info.epilog = "\n\n".join(["Examples:", *examples()])


def main() -> None:
    """Run the command line; what the project refuses, and a disk that cannot be written, is one sentence on standard
    error, never a traceback.
    """
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a short result would meet a full disk only when the process has ended
    except OrchestrationError as error:
        complain(str(error))
        sys.exit(1)
    except OSError as error:
        trouble = _disk_trouble(error)
        if trouble is None:
            raise
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it goes nowhere
        complain(trouble)
        sys.exit(1)
    except KeyboardInterrupt:
        complain("Stopped. What was taken in is kept; the next start goes on.")
        sys.exit(130)


def _disk_trouble(error: OSError) -> str | None:
    """The sentence for a disk that is full, or a file or folder that may not be used; None for another error."""
    if error.errno in _DISK_TROUBLES and error.filename is not None:
        return f"{error.filename}: {error.strerror}. {_DISK_TROUBLES[error.errno]}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):  # while writing, which names no file
        return f"{error.strerror}. Free space where the home lies (see: orchestrate where) or you write to; try again."
    return None


if __name__ == "__main__":
    main()
