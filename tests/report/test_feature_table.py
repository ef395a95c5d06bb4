"""The long table in columns is, value for value, the one that `Explanation.to_frame` gives."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.explanations import mixed
from support.small_model import nci_smiles

from molig.attribution import Explainer
from molig.errors import UsageError
from molig.features import preset
from molig.molecules import Hydrogens, smiles_records
from molig.report import TABLE_SCHEMA
from molig.report.feature_table import FEATURE_SCHEMA, feature_batch
from molig.tables import OutputTable

SCHEMAS = {
    "simple": preset("simple"),
    "full": preset("full"),
    "all pairs": preset("full", max_pair_distance=None),
    "bonds only": preset("simple", max_pair_distance=1),
}


def one_by_one(explanations) -> pa.Table:
    """The table built molecule by molecule."""
    frames = [e.to_frame() for e in explanations]
    return pa.concat_tables(
        pa.Table.from_pandas(frame, schema=TABLE_SCHEMA, preserve_index=False) for frame in frames
    )


def plain(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch]).cast(TABLE_SCHEMA)


@pytest.mark.parametrize("hydrogens", list(Hydrogens))
@pytest.mark.parametrize("name", SCHEMAS)
def test_columns_are_those_of_the_frames(name, hydrogens):
    _, explanations = mixed(SCHEMAS[name], hydrogens)
    assert plain(feature_batch(explanations)).equals(one_by_one(explanations))


def test_real_explanations(small_model, nci_file):
    explainer = Explainer(small_model, tol=0.5)
    explanations = list(explainer.explain_records(smiles_records(nci_smiles(40, 500))))
    assert plain(feature_batch(explanations)).equals(one_by_one(explanations))


def whole_atoms():
    """Explanations by a method that takes whole atoms away: a number per atom, none per pair."""
    _, explanations = mixed(SCHEMAS["simple"])
    return [
        replace(e, atom_attributions=e.atom_attributions[:, :1], pair_attributions=e.pair_attributions[:, :0])
        for e in explanations
    ]


def test_explanations_by_whole_atoms():
    explanations = whole_atoms()
    table = plain(feature_batch(explanations))
    assert table.equals(one_by_one(explanations))
    assert len(table) == sum(e.mol.GetNumAtoms() for e in explanations)


@pytest.mark.parametrize("row_group", [7, 100, 1 << 17])
def test_files_hold_plain_strings_in_bounded_groups(tmp_path, row_group):
    _, explanations = mixed(SCHEMAS["simple"])
    wanted = one_by_one(explanations)
    path = tmp_path / "why.parquet"
    with OutputTable(path, FEATURE_SCHEMA, row_group=row_group) as out:
        for explanation in explanations:
            out.write(pa.Table.from_batches([feature_batch([explanation])]))
    assert pq.read_table(path).equals(wanted)
    assert pq.read_schema(path).equals(TABLE_SCHEMA)
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes[:-1] == [row_group] * (len(wanted) // row_group)
    assert sizes[-1] == len(wanted) % row_group


def test_nothing_and_mixed_schemas_are_refused():
    with pytest.raises(UsageError, match="needs at least one"):
        feature_batch([])
    explanations = [mixed(SCHEMAS[name])[1][0] for name in ("simple", "full")]
    with pytest.raises(UsageError, match="different feature schemas"):
        feature_batch(explanations)
    with pytest.raises(UsageError, match="by atoms and by features"):
        feature_batch([explanations[0], whole_atoms()[0]])
