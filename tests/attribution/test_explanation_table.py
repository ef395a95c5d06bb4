"""The long table, built in columns, is value for value the one that is put together row by row."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.explanations import as_written, mixed
from support.small_model import nci_smiles

from molig.attribution import Explainer
from molig.attribution.explanation import ABSENT, FEATURE_SCHEMA, TABLE_SCHEMA, feature_batch
from molig.errors import UsageError
from molig.features import preset
from molig.molecules import Hydrogens, smiles_records
from molig.tables import OutputTable

SCHEMAS = {
    "simple": preset("simple"),
    "full": preset("full"),
    "all pairs": preset("full", max_pair_distance=None),
    "bonds only": preset("simple", max_pair_distance=1),
}


def row_by_row(explanation, level):
    """(row, block, category, value, score) of every feature here or in the baseline, slowly."""
    whole = explanation.pair_attributions.shape[1] == 0 and explanation.graph.level("pair").n_entries
    if whole:
        symbols = [atom.GetSymbol() for atom in explanation.mol.GetAtoms()] if level == "atom" else []
        scores = explanation.own_atom_scores.tolist()
        return [(i, "atom", symbol, 1.0, scores[i]) for i, symbol in enumerate(symbols)]
    _, codes, values, _ = explanation.graph.level(level)
    scores = explanation.atom_attributions if level == "atom" else explanation.pair_attributions
    entries = []
    for place in explanation.schema.places(level):
        name, columns, own = place.block.name, place.block.columns, scores[:, place.entries]
        for row in range(len(codes)):
            if place.is_categorical:
                code, score = codes[row, place.stored.start], float(own[row, 0])
                if code >= 0 or score:
                    category = columns[code] if code >= 0 else ABSENT
                    entries.append((row, name, category, float(code >= 0), score))
                continue
            for column, value, score in zip(columns, values[row, place.stored], own[row], strict=True):
                if value or score:
                    entries.append((row, name, column, float(value), float(score)))
    return sorted(entries, key=lambda entry: entry[0])


def numbers_in_the_input(explanation) -> list[int]:
    """Of each atom; those of added hydrogens follow those of the SMILES."""
    behind = count(as_written(explanation.smiles).GetNumAtoms())
    origin = explanation.origin or range(explanation.mol.GetNumAtoms())
    return [index if index >= 0 else next(behind) for index in origin]


def frame_row_by_row(explanation) -> pd.DataFrame:
    mol = explanation.mol
    bonds = {frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds()}
    ends = explanation.graph.pair_atoms.tolist()
    number = numbers_in_the_input(explanation)
    rows = [
        ("atom", number[atom], None, None, mol.GetAtomWithIdx(atom).GetSymbol(), *feature)
        for atom, *feature in row_by_row(explanation, "atom")
    ]
    rows += [
        ("pair", *sorted(number[end] for end in ends[pair]), frozenset(ends[pair]) in bonds, None, *feature)
        for pair, *feature in row_by_row(explanation, "pair")
    ]
    names = ["level", "atom_i", "atom_j", "bonded", "symbol", "block", "category", "value", "score"]
    frame = pd.DataFrame(rows, columns=names)
    head = {name: getattr(explanation, name) for name in ("row", "id", "smiles", "scored_smiles")}
    head |= {
        "removed": "; ".join(explanation.removed),
        "task": explanation.task,
        "target": explanation.target,
    }
    for place, (name, value) in enumerate(head.items()):
        frame.insert(place, name, value)
    for name in ("score", "baseline_score", "residual", "converged"):
        frame["molecule_score" if name == "score" else name] = getattr(explanation, name)
    return frame.astype({"atom_j": "Int64", "bonded": "boolean"})


def one_by_one(explanations) -> pa.Table:
    """The table built molecule by molecule, row by row."""
    frames = [frame_row_by_row(e) for e in explanations]
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


@pytest.mark.parametrize("name", SCHEMAS)
def test_frames_are_the_table_and_slices_of_it(name):
    _, explanations = mixed(SCHEMAS[name])
    for explanation in explanations:
        table = explanation.to_frame()
        wanted = frame_row_by_row(explanation)
        pd.testing.assert_frame_equal(table, wanted.astype(table.dtypes.to_dict()))
        assert list(table.columns) == TABLE_SCHEMA.names
        atoms, pairs = (table[table["level"] == level] for level in ("atom", "pair"))
        shared = ["block", "category", "value", "score"]
        assert list(explanation.features) == ["atom", "input_atom", "symbol", *shared]
        assert explanation.features["input_atom"].tolist() == atoms["atom_i"].tolist()
        number = numbers_in_the_input(explanation)
        assert [number[atom] for atom in explanation.features["atom"]] == atoms["atom_i"].tolist()
        assert list(explanation.pairs) == ["atom_i", "atom_j", "bonded", *shared]
        for mine, part in ((explanation.features, atoms), (explanation.pairs, pairs)):
            pd.testing.assert_frame_equal(mine[shared], part[shared].reset_index(drop=True))


def test_types_do_not_depend_on_the_molecule():
    """Methane has no pairs, so its table has nulls alone in some columns."""
    _, explanations = mixed(SCHEMAS["simple"])
    types = {
        "atom_i": "int64",
        "atom_j": "Int64",
        "bonded": "boolean",
        "value": "float64",
        "score": "float64",
    }
    types |= {"score": "float64", "residual": "float64", "converged": "bool"}
    for explanation in explanations:
        table = explanation.to_frame()
        assert {name: str(table[name].dtype) for name in types} == types
        assert explanation.pairs[["atom_i", "atom_j"]].dtypes.eq(np.int64).all()
        assert explanation.pairs["bonded"].dtype == bool


def test_a_frame_is_the_callers_own():
    explanation = mixed(SCHEMAS["simple"])[1][0]
    table = explanation.to_frame()
    table["score"] = 0.0
    assert explanation.features["score"].abs().sum() > 0
    assert explanation.to_frame()["score"].abs().sum() > 0


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
