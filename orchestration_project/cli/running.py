"""The verbs that run something: train, demo, up."""

import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration_project.cli.judgements import judgement_of
from orchestration_project.cli.modelling import METRICS, shown
from orchestration_project.cli.printing import (
    AsJson,
    complain,
    note,
    say,
    say_json,
    say_notices,
    say_rule,
    say_table,
)
from orchestration_project.core.errors import Refused
from orchestration_project.core.settings import PROJECT

if TYPE_CHECKING:
    from orchestration_project.governance.promotion import Order
    from orchestration_project.stores.home import Home
    from orchestration_project.stores.model_versions import ModelVersion

SAMPLES = PROJECT / "assets" / "samples" / "inbox"
"""Files that `demo` and `up` send once, so that there is something to see."""


def train(
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model.")] = None,
    new_labels: Annotated[
        str | None, typer.Option(metavar="REASON", help="It may answer another label set than before; say why.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the models on their labels.

    Each is evaluated on labels that it never saw. The first is in use at once; a later one that is no worse goes on
    trial, as the policy says. What was set aside for want of a model is then done.

    Example: orchestrate train --model sentiment
    """
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.governance import people
    from orchestration_project.governance.promotion import Order
    from orchestration_project.stores.home import prepared_home

    if new_labels is not None and not (model and new_labels.strip()):
        raise Refused(
            "--new-labels needs one model and a reason. Run: orchestrate train --model NAME --new-labels REASON"
        )
    home = prepared_home()
    order = Order(
        reason=(new_labels or "").strip(),
        new_labels=new_labels is not None,
        person=people.require(home.settings, "trainer").name,
    )
    _train(home, model, order)
    found = [champion for champion in _in_use(home) if model in (None, champion.family)]
    judged = {one.family: judgement_of(home, one.family) for one in found}
    if as_json:
        say_json(
            [
                {
                    "model": one.family,
                    "version": one.version,
                    "threshold": one.threshold,
                    "candidate": judged[one.family].candidate,
                    "is_new": judged[one.family].is_new,
                    "is_on_trial": judged[one.family].is_on_trial,
                    "reason": judged[one.family].reason,
                    **one.metrics,
                }
                for one in found
            ]
        )
    else:
        evaluations = [_evaluation(champion) for champion in found]
        names = ("version", "threshold", *METRICS)
        say_table(
            ("", *(champion.family for champion in found)),
            [(name, *(one[name] for one in evaluations)) for name in names],
        )
        for judgement in judged.values():
            say(judgement.told())
    run_unless_project_does(home)


def demo() -> None:
    """Run the whole workflow once on the sample messages.

    Trains what is missing, sends the samples, prints the alerts. Run again, it changes nothing.

    Example: orchestrate demo
    """
    from orchestration_project.cli.work import finish_requested
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.outbox import recorded

    home = prepared_home()
    _prepare_samples(home)
    finish_requested(home)
    with home.ledger.read() as connection:
        notices = recorded(connection)
    say_rule(f"{len(notices)} executive alerts")
    say_notices(notices)
    say("")
    say("Where to look next:")
    say("  .venv/bin/orchestrate status               where each message is")
    say("  .venv/bin/orchestrate explain MESSAGE_ID   why it was decided so (ids stand below the quotes)")
    say("  .venv/bin/orchestrate review next          what nobody was sure of, and waits for you")
    say("  .venv/bin/orchestrate sql                  the tables, with SQL")
    say("  make up                                    Dagster's UI: lineage, checks, runs")


def up() -> None:
    """Start Dagster's UI with its daemon, sensors and schedules, and the inbox for posted messages.

    Ctrl-C stops everything; what was taken in is kept.

    Example: orchestrate up
    """
    from orchestration_project.cli.dagster_commands import start_server, stop
    from orchestration_project.cli.inbox_server import only_inbox_server, start_inbox
    from orchestration_project.cli.work import hold_running_lock
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    hold_running_lock(home).release()
    with only_inbox_server(home):
        refuse_taken_port(home.settings.port, "ORCHESTRATE_PORT")
        refuse_taken_port(home.settings.inbox_port, "ORCHESTRATE_INBOX_PORT")
    _prepare_samples(home)
    lock = hold_running_lock(home)
    let_every_stop_be_an_interrupt()
    url, inbox_url = (f"http://127.0.0.1:{port}" for port in (home.settings.port, home.settings.inbox_port))
    servers: dict[str, subprocess.Popen[bytes]] = {}
    ended = None
    try:
        servers["Dagster"] = start_server(home)
        servers["The inbox"] = start_inbox(home)
        say(f"Dagster's UI   {url}\nLineage        {url}/asset-groups")
        say(f"Inbox          {home.inbox}, {inbox_url}/inbox\nStop with Ctrl-C.")
        ended = _first_to_end(servers)
    except KeyboardInterrupt:
        pass
    finally:
        for server in servers.values():
            stop(server)
        lock.release()
    if ended is None:
        note("Stopped. What was taken in is kept; the next start goes on.")
        return
    status = servers[ended].returncode
    complain(f"{ended} stopped by itself (exit status {status}). Nothing is lost; start again with: make up")
    raise typer.Exit(1)


def refuse_taken_port(port: int, variable: str) -> None:
    """Refused where another program listens on the port that the variable sets."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(f"Port {port} is taken. Stop what uses it, or set {variable} to a free one.") from error


def _first_to_end(servers: Mapping[str, "subprocess.Popen[bytes]"]) -> str:
    """Wait until one of the processes ends; its name."""
    from orchestration_project.cli.dagster_commands import POLL_SECONDS

    while True:
        for name, server in servers.items():
            if server.poll() is not None:
                return name
        time.sleep(POLL_SECONDS)


def let_every_stop_be_an_interrupt() -> None:
    """A closed terminal or a service manager stops the project as Ctrl-C does; what is ignored stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _train(home: "Home", model: str | None = None, order: "Order | None" = None) -> None:
    from orchestration_project.cli.dagster_commands import run_job

    tags = None if order is None else order.to_tags()
    job = f"train_{model}" if model else "train"
    run_job(home, job, f"Training {model or 'every model'} (some seconds each)", tags)


def _prepare_samples(home: "Home") -> None:
    """Train the models if none is in use, and send the sample files that were not sent before."""
    from orchestration_project.cli.sending import take_in
    from orchestration_project.cli.work import finish_batches
    from orchestration_project.stores.arrivals import is_known
    from orchestration_project.stores.files import file_digest

    if not _in_use(home):
        _train(home)
        for champion in _in_use(home):
            note(judgement_of(home, champion.family).told())
    with home.ledger.read() as connection:
        fresh = [file for file in sorted(SAMPLES.glob("[!.]*")) if not is_known(connection, file_digest(file))]
    if fresh:
        tokens, rows = take_in(home, [str(file) for file in fresh])
        note(f"{rows:,} sample messages taken in")
        finish_batches(home, tokens)


def _in_use(home: "Home") -> "list[ModelVersion]":
    from orchestration_project.stores.champions import in_use

    with home.ledger.read() as connection:
        return in_use(connection)


def _evaluation(champion: "ModelVersion") -> dict[str, object]:
    """What the version in use is, and how it did on the holdout, as the table shows it."""
    threshold = "none: accepts nothing" if champion.threshold is None else champion.threshold
    metrics = {name: shown(champion.metrics.get(name)) for name in METRICS}
    return {"version": champion.version, "threshold": threshold, **metrics}
