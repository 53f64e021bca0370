"""The asset `documents`: what the files of the knowledge folder say, which of them cannot be read, and why."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from shop_workflow import checks, failure, open_halts, quarantined, rows, run

from assets.knowledge.documents import documents
from orchestration_project.core.errors import SettingRefused
from orchestration_project.core.settings import Settings
from orchestration_project.stores import document_files as store
from orchestration_project.stores.arrivals import StillWritten
from orchestration_project.stores.document_files import MOST_BYTES, FoundFile, Text, in_motion, look, read_text
from orchestration_project.stores.home import Home
from orchestration_project.stores.inbox import SETTLED_SECONDS
from orchestration_project.stores.manifest import UNPARTITIONED

GOOD = {
    "refunds.md": "# Refunds ##\n\nWithin 14 days.\n",
    "more/hours.txt": "Nine to five.",
    "page.html": "<html><head><title>Lost &amp;\n found</title></head><body><p>Ask us.</p><script>no()</script></body>",
    "note.markdown": "No heading here.",
    "menu.latin-1.txt": "café".encode("latin-1"),
    "wide.md": "# Weit\n\nüber".encode("utf-16"),
}
BAD: dict[str, tuple[str | bytes, str, str]] = {
    "empty.md": ("", "bytes_in_range", "it has 0 bytes"),
    "blank.txt": (" \n\t\n", "text_not_null", "it holds no text"),
    "binary.txt": (b"PK\x03\x04\x00\x00", "text_not_null", "is not text: character 5 is NUL"),
    "café.md": ("# café\n\ncafé".encode("latin-1"), "text_not_null", "line 1 is no text in UTF-8"),
    "handbook.pdf": (b"%PDF-1.7", "kind_isin", "of the kind '.pdf'"),
    "LICENSE": ("Do what you want.", "kind_isin", "of the kind ''"),
}
"""Name → content, a rule that it breaks, and what the UI says of it besides."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "knowledge"


@pytest.fixture
def home(home: Home, folder: Path) -> Iterator[Home]:
    """A home whose documents lie in a folder of the test's own."""
    home = Home(Settings(home=home.root, knowledge=folder))
    yield home
    home.ledger.close()


