"""Splits and folds: shares, strata, scaffolds, and no molecule or copy on two sides."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.features import Featurizer, preset
from molig.model import Objective
from molig.molecules import Rejection
from molig.training import bundled_recipes, read_recipe
from molig.training.dataset import TrainingData
from molig.training.recipe import SplitRecipe, parse_recipe
from molig.training.splits import (
    ListedParts,
    ListedRow,
    count_copies_in_train,
    count_copies_outside_test,
    deal_folds,
    fold_parts,
    murcko_scaffold,
    read_listed_parts,
    scaffold_groups,
    split,
    tied_molecules,
)

KINDS = ["random", "stratified", "scaffold"]


def labels_for(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.3, 0.1, 0.04]).astype(float)
    labels[rng.random((n, 3)) < 0.2] = np.nan
    return labels


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(60, 150), st.integers(0, 5), st.data())
def test_copies_stay_together_and_every_molecule_has_a_part(kind, n, seed, data):
    known = nci_smiles(60)
    smiles = [known[i % len(known)] for i in data.draw(st.permutations(range(n)))]
    parts = split(smiles, labels_for(n), SplitRecipe(kind=kind, validation=0.2, test=0.2, seed=seed))
    assert set(parts) <= {"train", "validation", "test"}
    for text in set(smiles):
        assert len({p for s, p in zip(smiles, parts, strict=True) if s == text}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_shares(kind):
    smiles = sorted(set(nci_smiles(600)))
    parts = split(smiles, labels_for(len(smiles)), SplitRecipe(kind=kind, validation=0.1, test=0.2))
    shares = {name: (parts == name).mean() for name in ("train", "validation", "test")}
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["validation"] == pytest.approx(0.1, abs=0.03)


def test_same_seed_same_split_and_another_seed_another():
    smiles = [f"C{'C' * i}" for i in range(100)]
    first, again, other = (split(smiles, labels_for(100), SplitRecipe(seed=s)) for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_stratified_deals_the_rare_task_evenly():
    labels = np.zeros((1000, 2))
    labels[:20, 1] = 1
    labels[500:, 0] = 1
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(1000)]
    for seed in range(3):
        parts = split(smiles, labels, SplitRecipe(kind="stratified", validation=0.1, test=0.2, seed=seed))
        assert labels[parts == "test", 1].sum() == pytest.approx(4, abs=1)


def test_no_scaffold_on_two_sides():
    smiles = nci_smiles(300)
    parts = split(smiles, labels_for(300), SplitRecipe(kind="scaffold", validation=0.15, test=0.15))
    sides = {name: {murcko_scaffold(s) for s in np.array(smiles)[parts == name]} for name in set(parts)}
    names = sorted(sides)
    assert all(not sides[a] & sides[b] for a in names for b in names if a < b)


def test_too_few_molecules():
    with pytest.raises(InputError, match="too few"):
        split(["C", "CC"], np.array([[0.0], [1.0]]), SplitRecipe(kind="random", validation=0.1, test=0.1))


def test_shares_that_leave_nothing():
    with pytest.raises(UsageError, match=r"recipe: split: .*must leave molecules"):
        parse_recipe({"split": {"validation": 0.5, "test": 0.5}})


def test_values_are_dealt_by_tenths():
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(1000, 1))
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(1000)]
    recipe = SplitRecipe(kind="stratified", validation=0.1, test=0.2)
    parts = split(smiles, values, recipe, objective=Objective.REGRESSION)
    edges = np.quantile(values, np.linspace(0, 1, 11)[1:-1])
    tenth = np.searchsorted(edges, values[:, 0])
    for name, share in (("test", 20), ("validation", 10)):
        np.testing.assert_allclose(np.bincount(tenth[parts == name]), share, atol=2)


def test_values_of_a_rare_task_are_dealt_by_tenths_of_it():
    values = np.stack([np.arange(1000.0), np.full(1000, np.nan)], axis=1)
    values[:50, 1] = np.arange(50.0)
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(1000)]
    recipe = SplitRecipe(kind="stratified", validation=0.1, test=0.2)
    parts = split(smiles, values, recipe, objective=Objective.REGRESSION)
    assert (parts[:50] == "test").sum() == pytest.approx(10, abs=1)


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(60, 150), st.integers(0, 5))
def test_values_of_any_kind_can_be_split(kind, n, seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(n, 2)), rng.integers(0, 3))
    values[rng.random((n, 2)) < 0.4] = np.nan
    smiles = [text for text in nci_smiles(60) for _ in range(3)][:n]
    recipe = SplitRecipe(kind=kind, validation=0.2, test=0.2, seed=seed)
    parts = split(smiles, values, recipe, objective=Objective.REGRESSION)
    assert set(parts) <= {"train", "validation", "test"}
    assert count_copies_in_train(smiles, parts) == 0


class TestGiven:
    RECIPE = SplitRecipe(kind="given", validation=0.25, seed=3)

    def test_parts_are_kept(self):
        given_parts = ["train", "test", "validation", "train"]
        found = split(["C", "C", "C", "CC"], np.zeros((4, 1)), self.RECIPE, values=given_parts)
        assert found.tolist() == given_parts
        assert count_copies_in_train(["C", "C", "C", "CC"], found) == 1

    def test_copies_in_validation_are_counted_apart(self):
        parts = np.array(["train", "validation", "test", "test", "test", "test"])
        smiles = ["C", "N", "C", "N", "N", "O"]
        assert count_copies_in_train(smiles, parts) == 1
        assert count_copies_outside_test(smiles, parts) == 3

    @given(st.lists(st.sampled_from("CNOFSPIB"), min_size=8, max_size=40), st.integers(0, 3))
    def test_validation_is_drawn_from_train_with_copies_together(self, texts, seed):
        texts = [*texts, "CC", "NN", "OO", "C"]
        given_parts = ["train" if i % 4 else "test" for i in range(len(texts))]
        recipe = SplitRecipe(kind="given", validation=0.25, seed=seed)
        found = split(texts, np.zeros((len(texts), 1)), recipe, values=given_parts)
        again = split(texts, np.zeros((len(texts), 1)), recipe, values=given_parts)
        assert found.tolist() == again.tolist()
        assert ((found == "test") == (np.array(given_parts) == "test")).all()
        drawn, left = (
            {t for t, p in zip(texts, found, strict=True) if p == n} for n in ("validation", "train")
        )
        drawn -= {t for t, p in zip(texts, found, strict=True) if p == "test"} & left
        known = {t for t, p in zip(texts, given_parts, strict=True) if p == "train"}
        assert len(drawn) == max(1, round(0.25 * len(known)))
        assert not drawn & left

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (["test"] * 3, "names no row for training"),
            (["train", "train", "test"], "too few to draw validation"),
        ],
    )
    def test_what_cannot_be_trained_on(self, parts, message):
        with pytest.raises(InputError, match=message):
            split(["C", "C", "CC"], np.zeros((3, 1)), self.RECIPE, values=parts)


UNREADABLE = ("c1cc", "CN(C)(C)(C)C", "not a molecule")


def some_smiles(n: int, draw=None) -> list[str]:
    """A few dozen molecules, most of them several times."""
    known = nci_smiles(60)
    order = range(n) if draw is None else draw.draw(st.permutations(range(n)))
    return [known[i % len(known)] for i in order]


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(60, 150), st.integers(2, 6), st.integers(0, 4), st.data())
def test_every_molecule_is_tested_once_with_its_copies(kind, n, n_folds, seed, data):
    smiles, labels = some_smiles(n, data), labels_for(n)
    recipe = SplitRecipe(kind=kind, seed=seed)
    folds = deal_folds(smiles, labels, recipe, n_folds)
    assert set(folds) == set(range(n_folds))
    parts = np.stack([fold_parts(smiles, labels, folds, fold, recipe) for fold in range(n_folds)])
    assert ((parts == "test").sum(axis=0) == 1).all()
    for row in parts:
        assert count_copies_in_train(smiles, row) == 0
        for text in set(smiles):
            assert len({p for s, p in zip(smiles, row, strict=True) if s == text}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind):
    smiles = sorted(set(nci_smiles(500)))
    labels, recipe = labels_for(len(smiles)), SplitRecipe(kind=kind, validation=0.15)
    folds = deal_folds(smiles, labels, recipe, 5)
    largest = len(scaffold_groups(smiles)[0]) if kind == "scaffold" else 0
    sizes = np.bincount(folds)
    assert sizes.max() <= max(largest, sizes.min() + 2)
    for fold in range(5):
        parts = fold_parts(smiles, labels, folds, fold, recipe)
        assert (parts == "validation").mean() == pytest.approx(0.15, abs=0.03)


def test_scaffolds_stay_together_in_every_part():
    smiles = nci_smiles(300)
    labels, recipe = labels_for(300), SplitRecipe(kind="scaffold")
    folds = deal_folds(smiles, labels, recipe, 4)
    scaffolds = np.array([murcko_scaffold(text) for text in smiles], dtype=object)
    for fold in range(4):
        parts = fold_parts(smiles, labels, folds, fold, recipe)
        sides = [set(scaffolds[parts == name]) for name in ("train", "validation", "test")]
        assert all(sides)
        assert sum(len(side) for side in sides) == len(set(scaffolds))


def test_rare_actives_are_in_every_fold():
    n = 600
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(n)]
    labels = np.zeros((n, 3))
    labels[::3, 0] = 1
    labels[:10, 1] = 1
    labels[20:25, 2] = 1
    for seed in range(3):
        folds = deal_folds(smiles, labels, SplitRecipe(kind="stratified", seed=seed), 5)
        per_fold = [np.bincount(folds[labels[:, task] == 1], minlength=5) for task in range(3)]
        np.testing.assert_allclose(per_fold[0], 40, atol=3)
        assert per_fold[1].tolist() == [2] * 5
        assert per_fold[2].tolist() == [1] * 5


def test_actives_too_few_for_the_folds_are_no_error():
    smiles = [f"{'C' * i}O" for i in range(1, 31)]
    labels = np.zeros((30, 2))
    labels[:2, 0] = labels[5:8, 1] = 1
    folds = deal_folds(smiles, labels, SplitRecipe(), 5)
    assert np.bincount(folds).tolist() == [6] * 5
    few = deal_folds(smiles[:6], np.eye(6)[:, :3], SplitRecipe(), 5)
    assert set(few) == set(range(5))


def test_values_are_dealt_to_folds_by_tenths():
    values = np.random.default_rng(0).lognormal(size=(500, 1))
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(500)]
    folds = deal_folds(smiles, values, SplitRecipe(), 5, objective=Objective.REGRESSION)
    tenth = np.searchsorted(np.quantile(values, np.linspace(0, 1, 11)[1:-1]), values[:, 0])
    np.testing.assert_allclose([np.bincount(tenth[folds == fold]) for fold in range(5)], 10, atol=2)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_folds(kind):
    smiles, labels = nci_smiles(200), labels_for(200)
    first, again, other = (deal_folds(smiles, labels, SplitRecipe(kind=kind, seed=s), 5) for s in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert (first.tolist() == other.tolist()) == (kind == "scaffold")
    parts = [fold_parts(smiles, labels, first, 2, SplitRecipe(kind=kind, seed=4)).tolist() for _ in range(2)]
    assert parts[0] == parts[1]


class TestErrors:
    def test_a_given_split_has_no_folds(self):
        with pytest.raises(UsageError, match=r"set evaluation\.folds to 1"):
            deal_folds(["C", "N"], np.zeros((2, 1)), SplitRecipe(kind="given"), 2)

    def test_one_fold_is_none(self):
        with pytest.raises(UsageError, match=r"at least 2 folds \(got 1\)"):
            deal_folds(["C", "N"], np.zeros((2, 1)), SplitRecipe(), 1)

    @pytest.mark.parametrize("kind", KINDS)
    def test_copies_are_not_different_molecules(self, kind):
        with pytest.raises(InputError, match="2 different molecules are too few for 3 folds"):
            deal_folds(["C", "N"] * 5, np.zeros((10, 1)), SplitRecipe(kind=kind), 3)

    def test_too_few_scaffolds(self):
        smiles = [*("C" * i for i in range(1, 9)), "c1ccccc1", "Cc1ccccc1"]
        with pytest.raises(InputError, match="2 different scaffolds are too few for 3 folds"):
            deal_folds(smiles, np.zeros((10, 1)), SplitRecipe(kind="scaffold"), 3)

    def test_one_scaffold_outside_the_test_part_cannot_be_divided(self):
        smiles = [*("C" * i for i in range(1, 9)), "c1ccccc1", "Cc1ccccc1"]
        recipe = SplitRecipe(kind="scaffold")
        folds = deal_folds(smiles, np.zeros((10, 1)), recipe, 2)
        tested = int(folds[-1])  # that of the rings: the chains are left
        with pytest.raises(InputError, match="none is left for validation"):
            fold_parts(smiles, np.zeros((10, 1)), folds, tested, recipe)

    @pytest.mark.parametrize(("n", "n_folds", "validation"), [(2, 2, 0.1), (20, 2, 0.5), (6, 2, 0.45)])
    def test_no_room_for_validation(self, n, n_folds, validation):
        smiles, recipe = ["C" * i for i in range(1, n + 1)], SplitRecipe(validation=validation)
        folds = deal_folds(smiles, np.zeros((n, 1)), recipe, n_folds)
        with pytest.raises(InputError, match="too few for"):
            fold_parts(smiles, np.zeros((n, 1)), folds, 0, recipe)


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_molecule_whose_smiles_cannot_be_read_back_is_its_own_scaffold(text):
    with rdBase.BlockLogs():
        assert Chem.MolFromSmiles(text) is None
    assert murcko_scaffold(text) == text
    assert scaffold_groups(["CC", text, "c1ccccc1C", "CCC", "c1ccccc1"]) == [[0, 3], [2, 4], [1]]


def test_such_molecules_can_be_dealt():
    smiles = [*nci_smiles(30), *UNREADABLE]
    folds = deal_folds(smiles, labels_for(33), SplitRecipe(kind="scaffold"), 3)
    assert set(fold_parts(smiles, labels_for(33), folds, 0, SplitRecipe(kind="scaffold"))) == {
        "train",
        "validation",
        "test",
    }


def table_of(smiles, lost=()) -> TrainingData:
    """A table in which some rows, from 1, cannot be used."""
    kept = [row for row in range(1, len(smiles) + 1) if row not in set(lost)]
    mols = [Chem.MolFromSmiles(smiles[row - 1]) for row in kept]
    return TrainingData(
        graphs=Featurizer(preset("simple")).featurize(mols),
        labels=np.zeros((len(kept), 1)),
        tasks=("a",),
        rows=np.array(kept),
        smiles=tuple(smiles[row - 1] for row in kept),
        rejections=tuple(Rejection(row, str(row), smiles[row - 1], "bad") for row in sorted(set(lost))),
    )


class TestListed:
    """Parts that a file lists by row."""

    @pytest.fixture
    def listed(self, tmp_path):
        def read(*lines, header="row,part") -> ListedParts:
            (tmp_path / "parts.csv").write_text("\n".join([header, *lines]) + "\n")
            return read_listed_parts(SplitRecipe(parts="parts.csv"), tmp_path)

        return read

    def test_rows_that_are_not_listed_are_for_training(self, listed):
        parts = listed("2,test", "4,validation").deal(table_of(["C", "N", "O", "F", "P"]))
        assert parts.tolist() == ["train", "test", "train", "validation", "train"]

    def test_what_a_model_writes_can_be_read(self, listed):
        """Its split.csv lists the rows for training, too."""
        parts = listed("1,train", "2,test", "3,validation").deal(table_of(["C", "N", "O"]))
        assert parts.tolist() == ["train", "test", "validation"]

    def test_spaces_other_columns_and_other_orders_do_not_matter(self, listed):
        parts = listed("test ,x, 3", " validation,,1", "", header="part,why,row")
        assert parts.deal(table_of(["C", "N", "O"])).tolist() == ["validation", "train", "test"]

    def test_a_byte_order_mark_and_other_line_ends(self, tmp_path):
        content = b"\xef\xbb\xbfrow,part\r\n1,test\r\n2,validation\r\n"
        (tmp_path / "parts.csv").write_bytes(content)
        found = read_listed_parts(SplitRecipe(parts="parts.csv"), tmp_path)
        assert found.deal(table_of(["C", "N", "O"])).tolist() == ["test", "validation", "train"]
        assert found.digest == hashlib.sha256(content).hexdigest()

    @pytest.mark.parametrize(
        ("copies", "part"),
        [
            (("train", "test"), "train"),
            (("test", "train"), "train"),
            (("validation", "test"), "validation"),
            (("test", "validation"), "validation"),
            (("validation", "train"), "train"),
            (("test", "validation", "train"), "train"),
            (("test", "test"), "test"),
        ],
    )
    def test_copies_go_to_the_first_part_that_any_is_listed_in(self, listed, copies, part):
        lines = [f"{row},{name}" for row, name in enumerate(copies, start=4)]
        parts = listed("1,test", "2,validation", *lines).deal(
            table_of(["C", "N", "O", *["CC"] * len(copies)])
        )
        assert parts.tolist() == ["test", "validation", "train", *[part] * len(copies)]

    @given(st.data())
    def test_rows_that_cannot_be_used_move_no_other_row(self, data):
        """Where copies are listed together, as a split that was dealt has them."""
        smiles = data.draw(
            st.lists(st.sampled_from(["C", "N", "O", "F", "CC", "CO"]), min_size=6, max_size=30)
        )
        part_of = {text: data.draw(st.sampled_from(["train", "validation", "test"])) for text in set(smiles)}
        smiles += ["P", "S", "Cl"]
        part_of |= {"P": "train", "S": "validation", "Cl": "test"}
        parts = listed_as([part_of[text] for text in smiles])
        lost = data.draw(st.sets(st.integers(1, len(smiles) - 3)))
        before, table = parts.deal(table_of(smiles)), table_of(smiles, lost)
        after = parts.deal(table)
        assert after.tolist() == [before[row - 1] for row in table.rows]

    @given(st.data())
    def test_no_copy_is_in_two_parts_and_a_lost_row_moves_none_but_its_own_copies(self, data):
        smiles = data.draw(st.lists(st.sampled_from(["C", "N", "O", "F"]), min_size=6, max_size=30))
        names = [data.draw(st.sampled_from(["train", "validation", "test"])) for _ in smiles]
        smiles += ["P", "S", "Cl"]
        parts = listed_as([*names, "train", "validation", "test"])
        lost = data.draw(st.sets(st.integers(1, len(smiles) - 3)))
        before, table = parts.deal(table_of(smiles)), table_of(smiles, lost)
        after = parts.deal(table)
        assert count_copies_outside_test(table.smiles, after) == 0
        gone = {smiles[row - 1] for row in lost}
        for row, text, part in zip(table.rows, table.smiles, after, strict=True):
            assert text in gone or part == before[row - 1]

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["1,test", "x,test"], r"parts\.csv, line 3: row 'x' is no row number; rows count from 1"),
            (["0,test"], "line 2: row '0' is no row number"),
            (["-1,test"], "line 2: row '-1' is no row number"),
            (["1.0,test"], r"line 2: row '1\.0' is no row number"),
            ([f"{10**30},test"], "is no row number"),
            (["1,test", "2"], "line 3: unknown part ''; write test or validation"),
            (["1,tset"], "line 2: unknown part 'tset'; write test or validation"),
            (
                ["1,test", "2,validation", "1,validation"],
                "line 4: row 1 is listed before, in line 2; drop one",
            ),
            (["1,validation"], "lists no row for the test part; add lines such as 17,test"),
            (["1,test"], "lists no row for the validation part"),
            ([], "lists no row for the test part"),
        ],
    )
    def test_what_a_file_must_not_say(self, listed, lines, message):
        with pytest.raises(InputError, match=message):
            listed(*lines)

    @pytest.mark.parametrize("header", ["row", "part", "index,part", ""])
    def test_a_column_is_missing(self, listed, header):
        with pytest.raises(InputError, match=r"parts\.csv, line 1: no column '(row|part)'"):
            listed("1,test", header=header)

    def test_what_is_no_text(self, tmp_path):
        (tmp_path / "parts.csv").write_bytes(b"row,part\n1,t\xff\n")
        with pytest.raises(InputError, match=r"parts\.csv is no UTF-8 text.*save it as CSV in UTF-8"):
            read_listed_parts(SplitRecipe(parts="parts.csv"), tmp_path)

    def test_a_row_beyond_the_table(self, listed):
        parts = listed("1,test", "2,validation", "5,test")
        assert len(parts.deal(table_of(["C", "N", "O", "F", "P"], lost=[5]))) == 4
        with pytest.raises(
            InputError, match=r"parts\.csv, line 4: there is no row 5, the table has 4 rows; list"
        ):
            parts.deal(table_of(["C", "N", "O", "F"], lost=[3]))

    @pytest.mark.parametrize(
        ("smiles", "lost", "part"),
        [
            (["C", "N", "O"], [1], "test"),
            (["O", "N", "O"], [], "test"),
            (["C", "N", "O"], [2], "validation"),
            (["C", "N", "O"], [3], "train"),
        ],
    )
    def test_a_part_without_molecules(self, listed, smiles, lost, part):
        with pytest.raises(InputError, match=rf"parts\.csv: no molecule is left for the {part} part"):
            listed("1,test", "2,validation").deal(table_of(smiles, lost))

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UsageError, match=r"there is no .*mine\.csv.* put it beside the recipe"):
            read_listed_parts(SplitRecipe(parts="mine.csv"), tmp_path)

    def test_a_directory_is_no_file(self, tmp_path):
        (tmp_path / "parts.csv").mkdir()
        with pytest.raises(UsageError, match=r"split\.parts: cannot read .*parts\.csv: Is a directory"):
            read_listed_parts(SplitRecipe(parts="parts.csv"), tmp_path)

    def test_beside_the_recipe_comes_before_bundled(self, tmp_path):
        recipe = SplitRecipe(parts="tox21-parts.csv")
        assert read_listed_parts(recipe, tmp_path).file.parent.name == "recipes"
        (tmp_path / "tox21-parts.csv").write_text("row,part\n1,test\n2,validation\n")
        assert read_listed_parts(recipe, tmp_path).file.parent == tmp_path
        with pytest.raises(UsageError, match="there is no"):
            read_listed_parts(SplitRecipe(parts="../recipes/tox21-parts.csv"), tmp_path)

    def test_none_are_named(self, tmp_path):
        assert read_listed_parts(SplitRecipe(), tmp_path) is None

    def test_a_column_and_a_file_exclude_each_other(self):
        with pytest.raises(UsageError, match=r"split\.parts and split\.kind = \"given\" exclude each other"):
            parse_recipe({"split": {"kind": "given", "parts": "parts.csv"}})

    @pytest.mark.parametrize("name", [name for name in bundled_recipes() if name.startswith("tox21-")])
    def test_all_bundled_recipes_of_tox21_share_their_parts(self, name):
        parts = read_listed_parts(read_recipe(name).split, Path())
        counts = {
            part: sum(row.part == part for row in parts.rows.values()) for part in ("test", "validation")
        }
        assert counts == {"test": 1601, "validation": 400}


def listed_as(parts) -> ListedParts:
    """Parts of the rows of a table, from 1."""
    rows = {row: ListedRow(part, row + 1) for row, part in enumerate(parts, start=1) if part != "train"}
    return ListedParts(Path("parts.csv"), "", rows)


def made_up_groups(draw_from, n, seed):
    """Rows of up to eight different molecules for every group, some of them without a group."""
    rng = np.random.default_rng(seed)
    smiles = [draw_from[int(i)] for i in rng.integers(len(draw_from), size=n)]
    return smiles, [str(g) if g else "" for g in rng.integers(30, size=n)]


class TestGroups:
    RECIPE = SplitRecipe(kind="group", column="series", validation=0.2, test=0.2)

    @staticmethod
    def tied(smiles, values, parts):
        """Check that nothing that belongs together is in two parts."""
        for of in (smiles, values):
            where = {}
            for key, part in zip(of, parts, strict=True):
                if key:
                    assert where.setdefault(key, part) == part

    @given(st.integers(40, 200), st.integers(0, 1000))
    @settings(max_examples=30, deadline=None)
    def test_neither_groups_nor_copies_are_parted(self, n, seed):
        smiles, values = made_up_groups([f"C{i}" for i in range(2000)], n, seed)
        recipe = self.RECIPE.model_copy(update={"seed": seed})
        parts = split(smiles, np.zeros((n, 1)), recipe, values=values)
        self.tied(smiles, values, parts)
        assert set(parts) == {"train", "validation", "test"}
        again = split(smiles, np.zeros((n, 1)), recipe, values=values)
        assert again.tolist() == parts.tolist()
        folds = deal_folds(smiles, np.zeros((n, 1)), recipe, 3, values=values)
        self.tied(smiles, values, folds)
        assert set(folds) == {0, 1, 2}
        for fold in range(3):
            found = fold_parts(smiles, np.zeros((n, 1)), folds, fold, recipe, values=values)
            self.tied(smiles, values, found)
            assert ((found == "test") == (folds == fold)).all()
            assert (found == "validation").any()

    @pytest.mark.parametrize("seed", range(5))
    def test_shares_are_met_where_groups_are_small(self, seed):
        smiles, values = [f"C{i}" for i in range(1000)], [str(i // 5) for i in range(1000)]
        recipe = self.RECIPE.model_copy(update={"seed": seed})
        parts = split(smiles, np.zeros((1000, 1)), recipe, values=values)
        assert [(parts == name).sum() for name in ("train", "validation", "test")] == [600, 200, 200]
        other = self.RECIPE.model_copy(update={"seed": seed + 1})
        assert split(smiles, np.zeros((1000, 1)), other, values=values).tolist() != parts.tolist()

    def test_large_groups_are_dealt_one_to_a_part(self):
        values = ["a"] * 40 + ["b"] * 35 + ["c"] * 25
        parts = split([f"C{i}" for i in range(100)], np.zeros((100, 1)), self.RECIPE, values=values)
        assert {part: (parts == part).sum() for part in set(parts)} == {
            "test": 25,
            "validation": 35,
            "train": 40,
        }

    def test_without_a_group_each_is_its_own(self):
        copy_of = np.array([0, 1, 1, 2, 3])
        assert tied_molecules([""] * 5, copy_of) == [[0], [1], [2], [3]]
        assert tied_molecules(["x", "", "", "", "x"], copy_of) == [[0, 3], [1], [2]]

    def test_a_molecule_of_two_groups_ties_them(self):
        assert tied_molecules(["x", "x", "y", "y", "z"], np.array([0, 1, 1, 2, 3])) == [[0, 1, 2], [3]]

    def test_too_few_groups_say_how_large_the_largest_is(self):
        smiles, values = ["C", "N", "O", "O", "S"], ["a", "a", "a", "b", "c"]
        with pytest.raises(InputError, match=r"'series' has 2 groups .* the largest has 3 of 4 molecules"):
            split(smiles, np.zeros((5, 1)), self.RECIPE, values=values)
        with pytest.raises(InputError, match="2 different groups are too few for 3 folds"):
            deal_folds(smiles, np.zeros((5, 1)), self.RECIPE, 3, values=values)

    def test_without_a_test_part_two_groups_do(self):
        recipe = self.RECIPE.model_copy(update={"test": 0.0})
        parts = split(["C", "N", "O"], np.zeros((3, 1)), recipe, values=["a", "b", "b"])
        assert parts.tolist() == ["validation", "train", "train"]

    @pytest.mark.parametrize("kind", ["group", "time"])
    def test_the_column_must_be_named(self, kind):
        with pytest.raises(UsageError, match=r"needs a column of the table: name it as split\.column"):
            parse_recipe({"split": {"kind": kind}})
        assert parse_recipe({"split": {"kind": kind, "column": "split"}}).split.column == "split"


class TestTimes:
    RECIPE = SplitRecipe(kind="time", column="year", validation=0.1, test=0.2)

    @given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), min_size=10, max_size=120))
    @settings(max_examples=50, deadline=None)
    def test_nothing_later_is_trained_on(self, rows):
        smiles, values = [f"C{m}" for m, _ in rows], [str(float(t)) for _, t in rows]
        earliest = {}
        for molecule, time in zip(smiles, values, strict=True):
            earliest[molecule] = min(float(time), earliest.get(molecule, np.inf))
        first = np.array([earliest[molecule] for molecule in smiles])
        if len(set(first)) < 3:
            with pytest.raises(InputError, match=r"'year' has \d different times, too few for 3 parts"):
                split(smiles, np.zeros((len(rows), 1)), self.RECIPE, values=values)
            return
        parts = split(smiles, np.zeros((len(rows), 1)), self.RECIPE, values=values)
        ends = [(first[parts == p].min(), first[parts == p].max()) for p in ("train", "validation", "test")]
        assert ends[0][1] < ends[1][0]
        assert ends[1][1] < ends[2][0]
        for molecule in set(smiles):
            assert len({p for m, p in zip(smiles, parts, strict=True) if m == molecule}) == 1

    def test_shares_are_met_where_times_are_fine(self):
        times = np.random.default_rng(0).permutation(1000)
        parts = split(
            [f"C{i}" for i in range(1000)], np.zeros((1000, 1)), self.RECIPE, values=list(map(str, times))
        )
        assert (times[parts == "test"].min(), times[parts == "validation"].min()) == (800, 700)

    def test_years_are_not_parted(self):
        values = ["2018"] * 50 + ["2019"] * 25 + ["2020"] * 15 + ["2021"] * 10
        parts = split([f"C{i}" for i in range(100)], np.zeros((100, 1)), self.RECIPE, values=values)
        found = {year: set(parts[np.array(values) == year]) for year in set(values)}
        # 25 of 100 are nearer to the fifth that was asked for than 10 are.
        assert found == {"2018": {"train"}, "2019": {"validation"}, "2020": {"test"}, "2021": {"test"}}

    def test_there_are_no_folds(self):
        with pytest.raises(UsageError, match="a time split has one test part and no folds"):
            deal_folds(["C", "N"], np.zeros((2, 1)), self.RECIPE, 2, values=["1", "2"])
