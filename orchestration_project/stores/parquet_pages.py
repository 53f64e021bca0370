"""How much memory a Parquet file can take, from the headers of its pages, which reading holds itself to; sizes in the
footer may say anything (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.opening import Allowance

LARGEST_GROUP = 2**30
"""Bytes of a Parquet row group that may be in memory at once: the pages at hand, a row, and all that is in lists."""

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
"""Bytes of a value in memory; of a text or its like, the bytes beside its own."""

_DICTIONARY_PAGE = 2
_HEADERS_OF_VALUES = {0: 5, 3: 8}  # the field that counts a page's values, by type of page
_FRONT_CODED = 7  # DELTA_BYTE_ARRAY: a text is the beginning of the one before and what is new
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_MOST_HEADER_BYTES = 2**24  # of a page or the file
_INT32, _INT64 = 5, 6
_PAGE: "_Wanted" = {1: _INT32, 2: _INT32, 3: _INT32, 5: {1: _INT32, 2: _INT32}, 8: {1: _INT32, 4: _INT32}}
_FOOTER: "_Wanted" = {4: {1: {3: {4: _INT32, 5: _INT64, 7: _INT64, 9: _INT64, 11: _INT64}}, 3: _INT64}}
_PADDING = 100  # bytes behind a column where Arrow looks for its pages too, for the sake of an old writer


class RowGroups:
    """How much memory the row groups of a Parquet file can take, from its footer and the headers of its pages.

    Reading holds itself to those, while sizes in the footer may say anything. The footer is read here and not by pyarrow,
    which ends the process at a damaged `RowGroupMetaData.column`. Raises ArrowInvalid where there is none.
    """

    def __init__(self, path: Path, stream: BinaryIO, advice: str) -> None:
        self._name = path.name
        self._stream = stream
        self._allowance = Allowance(path, advice)
        size = path.stat().st_size
        stream.seek(max(0, size - 8))
        length = int.from_bytes(stream.read(4), "little")
        if not 0 < length <= size - 12 or stream.read(4) != b"PAR1":
            raise pa.ArrowInvalid("no footer of Parquet at its end")
        if length > _MOST_HEADER_BYTES:
            raise FileRefused(
                f"{path.name} has a footer of {length:,} bytes; {_MOST_HEADER_BYTES:,} is the most. Write it with fewer "
                "row groups, or in several files."
            )
        stream.seek(size - 8 - length)
        try:
            self._groups = _list(_Thrift(stream.read(length)).struct(_FOOTER), 4)
        except IndexError as error:
            raise pa.ArrowInvalid("its footer is cut off") from error

    def rows_within(self, size: int, file: pq.ParquetFile, number: int) -> int:
        """How many rows of a group may be read at once: any of them unpack to about `size` bytes, or it is one.

        What its pages unpack to is used of the file's allowance. FileRefused beyond that, and beyond `LARGEST_GROUP`.
        """
        if len(self._groups) != file.num_row_groups:
            raise pa.ArrowInvalid(f"its footer tells of {len(self._groups)} row groups and of {file.num_row_groups}")
        chunks, rows = _list(self._groups[number], 1), _number(self._groups[number], 3)
        if len(chunks) != len(file.schema):
            raise pa.ArrowInvalid(f"row group {number + 1} has {len(chunks)} columns of {len(file.schema)}")
        kinds = {field.name: field.type for field in file.schema_arrow}
        held = row = lists = 0
        for place, chunk in enumerate(chunks):
            column = file.schema.column(place)
            pages = _pages_of(_fields(chunk, 3), column.physical_type == "BYTE_ARRAY", self._stream, self._allowance)
            held += pages.largest + pages.dictionary
            width = _WIDTHS.get(column.physical_type) or max(column.length, 16)
            if column.max_repetition_level:  # one row may hold all of it
                items = _items_of(kinds, column.path, rows, pages.values)
                lists += items * (width + 4 + pages.longest) + pages.unpacked
            else:
                row += width + max(pages.longest, pages.densest)
        if held + row + lists > LARGEST_GROUP:
            raise FileRefused(
                f"{self._name} may unpack to {held + row + lists:,} bytes at once in row group {number + 1}; "
                f"{LARGEST_GROUP:,} is the most. Write it with fewer rows in a row group, or smaller pages."
            )
        return max(1, size // max(1, row + lists // max(1, rows)))


class _Pages(NamedTuple):
    """A column's pages in a row group: how many values, bytes that they unpack to, of the largest page, of the
    dictionary; bytes of the longest text that stands there once for many rows; most bytes for a value on a page.
    """

    values: int = 0
    unpacked: int = 0
    largest: int = 0
    dictionary: int = 0
    longest: int = 0
    densest: int = 0


def _pages_of(chunk: dict[int, Any], is_text: bool, stream: BinaryIO, allowance: Allowance) -> _Pages:
    place, dictionary = _number(chunk, 9), chunk.get(11, 0)
    if 0 < dictionary < place:
        place = dictionary
    end = place + _number(chunk, 7) + _PADDING
    pages = _Pages()
    while pages.values < _number(chunk, 5) and place < end:
        header, place = _page_header(stream, place)
        kind, size, packed = (_number(header, field) for field in (1, 2, 3))
        allowance.use(size)
        pages = pages._replace(unpacked=pages.unpacked + size)
        if kind == _DICTIONARY_PAGE:
            pages = pages._replace(dictionary=max(pages.dictionary, size))
            if is_text:
                stream.seek(place)
                longest = _longest_text(stream.read(packed), size, _number(chunk, 4))
                pages = pages._replace(longest=max(pages.longest, longest))
        elif kind in _HEADERS_OF_VALUES:
            details = _fields(header, _HEADERS_OF_VALUES[kind])
            values = _number(details, 1)
            is_front_coded = _number(details, 4 if kind else 2) == _FRONT_CODED
            pages = pages._replace(
                values=pages.values + values,
                largest=max(pages.largest, size),
                longest=max(pages.longest, size if is_front_coded else 0),
                densest=max(pages.densest, size // max(1, values) if is_text else 0),
            )
        place += packed
    return pages


def _longest_text(packed: bytes, size: int, codec: int) -> int:
    """Bytes of the longest text of a dictionary page; of the page where it cannot be seen, as the reader will tell."""
    if size <= 1024 or size > LARGEST_GROUP:  # so short that it may be, or to be refused anyway
        return size
    try:
        content = pa.Codec(_CODECS[codec]).decompress(packed, size, asbytes=True) if codec else packed
    except (KeyError, pa.ArrowException, OSError):
        return size
    longest = place = 0
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "little")
        longest = max(longest, length)
        place += 4 + length
    return min(longest, size)


def _items_of(kinds: Mapping[str, pa.DataType], path: str, rows: int, values: int) -> int:
    """Most items that the values of a column in lists are in memory: where lists have a fixed length, an absent one too.

    `kinds` are those of the file's columns by name.
    """
    parts = path.split(".")
    most = values
    for end in range(1, len(parts) + 1):  # a name may hold points
        kind = kinds.get(".".join(parts[:end]))
        if kind is not None and (length := _fixed_length(kind)) > 1:
            most = max(most, length * (rows if pa.types.is_fixed_size_list(kind) else values))
    return most


def _fixed_length(kind: pa.DataType) -> int:
    """The product of the fixed lengths of lists within lists."""
    if isinstance(kind, pa.BaseExtensionType):
        return _fixed_length(kind.storage_type)
    within = max((_fixed_length(kind.field(place).type) for place in range(kind.num_fields)), default=1)
    return within * (kind.list_size if pa.types.is_fixed_size_list(kind) else 1)


def _page_header(stream: BinaryIO, start: int) -> tuple[dict[int, Any], int]:
    """The fields of the header that begins at a byte, and the byte behind it."""
    size = 256
    while True:
        stream.seek(start)
        content = stream.read(size)
        thrift = _Thrift(content)
        try:
            return thrift.struct(_PAGE), start + thrift.place
        except IndexError:
            if len(content) < size or size >= _MOST_HEADER_BYTES:
                raise pa.ArrowInvalid(f"no whole page at byte {start}") from None
            size *= 16


def _number(fields: dict[int, Any], number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or value < 0:
        raise pa.ArrowInvalid(f"field {number} of its metadata is {value!r:.40}")
    return value


def _fields(fields: dict[int, Any], number: int) -> dict[int, Any]:
    value = fields.get(number)
    if not isinstance(value, dict):
        raise pa.ArrowInvalid(f"field {number} of its metadata is no struct")
    return value


def _list(fields: dict[int, Any], number: int) -> list[dict[int, Any]]:
    value = fields.get(number)
    if not isinstance(value, list):
        raise pa.ArrowInvalid(f"field {number} of its metadata is no list")
    return value


_Wanted = dict[int, Any]
"""The fields of a struct that are kept: by number the type of an integer, or what is kept of the structs there."""

_SIZES = {1: 1, 2: 1, 3: 1, 7: 8, 13: 16}  # bytes of a value in a list, by type, where they are always as many


class _Thrift:
    """Reads the compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).

    As Arrow does: a field of another type than is wanted is none. IndexError where the bytes end too soon.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._depth = 0
        self.place = 0

    def struct(self, wanted: _Wanted) -> dict[int, Any]:
        """The wanted fields of a struct, by number."""
        fields: dict[int, Any] = {}
        number = 0
        while start := self._byte():
            number = number + (start >> 4) if start >> 4 else self._integer(16)
            value = self._value(start & 15, wanted.get(number))
            if value is not None:
                if number in fields:
                    raise pa.ArrowInvalid(f"field {number} of its metadata comes twice")
                fields[number] = value
        return fields

    def _value(self, kind: int, wanted: int | _Wanted | None) -> Any:
        """A value; None for one that is not wanted."""
        match kind:
            case 1 | 2:  # true, false
                return None
            case 4 | 5 | 6:
                value = self._integer(64 if kind == _INT64 else 32)
                return value if kind == wanted else None
            case 8:  # bytes
                length = self._varint()
                self.place += length
            case 9 | 10 | 12:  # list, set, struct
                self._depth += 1
                if self._depth > 64:
                    raise pa.ArrowInvalid("its metadata is nested too deep")
                kept = wanted if isinstance(wanted, dict) else {}
                found = self.struct(kept) if kind == 12 else self._values(kept)
                self._depth -= 1
                return found if kept else None
            case _:
                self._skip(kind, 1)
        return None

    def _values(self, wanted: _Wanted) -> list[Any]:
        start = self._byte()
        size, kind = start >> 4, start & 15
        if size == 15:
            size = self._varint()
        if kind in _SIZES:
            self._skip(kind, size)
            return []
        return [value for _ in range(size) if (value := self._value(kind, wanted)) is not None]

    def _skip(self, kind: int, number: int) -> None:
        if kind not in _SIZES:
            raise pa.ArrowInvalid(f"its metadata has the unknown type {kind}")
        self.place += number * _SIZES[kind]

    def _integer(self, bits: int) -> int:
        """A zigzag integer, of its last bits."""
        value = self._varint() & (2**bits - 1)
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise pa.ArrowInvalid("its metadata has a number without end")

    def _byte(self) -> int:
        byte = self._content[self.place]
        self.place += 1
        return byte
