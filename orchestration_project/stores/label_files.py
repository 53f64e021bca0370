"""A file of labelled messages, as a team brings it or the checkout ships it: which rows of it a model can learn."""

import csv
import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orchestration_project.core.errors import FileRefused, did_you_mean
from orchestration_project.stores.files import write_file
from orchestration_project.stores.formats import ERROR, LINE, RAW, SUFFIXES, read_slices

if TYPE_CHECKING:
    import pandas as pd

MESSAGE_ID, TEXT, LABEL = "message_id", "text", "label"
SOURCE = "source"
"""A column that an export adds; what is in it is not read back."""

ROWS_AT_ONCE = 50_000
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class LabelFile:
    """The labelled rows of a file, and what was left out.

    `rows` has message_id, text, label and line (where the row starts, from 1; in Parquet the number of the row). Each
    text has each of its labels once, under the first of the ids; the order of the file makes no difference.
    `not_labelled` counts rows without a label, `repeated` those that say again what another row says. `empty_texts`
    are the lines of labelled rows without a text, `unreadable` the lines that could not be read and why.
    `unknown_columns` are those that nobody named.
    """

    name: str
    rows: "pd.DataFrame"
    not_labelled: int
    repeated: int
    empty_texts: tuple[int, ...]
    unreadable: dict[int, str]
    unknown_columns: tuple[str, ...]

    @property
    def learnt(self) -> "pd.DataFrame":
        """What a model can learn of it: message_id, text, label; of several rows with one id the first in order."""
        return self.rows.drop_duplicates(MESSAGE_ID)[[MESSAGE_ID, TEXT, LABEL]].reset_index(drop=True)


@dataclass
class _Found:
    """What was met so far."""

    columns: dict[str, None] = field(default_factory=lambda: dict[str, None]())
    rows: list[tuple[str, str, str, int]] = field(default_factory=lambda: list[tuple[str, str, str, int]]())
    empty_texts: list[int] = field(default_factory=lambda: list[int]())
    unreadable: dict[int, str] = field(default_factory=lambda: dict[int, str]())
    not_labelled: int = 0


def read_label_file(
    path: Path, *, message_id: str = MESSAGE_ID, text: str = TEXT, label: str = LABEL, ignore: Collection[str] = ()
) -> LabelFile:
    """Read a CSV, TSV, JSON Lines or Parquet file whose columns are called so.

    Everything becomes text: a number as it is written, whole ones without a point. Ids and labels lose the white space
    around them, texts keep it. A row without an id, and a file without that column, gets one made from its text, the
    same in every home. FileRefused for a file that cannot be read or lacks a column.
    """
    import pandas as pd

    named = (message_id, text, label)
    if len(set(named)) < len(named):
        raise FileRefused(f"One column of {path.name} is named twice: {', '.join(named)}. Name three columns.")
    found = _Found()
    for table in read_slices(path, ROWS_AT_ONCE):
        own = [name for name in table.column_names if name not in (LINE, ERROR, RAW)]
        found.columns.update(dict.fromkeys(own))
        _take(found, path.name, table, named)
    if not found.columns:
        raise FileRefused(f"{path.name} has no rows. Write a message and its label in each.")
    required = (text, label) if message_id == MESSAGE_ID else named
    _refuse_missing_columns(
        path.name, found.columns, dict(zip(named, ("--message-id", "--text", "--label"), strict=True)), required
    )
    rows = pd.DataFrame(found.rows, columns=[MESSAGE_ID, TEXT, LABEL, "line"])
    rows = rows.astype({MESSAGE_ID: "str", TEXT: "str", LABEL: "str", "line": "int64"})
    unique = rows.sort_values([MESSAGE_ID, TEXT, LABEL, "line"]).drop_duplicates([TEXT, LABEL]).reset_index(drop=True)
    return LabelFile(
        name=path.name,
        rows=unique,
        not_labelled=found.not_labelled,
        repeated=len(rows) - len(unique),
        empty_texts=tuple(found.empty_texts),
        unreadable=found.unreadable,
        unknown_columns=tuple(name for name in found.columns if name not in {*named, *ignore, SOURCE}),
    )


def write_label_file(path: Path, rows: "pd.DataFrame") -> None:
    """Write labels into a new file, chosen by suffix, so that `read_label_file` reads the same: whole or not at all.

    FileRefused for another suffix, a file that is there already, and a place that cannot be written.
    """
    if (suffix := path.suffix.lower()) not in SUFFIXES:
        raise FileRefused(f"{path.name} has the suffix '{suffix}'. Name one of: {', '.join(sorted(SUFFIXES))}.")
    if path.exists():
        raise FileRefused(f"{path} is there already. Name a new file, or remove that one first.")
    try:
        write_file(path, _content(suffix, rows))
    except OSError as error:
        raise FileRefused(f"{path} cannot be written: {error.strerror}. Name a file where you may write.") from error


def made_id(text: str) -> str:
    """The message id of a text that came without one: the same text has the same id everywhere."""
    return "t-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(suffix: str, rows: "pd.DataFrame") -> bytes:
    if suffix == ".parquet":
        return rows.to_parquet(index=False)
    if suffix in (".csv", ".tsv"):
        separator = "," if suffix == ".csv" else "\t"
        return rows.to_csv(index=False, sep=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").encode()
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_dict("records"))
    return "".join(lines).encode()


def _take(found: _Found, name: str, table: pa.Table, named: tuple[str, str, str]) -> None:
    """Sort the rows of a slice into what can be learnt and what cannot."""
    errors: list[str | None] = table[ERROR].to_pylist()
    lines: list[int] = table[LINE].to_pylist()
    columns = [_texts(name, table, column) for column in named]
    for line, error, message_id, text, label in zip(lines, errors, *columns, strict=True):
        if error is not None:
            found.unreadable[line] = error
        elif not label.strip():
            found.not_labelled += 1
        elif not text.strip():
            found.empty_texts.append(line)
        elif "\0" in f"{message_id}{text}{label}":  # Parquet can hold it, and no text file could be written of it
            found.unreadable[line] = "it holds NUL, which is no character of a text. Leave it out."
        else:
            found.rows.append((message_id.strip() or made_id(text), text, label.strip(), line))


def _texts(file: str, table: pa.Table, column: str) -> Iterator[str]:
    """A column as text; blank where a value, or the whole column, is absent."""
    if column not in table.column_names:
        return iter([""] * table.num_rows)
    kind = table.schema.field(column).type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise FileRefused(f"The column '{column}' of {file} holds {kind}. Write it as text.")
    return map(_text, table[column].to_pylist())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_WHOLE:
        return str(int(value))  # whole numbers become floats where one is absent
    return str(value)


def _refuse_missing_columns(
    file: str, known: Collection[str], options: dict[str, str], required: Collection[str]
) -> None:
    for column in required:
        if column not in known:
            hint = did_you_mean(column, known)
            raise FileRefused(f"{file} has no column '{column}'. Name the one it has with {options[column]}.{hint}")
