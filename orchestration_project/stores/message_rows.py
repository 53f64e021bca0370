"""Which rows of the received files are a message: by the id that stands in them, by file and line, or because the id was
made from what they say.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from orchestration_project.stores.arrivals import keyed_id
from orchestration_project.stores.formats import ERROR, LINE, RAW

MOST_IDENTIFYING = 3
"""An id that this home made is found again where it was made from at most so many columns."""

_MADE = "m-"


@dataclass(frozen=True)
class MessageRows:
    """A message as it is looked for. `id_names` are the columns that may hold an id, the first that has a value counts;
    `places` the (digest of a file, line) that are known to be it; `texts` what it said, as far as that is known.
    """

    message_id: str
    secret: bytes
    id_names: tuple[str, ...]
    places: frozenset[tuple[str, int]]
    texts: frozenset[str]

    def among(self, table: pa.Table, file_sha256: str, held: Collection[str], *, is_own: bool) -> list[int]:
        """The numbers of its rows in rows of a file as they are read (see `formats.read_slices`). `held` are the messages
        of the batch that has the file, `is_own` says whether this one is, or was, among them.
        """
        lines: list[int] = table[LINE].to_pylist()
        names = [name for name in table.column_names if name not in (LINE, ERROR, RAW)]
        ids = self._ids(table, names, held)
        found = {row for row, one in enumerate(ids) if one == self.message_id}
        found |= {
            row for row, line in enumerate(lines) if (file_sha256, line) in self.places and lines.count(line) == 1
        }
        if found or not self.message_id.startswith(_MADE):
            return sorted(found)
        nameless = [row for row, one in enumerate(ids) if one is None]
        found = {row for row in nameless if keyed_id(self.secret, [file_sha256, lines[row]]) == self.message_id}
        if found or not (self.texts or is_own):
            return sorted(found)
        cells = {row: _texts(table.slice(row, 1).select(names).to_pylist()[0].values()) for row in nameless}
        saying = [row for row in nameless if not self.texts or self.texts & {cell.strip() for cell in cells[row]}]
        found = {row for row in saying if self.message_id in self._made_ids(cells[row], file_sha256, lines[row])}
        if not found and is_own and self.texts:
            # its id was made from something else, so it is who says it in its batch under no other id
            others = set(held) - {self.message_id}
            found = {row for row in saying if others.isdisjoint(self._made_ids(cells[row], file_sha256, lines[row]))}
        return sorted(found)

    def _ids(self, table: pa.Table, names: list[str], held: Collection[str]) -> list[str | None]:
        """The id that stands in each row; None where none does."""
        columns = [name for name in self.id_names if name in names] or _most_claimed(table, names, held)
        ids: list[str | None] = [None] * len(table)
        for name in columns:
            cells = (None if value is None else str(value).strip() for value in table[name].to_pylist())
            ids = [one if one is not None else cell or None for one, cell in zip(ids, cells, strict=True)]
        return ids

    def _made_ids(self, cells: list[str], file_sha256: str, line: int) -> Iterator[str]:
        """The ids that may have been made of a row."""
        values = [None, *dict.fromkeys([*cells, *filter(None, map(_moment, cells))])]
        for number in range(1, MOST_IDENTIFYING + 1):
            for chosen in itertools.product(values, repeat=number):
                yield keyed_id(self.secret, [*chosen, file_sha256, line] if None in chosen else list(chosen))


def _most_claimed(table: pa.Table, names: list[str], held: Collection[str]) -> list[str]:
    """The column whose values are all messages of the batch, the one with most of them; none where there is none."""
    distinct: dict[str, set[str]] = {
        name: {str(value).strip() for value in table[name].to_pylist() if value is not None} for name in names
    }
    claimed = [name for name in names if distinct[name] and distinct[name] <= set(held)]
    return [max(claimed, key=lambda name: len(distinct[name]))] if claimed else []


def _texts(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values if value is not None]


def _moment(text: str) -> str | None:
    """A moment with its zone as the text of one in UTC; None of any other text."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return str(moment.astimezone(UTC)) if moment.tzinfo else None
