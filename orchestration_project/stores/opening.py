"""Opens a file of messages: its bytes without the compression, its text in the encoding that it has. All streamed.

How much a file may unpack to stands here, for Parquet too.
"""

import codecs
import gzip
import io
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, TextIO

import pyarrow as pa

from orchestration_project.core.errors import FileRefused
from orchestration_project.stores.file_kinds import FileKind

MOST_RATIO = 250
"""How many times its compressed size a file may have. Messages of people shrink to a fifth or a tenth, rows of a machine
to a hundredth; 10 MB that unpack to 10 GB are no messages, and would fill the disk."""

FREE_BYTES = 64 * 2**20
"""Unpacked bytes of which no ratio is asked: a small file of equal rows harms nobody."""

BYTES_AS_TEXT = "orchestrate-bytes"
"""Error handler that keeps every byte b that is not of the encoding as the character U+DC00 + b."""

_HEAD_BYTES = 8192
_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8"))


@contextmanager
def open_bytes(path: Path, kind: FileKind) -> Generator[BinaryIO]:
    """A file's bytes, unpacked while they are read.

    Reading raises FileRefused where the compression is damaged or cut off, and beyond `MOST_RATIO`.
    """
    with path.open("rb") as file:
        if kind.compression is None:
            yield file
            return
        if path.stat().st_size == 0:
            raise FileRefused(f"{path.name} is empty, which no compressed file is. Send it whole.")
        with io.BufferedReader(_Unpacked(path, file, kind.compression), 2**18) as stream:
            yield stream  # pyright: ignore[reportReturnType]  # a BufferedReader is a BinaryIO in all but name


@contextmanager
def open_text(path: Path, kind: FileKind, *, newline: str | None = "") -> Generator[TextIO]:
    """A file's text, without its byte order mark; bytes that are not of its encoding are kept (`BYTES_AS_TEXT`).

    `newline` None makes every line end \\n. With "" they stay, and a line ends with \\n or \\r\\n, and with a \\r alone only
    if there is no \\n in the first 8 KiB. FileRefused for a file that is binary, UTF-32, or marked as another encoding
    than its name declares.
    """
    with open_bytes(path, kind) as file:
        head = file.read(_HEAD_BYTES)
    encoding = _encoding_of(path, kind, head)
    start = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    if "\0" in start:
        raise FileRefused(f"{path.name} is not text: character {start.index(chr(0)) + 1} is NUL. Save it as UTF-8.")
    codecs.register_error(BYTES_AS_TEXT, _keep_bytes)
    ends = newline if newline is None or "\n" not in start else "\n"
    with (
        open_bytes(path, kind) as file,
        io.TextIOWrapper(file, encoding, errors=BYTES_AS_TEXT, newline=ends) as text,
    ):
        yield text


class Allowance:
    """Counts what a file unpacks to. FileRefused beyond `MOST_RATIO`, with its advice."""

    def __init__(self, path: Path, advice: str) -> None:
        self._name = path.name
        self._packed = path.stat().st_size
        self._advice = advice
        self._unpacked = 0

    def use(self, size: int) -> None:
        """Count so many bytes more."""
        self._unpacked += size
        if self._unpacked > max(FREE_BYTES, MOST_RATIO * self._packed):
            raise FileRefused(
                f"{self._name} has {self._packed:,} bytes and unpacks to more than {self._unpacked - 1:,}, over "
                f"{MOST_RATIO} times as many. {self._advice}"
            )


class _Unpacked(io.RawIOBase):
    """What a compressed file holds; every way in which it is damaged is a FileRefused."""

    def __init__(self, path: Path, file: BinaryIO, compression: str) -> None:
        self._path = path
        self._stream: IO[bytes] | Any = (
            gzip.GzipFile(fileobj=file)
            if compression == ".gz"
            else pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")
        )
        self._allowance = Allowance(path, "Send it unpacked if it is meant to be so.")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content: bytes = self._stream.read(len(buffer))
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk failed, not the compression
                raise
            raise FileRefused(
                f"{self._path.name} cannot be unpacked ({error!s:.200}): it is damaged or cut off. Send it whole."
            ) from error
        self._allowance.use(len(content))
        buffer[: len(content)] = content
        return len(content)


def _encoding_of(path: Path, kind: FileKind, head: bytes) -> str:
    """The codec of a file: what its name declares, and its byte order mark says."""
    mark, marked = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", None))
    if marked == "utf-32" or (marked and kind.encoding and marked != kind.encoding):
        declared = f" and is named {kind.encoding}" if kind.encoding else ""
        raise FileRefused(
            f"{path.name} starts with {mark.hex(' ')}, as {marked.upper()} does{declared}. Save it as UTF-8."
        )
    if kind.encoding == "utf-16" and not marked:
        raise FileRefused(f"{path.name} is named utf-16 and lacks its mark, ff fe or fe ff. Save it as UTF-8.")
    encoding = marked or kind.encoding or "utf-8"
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _keep_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end