def write(folder: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def found(folder: Path, name: str) -> FoundFile:
    return next(one for one in look(folder).files if one.document_id == name)


def data_version(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_asset_materialization_events()
    return str(event.step_materialization_data.materialization.tags["dagster/data_version"])


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.step_materialization_data.materialization.metadata.items()}


# the asset


def test_each_document_is_a_row_with_its_title_and_text(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    result = run(home, documents, batch=None)
    assert result.success and all(checks(result, "documents").values())
    frame = rows(home, "documents", UNPARTITIONED)
    assert frame[["document_id", "title", "text", "kind"]].values.tolist() == [
        ["menu.latin-1.txt", "menu.latin-1", "café", "text"],
        ["more/hours.txt", "hours", "Nine to five.", "text"],
        ["note.markdown", "note", "No heading here.", "markdown"],
        ["page.html", "Lost & found", "Ask us.", "html"],
        ["refunds.md", "Refunds", "# Refunds ##\n\nWithin 14 days.", "markdown"],
        ["wide.md", "Weit", "# Weit\n\nüber", "markdown"],
    ]
    assert frame["bytes"].tolist()[0] == 4
    assert frame["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert frame["version"].nunique() == 1


def test_the_sample_policies_are_all_read(home: Home) -> None:
    home = Home(Settings(home=home.root))
    result = run(home, documents, batch=None)
    assert result.success and all(checks(result, "documents").values())
    frame = rows(home, "documents", UNPARTITIONED)
    assert len(frame) == 14
    assert "Escalation" in set(frame["title"])
    home.ledger.close()


def test_what_cannot_be_read_waits_in_quarantine_with_the_rule_and_is_told_in_the_ui(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    write(folder, {name: content for name, (content, _, _) in BAD.items()})
    (folder / "elsewhere.md").symlink_to(folder / "refunds.md")
    (folder / "loop").symlink_to(folder)
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    result = run(home, documents, batch=None)
    assert result.success
    assert len(rows(home, "documents", UNPARTITIONED)) == len(GOOD)
    reasons = [reason for _, reason in quarantined(home)]
    assert len(reasons) == len(BAD) + 3
    told = metadata(result)["not readable"]
    for name, (_, rule, sentence) in BAD.items():
        assert any(rule in reason for reason in reasons), rule
        assert any(name in line and sentence in line for line in told.splitlines()), name
    for name, sentence in (("elsewhere.md", "a link"), ("loop", "a link"), ("huge.txt", "8,388,609 bytes")):
        assert any(line.startswith(f"- {name}: ") and sentence in line for line in told.splitlines()), name


def test_pictures_hidden_and_unfinished_files_are_no_documents(home: Home, folder: Path) -> None:
    write(folder, {**GOOD, "a.PNG": b"\x89PNG", "b.png": b"", ".hidden.md": "x", ".git/x.md": "x", "c.md.part": "x"})
    result = run(home, documents, batch=None)
    assert len(rows(home, "documents", UNPARTITIONED)) == len(GOOD)
    assert quarantined(home) == []
    assert metadata(result)["pictures passed over"] == {".png": 2}


def test_the_same_content_gives_the_same_data_version_whatever_the_times(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    first = run(home, documents, batch=None)
    before = rows(home, "documents", UNPARTITIONED)
    for name in GOOD:
        os.utime(folder / name, (1, 1))
    second = run(home, documents, batch=None)
    assert data_version(first) == data_version(second)
    assert rows(home, "documents", UNPARTITIONED).equals(before)

    write(folder, {"more/hours.txt": "Ten to six."})
    third = run(home, documents, batch=None)
    after = rows(home, "documents", UNPARTITIONED)
    assert data_version(third) != data_version(first)
    assert set(after["version"]).isdisjoint(before["version"])
    is_other = after["modified_at"] != before["modified_at"]
    assert after.loc[is_other, "document_id"].tolist() == ["more/hours.txt"]


def test_the_version_is_that_of_a_copy_elsewhere(home: Home, folder: Path, tmp_path: Path) -> None:
    write(folder, GOOD)
    write(tmp_path / "copy", GOOD)
    versions = []
    for number, place in enumerate((folder, tmp_path / "copy")):
        other = Home(Settings(home=tmp_path / str(number), knowledge=place))
        other.prepare()
        assert run(other, documents, batch=None).success
        versions.append(rows(other, "documents", UNPARTITIONED)["version"][0])
        other.ledger.close()
    assert versions[0] == versions[1]


def test_a_folder_that_is_away_is_refused_and_what_was_read_stays(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    assert run(home, documents, batch=None).success
    folder.rename(folder.with_name("away"))
    result = run(home, documents, batch=None)
    assert not result.success
    assert f"{folder} cannot be read: No such file or directory" in failure(result, "documents")
    assert "ORCHESTRATE_KNOWLEDGE" in failure(result, "documents")
    assert len(rows(home, "documents", UNPARTITIONED)) == len(GOOD)


def test_an_empty_folder_read_by_hand_gives_no_documents(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    run(home, documents, batch=None)
    for name in GOOD:
        (folder / name).unlink()
    assert run(home, documents, batch=None).success
    assert rows(home, "documents", UNPARTITIONED).empty


def test_a_folder_of_which_nothing_can_be_read_is_halted_and_what_was_read_stays(home: Home, folder: Path) -> None:
    write(folder, GOOD)
    run(home, documents, batch=None)
    for name in GOOD:
        (folder / name).write_bytes(b"\0")
    assert not run(home, documents, batch=None).success
    ((asset, _, reason),) = open_halts(home)
    assert asset == "documents"
    assert "All 6 rows were refused" in reason
    assert len(rows(home, "documents", UNPARTITIONED)) == len(GOOD)


# the folder


def test_a_folder_within_that_is_closed_refuses_all_for_its_documents_were_not_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, GOOD)
    closed = folder / "more"
    scan = os.scandir

    def scandir(path: Any) -> Any:
        """Root may read everything, so the refusal of the kernel is given here."""
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SettingRefused, match=r"more cannot be read: Permission denied\. Put it back"):
        look(folder)


def test_a_file_instead_of_the_folder_is_refused(folder: Path) -> None:
    folder.write_text("no folder")
    with pytest.raises(SettingRefused, match="Not a directory"):
        look(folder)


def test_nothing_is_at_rest_until_the_folder_and_every_new_file_are(folder: Path) -> None:
    write(folder, {"a.md": "a"})
    seen = look(folder)
    changed = seen.files[0].changed_ns / 1e9
    assert in_motion(seen, (), changed + SETTLED_SECONDS / 2) == "The folder"
    assert in_motion(seen, (), changed + SETTLED_SECONDS + 1) is None
    os.utime(folder, (1, 1))
    assert in_motion(look(folder), (), changed + SETTLED_SECONDS / 2) == "a.md"
    assert in_motion(look(folder), {seen.files[0].signature}, changed + SETTLED_SECONDS / 2) is None


def test_a_file_that_somebody_has_open_to_write_is_not_at_rest(folder: Path) -> None:
    write(folder, {"a.md": "a"})
    later = look(folder).changed + SETTLED_SECONDS + 1
    with (folder / "a.md").open("ab"):
        assert in_motion(look(folder), (), later) == "a.md"
    assert in_motion(look(folder), (), later) is None


@pytest.mark.parametrize("happening", ["grows", "vanishes"])
def test_a_document_that_changes_while_it_is_read_is_read_again_later(
    folder: Path, happening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"a.md": "a"})
    one = found(folder, "a.md")
    source = store._source

    def and_then(file: FoundFile) -> str:
        text = source(file)
        if happening == "grows":
            file.path.write_text("much more")
        else:
            file.path.unlink()
        return text

    monkeypatch.setattr(store, "_source", and_then)
    with pytest.raises(StillWritten, match=r"a\.md changed while it was read"):
        read_text(one)


def test_a_name_that_is_no_utf_8_is_shown_escaped(home: Home, folder: Path) -> None:
    folder.mkdir()
    for ending, content in ((".md", b"Menu"), (".txt", b"\0"), (".latin-1.md", b"# caf\xe9")):
        (folder / os.fsdecode(b"caf\xe9" + ending.encode())).write_bytes(content)
    result = run(home, documents, batch=None)
    frame = rows(home, "documents", UNPARTITIONED)
    assert frame[["document_id", "title"]].values.tolist() == [
        ["caf\\xe9.latin-1.md", "café"],
        ["caf\\xe9.md", "caf\\xe9"],
    ]
    assert "caf\\xe9.txt is not text" in metadata(result)["not readable"]


@pytest.mark.parametrize("markup", ["<title" * 200_000, "<title>" * 200_000, "# #" * 400_000, "#" * 1_000_000])
def test_a_title_is_looked_for_once_whatever_stands_there(folder: Path, markup: str) -> None:
    write(folder, {"a.html": markup, "a.md": markup})
    texts = [read_text(one) for one in look(folder).files]
    assert all(isinstance(text, Text) and text.title for text in texts)
