"""The rows of a text file: its lines, and those that a quote joins into one CSV record.

What breaks a row costs that row only: a line that is too long or no text, and of a quote that is never closed the line
in which it opens. Memory holds one row and the lines that were read behind such a quote, which a row's limit bounds.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol, TextIO

LONGEST_ROW = 16 * 2**20  # characters of one CSV record or one JSON line

_OPEN_QUOTE = "a quote opens in this row and is never closed. Close it, or double it if it is text."
_NOT_TEXT = re.compile("[\0\udc00-\udcff]")  # a NUL, or a byte that is not of the encoding (`opening.BYTES_AS_TEXT`)


class Unreadable(Exception):
    """Why one row cannot be parsed; becomes its `error`."""


class Row(NamedTuple):
    """A row: the line where it starts, its characters, its values by name; without values its error and text."""

    line: int
    size: int
    values: dict[str, Any]
    error: str | None = None
    raw: str | None = None


class Pieces(Protocol):
    """A file that is read row by row: where the row starts, its characters, and what was read of it."""

    line: int
    size: int
    row: list[str]

    def begin_row(self) -> None: ...


class Lines(Iterator[str]):
    """The lines of a text file: counted, and kept until the next row begins."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.encoding = encoding_of(file)
        self._given_back: deque[str] = deque()
        # Characters that a row may reach over several lines. It shrinks by what was read in vain and grows by what was
        # read for good, so that a file in which no quote closes is not read to its end for each of its lines.
        self._patience = 2 * LONGEST_ROW
        self.count = self.size = 0
        self.ended = False
        self.begin_row()

    def __next__(self) -> str:
        if self.row and self.size > self._patience:
            raise Unreadable(_OPEN_QUOTE)
        line = self._given_back.popleft() if self._given_back else self._read()
        if not line:
            self.ended = True
            raise StopIteration
        self.row.append(line)
        self.count += 1
        self.size += len(line)
        if self.size >= LONGEST_ROW:
            raise Unreadable(f"the row reaches {LONGEST_ROW} characters. Shorten it, or close its quote.")
        return line

    def begin_row(self) -> None:
        self._patience += self.size
        self.row: list[str] = []
        self.size = 0  # characters of the row so far
        self.line = self.count + 1  # where it starts

    def end_row_at_first_line(self) -> None:
        """Give back what the row took beyond its first line: the next rows begin there."""
        others = self.row[1:]
        self._given_back.extendleft(reversed(others))
        given_back = sum(map(len, others))
        self._patience -= given_back
        self.size -= given_back
        self.count -= len(others)
        self.ended = False
        del self.row[1:]

    def _read(self) -> str:
        """The next line of the file, up to the limit of a row; "" at the end."""
        line = part = self._file.readline(LONGEST_ROW)
        if len(line) == LONGEST_ROW:
            while part and part[-1] not in "\r\n":
                part = self._file.readline(LONGEST_ROW)
        return line


class WholeText(Iterator[str]):
    """A file that is one row."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.encoding = encoding_of(file)
        self.line = 1
        self.begin_row()

    def __next__(self) -> str:
        text = self._file.read(LONGEST_ROW)
        if not text:
            raise StopIteration
        self.row.append(text)
        self.size = len(text)
        if self.size == LONGEST_ROW:
            while self._file.read(LONGEST_ROW):  # to the end, where a compressed file tells whether it is whole
                pass
            raise Unreadable(f"the text reaches {LONGEST_ROW} characters. Shorten it, or send its parts as rows.")
        check_text(text, self.encoding)
        return text

    def begin_row(self) -> None:
        self.row: list[str] = []
        self.size = 0


def read_rows(pieces: Pieces, read: Callable[[], dict[str, Any] | None]) -> Iterator[Row]:
    """Every row that `read` gives before StopIteration; there None is a blank line, `Unreadable` an error."""
    while True:
        pieces.begin_row()
        try:
            values = read()
        except StopIteration:
            return
        except Unreadable as flaw:
            raw = _NOT_TEXT.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", "".join(pieces.row))
            yield Row(pieces.line, pieces.size, {}, str(flaw), raw.removesuffix("\n").removesuffix("\r"))
        else:
            if values is not None:
                yield Row(pieces.line, pieces.size, values)


class Records:
    """The CSV records of a file's lines. Within one line quotes are taken as they come; a record of several lines has
    to be quoted by the book, else its first quote is one that was forgotten.
    """

    def __init__(self, lines: Lines, delimiter: str) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
        self._lines = lines
        self._delimiter = delimiter
        self._reader = csv.reader(lines, delimiter=delimiter)

    def read(self) -> list[str]:
        """The fields of the next record; none for a blank line. Raises StopIteration at the end."""
        try:
            fields = next(self._reader)
        except Unreadable:
            self._lines.end_row_at_first_line()
            raise
        except csv.Error as error:
            self._refuse_open_quote()
            raise Unreadable(f"not CSV: {str(error).partition(' - ')[0]}. Correct the row.") from error
        self._refuse_open_quote()
        check_text("".join(self._lines.row), self._lines.encoding)
        return fields

    def _refuse_open_quote(self) -> None:
        row = self._lines.row
        if len(row) == 1 and not self._lines.ended:  # the reader asks for a line more only within quotes
            return
        plain = (line.rstrip("\r\n").replace("\r", " ") for line in row)
        try:
            for _ in csv.reader(plain, delimiter=self._delimiter, strict=True):
                pass
        except csv.Error as error:
            self._lines.end_row_at_first_line()
            raise Unreadable(_OPEN_QUOTE) from error


def check_text(row: str, encoding: str) -> None:
    """Raise Unreadable for a row with a byte that is not of the encoding, or a NUL."""
    if row.isascii() and "\0" not in row:
        return
    if bad := _NOT_TEXT.search(row):
        place = len(row[: bad.start()].encode(encoding)) + 1
        name = encoding.upper().removesuffix("-LE")
        raise Unreadable(
            f"byte {place} of the row is 0x{ord(bad[0]) & 0xFF:02x}, which is not {name} text. "
            "Save the file as UTF-8, or send it with --encoding."
        )


def encoding_of(file: TextIO) -> str:
    """The encoding of a file's characters, without the mark that only its beginning has."""
    return {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(file.encoding, file.encoding)
