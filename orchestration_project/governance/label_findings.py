"""What is wrong with a file of labels, before a model learns it: what is refused, and what is only told."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration_project.core.errors import did_you_mean
from orchestration_project.stores.label_files import LABEL, MESSAGE_ID, TEXT, LabelFile
from orchestration_project.stores.labels import merged

if TYPE_CHECKING:
    import pandas as pd

FEWEST_EXAMPLES = 10
"""A label with fewer examples is refused: too few to learn it, or to measure it."""

TOLD_IMBALANCE = 10.0
"""Examples of the most frequent label for one of the rarest, above which it is told."""

MOST_SHOWN = 3

Lines = tuple[int, ...]

_NOISE = re.compile(r"https?://\S+|www\.\S+|@\w+|[\W\d_]+")


@dataclass(frozen=True)
class Problem:
    """Something that stands in the way of an import: what it is counted as, how many, and in words: what is wrong, and
    what becomes of it when the import is forced.
    """

    kind: str
    count: int
    wrong: str
    forced: str


@dataclass(frozen=True)
class Findings:
    """What was found in a file. Numbers are lines of it, from 1; in Parquet they are rows.

    `contradicting_texts` are the lines of each text with several labels, `contradicting_ids` of each message id with
    several texts. `labels` counts the examples of each label that the next training has, `small_labels` those of
    labels that have too few in a new set, or of which corrections leave too few. `unknown_labels` are labels that the file
    brings and the present set does not have, with their lines. `near_duplicates` are the lines of texts that are nearly
    the same (`near_duplicates` below), `imbalance` is the largest label ÷ the smallest.
    """

    contradicting_texts: list[Lines]
    contradicting_ids: list[Lines]
    small_labels: dict[str, int]
    empty_texts: Lines
    unreadable: dict[int, str]
    unknown_columns: tuple[str, ...]
    unknown_labels: dict[str, Lines]
    near_duplicates: list[Lines]
    labels: dict[str, int]
    imbalance: float

    def problems(self) -> list[Problem]:
        """All that is refused unless somebody gives a reason."""
        found: list[Problem] = []
        if groups := self.contradicting_texts:
            wrong = f"{_count(groups, 'text has', 'texts have')} several labels ({_lines(groups)})."
            forced = "They stay as they are; under one message id the label that sorts first stays."
            found.append(Problem("contradicting texts", len(groups), wrong, forced))
        if groups := self.contradicting_ids:
            wrong = f"{_count(groups, 'message id has', 'message ids have')} several texts ({_lines(groups)})."
            found.append(
                Problem("contradicting ids", len(groups), wrong, "Of each id the text that sorts first stays.")
            )
        if small := self.small_labels:
            shown = _listed(f"'{label}' {count}" for label, count in small.items())
            wrong = f"{_count(small, 'label has', 'labels have')} fewer than {FEWEST_EXAMPLES} examples ({shown})."
            found.append(Problem("small labels", len(small), wrong, "They stay."))
        if lines := self.empty_texts:
            wrong = f"{_count(lines, 'row has', 'rows have')} a label and no text ({_lines([(n,) for n in lines])})."
            found.append(Problem("empty texts", len(lines), wrong, "They are left out."))
        if flaws := self.unreadable:
            shown = _listed((f"line {line}: {cause.rstrip('.')}" for line, cause in flaws.items()), "; ")
            wrong = f"{_count(flaws, 'row', 'rows')} cannot be read ({shown})."
            found.append(Problem("unreadable rows", len(flaws), wrong, "They are left out."))
        if columns := self.unknown_columns:
            wrong = (
                f"{_count(columns, 'column is', 'columns are')} unknown ({_listed(columns)}): name what each is with "
                "--message-id, --text or --label, or name it in --ignore."
            )
            found.append(Problem("unknown columns", len(columns), wrong, "They are ignored."))
        return found

    def counts(self) -> dict[str, int]:
        """How many of each kind were found; kinds that were not found are left out."""
        found = {problem.kind: problem.count for problem in self.problems()}
        near = sum(len(lines) - 1 for lines in self.near_duplicates)
        return found | ({"near duplicates": near} if near else {})

    def refusal(self, name: str, family: str, *, is_forced: bool) -> str | None:
        """Why a file of that name may not be imported, and what to do next; None when it may."""
        problems = [] if is_forced else self.problems()
        unknown = self._unknown(family)
        sentences = [*(problem.wrong for problem in problems), *unknown]
        if not sentences:
            return None
        if unknown:
            todo = "Correct the file, or start a new label set with --replace."
        else:
            todo = "Correct the file, or take it all the same with --force REASON."
        return " ".join([f"{name} was not imported.", *sentences, todo])

    def _unknown(self, family: str) -> list[str]:
        """The labels that the present set does not have, in one sentence, and what is near them; none: nothing."""
        if not self.unknown_labels:
            return []
        lines = sorted(line for lines in self.unknown_labels.values() for line in lines)
        labels = _listed(f"'{label}'" for label in self.unknown_labels)
        known = (self.labels.keys() | self.small_labels.keys()) - self.unknown_labels.keys()  # also one that is used up
        hints = dict.fromkeys(did_you_mean(label, known) for label in list(self.unknown_labels)[:MOST_SHOWN])
        return [f"{family} has no label {labels} so far ({_lines([(line,) for line in lines])}).{''.join(hints)}"]


def find_problems(file: LabelFile, present: "pd.DataFrame | None") -> Findings:
    """Look through a file that is to be added to the present labels (message_id, text, label); None: it replaces them,
    and then no label is unknown.
    """
    rows = file.rows
    before = Counter[str]() if present is None else Counter(present[LABEL])
    after = Counter(file.learnt[LABEL] if present is None else merged(present, file.learnt)[LABEL])
    unknown = set[str]() if present is None else set(rows[LABEL]) - before.keys()
    small = {
        label: after[label]
        for label in sorted((before.keys() | after.keys()) - unknown)
        if after[label] < FEWEST_EXAMPLES and (present is None or after[label] < before[label])
    }
    is_other_text = ~rows.duplicated([MESSAGE_ID, TEXT])
    return Findings(
        contradicting_texts=_repeated(rows, TEXT),
        contradicting_ids=_repeated(rows[is_other_text], MESSAGE_ID),
        small_labels=small,
        empty_texts=file.empty_texts,
        unreadable=file.unreadable,
        unknown_columns=file.unknown_columns,
        unknown_labels=_lines_by(rows[rows[LABEL].isin(unknown)], LABEL),
        near_duplicates=sorted(
            tuple(sorted(int(rows["line"].iloc[position]) for position in group))
            for group in near_duplicates(rows[TEXT])
        ),
        labels=dict(sorted(after.items())),
        imbalance=imbalance(after),
    )


def near_duplicates(texts: Iterable[str]) -> list[list[int]]:
    """Positions, from 0, of texts that differ and have the same `near_key`: a list for each key that several share.

    Of texts that are exactly the same the first stands for all. One pass: it takes time in proportion to the texts.
    """
    first: dict[str, int] = {}
    for position, text in enumerate(texts):
        first.setdefault(text, position)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for text, position in first.items():
        groups[near_key(text)].append(position)
    return [group for group in groups.values() if len(group) > 1]


def near_key(text: str) -> str:
    """What is left of a text without case, white space, punctuation, symbols, digits, links and @names; of a text that
    has nothing else, the text without case and repeated white space.

    >>> near_key("@us Order 1234 is LATE!! https://t.co/x")
    'order is late'
    """
    plain = text.casefold()
    return " ".join(_NOISE.sub(" ", plain).split()) or " ".join(plain.split())


def imbalance(counts: Counter[str]) -> float:
    """Examples of the most frequent label for one of the rarest; 1 without labels."""
    present = [count for count in counts.values() if count]
    return max(present) / min(present) if present else 1.0


def _repeated(rows: "pd.DataFrame", column: str) -> list[Lines]:
    """The lines of each value that stands in several rows, in the order of the file."""
    return sorted(_lines_by(rows[rows[column].duplicated(keep=False)], column).values())


def _lines_by(rows: "pd.DataFrame", column: str) -> dict[str, Lines]:
    """The lines of each value of a column."""
    return {str(value): tuple(sorted(map(int, lines))) for value, lines in rows.groupby(column)["line"]}


def _count(found: Sequence[object] | dict[str, int] | dict[int, str], one: str, several: str) -> str:
    return f"{len(found):,} {one if len(found) == 1 else several}"


def _lines(groups: Sequence[Lines]) -> str:
    """The first groups of lines, in words."""
    has_groups = any(len(lines) > 1 for lines in groups)
    word = "lines" if has_groups or len(groups) > 1 else "line"
    return f"{word} {_listed((' and '.join(map(str, lines)) for lines in groups), '; ' if has_groups else ', ')}"


def _listed(items: Iterable[str], separator: str = ", ") -> str:
    every = list(items)
    more = [f"and {len(every) - MOST_SHOWN:,} more"] if len(every) > MOST_SHOWN else []
    return separator.join([*every[:MOST_SHOWN], *more])
