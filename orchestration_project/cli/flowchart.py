"""A message's story as a Mermaid flowchart, to be pasted where Mermaid is drawn: GitHub, a wiki, a ticket.

Others than the project's operators look at it there, so every word is redacted (`core/redaction.py`), and shortened.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from orchestration_project.cli.telling import answer_told, delivery_told, labelled, moment, outcome_told, place_told
from orchestration_project.core.redaction import redact

MOST_CHARACTERS = 60
"""Of one line of a label."""

MOST_ROWS = 12
"""Of one asset that speaks of the message among others, and of notices."""

SHAPES = {"box": ("[", "]"), "person": ("([", "])"), "alert": ("{{", "}}"), "target": ("[[", "]]")}

_PLAIN = re.compile(r"[A-Za-z0-9 .,:/()%-]")
"""Of ASCII, the characters that mean nothing to Mermaid, nor to the Markdown that it reads in labels."""

_OF_MARKDOWN = re.compile(r"^[-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]|:(?=//)")
"""Where such a character would begin a list, or make a link."""

Row = Mapping[str, Any]


class Chart:
    """Nodes and edges in the order in which they were added. `keep` are ids that are not redacted."""

    def __init__(self, keep: Iterable[str] = ()) -> None:
        self._keep = tuple(keep)
        self._nodes: list[str] = []
        self._edges: list[str] = []

    def node(self, *lines: str, shape: str = "box") -> str:
        """Add a node with these lines; returns its name."""
        name = f"n{len(self._nodes)}"
        opened, closed = SHAPES[shape]
        label = "<br/>".join(filter(None, (self._label(line) for line in lines)))
        self._nodes.append(f'    {name}{opened}"{label}"{closed}')
        return name

    def edge(self, start: str, end: str, why: str = "", *, is_back: bool = False) -> None:
        """Add an edge, labelled with why; `is_back`: it changes what it points at."""
        arrow, label = "-.->" if is_back else "-->", self._label(why)
        self._edges.append(f'    {start} {arrow}|"{label}"| {end}' if label else f"    {start} {arrow} {end}")

    def __str__(self) -> str:
        return "\n".join(["graph TD", *self._nodes, *self._edges])

    def _label(self, text: str) -> str:
        return escaped(shortened(redact(text, self._keep)))


def shortened(text: str) -> str:
    """The text on one line, of at most MOST_CHARACTERS."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1].rstrip()}…"


def escaped(text: str) -> str:
    """The text between the quotes of a label: whatever may mean something to Mermaid, or to a page, is its number.

    >>> escaped('say "no" [now]')
    'say #34;no#34; #91;now#93;'
    """
    marked = {found.start() for found in _OF_MARKDOWN.finditer(text)}
    return "".join(
        f"#{ord(character)};" if place in marked else _escaped(character) for place, character in enumerate(text)
    )


def _escaped(character: str) -> str:
    if not character.isprintable():  # it would command a terminal, or turn a line round
        return f"U+{ord(character):04X}"
    return character if not character.isascii() or _PLAIN.match(character) else f"#{ord(character)};"


def flowchart(story: Row) -> str:
    """The chart of a story (see `stores.story.whole_story`)."""
    message = story["message"]
    chart = Chart([message["message_id"]])
    came_in = _came_in(chart, story)
    nodes: dict[str, str] = {}
    if story["source"]:
        nodes[story["source"]] = came_in
    if story["batch"] is None or len(message) == 2:
        for refusal in story["quarantined"]:
            chart.edge(came_in, chart.node("quarantine", f"at {refusal['asset']}"), refusal["reason"])
        return str(chart)
    for decision in story["decisions"]:
        nodes[decision["asset"]] = chart.node(decision["asset"], *_decision(decision))
    for record in story["records"]:
        nodes[record["asset"]] = chart.node(record["asset"], *_values(record))
    for asset in dict.fromkeys(row["asset"] for row in story["mentions"]):
        number = sum(row["asset"] == asset for row in story["mentions"])
        nodes[asset] = chart.node(asset, f"{number} row{'' if number == 1 else 's'} speak{'s' * (number == 1)} of it")
    reasons = {decision["asset"]: _why(story, decision) for decision in story["decisions"]}
    reasons |= {record["asset"]: f"rule {record['rule']}" for record in story["records"] if record.get("rule")}
    _lineage(chart, story, nodes, came_in, reasons)
    for output in story["model_outputs"]:
        _people(chart, output, nodes[output["asset"]])
    for refusal in story["quarantined"]:
        chart.edge(came_in, chart.node("quarantine", f"at {refusal['asset']}"), refusal["reason"])
    for notice in story["notices"][:MOST_ROWS]:
        _notice(chart, notice, nodes.get(notice["asset"], came_in))
    if story["withheld"]:
        numbers = ", ".join(map(str, story["withheld"]["reviews"]))
        chart.edge(
            came_in, chart.node("kept back", *story["withheld"]["assets"]), f"until the check is over: {numbers}"
        )
    return str(chart)


