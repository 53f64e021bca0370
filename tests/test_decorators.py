"""The decorators: what an ordinary Dagster asset definition they return, and which mistakes they name at once."""

from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pandera.pandas as pa
import pytest

from orchestration_project.core.contracts import Contract
from orchestration_project.model_output import BATCHES, Batch, governed_asset, model_output
from orchestration_project.model_output.decorators import GOVERNED, HOME
from orchestration_project.model_output.gate import GATE
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.model import Model
from orchestration_project.performers.rules import Rules
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted, same_answer
from orchestration_project.stores.arrivals import Arrivals


class Note(Contract):
    """One note."""

    message_id: str = pa.Field(unique=True)


class Tone(Decision):
    """The tone of a note."""


CASCADE = Cascade(
    Rules(Path("tone_rules.csv"), family="tone"),
    Model("tone"),
    Scripted("script", same_answer(None, None), labels=[]),
    safe_state=SafeLabel("unknown"),
)


@model_output(CASCADE, contract=Tone, group_name="notes", owners=["team:writers"])
def tone(note: pd.DataFrame) -> pd.DataFrame:
    """How a note sounds."""
    return note[["message_id"]]


def only_spec(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    (spec,) = asset.specs
    return spec


def dependencies(asset: dg.AssetsDefinition) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in only_spec(asset).deps}


def test_a_model_output_is_an_ordinary_asset_partitioned_by_batch():
    assert isinstance(tone, dg.AssetsDefinition)
    assert tone.key == dg.AssetKey("tone")
    assert tone.partitions_def == BATCHES
    spec = only_spec(tone)
    assert (spec.description, spec.group_name, list(spec.owners)) == ("How a note sounds.", "notes", ["team:writers"])
    assert spec.kinds == {"python", "rules", "model"}
    assert spec.metadata[GOVERNED] == "Tone"
    assert spec.metadata["cascade"] == "tone rules → tone model → script → safe label unknown"
    assert spec.metadata["safe_state"] == "safe label unknown"
    assert HOME in tone.required_resource_keys


def test_the_lineage_shows_inputs_and_the_champion_of_each_model_once():
    assert dependencies(tone) == {"note", "tone_champion"}


def test_only_parameters_that_are_assets_become_dependencies():
    @governed_asset(contract=Note, inputs={"mine": "note"}, deps=["policy"])
    def everything(
        mine: pd.DataFrame, arrivals: Arrivals, warehouse: duckdb.DuckDBPyConnection, batch: Batch
    ) -> pd.DataFrame: ...

    assert dependencies(everything) == {"note", "policy"}


def test_the_gate_blocks_and_every_rule_of_a_decision_has_a_check():
    blocking = {spec.name: spec.blocking for spec in tone.check_specs}
    assert blocking == {
        GATE: True,
        "message_id_unique": False,
        "confidence_greater_than_or_equal_to": False,
        "confidence_less_than_or_equal_to": False,
        "state_isin": False,
        "decided_by_isin": False,
        "decided_has_label": False,
        "label_known": False,
    }


def test_arguments_go_on_to_dagster():
    @governed_asset(
        contract=Note,
        name="letter",
        partitions_def=None,
        description="Given here.",
        kinds={"sql"},
        tags={"cost": "low"},
        metadata={"page": "https://example.org"},
        code_version="7",
        retry_policy=dg.RetryPolicy(max_retries=2),
        automation_condition=dg.AutomationCondition.eager(),
    )
    def note(labels: pd.DataFrame) -> pd.DataFrame:
        """Not shown."""
        return labels

    spec = only_spec(note)
    assert (note.key, note.partitions_def) == (dg.AssetKey("letter"), None)
    assert (spec.description, spec.kinds, spec.code_version) == ("Given here.", {"sql"}, "7")
    assert spec.tags["cost"] == "low"
    assert spec.metadata["page"] == "https://example.org"
    assert spec.metadata[GOVERNED] == "Note"
    assert spec.automation_condition is not None
    assert {check.asset_key for check in note.check_specs} == {dg.AssetKey("letter")}
    assert {check.partitions_def for check in note.check_specs} == {None}


def test_one_decorator_makes_several_assets_and_none_takes_after_another():
    of_notes = governed_asset(contract=Note, group_name="notes", deps=["policy"], metadata={"page": 1})

    @of_notes
    def first(note: pd.DataFrame) -> pd.DataFrame:
        """The first."""
        return note

    @of_notes
    def second(note: pd.DataFrame) -> pd.DataFrame:
        """The second."""
        return note

    assert [only_spec(asset).description for asset in (first, second)] == ["The first.", "The second."]
    assert dependencies(first) == dependencies(second) == {"note", "policy"}
    assert only_spec(second).metadata["page"] == 1
    named = model_output(CASCADE, contract=Tone, name="tone_again")
    assert {named(tone_of).key for tone_of in (lambda: None, lambda: None)} == {dg.AssetKey("tone_again")}


def test_types_are_shown_as_they_are_stored():
    schema = only_spec(tone).metadata["dagster/column_schema"]
    types = {column.name: column.type for column in schema.columns}
    assert (types["label"], types["confidence"], types["accepted"]) == ("string", "double", "bool")
    (state,) = [column for column in schema.columns if column.name == "state"]
    assert state.constraints.other == ["isin(['decided', 'pending'])"]


def mistaken_annotation() -> None:
    @governed_asset(contract=Note)
    def note(words) -> pd.DataFrame: ...  # type: ignore[no-untyped-def]


def mistaken_type() -> None:
    class Timed(Contract):
        at: pa.DateTime

    @governed_asset(contract=Timed)
    def note() -> pd.DataFrame: ...


def mistaken_contract() -> None:
    plain: Any = Note

    @model_output(CASCADE, contract=plain)
    def note() -> pd.DataFrame: ...


def mistaken_label_rule() -> None:
    class Known(Tone):
        @pa.check("label", name="known")
        def names(cls, label: pd.Series) -> Any:
            return label == "warm"

    @model_output(CASCADE, contract=Known)
    def note() -> pd.DataFrame: ...


def mistaken_rule() -> None:
    class Gated(Note):
        @pa.dataframe_check
        def gate(cls, frame: pd.DataFrame) -> Any:
            return frame["message_id"] != ""

    @governed_asset(contract=Gated)
    def note() -> pd.DataFrame: ...


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (mistaken_annotation, "Parameter 'words' of note is not annotated. Annotate it with one of: DataFrame"),
        (mistaken_type, "type datetime64[ns]. Use str, float, int, bool or UtcTime."),
        (mistaken_contract, "Note is no Decision. Build the contract of a model output on Decision."),
        (mistaken_rule, "Duplicate check specs"),
        (mistaken_label_rule, "Duplicate check specs"),
    ],
)
def test_a_mistake_is_told_when_the_asset_is_defined(mistake: Any, says: str):
    with pytest.raises((TypeError, dg.DagsterInvalidDefinitionError)) as told:
        mistake()
    assert says in str(told.value)
