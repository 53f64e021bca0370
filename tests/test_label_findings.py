"""What is wrong with a file of labels: each kind, with its count and lines, and what a clean file is spared."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration_project.governance.label_findings import (
    FEWEST_EXAMPLES,
    Findings,
    find_problems,
    imbalance,
    near_duplicates,
    near_key,
)
from orchestration_project.stores.label_files import read_label_file

WORDS = ["apple", "beech", "cedar", "daisy", "elder", "fennel", "ginger", "hazel", "iris", "juniper"]
CLEAN = [f"g{n},{word} is lovely,glad" for n, word in enumerate(WORDS)]
CLEAN += [f"c{n},{word} is awful,cross" for n, word in enumerate(WORDS)]
PRESENT = pd.DataFrame([line.split(",") for line in CLEAN], columns=["message_id", "text", "label"])
FORCE = "take it all the same with --force REASON."


def found(
    folder: Path, *lines: str, header: str = "message_id,text,label", present: pd.DataFrame | None = None
) -> Findings:
    file = folder / "labels.csv"
    file.write_text("\n".join([header, *lines]))
    return find_problems(read_label_file(file), present)


def refusal(findings: Findings, *, is_forced: bool = False) -> str:
    return findings.refusal("labels.csv", "mood", is_forced=is_forced) or ""


def test_a_clean_file_has_no_problems(tmp_path: Path) -> None:
    for findings in (found(tmp_path, *CLEAN), found(tmp_path, *CLEAN, present=PRESENT)):
        assert (findings.problems(), findings.counts(), refusal(findings)) == ([], {}, "")
        assert (findings.labels, findings.imbalance) == ({"cross": 10, "glad": 10}, 1.0)


def test_one_text_with_several_labels_is_a_contradiction(tmp_path: Path) -> None:
    findings = found(tmp_path, *CLEAN, "x,iris is awful,glad", "y,apple is lovely,cross", "z,apple is lovely,cross")
    assert findings.contradicting_texts == [(2, 23), (20, 22)]
    assert findings.counts() == {"contradicting texts": 2}
    assert refusal(findings) == (
        "labels.csv was not imported. 2 texts have several labels (lines 2 and 23; 20 and 22). "
        "Correct the file, or take it all the same with --force REASON."
    )
    assert refusal(findings, is_forced=True) == ""


def test_a_text_that_contradicts_itself_without_ids_is_one_contradiction(tmp_path: Path) -> None:
    clean = [line.partition(",")[2] for line in CLEAN]
    assert found(tmp_path, *clean, header="text,label").problems() == []
    findings = found(tmp_path, *clean, "apple is lovely,cross", "kiwi is lovely,glad", header="text,label")
    assert findings.counts() == {"contradicting texts": 1}


def test_one_message_id_with_several_texts_is_a_contradiction(tmp_path: Path) -> None:
    findings = found(tmp_path, *CLEAN, "g3,daisy is fine,glad", "g3,daisy is so-so,cross")
    assert (findings.contradicting_ids, findings.counts()) == ([(5, 22, 23)], {"contradicting ids": 1})
    assert "1 message id has several texts (lines 5 and 22 and 23)." in refusal(findings)


def test_a_label_with_few_examples_in_a_new_set_is_a_problem(tmp_path: Path) -> None:
    rare = [f"r{n},{word} is so-so,rare" for n, word in enumerate(WORDS)]
    assert found(tmp_path, *CLEAN, *rare[:FEWEST_EXAMPLES]).problems() == []
    findings = found(tmp_path, *CLEAN, *rare[: FEWEST_EXAMPLES - 1])
    assert (findings.small_labels, findings.counts()) == ({"rare": 9}, {"small labels": 1})
    assert "1 label has fewer than 10 examples ('rare' 9)." in refusal(findings)


def test_a_few_labels_that_are_added_are_no_problem_but_taking_too_many_away_is(tmp_path: Path) -> None:
    assert found(tmp_path, "n1,kiwi is lovely,glad", present=PRESENT).problems() == []
    findings = found(tmp_path, "g1,beech is lovely,cross", present=PRESENT)
    assert (findings.small_labels, findings.labels) == ({"glad": 9}, {"cross": 11, "glad": 9})
    more = found(tmp_path, "n1,kiwi is lovely,glad", present=PRESENT[2:])
    assert (more.small_labels, more.labels["glad"]) == ({}, 9)


def test_a_label_that_loses_its_last_example_is_a_problem(tmp_path: Path) -> None:
    present = pd.concat([PRESENT, pd.DataFrame([{"message_id": "r", "text": "hm", "label": "rare"}])])
    assert found(tmp_path, "r,hm,glad", present=present).small_labels == {"rare": 0}


def test_empty_texts_and_unreadable_rows_are_problems_with_their_lines(tmp_path: Path) -> None:
    findings = found(tmp_path, *CLEAN, "a,,glad", "b, ,glad", "c,kiwi,glad,too many")
    assert findings.counts() == {"empty texts": 2, "unreadable rows": 1}
    assert "2 rows have a label and no text (lines 22, 23)." in refusal(findings)
    assert "1 row cannot be read (line 24: expected 3 fields, found 4. Quote fields with delimiters)." in refusal(
        findings
    )
    assert [problem.forced for problem in findings.problems()] == ["They are left out."] * 2


def test_unknown_columns_are_a_problem(tmp_path: Path) -> None:
    findings = found(tmp_path, *(f"{line},,,,," for line in CLEAN), header="message_id,text,label,a,b,c,d,source")
    assert findings.unknown_columns == ("a", "b", "c", "d")
    assert "4 columns are unknown (a, b, c, and 1 more): name what each is with --message-id" in refusal(findings)


def test_a_label_that_the_present_set_does_not_have_is_refused_even_with_a_reason(tmp_path: Path) -> None:
    lines = ["n1,kiwi is nice,glda", "n2,lemon is nice,glda"]
    findings = found(tmp_path, *lines, present=PRESENT)
    assert findings.unknown_labels == {"glda": (2, 3)}
    assert (findings.small_labels, findings.problems()) == ({}, [])
    assert refusal(findings, is_forced=True) == (
        "labels.csv was not imported. mood has no label 'glda' so far (lines 2, 3). Did you mean 'glad'? "
        "Correct the file, or start a new label set with --replace."
    )
    assert found(tmp_path, *CLEAN, *lines).unknown_labels == {}


def test_of_many_unknown_labels_the_first_are_named_and_the_known_ones_once(tmp_path: Path) -> None:
    said = refusal(found(tmp_path, *(f"n{n},{word},{word}" for n, word in enumerate(WORDS)), present=PRESENT))
    assert "mood has no label 'apple', 'beech', 'cedar', and 7 more so far (lines 2, 3, 4, and 7 more)." in said
    assert said.count("There are: cross, glad.") == 1


def test_no_refusal_quotes_a_text(tmp_path: Path) -> None:
    findings = found(tmp_path, "a,secret words,glad", "b,secret words,cross", "a,secret more,glad", "c,,glad")
    assert len(findings.problems()) == 4
    assert "secret" not in refusal(findings)


def test_near_duplicates_and_imbalance_are_told_and_never_refused(tmp_path: Path) -> None:
    many = [f"x{n}{m},{word} and {other},glad" for n, word in enumerate(WORDS) for m, other in enumerate(WORDS)]
    findings = found(tmp_path, *CLEAN, *many, "n1,IRIS is  lovely!,glad", "n2,@you iris is lovely 2,cross")
    assert findings.near_duplicates == [(10, 122, 123)]
    assert (findings.counts(), refusal(findings)) == ({"near duplicates": 2}, "")
    assert round(findings.imbalance, 2) == round(111 / 11, 2)


@pytest.mark.parametrize(
    "text",
    [
        "Order 12 is LATE!!",
        "@shop order, is late https://t.co/Ab1?x=y",
        "  order\nis…late  ",
        "www.shop.com order_is_late 3",
    ],
)
def test_case_space_punctuation_digits_links_and_names_make_no_other_text(text: str) -> None:
    assert near_key(text) == "order is late"


def test_other_words_or_order_make_another_text_and_so_does_what_stands_alone() -> None:
    assert len({near_key(text) for text in ("is late", "late is", "is later", "12", "13", "!", "?!", "😀", "")}) == 9


def test_texts_that_are_exactly_the_same_are_no_near_duplicates() -> None:
    assert near_duplicates(["a b", "a b", "c", "A b", "c", "a  b"]) == [[0, 3, 5]]
    assert near_duplicates([]) == []


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("aA1!b "), max_size=6)))
def test_near_duplicates_are_the_texts_that_share_a_key(texts: list[str]) -> None:
    groups = near_duplicates(texts)
    assert sum(len(group) - 1 for group in groups) == len(set(texts)) - len({near_key(text) for text in texts})
    for group in groups:
        assert len({near_key(texts[position]) for position in group}) == 1


def test_imbalance_is_the_largest_label_by_the_smallest() -> None:
    assert imbalance(Counter("aaab")) == 3.0
    assert imbalance(Counter({"a": 2, "b": 0})) == imbalance(Counter()) == 1.0
