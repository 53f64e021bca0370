"""What a file of messages is, as its name tells: `NAME[.ENCODING].SUFFIX[.COMPRESSION]`, such as `may.latin-1.csv.gz`."""

from typing import NamedTuple

from orchestration_project.core.errors import FileRefused, Refused, did_you_mean

TEXT_SUFFIXES = (".csv", ".eml", ".json", ".jsonl", ".ndjson", ".tsv", ".txt")
PARQUET = ".parquet"
COMPRESSIONS = (".gz", ".zst")
"""Of text only: Parquet is compressed by itself."""

ENCODINGS = ("utf-8", "utf-16", "latin-1", "iso-8859-1", "iso-8859-15", "cp1252", "windows-1252")
"""What a file may be declared to be written in. Nothing is guessed: undeclared it is UTF-8, or UTF-16 with its mark."""

READABLE = f"{', '.join(TEXT_SUFFIXES)} (each also as {' or '.join(COMPRESSIONS)}) or {PARQUET}"


class FileKind(NamedTuple):
    """How a file is to be read: suffix (with its dot, lower case), compression (the same), declared encoding."""

    suffix: str
    compression: str | None = None
    encoding: str | None = None


def kind_of(name: str) -> FileKind:
    """The kind that a file's name tells. FileRefused for a name of another kind."""
    _, encoding, suffix, compression = _parts(name)
    if suffix == PARQUET and compression is None:
        return FileKind(suffix)
    if suffix == PARQUET:
        raise FileRefused(f"{name} is Parquet, compressed once more as {compression}. Send the Parquet file itself.")
    if suffix not in TEXT_SUFFIXES:
        raise FileRefused(f"{name} has the suffix '{suffix or compression or ''}'. Send one of: {READABLE}.")
    return FileKind(suffix, compression, encoding)


def is_readable_name(name: str) -> bool:
    """Whether a name is one of a file of messages."""
    try:
        kind_of(name)
    except FileRefused:
        return False
    return True


def name_with_encoding(name: str, encoding: str) -> str:
    """The name that declares this encoding, in place of the one that it may declare now.

    Refused for an encoding that is not among `ENCODINGS`, and for Parquet, which has none.
    """
    if encoding.lower() not in ENCODINGS:
        raise Refused(f"'{encoding}' is no encoding that is read.{did_you_mean(encoding, ENCODINGS)}")
    if kind_of(name).suffix == PARQUET:
        raise Refused(f"{name} is Parquet, which has no encoding. Send it without --encoding.")
    stem, _, suffix, compression = _parts(name)
    end = len(suffix) + len(compression or "")
    return f"{stem}.{encoding.lower()}{name[-end:]}"


def _parts(name: str) -> tuple[str, str | None, str, str | None]:
    """Stem, declared encoding, suffix and compression of a name; the last three in lower case."""
    stem, suffix = _split(name)
    compression = None
    if suffix in COMPRESSIONS:
        compression = suffix
        stem, suffix = _split(stem)
    before, last = _split(stem)
    if last[1:] in ENCODINGS:
        return before, last[1:], suffix, compression
    return stem, None, suffix, compression


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix.lower()}") if dot else (name, "")