def _came_in(chart: Chart, story: Row) -> str:
    """The node of the message, and before it one for each place that it came in at."""
    message, places = story["message"], story["came_in"]
    row = message if len(message) > 2 or not places else places[-1]["row"]
    values = [
        value for column, value in row.items() if column not in ("message_id", "batch") and isinstance(value, str)
    ]
    state = ", ".join(filter(None, (_worded(story["state"]), message["batch"] and f"batch {message['batch']}")))
    name = chart.node(message["message_id"], str(story["source"] or ""), max(values, key=len, default=""), state)
    for place in places[:MOST_ROWS]:
        chart.edge(chart.node(place_told({**place, "registered_at": None}), _when(place)), name, outcome_told(place))
    return name


def _when(place: Row) -> str:
    return moment(place["registered_at"]) if place["registered_at"] else ""


def _decision(decision: Row) -> list[str]:
    if decision["label"] is None:
        return ["kept back" if decision["accepted"] is None else "waits for a person"]
    return [labelled(decision), f"{decision['performer']} {decision['version']}"]


def _why(story: Row, decision: Row) -> str:
    """Why the decision is as it is: the threshold that it reached, else the reason that the row has."""
    for output in story["model_outputs"]:
        for answer in output["asked"] if output["asset"] == decision["asset"] else ():
            if answer["outcome"] in ("accepted", "kept", "proposed"):
                is_its = answer["performer"] == decision["performer"]
                told = (
                    answer_told(answer).partition(", ")[2] if is_its else f"{answer['performer']}: {labelled(answer)}"
                )
                return f"{told}: {answer['why']}" if answer["why"] else told
    return decision["reason"] or ""


def _lineage(chart: Chart, story: Row, nodes: Mapping[str, str], came_in: str, reasons: Mapping[str, str]) -> None:
    """An edge from each input that the message has a row of; the last carries why."""
    for version in story["versions"]:
        asset = version["asset"]
        if asset == story["source"] or asset not in nodes:
            continue
        inputs = [name for name in nodes if name in version["inputs"]]
        for name in inputs[:-1]:
            chart.edge(nodes[name], nodes[asset], f"version {version['inputs'][name]}")
        last = inputs[-1] if inputs else None
        number = f"version {version['inputs'][last]}" if last else "same batch"
        chart.edge(nodes[last] if last else came_in, nodes[asset], reasons.get(asset) or number)


def _people(chart: Chart, output: Row, decided: str) -> None:
    for review in output["reviews"]:
        title = f"review {review['review_id']}: {review['state']}"
        said = [f"{one['person']}: {one['label']}" for one in review["verdicts"] if one["is_current"]]
        node = chart.node(title, *said, shape="person")
        chart.edge(decided, node, review["why"] or review["why_here"])
        for verdict in review["verdicts"]:
            if verdict["is_current"]:
                chart.edge(node, decided, verdict["note"] or f"verdict {verdict['verdict_id']}", is_back=True)


def _notice(chart: Chart, notice: Row, source: str) -> None:
    node = chart.node(notice["title"], shape="alert")
    chart.edge(source, node, f"alerted {moment(notice['recorded_at'])}")
    told = f"told {moment(notice['delivered_at'])}" if notice["delivered_at"] else "not told yet"
    chart.edge(node, chart.node("this home's notices", shape="target"), told)
    for delivery in notice["deliveries"]:
        chart.edge(node, chart.node(delivery["target"], shape="target"), delivery_told(delivery))


def _values(record: Row) -> list[str]:
    """The first values of a row, besides its ids and moments."""
    shown = [
        f"{name}: {value}"
        for name, value in record.items()
        if name not in ("asset", "message_id", "rule") and isinstance(value, str | int | float)
    ]
    return shown[:4]


def _worded(state: str) -> str:
    return state.replace("_", " ")
