"""What governance costs: `python -m bench.governance`, with `--messages N` for another number than 100,000.

One batch of messages made from the shipped labels goes through feedback and a sentiment with people behind the model, as
Dagster runs them; in turn with all of governance (audit log, switches read before every call, reviews, random checks) and
without any of it: no entry is written, no switch read, nobody asked. Printed are the medians of the rounds and their ratio.
"""

import argparse
import json
import logging
import os
import statistics
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import dagster as dg
import pandas as pd

from assets.feedback.feedback import feedback
from assets.feedback.lexicon import Lexicon
from assets.models.workflow_models import sentiment as model
from bench.materialize import materialize
from orchestration_project.core.settings import Settings
from orchestration_project.governance import audit
from orchestration_project.model_output import model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model
from orchestration_project.performers.person import Person
from orchestration_project.performers.switchboard import Switchboard
from orchestration_project.stores import arrivals, batches
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home
from orchestration_project.stores.labels import shipped

MESSAGES = 100_000
ROUNDS = 5


class Felt(Decision):
    """What each customer feels."""


def felt_by(cascade: Cascade) -> dg.AssetsDefinition:
    """The model output, decided by a cascade."""

    @model_output(cascade, contract=Felt, name="felt")
    def felt(feedback: pd.DataFrame) -> pd.DataFrame:
        return feedback[["message_id", "text"]]

    return felt


GOVERNED = felt_by(Cascade(Model("sentiment"), Person(), safe_state=Lexicon()))
UNGOVERNED = felt_by(Cascade(Model("sentiment"), safe_state=Lexicon()))


def main(messages: int, rounds: int) -> None:
    """Train once, then run batches with and without governance in turn, and print what each took."""
    logging.disable(logging.WARNING)  # every event of every run, on the console
    with TemporaryDirectory() as folder:
        os.environ["ORCHESTRATE_HOME"] = folder
        home = Home(Settings(home=Path(folder), batch_rows=messages))
        home.prepare()
        materialize(home, *model)
        took: dict[bool, list[float]] = {True: [], False: []}
        for number in range(2 * (rounds + 1)):
            is_governed = number % 2 == 0
            seconds = run(home, number, messages, is_governed=is_governed)
            if number > 1:  # the first of each warms up
                took[is_governed].append(seconds)
    medians = {name: statistics.median(found) for name, found in took.items()}
    for is_governed, median in medians.items():
        spread = f"{min(took[is_governed]):.2f} to {max(took[is_governed]):.2f}"
        print(f"{messages:,} messages {'with' if is_governed else 'without'} governance: {median:.2f} s ({spread})")
    print(f"ratio {medians[True] / medians[False]:.3f}")


def run(home: Home, number: int, messages: int, *, is_governed: bool) -> float:
    """Seconds in which a batch of its own is decided."""
    file = home.root / "sent.jsonl"
    texts = islice(cycle(shipped(require_family("sentiment"))["text"].tolist()), messages)
    rows = ({"message_id": f"{number}-{place}", "text": f"{text} {place}"} for place, text in enumerate(texts))
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    arrivals.register(home, arrivals.receive(home, file))
    batch = batches.open_next(home)
    assert batch is not None
    with governed(is_governed):
        started = time.perf_counter()
        materialize(home, feedback, GOVERNED if is_governed else UNGOVERNED, batch=batch)
        return time.perf_counter() - started


@contextmanager
def governed(is_governed: bool) -> Generator[None]:
    """With all of governance, or without any of it."""

    def no_entry(*_: Any, **__: Any) -> str:
        return ""

    def no_switch(*_: Any, **__: Any) -> None:
        return None

    with ExitStack() as stack:
        if not is_governed:
            stack.enter_context(patch.object(audit, "append", no_entry))
            for question in ("of_asset", "is_in_shadow", "refusal"):
                stack.enter_context(patch.object(Switchboard, question, no_switch))
        yield


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    main(arguments.messages, arguments.rounds)
