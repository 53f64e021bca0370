"""The warehouse: immutable files, seen only when they are named, and nothing else within reach of a query."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.core.errors import ArtifactRefused
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.warehouse import StoredFile, Warehouse, by_asset, has_read

ODD_KEYS = [
    *(
        "..",
        ".",
        "/",
        "../../etc",
        "a/b",
        "a\\b",
        " ",
        "a b",
        "ä",
        "日本",
        "🙂",
        "it's",
        '"q"',
        "a=b",
        "batch=x",
        "%2F",
    ),
    *("+", "*", "?", "[x]", "{a,b}", "NULL", "null", "", "1", "2024-01-01", "true", "__HIVE_DEFAULT_PARTITION__", "\n"),
]
ODD_FOLDERS = ["a=b", "batch=7", "x[1]", "st*r", "q?", "it's", "{a,b}", "per%41", "a b", "日本", '"q"', "#1"]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "home" / "warehouse", tmp_path / "home" / "quarantine")


def write(warehouse: Warehouse, partition: str, *values: int, asset: str = "issue") -> StoredFile:
    return warehouse.write(asset, partition, "run", pyarrow.table({"value": pyarrow.array(values, pyarrow.int64())}))


def seen(
    warehouse: Warehouse, *files: StoredFile, query: str = "SELECT value, batch FROM issue"
) -> list[tuple[object]]:
    with warehouse.connect({"issue": [file.path for file in files]} if files else {}) as connection:
        return sorted(connection.execute(query).fetchall())


def test_written_version_is_read_as_it_was(warehouse: Warehouse) -> None:
    table = pyarrow.table(
        {"text": ["ä", None], "at": pyarrow.array([0, None], pyarrow.timestamp("us", "UTC")), "sure": [True, None]}
    )
    file = warehouse.write("issue", "b1", "run", table)
    assert warehouse.read(file.path).equals(table)
    assert (file.rows, file.sha256) == (2, file_digest(warehouse.root / file.path))


def test_path_is_below_the_warehouse_by_asset_and_batch(warehouse: Warehouse) -> None:
    assert re.fullmatch(r"issue/batch=b1/run-[0-9a-f]{8}\.parquet", write(warehouse, "b1", 1).path)


def test_version_without_rows_keeps_its_columns(warehouse: Warehouse) -> None:
    file = write(warehouse, "b1")
    assert file.rows == 0
    assert warehouse.read(file.path).column_names == ["value"]
    assert seen(warehouse, file) == []


def test_one_run_that_writes_twice_leaves_two_files(warehouse: Warehouse) -> None:
    first, second = write(warehouse, "b1", 1), write(warehouse, "b1", 2)
    assert seen(warehouse, first) == [(1, "b1")]
    assert seen(warehouse, second) == [(2, "b1")]


def test_view_sees_the_named_files_and_no_other(warehouse: Warehouse) -> None:
    write(warehouse, "b1", 1)
    current = write(warehouse, "b1", 2)
    (warehouse.root / "issue" / "batch=b1" / ".run.parquet.part").write_bytes(b"half a file")
    (warehouse.root / "issue" / "batch=b9").mkdir()
    (warehouse.root / "issue" / "batch=b9" / "stray.parquet").write_bytes(b"no Parquet")
    assert seen(warehouse, current) == [(2, "b1")]


@pytest.mark.parametrize("partition", ODD_KEYS)
def test_odd_batch_keys_stay_one_folder_and_come_back_as_they_were(warehouse: Warehouse, partition: str) -> None:
    other, own = write(warehouse, "b1", 1), write(warehouse, partition, 2)
    assert Path(own.path).parts[:-2] == ("issue",)
    assert (warehouse.root / own.path).resolve().parents[2] == warehouse.root.resolve()
    assert seen(warehouse, other, own, query="SELECT batch FROM issue ORDER BY value") == sorted(
        [("b1",), (partition,)]
    )
    refused = warehouse.write_quarantine("issue", partition, "run", pd.DataFrame({"text": ["x"]}))
    assert (warehouse.quarantine / refused.path).resolve().is_relative_to(warehouse.quarantine.resolve())


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_every_batch_key_finds_its_rows_and_no_others(tmp_path_factory: pytest.TempPathFactory, partition: str) -> None:
    warehouse = Warehouse(tmp_path_factory.getbasetemp() / "warehouse", tmp_path_factory.getbasetemp() / "quarantine")
    own, other = write(warehouse, partition, 1), write(warehouse, f"{partition}.", 2)
    with warehouse.connect({"issue": [own.path, other.path]}) as connection:
        found = connection.execute("SELECT value FROM issue WHERE batch = $batch", {"batch": partition}).fetchall()
    assert found == [(1,)]


@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_name_of_the_home_changes_no_view(tmp_path: Path, folder: str) -> None:
    warehouse = Warehouse(tmp_path / folder / "warehouse", tmp_path / folder / "quarantine")
    files = [write(warehouse, "b1", 1), write(warehouse, "b2", 2)]
    with warehouse.connect(by_asset(("issue", file.path) for file in files)) as connection:
        relation = connection.sql("SELECT * FROM issue ORDER BY value")
        assert (relation.columns, relation.fetchall()) == (["value", "batch"], [(1, "b1"), (2, "b2")])


def test_warehouse_that_was_moved_is_read_as_before(warehouse: Warehouse, tmp_path: Path) -> None:
    file = write(warehouse, "b1", 1)
    shutil.move(tmp_path / "home", tmp_path / "elsewhere")
    moved = Warehouse(tmp_path / "elsewhere" / "warehouse", tmp_path / "elsewhere" / "quarantine")
    assert seen(moved, file) == [(1, "b1")]
    assert moved.read(file.path).num_rows == 1


def test_versions_with_different_columns_are_one_view(warehouse: Warehouse) -> None:
    older = warehouse.write("issue", "b1", "run", pyarrow.table({"value": [1]}))
    newer = warehouse.write("issue", "b2", "run", pyarrow.table({"label": ["x"], "value": [2]}))
    assert seen(warehouse, older, newer, query="SELECT value, label FROM issue") == [(1, None), (2, "x")]


def test_columns_named_like_ours_are_left_alone_but_batch_is_the_key(warehouse: Warehouse) -> None:
    table = pyarrow.table({"filename": ["mine.pdf"], "file_row_number": [9], "batch": ["mine"]})
    file = warehouse.write("issue", "b1", "run", table)
    query = "SELECT filename, file_row_number, batch FROM issue"
    assert seen(warehouse, file, query=query) == [("mine.pdf", 9, "b1")]


def test_asset_without_files_is_an_empty_table_of_its_contract(warehouse: Warehouse) -> None:
    schema = pyarrow.schema([("key", pyarrow.string()), ("volume", pyarrow.int64())])
    with warehouse.connect({}, empty={"alert": schema}) as connection:
        relation = connection.sql("SELECT * FROM alert")
        assert (relation.columns, relation.fetchall()) == (["key", "volume", "batch"], [])
    file = write(warehouse, "b1", 1, asset="alert")
    with warehouse.connect({"alert": [file.path]}, empty={"alert": schema}) as connection:
        assert connection.sql("SELECT value FROM alert").fetchall() == [(1,)]


def test_asset_names_are_quoted(warehouse: Warehouse) -> None:
    file = write(warehouse, "b1", 1, asset='odd "name"')
    with warehouse.connect({'odd "name"': [file.path]}) as connection:
        assert connection.sql('SELECT value FROM "odd ""name"""').fetchall() == [(1,)]


