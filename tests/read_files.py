"""Files for tests of the readers: written under a name and read back, and the same rows in every format."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration_project.stores.formats import read_slices


def tables_in(name: str, content: bytes | str, rows_per_slice: int = 100) -> list[pa.Table]:
    """The tables of a file of that name and content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_slices(path, rows_per_slice))


def rows_in(name: str, content: bytes | str, rows_per_slice: int = 100) -> list[dict[str, Any]]:
    return [row for table in tables_in(name, content, rows_per_slice) for row in table.to_pylist()]


def packed(content: bytes, compression: str) -> bytes:
    """The content as `.gz` or `.zst`; as it is for ""."""
    if not compression:
        return content
    return gzip.compress(content) if compression == ".gz" else pa.Codec("zstd").compress(content, asbytes=True)


def text_of(suffix: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows, of one set of columns, as a file of that suffix; mail and text hold the first."""
    if suffix == ".json":
        return json.dumps(rows)
    if suffix == ".txt":
        return str(rows[0]["text"])
    if suffix == ".eml":
        mail = EmailMessage()
        mail["From"] = "ann@example.org"
        mail.set_content(str(rows[0]["text"]))
        return mail.as_string()
    if suffix in (".jsonl", ".ndjson"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter="," if suffix == ".csv" else "\t")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
