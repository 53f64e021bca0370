"""Files that are either there whole or not at all."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from orchestration_project.core.errors import ArtifactRefused

if TYPE_CHECKING:
    import pyarrow


def publish_file(temporary: Path, final: Path) -> None:
    """Give a finished file its name: flush it to disk, rename it, flush the folder."""
    _flush(temporary)
    temporary.replace(final)
    flush_folder(final.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(final: Path) -> Path:
    """A new name in the same folder, hidden and never read by anyone else; makes the folder."""
    final.parent.mkdir(parents=True, exist_ok=True)
    return final.with_name(f".{final.name}.{uuid4().hex}.part")


def write_file(final: Path, content: bytes) -> None:
    """Write a file whole, over an older one if there is one."""
    temporary = temporary_beside(final)
    try:
        temporary.write_bytes(content)
        publish_file(temporary, final)
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk keeps nothing half-written
        raise


def write_once(final: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file whole unless there is one; of several writers the first wins."""
    temporary = temporary_beside(final)
    temporary.touch(mode=mode)
    temporary.write_bytes(content)
    _flush(temporary)
    with suppress(FileExistsError):
        os.link(temporary, final)
    temporary.unlink()
    flush_folder(final.parent)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, in hex; reads it in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def read_parquet(file: Path, way_on: str, columns: list[str] | None = None) -> "pyarrow.Table":
    """A Parquet file that is there, or those of these columns that it has. ArtifactRefused, which ends with `way_on`, where
    it is damaged.
    """
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(file).read(columns)
    except (pyarrow.ArrowException, OSError) as error:
        raise ArtifactRefused(f"{file} cannot be read: {str(error).rstrip('.')}. {way_on}") from error
