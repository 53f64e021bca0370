"""The asset `refused_rows`: what waits in quarantine, without what customers wrote."""

from shop_workflow import order, rows, run, send, send_lines

from assets.operations.refused_rows import MOST_SHOWN, as_markdown, refused_rows
from orchestration_project.stores.home import Home
from orchestration_project.stores.manifest import UNPARTITIONED


def test_rows_that_wait_are_listed_with_rule_and_source_and_no_text(home: Home) -> None:
    send(home, "a,hello,1", "b,damn you all,2")
    run(home, order)
    send_lines(home, ['{"message_id": "c", "note": "", "pieces": 1}', '{"note": "my secret'])
    run(home, order, batch="b2")
    result = run(home, refused_rows, batch=None)
    assert result.success
    found = rows(home, "refused_rows", UNPARTITIONED)
    assert found[["asset", "batch", "message_id", "reason", "source"]].values.tolist()[0] == [
        "order",
        "b1",
        "b",
        "note_polite",
        "orders.csv, line 3",
    ]
    assert found["reason"].tolist() == ["note_polite", "unparsable"]
    assert not found["corrected"].any()
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["refused for note_polite"].value == 1
    assert "secret" not in str(metadata) and "damn you" not in str(metadata)


def test_empty_quarantine_is_an_empty_table(home: Home) -> None:
    assert run(home, refused_rows, batch=None).success
    assert rows(home, "refused_rows", UNPARTITIONED).empty


def test_table_of_the_ui_is_cut(home: Home) -> None:
    send(home, *(f"m{number},{'damn' if number > 1 else 'dear'},1" for number in range(MOST_SHOWN + 20)))
    run(home, order)
    run(home, refused_rows, batch=None)
    found = rows(home, "refused_rows", UNPARTITIONED)
    assert len(found) == MOST_SHOWN + 18
    assert len(as_markdown(found).splitlines()) == MOST_SHOWN + 2
