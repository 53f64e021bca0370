"""The asset `refused_rows`: what waits in quarantine, without what customers wrote."""

from shop_workflow import Order, order, rows, run, send, send_lines

from assets.operations.markdown_table import MOST_SHOWN
from assets.operations.refused_rows import SHOWN, refused_rows
from orchestration_project.core.contracts import version_of
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
    (event,) = run(home, refused_rows, batch=None).get_asset_materialization_events()
    shown = str(event.step_materialization_data.materialization.metadata["rows"].value).splitlines()
    assert len(rows(home, "refused_rows", UNPARTITIONED)) == MOST_SHOWN + 18
    assert len(shown) == MOST_SHOWN + 2


def test_table_of_the_ui_names_message_and_contract(home: Home) -> None:
    send(home, "a,hello,1", "b,damn,2")
    run(home, order)
    (event,) = run(home, refused_rows, batch=None).get_asset_materialization_events()
    head, _, line = str(event.step_materialization_data.materialization.metadata["rows"].value).splitlines()
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert head == f"| {' | '.join(name.replace('_', ' ') for name in SHOWN)} |"
    assert cells[:4] == ["1", "order", "b1", "b"]
    assert cells[6] == version_of(Order)
    assert cells[8].endswith(" UTC")
