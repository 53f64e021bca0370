"""Tables without what a message said; everything else in them stays."""

import json

import pyarrow as pa
import pytest

from orchestration_project.core.erasing import ERASED, Words
from orchestration_project.stores.erased_tables import Eraser, tells
from orchestration_project.stores.label_files import made_id

TEXT = "My parcel from Zanzibar drowned"
ERASER = Eraser("m1", Words([TEXT, "acct-4711"]), frozenset({"text", "account"}))


def table(*rows: dict[str, object], required: tuple[str, ...] = ()) -> pa.Table:
    made = pa.Table.from_pylist(list(rows))
    return made.cast(pa.schema([field.with_nullable(field.name not in required) for field in made.schema]))


def test_of_messages_as_they_came_in_all_text_goes() -> None:
    rows = table(
        {"message_id": "m1", "text": TEXT, "account": "a", "channel": "mail", "meta": "{1}", "pieces": 3},
        {"message_id": "m2", "text": TEXT, "account": "a", "channel": "mail", "meta": "{}", "pieces": 4},
        required=("message_id", "text", "channel", "meta"),
    )
    erased = ERASER.erased(rows, came_in=True, is_shared=False)
    assert erased is not None and erased.schema == rows.schema
    own, other = erased.to_pylist()
    gone = {"text": ERASED, "account": None, "channel": ERASED, "meta": ERASED}
    assert own == {"message_id": "m1", **gone, "pieces": 3}
    assert other == rows.to_pylist()[1]
    assert ERASER.erased(erased, came_in=True, is_shared=False) is None


def test_a_file_that_does_not_say_what_may_be_null_keeps_a_value_everywhere() -> None:
    erased = ERASER.erased(table({"message_id": "m1", "account": "a"}), came_in=True, is_shared=False)
    assert erased is not None and erased["account"].to_pylist() == [ERASED]


def test_of_a_decision_the_reason_and_the_digest_go() -> None:
    row = {"message_id": "m1", "label": "angry", "performer": "reader", "reason": "drowned", "message_digest": "ab12"}
    erased = ERASER.erased(table(row), came_in=False, is_shared=False)
    assert erased is not None
    assert erased.to_pylist() == [{**row, "reason": ERASED, "message_digest": ERASED}]


def test_elsewhere_columns_of_the_same_name_go_and_labels_stay() -> None:
    row = {"message_id": "m1", "issue": "delivery", "account": "a", "reason": "a rule", "heard": f"it said {TEXT}"}
    erased = ERASER.erased(table(row), came_in=False, is_shared=False)
    assert erased is not None
    assert erased.to_pylist() == [{**row, "account": ERASED, "heard": f"it said {ERASED}"}]


def test_a_table_without_ids_loses_quotes_and_phrases() -> None:
    quotes = [{"message_id": "m1", "text": TEXT}, {"message_id": "m2", "text": "late"}]
    speaks = {"quotes": json.dumps(quotes), "themes": '["zanzibar", "late"]', "message_ids": '["m1", "m2"]', "n": 2}
    other = {"quotes": "[]", "themes": '["zanzibar", "late"]', "message_ids": '["m2"]', "n": 1}
    erased = ERASER.erased(table(speaks, other), came_in=False, is_shared=False)
    assert erased is not None
    first, second = erased.to_pylist()
    assert json.loads(first["quotes"]) == [{"message_id": "m1", "text": ERASED}, quotes[1]]
    assert (first["themes"], first["message_ids"], first["n"]) == ('["late"]', '["m1", "m2"]', 2)
    assert second == other


def test_a_label_that_says_the_same_under_another_id_goes_too() -> None:
    rows = [{"message_id": one, "text": TEXT, "label": "angry"} for one in ("m1", made_id(TEXT), "own-3")]
    erased = ERASER.erased(
        table(*rows, {"message_id": "m4", "text": "fine", "label": "calm"}), came_in=False, is_shared=True
    )
    assert erased is not None
    assert erased["message_id"].to_pylist() == ["m1", ERASED, "own-3", "m4"]
    assert erased["text"].to_pylist() == [ERASED, ERASED, ERASED, "fine"]
    assert erased["label"].to_pylist() == ["angry", "angry", "angry", "calm"]


def test_within_lists_and_objects_it_goes_too() -> None:
    erased = ERASER.erased(table({"message_id": "m1", "said": [TEXT, "other"]}), came_in=False, is_shared=False)
    assert erased is not None and erased["said"].to_pylist() == [["other"]]


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_table_that_has_nothing_of_it_stays(is_shared: bool) -> None:
    rows = table({"message_id": "m2", "text": "fine"})
    assert ERASER.erased(rows, came_in=True, is_shared=is_shared) is None
    assert not tells(rows, "m1", ERASER.words) and tells(table({"x": TEXT}), "m1", ERASER.words)
