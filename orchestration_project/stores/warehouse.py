"""The asset tables: immutable Parquet files, one per asset, partition and run, which the manifest makes current.

A file that the manifest does not name does not exist for any reader, so an unfinished or abandoned write is invisible.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores.files import file_digest, publish_file, read_parquet, temporary_beside

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow


SALT = "orchestrate.salt"
"""Name of a file's salt in its metadata."""


@dataclass(frozen=True)
class StoredFile:
    """A Parquet file of the warehouse. `path` is relative to the warehouse."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class Warehouse:
    """The folder of current and earlier asset tables, and the folder of quarantined rows."""

    root: Path
    quarantine: Path

    def write(self, asset: str, partition: str, run_id: str, table: "pyarrow.Table") -> StoredFile:
        """Write one version of an asset's partition; nobody sees it until the manifest names it.

        A batch's file holds a random salt: once it is gone, nobody can tell from its digest what stood in it.
        """
        name = f"{run_id}-{uuid4().hex[:8]}.parquet"
        if partition:
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), SALT: os.urandom(16).hex()})
        return _write(self.root, Path(asset, f"batch={_folder_name(partition)}", name), table)

    def write_quarantine(self, asset: str, partition: str, run_id: str, rows: "pd.DataFrame") -> StoredFile:
        """Write the rows that a gate refused, as they were."""
        import pyarrow

        name = f"{run_id}-{uuid4().hex[:8]}.parquet"
        table = pyarrow.Table.from_pandas(rows, preserve_index=False)
        return _write(self.quarantine, Path(asset, f"batch={_folder_name(partition)}", name), table)

    def write_quarantine_again(self, path: str, table: "pyarrow.Table") -> StoredFile:
        """Write rows that a gate refused into a new file beside the one of that path."""
        return _write(self.quarantine, Path(path).with_name(f"{uuid4().hex}.parquet"), table)

    def read_quarantine(self, path: str) -> "pyarrow.Table":
        """Rows that a gate refused, as text; ArtifactRefused if the file is gone or damaged."""
        full = self.quarantine / path
        if not full.is_file():
            raise ArtifactRefused(f"{path} is named in the ledger and is not in {self.quarantine}. Put it back.")
        return read_parquet(full, "Put it back from a backup.")

    def read(self, path: str, columns: list[str] | None = None) -> "pyarrow.Table":
        """One version as Arrow, or those of these columns that it has; ArtifactRefused if the file is gone or damaged."""
        full = self.root / path
        if not full.is_file():
            raise self._gone(path)
        return read_parquet(full, _WAY_ON, columns)

    def message_ids(self, path: str) -> set[str]:
        """The messages that a version has rows of, by their ids; none where its rows name no message. ArtifactRefused if
        the file is gone or damaged.
        """
        table = self.read(path, ["message_id"])
        return set(table["message_id"].to_pylist()) if table.num_columns else set()

    def connect(
        self, files: Mapping[str, Iterable[str]], empty: "Mapping[str, pyarrow.Schema] | None" = None
    ) -> "duckdb.DuckDBPyConnection":
        """DuckDB with one view for each asset over the named files, and nothing else within reach.

        Each view has the asset's columns and `batch`. An asset of `empty` that has no file is an empty table of that
        schema. ArtifactRefused if a file is gone.
        """
        import duckdb
        import pyarrow

        connection = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        )
        connection.execute("SET TimeZone = 'UTC'")
        named = {asset: [str(self.root / path) for path in paths] for asset, paths in sorted(files.items())}
        for asset, paths in named.items():
            try:
                connection.execute(f"CREATE VIEW {_identifier(asset)} AS {_VIEW.format(files=_literals(paths))}")
            except duckdb.IOException:
                if missing := [path for path in paths if not Path(path).is_file()]:
                    raise self._gone(str(Path(missing[0]).relative_to(self.root))) from None
                raise
        for asset, schema in (empty or {}).items():
            if asset not in files:
                connection.register(asset, schema.append(pyarrow.field("batch", pyarrow.string())).empty_table())
        connection.execute(f"SET temp_directory = {_literal(str(self.root / '.spill'))}")
        connection.execute(f"SET allowed_paths = [{_literals(path for paths in named.values() for path in paths)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def _gone(self, path: str) -> ArtifactRefused:
        return ArtifactRefused(f"{path} is named in the manifest and is not in {self.root}. {_WAY_ON}")


_WAY_ON = "Put the file back from a backup, or materialise its partition again."


def has_read(connection: "duckdb.DuckDBPyConnection", query: str, asset: str) -> bool:
    """Whether a SELECT that the connection has answered needs the view of an asset: without it, DuckDB cannot plan it."""
    import duckdb

    connection.begin()
    try:
        connection.execute(f"DROP VIEW {_identifier(asset)}")
        connection.execute(f"EXPLAIN {query}")
    except duckdb.CatalogException:
        return True
    finally:
        connection.rollback()
    return False


_VIEW = """
SELECT COLUMNS(lambda name: name NOT IN ('batch', '.path')), url_decode(parse_path(".path")[-2][7:]) AS batch
FROM read_parquet([{files}], union_by_name = true, hive_partitioning = false, filename = '.path')
"""
"""The folder of a file, `batch=KEY`, says its batch: the last folder, whatever the home above it is called."""


def by_asset(entries: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group (asset, path) pairs by asset."""
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for asset, path in entries:
        grouped[asset].append(path)
    return dict(grouped)


def _write(root: Path, relative: Path, table: "pyarrow.Table") -> StoredFile:
    import pyarrow.parquet

    final = root / relative
    temporary = temporary_beside(final)
    pyarrow.parquet.write_table(table, temporary, compression="zstd")
    digest = file_digest(temporary)
    publish_file(temporary, final)
    return StoredFile(str(relative), digest, table.num_rows)


def _folder_name(partition: str) -> str:
    """A partition key as one folder name, whatever it holds; `batch=` stands before it."""
    return quote(partition, safe="")


def _literals(texts: Iterable[str]) -> str:
    return ", ".join(map(_literal, texts))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
