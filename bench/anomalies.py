"""How often the watch halts good batches, and how many bad ones it sees: `python -m bench.anomalies`.

Half of the shipped messages train the model, the other half makes the batches: 200 clean ones of 30 to 400 rows, then
four of each of ten kinds that something happened to. Every batch is held against the clean ones before it by
`assets/feedback/anomalies.csv`.
"""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from assets.feedback.anomalies import WATCH
from orchestration_project.core.settings import Settings
from orchestration_project.model_output.measures import Seen
from orchestration_project.model_output.watch import Found
from orchestration_project.performers.text_classifier import TextClassifier, train
from orchestration_project.stores.families import require_family
from orchestration_project.stores.home import Home
from orchestration_project.stores.labels import shipped

CLEAN = 200
EACH = 4
FEWEST, MOST = 30, 400
LESS_LOST = 0.05
"""Share of messages without an account in a clean batch."""


@dataclass
class Rows:
    """A batch: its messages with their decisions, and how many rows came in besides that were duplicates."""

    frame: pd.DataFrame
    duplicates: int = 0


Happening = Callable[[Rows, np.random.Generator], Rows]


@dataclass(frozen=True)
class Figures:
    """Of the clean batches how many halted; kind → of the bad ones how many were seen."""

    clean: int
    halted: int
    seen: dict[str, int]

    @property
    def seen_of_all(self) -> int:
        """How many bad batches were seen."""
        return sum(self.seen.values())


def figures(folder: Path) -> Figures:
    """Run all batches on a home in the folder."""
    home = Home(Settings(home=folder))
    home.prepare()
    random = np.random.default_rng(5)
    messages = shipped(require_family("sentiment")).sample(frac=1, random_state=5).reset_index(drop=True)
    half = len(messages) // 2
    model = train(messages["text"][:half], messages["label"][:half]).classifier
    pool = answered(model, messages["text"][half:])
    known = model.pipeline[0].transformer_list[0][1].vocabulary_  # pyright: ignore  # scikit-learn's steps are untyped
    halted = 0
    for number in range(CLEAN):
        found = look(home, f"clean-{number:03d}", drawn(pool, random), known, keep=True)
        halted += any(one.halt for one in found)
    seen = {
        name: sum(
            any(judged.is_anomaly for one in found for judged in one.judged.values())
            for number in range(EACH)
            for found in [look(home, f"{name}-{number}", happen(drawn(pool, random), random), known, keep=False)]
        )
        for name, happen in HAPPENINGS.items()
    }
    home.ledger.close()
    return Figures(CLEAN, halted, seen)


def answered(model: TextClassifier, texts: pd.Series) -> pd.DataFrame:
    """The messages with the model's decision of each: text, label, confidence."""
    answers = model.predict(texts.tolist())
    return pd.DataFrame({"text": texts.to_numpy(), "label": answers["label"], "confidence": answers["confidence"]})


def drawn(pool: pd.DataFrame, random: np.random.Generator) -> Rows:
    """A clean batch: some of the pool, a few without an account, the newest hours old."""
    rows = int(np.exp(random.uniform(np.log(FEWEST), np.log(MOST))))
    frame = pool.sample(rows, random_state=int(random.integers(2**31))).reset_index(drop=True)
    frame["account"] = pd.Series(random.integers(1000, size=rows).astype(str)).mask(random.random(rows) < LESS_LOST)
    hours = pd.to_timedelta(random.uniform(0.1, 3, size=rows), unit="h")
    frame["received_at"] = pd.Timestamp.now(tz="UTC") - hours
    return Rows(frame, int(random.binomial(rows, 0.03)))


def look(home: Home, batch: str, rows: Rows, known: dict[str, int], *, keep: bool) -> list[Found]:
    """What the watch says of feedback and sentiment; kept as history if it is a clean batch that did not halt."""
    found: list[Found] = []
    for asset in ("feedback", "sentiment"):
        seen = Seen(rows.frame, len(rows.frame) + rows.duplicates, rows.duplicates, 0, known)
        one = WATCH.look(home, asset, batch, seen)
        if keep and one.halt is None:
            with home.ledger.write() as connection:
                one.record(connection, asset, batch)
        found.append(one)
    return found


def _texts(change: Callable[[str], str], share: float = 1.0) -> Happening:
    def happen(rows: Rows, random: np.random.Generator) -> Rows:
        hit = random.random(len(rows.frame)) < share
        changed = rows.frame["text"].map(change)
        return Rows(rows.frame.assign(text=rows.frame["text"].mask(hit, changed)), rows.duplicates)

    return happen


def _lost_accounts(rows: Rows, random: np.random.Generator) -> Rows:
    lost = random.random(len(rows.frame)) < 0.6
    return Rows(rows.frame.assign(account=rows.frame["account"].mask(lost)), rows.duplicates)


def _sent_twice(rows: Rows, random: np.random.Generator) -> Rows:
    return Rows(rows.frame, len(rows.frame))


def _flood(rows: Rows, random: np.random.Generator) -> Rows:
    return Rows(pd.concat([rows.frame] * 200, ignore_index=True), rows.duplicates * 200)


def _stale(rows: Rows, random: np.random.Generator) -> Rows:
    return Rows(rows.frame.assign(received_at=rows.frame["received_at"] - pd.Timedelta(days=60)), rows.duplicates)


def _tilted(rows: Rows, random: np.random.Generator) -> Rows:
    return Rows(rows.frame.assign(label=rows.frame["label"].mask(random.random(len(rows.frame)) < 0.9, "neutral")))


def _unsure(rows: Rows, random: np.random.Generator) -> Rows:
    return Rows(rows.frame.assign(confidence=rows.frame["confidence"] * 0.6))


HAPPENINGS: dict[str, Happening] = {
    "lost accounts": _lost_accounts,
    "cut texts": _texts(lambda text: text[:20]),
    "glued texts": _texts(lambda text: " ".join([text] * 4)),
    "another language": _texts(lambda text: codecs.encode(text, "rot13"), share=0.6),
    "broken encoding": _texts(lambda text: text.replace("e", "Ã©").replace("o", "Ã¶"), share=0.6),
    "sent twice": _sent_twice,
    "flood": _flood,
    "stale feed": _stale,
    "tilted decisions": _tilted,
    "model suddenly unsure": _unsure,
}
"""What happens to a batch."""


def report() -> Iterator[str]:
    """The figures, a line each."""
    with TemporaryDirectory() as folder:
        found = figures(Path(folder, "home"))
    yield f"{found.halted} of {found.clean} clean batches halted"
    yield f"{found.seen_of_all} of {EACH * len(HAPPENINGS)} bad batches seen"
    yield from (f"  {name}: {number} of {EACH}" for name, number in found.seen.items())


if __name__ == "__main__":
    for line in report():
        print(line)
