"""Staged rows: a received file as Parquet, a file for each slice, whole or not at all."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores.files import publish_file, read_parquet, temporary_beside
from orchestration_project.stores.formats import ERROR, LINE, RAW, read_slices
from orchestration_project.stores.home import Home

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow


@contextmanager
def staged_slices(home: Home, received: Path, token: str) -> Generator[list[dict[str, Any]]]:
    """Stage a received file's rows; what the ledger is to know of each slice.

    What an interrupted run staged under the token is replaced. Whatever is raised, here or by the caller within, leaves
    nothing staged.
    """
    discard_staged(home, token)
    is_kept = False
    try:
        yield _stage(home, received, token)
        is_kept = True
    finally:
        if not is_kept:
            discard_staged(home, token)


def discard_staged(home: Home, token: str) -> None:
    """Remove what is staged under a token, half written files too; the ledger names none of it."""
    for pattern in (f"{token}-*.parquet", f".{token}-*.part"):
        for staged in home.staged.glob(pattern):
            staged.unlink()


def read_staged(home: Home, path: str) -> "pyarrow.Table":
    """A staged slice, by its path below the home. ArtifactRefused when it is gone or damaged."""
    if not (home.root / path).is_file():
        raise ArtifactRefused(f"{path} is named in the ledger and is not in {home.root}. Put it back.")
    return read_parquet(home.root / path, "Put it back from a backup.")


def frame_of(table: "pyarrow.Table") -> "pd.DataFrame":
    """The rows in pandas; whole numbers stay whole where some are absent."""
    import pyarrow.types

    whole = {
        field.name: "UInt64" if pyarrow.types.is_unsigned_integer(field.type) else "Int64"
        for field in table.schema
        if pyarrow.types.is_integer(field.type) and table[field.name].null_count
    }
    return table.to_pandas(integer_object_nulls=True).astype(whole)


def _stage(home: Home, received: Path, token: str) -> list[dict[str, Any]]:
    import pyarrow.parquet

    slices: list[dict[str, Any]] = []
    for number, table in enumerate(read_slices(received, home.settings.batch_rows)):
        staged = home.staged / f"{token}-{number:06d}.parquet"
        temporary = temporary_beside(staged)
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        publish_file(temporary, staged)
        own = [f"{field.name}: {field.type}" for field in table.schema if field.name not in (LINE, ERROR, RAW)]
        entry = {"arrival_id": f"{token}/{number:06d}", "path": home.below(staged), "rows": table.num_rows}
        slices.append({**entry, "columns": json.dumps(sorted(own))})
    return slices
