"""Let models learn from people for some days, and write what happened into docs/learning.md: `make learning`, or
`python -m bench.learning`.

The stories are told by `STORIES`; each lives in a home of its own (`bench/simulated_days.py`). Tables of the document
stand between `<!-- NAME -->` and `<!-- end -->`, and are written anew from this run; the picture goes to docs/images/.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from assets.feedback.lexicon import Lexicon
from assets.models.figures import as_png
from bench.labelled_data import clinc150, evaluation_data
from bench.models import IMAGES, written
from bench.set_clock import Clock
from bench.simulated_days import Workflow
from orchestration_project.core.settings import PROJECT
from orchestration_project.governance.live_errors import Standing
from orchestration_project.performers.performer import Performer
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.stores.families import Family

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOCUMENT = PROJECT / "docs" / "learning.md"
PICTURE = IMAGES / "learning.png"
BATCH = timedelta(hours=6)
FIRST_DAY = datetime(2015, 2, 18, tzinfo=UTC)
SHIFTED = datetime(2015, 2, 19, tzinfo=UTC)
DAYS = 4
DAY = "%d %b"
OUT_OF_SCOPE = "oos"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Story:
    """Some days of a workflow. `first` are labels (message_id, text, label) that its model begins with, `messages` what
    comes in (message_id, received_at, text, truth).
    """

    name: str
    model: str
    stated: float
    safe_state: Performer
    first: pd.DataFrame
    messages: pd.DataFrame


@dataclass(frozen=True)
class Told:
    """What happened: `outcome` and `by_day` as a `Workflow` tells them, `overall` what all checks say together, `ends` of
    the batches with what the policy saw.
    """

    story: Story
    outcome: pd.DataFrame
    by_day: Mapping[str, Standing]
    overall: Standing
    ends: pd.DataFrame
    events: Sequence[tuple[datetime, str]]


def main() -> None:
    """Tell every story and rewrite the document's tables and the picture."""
    logging.disable(logging.WARNING)  # every event of every run, on the console
    started = time.perf_counter()
    airline = [told(story) for story in (airline_days(0.1), airline_days(0.1, shifted=True), airline_days(0.05))]
    intents = [told(story) for story in (intent_days(), intent_days(knows_out_of_scope=True))]
    tables = {
        "airline days": [*days(airline[0]), *days(airline[1]), days(airline[2])[-1]],
        "what happened": events(airline[1]),
        "intent days": [row for one in intents for row in intent_rows(one)],
    }
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, rows in tables.items():
        document = written(document, name, rows)
    DOCUMENT.write_text(document, encoding="utf-8")
    PICTURE.write_bytes(picture([airline[0], airline[1], intents[0]]))
    print(f"took {time.perf_counter() - started:.0f} s")


def airline_days(stated: float, *, shifted: bool = False) -> Story:
    """Sentiment: the labels of 17 February first, then the messages of the days behind it. Shifted: from the 19th on
    whoever labels takes thanks for a courtesy, and a positive message that thanks is neutral.
    """
    rows = pd.read_csv(evaluation_data() / "airline_labels.csv", dtype="str")
    times = pd.to_datetime(rows["received_at"], utc=True)
    rows = rows.assign(received_at=times, truth=rows["sentiment"]).sort_values(["received_at", "message_id"])
    if shifted:
        thanks = (rows["truth"] == "positive") & rows["text"].str.contains(r"(?i)\bthank|\bthx", regex=True)
        rows["truth"] = rows["truth"].mask(thanks & (rows["received_at"] >= SHIFTED), "neutral")
    is_first = rows["received_at"] < FIRST_DAY
    first = rows[is_first].rename(columns={"truth": "label"})
    name = f"thanks are neutral from {SHIFTED:%d %B} on" if shifted else "as labelled"
    messages = rows.loc[~is_first, ["message_id", "received_at", "text", "truth"]]
    return Story(name, "sentiment", stated, Lexicon(), first[["message_id", "text", "label"]], messages)


