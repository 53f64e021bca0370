"""The list of model families: what it holds, and how a broken one is refused by name."""

from pathlib import Path

import pytest

from orchestration_project.core.errors import FileRefused, UnknownName
from orchestration_project.core.settings import PROJECT
from orchestration_project.stores.families import Family, families, family_of, performer_of, require_family

GOOD = '[mood]\nlabels = "moods.csv"\ncolumn = "mood"\n\n[topic_2]\nlabels = "/data/topics.csv"\ncolumn = "about"\n'


def listed(folder: Path, text: str | bytes) -> Path:
    file = folder / "families.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_families_come_in_the_order_of_the_list(tmp_path: Path) -> None:
    assert families(listed(tmp_path, GOOD)) == [
        Family("mood", "moods.csv", "mood"),
        Family("topic_2", "/data/topics.csv", "about"),
    ]


def test_a_label_file_is_relative_to_the_checkout(tmp_path: Path) -> None:
    mood, topic = families(listed(tmp_path, GOOD))
    assert (mood.path, topic.path) == (PROJECT / "moods.csv", Path("/data/topics.csv"))


def test_every_family_of_this_project_has_its_label_file() -> None:
    assert [family.name for family in families()] == ["sentiment", "issue"]
    for family in families():
        assert family.path.read_text(encoding="utf-8").partition("\n")[0].split(",").count(family.column) == 1


def test_a_family_is_found_by_its_name_and_another_name_refused_with_the_nearest(tmp_path: Path) -> None:
    file = listed(tmp_path, GOOD)
    assert require_family("mood", file).column == "mood"
    with pytest.raises(UnknownName, match=r"^There is no model 'moood'\. Did you mean 'mood'\?$"):
        require_family("moood", file)


def test_a_list_that_is_not_there_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(
        FileRefused, match=r"There is no list of models .*families\.toml\. Write a table for each model"
    ):
        families(tmp_path / "families.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"^families\.toml lists no model\. Write a table"),
        ("[mood", r"^families\.toml is not TOML \(Expected .*\)\. Write a table"),
        (b"[m]\nlabels = '\xff'", r"^families\.toml is not TOML \(.*\)\. Write a table"),
        (GOOD + "[mood]\n", r"^families\.toml is not TOML \(.*\)\. Write a table"),
        ("mood = 1", r"^families\.toml has 'mood' outside of a table\. Write a table"),
        ("[Mood]", r"^families\.toml lists the model 'Mood'\. Name it in small letters"),
        ('["../mood"]', r"lists the model '\.\./mood'\. Name it in small letters"),
        ('[mood]\nlabels = "a"', r"^families\.toml gives mood no column\. Write a table"),
        ('[mood]\ncolumn = "a"', r"^families\.toml gives mood no labels\. Write a table"),
        ('[mood]\nlabels = 7\ncolumn = "a"', r"gives mood 7 as labels\. Write a table"),
        ('[mood]\nlabels = "a"\ncolumn = " "', r"gives mood ' ' as column\. Write a table"),
        (GOOD + 'colum = "x"', r"^families\.toml gives topic_2 the key 'colum'\. Did you mean 'column'\?$"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        families(listed(tmp_path, text))


def test_a_performer_is_called_after_its_family_and_leads_back_to_it() -> None:
    assert (performer_of("mood"), Family("mood", "moods.csv", "mood").performer) == ("mood model", "mood model")
    assert (family_of("mood model"), family_of("mood rules"), family_of("model")) == ("mood", None, None)