def test_moments_are_shown_in_utc(warehouse: Warehouse) -> None:
    table = pyarrow.table({"at": pyarrow.array([0], pyarrow.timestamp("us", "UTC"))})
    file = warehouse.write("issue", "b1", "run", table)
    assert seen(warehouse, file, query='SELECT "at"::VARCHAR FROM issue') == [("1970-01-01 00:00:00+00",)]


def test_file_that_is_gone_is_refused_by_name(warehouse: Warehouse) -> None:
    file = write(warehouse, "b1", 1)
    (warehouse.root / file.path).unlink()
    told = f"^{re.escape(file.path)} is named in the manifest and is not in .*materialise its partition again"
    with pytest.raises(ArtifactRefused, match=told):
        warehouse.read(file.path)
    with pytest.raises(ArtifactRefused, match=told):
        warehouse.connect({"issue": [file.path]})


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-20], lambda content: b"x" * 400])
def test_file_that_is_damaged_is_refused_by_name(warehouse: Warehouse, damage: Callable[[bytes], bytes]) -> None:
    file = write(warehouse, "b1", 1)
    full = warehouse.root / file.path
    full.write_bytes(damage(full.read_bytes()))
    with pytest.raises(
        ArtifactRefused, match=f"^{re.escape(str(full))} cannot be read: .*materialise its partition again"
    ):
        warehouse.read(file.path)
    refused = warehouse.write_quarantine("issue", "b1", "run", pd.DataFrame({"text": ["a"]}))
    full = warehouse.quarantine / refused.path
    full.write_bytes(damage(full.read_bytes()))
    with pytest.raises(
        ArtifactRefused, match=rf"^{re.escape(str(full))} cannot be read: .*Put it back from a backup\.$"
    ):
        warehouse.read_quarantine(refused.path)