def intent_days(*, knows_out_of_scope: bool = False, a_label: int = 25, a_batch: int = 150) -> Story:
    """clinc150: some queries of each intent first, then queries of its test sets, drawn at random, of which as many are
    out of scope as there are in these sets. `knows_out_of_scope`: the model begins with the out-of-scope queries of the
    other sets as a label of their own; else nobody told it that there are any.
    """
    rows = clinc150().assign(message_id=lambda found: [f"q{number:05}" for number in range(len(found))])
    first = rows[rows["split"] == "train"].groupby("label").sample(a_label, random_state=0)
    if knows_out_of_scope:
        first = pd.concat([first, rows[rows["split"].isin(["oos_train", "oos_val"])]])
    batches = DAYS * int(timedelta(days=1) / BATCH)
    sent = rows[rows["split"].isin(["test", "oos_test"])].sample(batches * a_batch, random_state=0)
    number = pd.Series(range(len(sent)), sent.index) // a_batch
    messages = sent.rename(columns={"label": "truth"}).assign(received_at=FIRST_DAY + number * BATCH)
    name = "out of scope is a label" if knows_out_of_scope else "out of scope is unknown"
    safe_state = SafeLabel(OUT_OF_SCOPE)
    columns = ["message_id", "received_at", "text", "truth"]
    return Story(name, "intent", 0.05, safe_state, first[["message_id", "text", "label"]], messages[columns])


def told(story: Story) -> Told:
    """Have a story happen."""
    print(f"{story.model}, {story.name}, stated at most {story.stated:g}", flush=True)
    clock = Clock(FIRST_DAY - timedelta(minutes=30))
    with TemporaryDirectory() as folder, clock.in_place():
        family = Family(story.model, "bench", "label")
        workflow = Workflow(Path(folder, "story"), family, story.safe_state, story.stated, clock)
        workflow.learn_first(clock.moment, story.first)
        begin = FIRST_DAY
        while begin < FIRST_DAY + timedelta(days=DAYS):
            times, end = story.messages["received_at"], begin + BATCH
            workflow.take(end - timedelta(minutes=10), story.messages[(times >= begin) & (times < end)])
            if end.hour == 0 and end < FIRST_DAY + timedelta(days=DAYS):
                workflow.night(end - timedelta(minutes=5))
            begin = end
        ends = pd.DataFrame(
            [{"batch": step.batch, "moment": step.moment, "seen": step.seen} for step in workflow.steps]
        )
        found = Told(story, workflow.outcome(), workflow.by_day(), workflow.overall(), ends, workflow.events)
        workflow.close()
    return found


def days(found: Told) -> list[Row]:
    """A line for each day of a story, and one for all."""
    rows: list[Row] = []
    for day, own in _by_day(found):
        shares = own["by"].value_counts(normalize=True)
        rows.append(
            {
                "labels": found.story.name,
                "stated": f"{found.story.stated:.0%}",
                "day": day or "all",
                "messages": len(own),
                "accepted": f"{shares.get('model', 0):.0%}",
                **_errors(found, day),
                "people decide": f"{shares.get('person', 0) + shares.get('waits', 0):.0%}",
                "surest answer kept": f"{shares.get('surest', 0):.0%}",
                "safe state": f"{shares.get('safe state', 0):.0%}",
            }
        )
    return rows


def intent_rows(found: Told) -> list[Row]:
    """A line for each day of a story with queries out of scope, and one for all."""
    rows: list[Row] = []
    for day, own in _by_day(found):
        is_strange, by_model = own["truth"] == OUT_OF_SCOPE, own["by"] == "model"
        strange, in_scope = own[is_strange], own[by_model & ~is_strange]
        is_known = strange["label"] == OUT_OF_SCOPE
        rows.append(
            {
                "the model": found.story.name,
                "day": day or "all",
                "queries": len(own),
                "out of scope": len(strange),
                "... to people": _share(strange["by"] != "model"),
                "... answered as such": _share(is_known),
                "... accepted as an intent": _share((strange["by"] == "model") & ~is_known),
                "in scope, accepted": _share(by_model[~is_strange]),
                "... of them wrong": _share(in_scope["label"] != in_scope["truth"]),
                **_errors(found, day),
            }
        )
    return rows


def _by_day(found: Told) -> list[tuple[str, pd.DataFrame]]:
    """Day (`18 Feb`) → its messages; last all of them, under an empty name."""
    ends = found.ends.set_index("batch")["moment"]
    days = found.outcome["batch"].map(ends).dt.strftime(DAY)
    return [*((str(day), own) for day, own in found.outcome.groupby(days)), ("", found.outcome)]


