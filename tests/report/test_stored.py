"""Explanations as rows of a table, and made again of them: nothing is lost, to the last bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor
from support.explanations import made_up, parsed
from support.libraries import GOOD

from molig.attribution import Explainer, Explanation
from molig.features import PackedEnvironments, preset
from molig.features.graphs import MolGraph
from molig.molecules import Record, Rejection, smiles_records
from molig.report.stored import STORED_SCHEMA, results_of, stored_batches
from molig.tables.parts import DamagedPartError


def again(rows):
    """The same rows by way of the bytes of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, STORED_SCHEMA) as writer:
        for batch in stored_batches(rows):
            writer.write_batch(batch)
    return list(results_of(pa.ipc.open_stream(sink.getvalue())))


def same_arrays(one: object, other: object) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, PackedEnvironments | MolGraph):
            same_arrays(a, b)
        elif isinstance(a, np.ndarray):
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), field.name
        elif isinstance(a, Chem.Mol):
            assert a.ToBinary(Chem.PropertyPickleOptions.AllProps) == b.ToBinary(
                Chem.PropertyPickleOptions.AllProps
            )
        else:
            np.testing.assert_equal(b, a)


@pytest.mark.parametrize("tasks", ["one", "all"])
@pytest.mark.parametrize("name", ["small_model", "small_committee"])
def test_explanations_are_the_same_to_the_last_bit(request, name, tasks):
    model = request.getfixturevalue(name)
    explainer = Explainer(model, tol=0.5)
    listed = smiles_records(["[Na+].CC(=O)[O-]", *GOOD[:2], "C1CC", "C"])
    rows = list(explainer.explain_rows(listed, all_tasks=tasks == "all"))
    found = again(rows)
    assert [record.row for record, _ in found] == [1, 2, 3, 4, 5]
    for (_, before), (_, after) in zip(rows, found, strict=True):
        assert type(after) is type(before)
        if isinstance(before, Rejection):
            assert after == before
            continue
        for one, other in zip(before, after, strict=True):
            same_arrays(one, other)


def test_all_fields_coordinates_and_columns_come_back():
    mol = Chem.MolFromSmiles("C[C@H](N)O")
    rdDepictor.Compute2DCoords(mol)
    one = made_up(preset("full"), parsed(Record(7, "ü\udc80", "CCO")), 1)
    one = replace(
        one,
        mol=mol,
        removed=("sodium", "x"),
        origin=(1, 0, -1),
        absent={"bit 3: \u202e": np.float32(0.1)},
        members={"a": np.float64(0.1) + 0.2},
        converged=np.bool_(True),
        reference_score=float("inf"),
    )
    record = Record(7, "ü\udc80", "CCO", kept=(None, 1.5, "a\x00b", b"raw", True))
    ((read, (back,)),) = again([(record, [one])])
    assert (read.row, read.id, read.kept) == (7, record.id, (None, 1.5, "a\ufffdb", "raw", "True"))
    assert (back.removed, back.origin, back.converged) == (one.removed, one.origin, True)
    assert back.absent == {"bit 3: \u202e": float(np.float32(0.1))}
    assert back.members == one.members
    position = back.mol.GetConformer().GetPositions()
    assert (position == mol.GetConformer().GetPositions()).all()
    assert isinstance(back, Explanation)


def test_damage_is_told():
    row = (Record(1, "a", "CCO"), [made_up(preset("simple"), parsed(Record(1, "a", "CCO")), 1)])
    (batch,) = stored_batches([row])
    for column, value in (("mol", b"no molecule"), ("arrays", b"x"), ("explanation", "{"), ("schema", "[]")):
        place = STORED_SCHEMA.names.index(column)
        bad = batch.set_column(
            place, STORED_SCHEMA.field(place), pa.array([value], STORED_SCHEMA.types[place])
        )
        with pytest.raises(DamagedPartError, match="holds no explanation"):
            list(results_of([bad]))