@pytest.fixture
def guarded(warehouse: Warehouse, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with one view; beside it an older version, and secrets in and outside the home."""
    (tmp_path / "outside.txt").write_text("secret")
    old, current = write(warehouse, "b1", 1), write(warehouse, "b1", 2)
    shutil.copy(warehouse.root / old.path, warehouse.root / "issue" / "old.parquet")
    shutil.copy(warehouse.root / current.path, warehouse.root / "current.copy")
    (warehouse.root.parent / "secret").write_text("secret")
    with warehouse.connect({"issue": [current.path]}) as connection:
        yield connection
        assert connection.sql("SELECT value, batch FROM issue").fetchall() == [(2, "b1")], "still as it was"


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text('{outside}')",
        "FROM read_text('{warehouse}/../secret')",
        "FROM read_text('{warehouse}/../../outside.txt')",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM read_blob('/proc/self/environ')",
        "FROM glob('{warehouse}/**')",
        "FROM read_parquet('{warehouse}/issue/old.parquet')",
        "FROM read_parquet('{warehouse}/**/*.parquet')",
        "FROM sqlite_scan('{warehouse}/../ledger.db', 'claims')",
        "FROM parquet_schema('{warehouse}/issue/old.parquet')",
        "FROM read_csv('https://example.org/x.csv')",
        "FROM duckdb_secrets()",
    ],
)
def test_query_reads_nothing_but_the_named_files(
    guarded: duckdb.DuckDBPyConnection, warehouse: Warehouse, tmp_path: Path, query: str
) -> None:
    with pytest.raises(duckdb.Error):
        guarded.execute(query.format(warehouse=warehouse.root, outside=tmp_path / "outside.txt")).fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{warehouse}/new.parquet'",
        "COPY (SELECT 1) TO '{warehouse}/issue/old.parquet'",
        "COPY (SELECT 1) TO '{folder}/new.csv'",
        "COPY (SELECT 1 AS batch) TO '{warehouse}' (PARTITION_BY batch, OVERWRITE true)",
        "EXPORT DATABASE '{warehouse}/export'",
        "ATTACH '{warehouse}/new.db'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET allowed_paths = ['/etc/passwd']",
        "RESET allowed_paths",
        "SET lock_configuration = false",
        "SET temp_directory = '{folder}'",
    ],
)
def test_statement_writes_nothing_and_opens_no_way_out(
    guarded: duckdb.DuckDBPyConnection, warehouse: Warehouse, tmp_path: Path, statement: str
) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(duckdb.Error):
        guarded.execute(statement.format(warehouse=warehouse.root, folder=tmp_path))
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_query_sees_no_variable_of_the_program(guarded: duckdb.DuckDBPyConnection) -> None:
    secret = pd.DataFrame({"value": [1]})
    with pytest.raises(duckdb.CatalogException):
        guarded.execute("SELECT * FROM secret")
    assert len(secret) == 1


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("FROM issue", True),
        ("SELECT count(*) FROM main.ISSUE;", True),
        ("SELECT * FROM route JOIN issue USING (batch)", True),
        ("WITH issue AS (FROM main.issue) FROM issue", True),
        ("SELECT * FROM query_table('issue')", True),
        ("FROM route", False),
        ("SELECT 'issue' AS issue -- FROM issue", False),
        ("WITH issue AS (SELECT 2) FROM issue", False),
    ],
)
def test_query_has_read_the_views_that_it_cannot_do_without(warehouse: Warehouse, query: str, read: bool) -> None:
    table = pyarrow.table({"label": ["late"]})
    files = {asset: [warehouse.write(asset, "b1", "run", table).path] for asset in ("issue", "route")}
    with warehouse.connect(files) as connection:
        answer = connection.execute(query).fetchall()
        assert has_read(connection, query, "issue") is read
        assert connection.execute(query).fetchall() == answer, "the view is still there"


def test_what_does_not_fit_in_memory_is_spilled_into_the_home(
    guarded: duckdb.DuckDBPyConnection, warehouse: Warehouse
) -> None:
    [(folder,)] = guarded.execute("SELECT current_setting('temp_directory')").fetchall()
    assert Path(folder).is_relative_to(warehouse.root)


def test_quarantined_rows_are_kept_apart_from_the_tables(warehouse: Warehouse) -> None:
    refused = warehouse.write_quarantine("issue", "b1", "run", pd.DataFrame({"text": ["x"], "line": ["7"]}))
    assert pd.read_parquet(warehouse.quarantine / refused.path).to_dict("records") == [{"text": "x", "line": "7"}]
    assert not warehouse.root.exists()


def test_files_are_grouped_by_asset() -> None:
    assert by_asset([("a", "1"), ("b", "2"), ("a", "3")]) == {"a": ["1", "3"], "b": ["2"]}
    assert by_asset([]) == {}


def test_equal_rows_of_a_batch_have_files_of_different_digests(warehouse: Warehouse) -> None:
    """Whoever guesses what stood in a file that is gone learns nothing from its digest."""
    rows = pyarrow.table({"message_id": ["m1"], "text": ["short"]})
    first, second = (warehouse.write("feedback", "b1", "r1", rows) for _ in range(2))
    assert first.sha256 != second.sha256
    assert warehouse.read(first.path).equals(warehouse.read(second.path))
    shared = {warehouse.write("labels", "", "r1", rows).sha256 for _ in range(2)}
    assert len(shared) == 1