def _errors(found: Told, day: str) -> Row:
    """How wrong what was accepted on a day really was, and what its checks say; of all days where it is empty."""
    own = found.outcome[found.outcome["moment"].notna()]
    own = own[own["moment"].dt.strftime(DAY) == day] if day else own
    wrong = int((own["label"] != own["truth"]).sum())
    live = found.by_day.get(day) if day else found.overall
    checks = live.found.checks if live else 0
    told = f"{live.found.error:.1%} ({live.found.low:.1%} to {live.found.high:.1%})" if live and checks else None
    return {
        "wrong of accepted": f"{wrong} of {len(own):,}, {wrong / len(own):.1%}" if len(own) else None,
        "live error (95 %)": told,
        "checks": checks,
    }


def _share(values: pd.Series) -> str | None:
    return f"{values.mean():.0%}" if len(values) else None


def events(found: Told) -> list[Row]:
    """What happened in a story, a line each."""
    return [{"when": f"{moment:{DAY} %H:%M}", "what": what} for moment, what in found.events]


def picture(stories: Sequence[Told]) -> bytes:
    """Of each story the error beside its estimate and its bound, above who decided, batch by batch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(stories), 6.4), layout="constrained")
    axes = figure.subplots(2, len(stories), height_ratios=[3, 2], sharex=True, squeeze=False)
    for above, below, found in zip(*axes, stories, strict=True):
        draw_errors(above, found)
        draw_shares(below, found)
    axes[0][0].legend(loc="upper left", fontsize=9)
    most = max(axes[1], key=lambda below: len(below.containers))
    figure.legend(handles=most.containers, loc="outside lower center", ncols=5, fontsize=9)
    axes[0][0].set_ylabel("share of wrong answers among accepted")
    axes[1][0].set_ylabel("share of messages")
    return as_png(figure)


def draw_errors(axes: "Axes", found: Told) -> None:
    """The error of what was accepted, batch by batch; what the policy saw, with its interval; the bound."""
    for place, seen in enumerate(found.ends["seen"]):
        if seen is None:
            axes.axvspan(place - 0.5, place + 0.5, color="0.9", lw=0)
        elif not seen.is_thin:
            bounds = [[seen.found.error - seen.found.low], [seen.found.high - seen.found.error]]
            name = "what the policy sees: checks since the version is in use, 95 %" if place == 0 else None
            axes.errorbar(place, seen.found.error, yerr=bounds, fmt="o", color="tab:blue", capsize=3, label=name)
    if shadow := [place for place, seen in enumerate(found.ends["seen"]) if seen is None]:
        axes.text(sum(shadow) / len(shadow), 0.38, "in shadow", ha="center", fontsize=9)
    accepted = found.outcome[found.outcome["by"] == "model"]
    wrong = (accepted["label"] != accepted["truth"]).groupby(accepted["batch"]).mean().reindex(found.ends["batch"])
    axes.plot(range(len(wrong)), wrong.to_numpy(), "x", color="black", label="the truth, batch by batch")
    axes.axhline(found.story.stated, color="tab:red", linestyle="--", linewidth=1, label="stated")
    axes.set(title=f"{found.story.model}: {found.story.name}", ylim=(0, 0.4))


def draw_shares(axes: "Axes", found: Told) -> None:
    """Who decided, batch by batch."""
    shares = pd.crosstab(found.outcome["batch"], found.outcome["by"], normalize="index").reindex(found.ends["batch"])
    colours = {
        "model": "tab:blue",
        "person": "tab:orange",
        "waits": "moccasin",
        "surest": "0.8",
        "safe state": "tab:green",
    }
    names = {
        "model": "model, accepted",
        "person": "people",
        "waits": "waits for people",
        "surest": "surest answer kept",
    }
    base = pd.Series(0.0, shares.index)
    for by, colour in colours.items():
        if by in shares:
            label, places = names.get(by, by), range(len(shares))
            axes.bar(places, shares[by], bottom=base, color=colour, width=1, edgecolor="white", label=label)
            base = base + shares[by]
    firsts = [place for place, moment in enumerate(found.ends["moment"]) if moment.hour < BATCH / timedelta(hours=1)]
    axes.set_xticks([place - 0.5 for place in firsts], [f"{found.ends['moment'][place]:%d %b}" for place in firsts])
    axes.set(ylim=(0, 1), xlim=(-0.5, len(shares) - 0.5))


if __name__ == "__main__":
    main()
