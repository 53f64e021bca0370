"""Takes what a message said out of an Arrow table, and leaves its rows, ids, labels, moments and numbers."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestration_project.core.erasing import ERASED, Words, blank, erased_value
from orchestration_project.stores.label_files import made_id

ID = "message_id"

DECISION = "message_digest"
"""Column that only decisions have; it is an unsalted digest of what was said, so that a short text can be guessed."""

_OF_A_DECISION = ("reason", DECISION)


@dataclass(frozen=True)
class Eraser:
    """What is to go: what the message `message_id` said, and in its rows all columns called as those it came in with."""

    message_id: str
    words: Words
    columns: frozenset[str]

    def erased(self, table: pa.Table, *, came_in: bool, is_shared: bool) -> pa.Table | None:
        """The table without it; None where nothing of it stands there.

        `came_in`: the rows are messages as they came in, so that all their text goes. `is_shared`: the table belongs to
        no batch, so that a row which says the same under another id, as a label may, is the message's too. A table
        without ids has rows that speak of messages: of those, what quotes this one goes.
        """
        texts = [name for name in table.column_names if name != ID and holds_text(table.schema.field(name).type)]
        if ID not in table.column_names:
            return self._changed(
                table, texts, _telling_rows(table, texts, self.message_id, self.words), self._within_text
            )
        own = self.own_rows(table, is_shared=is_shared)
        gone = {*self.columns, *(_OF_A_DECISION if DECISION in table.column_names else ())}
        schema = table.schema

        def empty(name: str, value: Any, _row: int) -> Any:
            if isinstance(value, str) and (came_in or name in gone):
                return blank(value, is_needed=is_needed(schema, name))
            return erased_value(value, self.message_id, self.words, speaks=True)

        changed = self._changed(table, texts, own, empty)
        made = made_ids(self.words)
        if not is_shared or not own or made.isdisjoint(ids := _as_texts(table[ID])):
            return changed
        kept = pa.array([ERASED if one in made else one for one in ids], schema.field(ID).type)
        table = table if changed is None else changed
        return table.set_column(table.column_names.index(ID), table.schema.field(ID), kept)

    def own_rows(self, table: pa.Table, *, is_shared: bool) -> list[int]:
        """The rows of the message in a table with ids, by number."""
        ids = {self.message_id, *(made_ids(self.words) if is_shared else ())}
        found = {row for row, one in enumerate(_as_texts(table[ID])) if one in ids}
        if is_shared and self.words.said:
            for name in table.column_names:
                if is_string(table.schema.field(name).type):
                    cells = enumerate(_as_texts(table[name]))
                    found |= {row for row, cell in cells if cell is not None and cell.strip() in self.words.said}
        return sorted(found)

    def _within_text(self, name: str, value: Any, _row: int) -> Any:
        return erased_value(value, self.message_id, self.words, speaks=True)

    def _changed(
        self, table: pa.Table, texts: Collection[str], rows: Collection[int], change: Callable[[str, Any, int], Any]
    ) -> pa.Table | None:
        changed = table
        for name in texts:
            values: list[Any] = table[name].to_pylist() if rows else []
            new = {row: change(name, values[row], row) for row in rows}
            if any(value != values[row] for row, value in new.items()):
                cells = [new.get(row, value) for row, value in enumerate(values)]
                place, field = table.column_names.index(name), table.schema.field(name)
                changed = changed.set_column(place, field, pa.array(cells, field.type))
        return None if changed is table else changed


def made_ids(words: Words) -> set[str]:
    """The ids that labels without one get where they say what the message said."""
    return {made_id(text) for text in words.said}


def tells(table: pa.Table, message_id: str, words: Words) -> bool:
    """Whether the message's id, or something that it said, stands anywhere in a table."""
    texts = [field.name for field in table.schema if holds_text(field.type)]
    return bool(_telling_rows(table, texts, message_id, words))


def is_needed(schema: pa.Schema, name: str) -> bool:
    """Whether a column has to have a value. Files that were written before they said so need one everywhere."""
    says_so = any(not field.nullable for field in schema)
    return not (says_so and schema.field(name).nullable)


def is_string(kind: pa.DataType) -> bool:
    """Whether a column is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column may hold text, also within lists or objects."""
    return is_string(kind) or pa.types.is_nested(kind) or pa.types.is_dictionary(kind)


def _as_texts(column: pa.ChunkedArray) -> list[str | None]:
    return [None if value is None else str(value) for value in column.to_pylist()]


def _telling_rows(table: pa.Table, texts: Collection[str], message_id: str, words: Words) -> list[int]:
    """The rows in which the message's id stands, or a beginning of what it said, or what may hold either."""
    found: set[int] = set()
    for name in texts:
        column = table[name]
        if is_string(column.type):
            for piece in (message_id, *words.beginnings):
                hits = pc.call_function("match_substring", [column], pc.MatchSubstringOptions(piece))
                found |= {row for row, hit in enumerate(hits.to_pylist()) if hit}
        else:
            found |= {row for row, value in enumerate(column.to_pylist()) if value is not None}
    return sorted(found)
