"""`molig benchmark`: the whole path on made-up sets, and on a few published molecules."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.ground_truth import write_fragments, write_nitrogens, write_recipe
from support.small_model import nci_smiles


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sets")
    write_fragments(directory, extra=("FC(=O)C*",))
    write_nitrogens(directory)
    return directory


@pytest.fixture
def judged(molig, sets, tmp_path):
    """Run the benchmark on made-up sets, into ``tmp_path / "out"``."""

    def run(*arguments, **recipe):
        fixed = ["-o", tmp_path / "out", "--data", sets, "--device", "cpu"]
        if "--recipe" not in arguments:
            fixed += ["--recipe", write_recipe(tmp_path / "recipe.toml", **recipe)]
        return molig("benchmark", "attribution", *arguments, *fixed)

    return run


class TestAttribution:
    def test_trains_judges_and_writes(self, judged, tmp_path):
        run = judged("attr_logic7", "--methods", "ig,occlusion")
        assert run.code == 0, run.err
        out = tmp_path / "out"
        assert run.out == (out / "attribution.md").read_text()
        assert "| logic7 | attribution AUROC | 10 |" in run.out
        assert "epoch 2/2" in run.err
        assert "'FC(=O)C*' is not judged: dummy atom" in run.err
        found = json.loads((out / "attribution.json").read_text())
        assert list(found["sets"]) == ["logic7"]
        assert len(pd.read_parquet(out / "logic7" / "molecules-test.parquet")) == 10

        first = (out / "attribution.json").read_bytes()
        again = judged("logic7", "--methods", "ig,occlusion")
        assert "epoch" not in again.err.replace("epochs/s", "")
        assert (out / "attribution.json").read_bytes() == first

    def test_quiet_says_only_warnings(self, judged):
        run = judged("N", "--methods", "ig", "--sample", 3, "-q", objective="regression", epochs=1)
        assert (run.code, run.err) == (0, "")
        assert "| N | top-n | 3 |" in run.out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["logic8"], "unknown ground-truth set 'logic8'; did you mean 'logic7'"),
            (["logic7", "--methods", "ig,oclusion"], "unknown method 'oclusion'; did you mean 'occlusion'"),
            (["logic7", "--part", "train"], "unknown part 'train'"),
            (["N"], "N is a regression"),
            (["logic7", "--recipe", "absent.toml"], "cannot read the recipe absent.toml"),
        ],
    )
    def test_wrong_requests_are_refused_before_training(self, judged, tmp_path, arguments, message):
        run = judged(*arguments)
        assert run.code == 2
        assert message in run.err
        assert not (tmp_path / "out").exists()

    def test_a_missing_file_says_where_it_comes_from(self, judged, tmp_path):
        run = judged("logic7", "benzene")
        assert run.code == 1
        assert "attr_benzene.parquet: no such file" in run.err
        assert not (tmp_path / "out").exists()

    def test_an_output_that_is_a_file_is_refused(self, judged, tmp_path):
        (tmp_path / "out").write_text("")
        run = judged("logic7")
        assert run.code == 1
        assert "cannot write" in run.err

    def test_published_molecules(self, molig, data_dir, tmp_path):
        table = pq.read_table(data_dir / "attr_benzene.parquet")
        parts = np.array(table.column("split").to_pylist())
        rows = np.concatenate([np.flatnonzero(parts == "train")[:240], np.flatnonzero(parts == "test")[:60]])
        pq.write_table(table.take(rows), tmp_path / "attr_benzene.parquet")
        recipe = write_recipe(tmp_path / "recipe.toml")
        fixed = ["--data", tmp_path, "--recipe", recipe, "-o", tmp_path / "out", "--device", "cpu", "-q"]
        for part in ("test", "validation"):
            run = molig("benchmark", "attribution", "benzene", "--part", part, *fixed)
            assert (run.code, run.err) == (0, "")
            found = json.loads((tmp_path / "out" / "attribution.json").read_text())["sets"]["benzene"]
            assert found["n_molecules_of_part"] == (60 if part == "test" else 24)
            assert len(found["results"]) == 10  # two metrics by five methods
            assert all(0 <= row["low"] <= row["value"] <= row["high"] <= 1 for row in found["results"])


class TestAblation:
    @pytest.fixture
    def removed(self, molig, write, small_model_dir):
        library = write("library.smi", "\n".join([*nci_smiles(20), "C1CC"]))

        def run(*arguments):
            fixed = ["-m", small_model_dir, "-i", library, "--top", 6, "--device", "cpu"]
            return molig("benchmark", "ablation", *fixed, *arguments)

        return run

    @pytest.mark.parametrize("suffix", ["csv", "md", "svg"])
    def test_prints_and_writes(self, removed, tmp_path, suffix):
        path = tmp_path / f"drops.{suffix}"
        run = removed("--task", "nitrogen", "-o", path, "--atoms", 3)
        assert run.code == 0, run.err
        assert "6 molecules" in run.out
        text = path.read_text()
        if suffix == "csv":
            frame = pd.read_csv(path)
            assert len(frame) == 12
            assert set(frame["ranking"]) == {
                "integrated_gradients",
                "gradient_x_input",
                "occlusion",
                "random",
            }
        elif suffix == "md":
            assert "| atoms removed | molecules | integrated gradients |" in text
        else:
            assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "name one of the tasks of small: nitrogen, carbonyl"),
            (["--task", "nitrogne"], "did you mean 'nitrogen'"),
            (["--task", "nitrogen", "--target", "value"], "no value to attribute"),
            (["--task", "nitrogen", "--target", "odds"], "unknown target 'odds'"),
            (["--task", "nitrogen", "--baseline", "zerro"], "unknown baseline 'zerro'"),
            (["--task", "nitrogen", "--methods", "occlusoin"], "did you mean 'occlusion'"),
            (["--task", "nitrogen", "-o", "drops.xlsx"], "cannot tell the format of drops.xlsx"),
        ],
    )
    def test_wrong_requests_are_refused(self, removed, arguments, message):
        run = removed(*arguments)
        assert run.code == 2
        assert message in run.err


class TestRules:
    """Sets that are made by a rule, from a library in the data directory."""

    def test_nothing_matters_without_a_halogen(self, molig, tmp_path):
        smiles = [f"{'F' if n % 2 else 'C'}{'C' * (2 + n // 2)}{'O' * (n % 3 == 0)}" for n in range(60)]
        pq.write_table(pa.table({"smiles": smiles}), tmp_path / "library_moses_1m.parquet")
        recipe = write_recipe(tmp_path / "r.toml")
        fixed = ["--data", tmp_path, "--recipe", recipe, "-o", tmp_path / "out", "--device", "cpu", "-q"]
        run = molig("benchmark", "attribution", "has_X", "--methods", "ig", *fixed)
        assert (run.code, run.err) == (0, "")
        found = json.loads((tmp_path / "out" / "attribution.json").read_text())["sets"]["has_X"]
        counted = {row["metric"]: row["n_molecules"] for row in found["results"]}
        assert set(counted) == {"attribution_auroc", "flat"}
        # Of twelve test molecules each is judged by one of the two.
        assert sum(counted.values()) == found["n_molecules_of_part"] == 12

    def test_groups_stand_for_their_sets(self, molig, tmp_path):
        run = molig("benchmark", "attribution", "choosing", "--data", tmp_path, "-o", tmp_path / "out")
        assert run.code == 1
        assert "library_moses_1m.parquet: no such file" in run.err
        run = molig("benchmark", "attribution", "chosing", "--data", tmp_path, "-o", tmp_path / "out")
        assert run.code == 2
        assert "did you mean 'choosing'" in run.err


class TestOwnTruth:
    """`molig benchmark attribution -i`: a table of one's own."""

    @pytest.fixture
    def table(self, tmp_path):
        """Chains of which every second is an amine; its nitrogen and the bond to it matter."""
        rows = []
        for i in range(40):
            smiles = f"{'N' if i % 2 else 'C'}{'C' * (1 + i // 4)}C"
            n = len(smiles)
            rows.append(
                {
                    "smiles": smiles,
                    "label": i % 2,
                    "atom_truth": json.dumps([i % 2, *[0] * (n - 1)]),
                    "bond_truth": json.dumps([i % 2, *[0] * (n - 2)]),
                    "split": "test" if i % 4 > 1 else "train",
                }
            )
        path = tmp_path / "amines.csv"
        pd.DataFrame(rows).to_csv(path, index=False)
        return path

    @pytest.fixture
    def own(self, molig, tmp_path):
        def run(*arguments):
            fixed = ["-o", tmp_path / "out", "--device", "cpu"]
            return molig("benchmark", "attribution", *arguments, *fixed)

        return run

    def test_trains_on_the_training_part(self, own, table, tmp_path):
        run = own(
            "-i", table, "--recipe", write_recipe(tmp_path / "r.toml"), "--methods", "ig,occlusion", "-q"
        )
        assert (run.code, run.err) == (0, "")
        found = json.loads((tmp_path / "out" / "attribution.json").read_text())["sets"]["amines"]
        counted = {(row["metric"], row["method"]): row["n_molecules"] for row in found["results"]}
        judged = ("attribution_auroc", "top_n", "jaccard", "bond_auroc", "flat", "flat_bonds")
        assert {metric for metric, _ in counted} == set(judged)
        assert set(counted.values()) == {10}
        # Occlusion takes whole atoms away and says nothing about bonds.
        assert ("bond_auroc", "occlusion") not in counted
        assert found["recipe"]["objective"] == "classification"
        judged_table = pd.read_parquet(tmp_path / "out" / "amines" / "molecules-test.parquet")
        assert len(judged_table) == 20
        assert all(
            len(bonds) == len(atoms) - 1
            for atoms, bonds in zip(
                judged_table["integrated_gradients"], judged_table["integrated_gradients.bonds"], strict=True
            )
        )

    def test_judges_a_model_that_is_given(self, own, table, small_model_dir, tmp_path):
        options = ["-m", small_model_dir, "--methods", "ig", "-q"]
        run = own("-i", table, "--task", "nitrogen", "--target", "logit", *options)
        assert (run.code, run.err) == (0, "")
        found = json.loads((tmp_path / "out" / "attribution.json").read_text())["sets"]["amines"]
        assert found["recipe"]["attribution"]["target"] == "logit"
        best = {row["metric"]: row["value"] for row in found["results"]}
        assert best["attribution_auroc"] > 0.9  # the model has learnt to see nitrogen
        assert not (tmp_path / "out" / "amines" / "model").exists()

    def test_a_given_model_needs_neither_labels_nor_a_split(self, own, table, small_model_dir):
        pd.read_csv(table).drop(columns=["label", "split"]).to_csv(table, index=False)
        run = own("-i", table, "-m", small_model_dir, "--task", "nitrogen", "--methods", "ig", "-q")
        assert run.code == 0, run.err
        assert "| amines | attribution AUROC | 20 |" in run.out
        run = own("-i", table)
        assert run.code == 2
        assert "no model can be trained without a column split" in run.err

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["logic7", "-i", "TABLE"], "names of sets (logic7) or a truth of your own (-i), not both"),
            (["logic7", "--label-column", "y"], "--label-column is for a truth of your own"),
            (["-i", "TABLE", "--task", "nitrogen"], "--task is for a model that is given with -m"),
            (["-i", "TABLE", "-m", "MODEL"], "name one of the tasks of small: nitrogen, carbonyl"),
            (["-i", "TABLE", "-m", "MODEL", "--task", "nitrogne"], "did you mean 'nitrogen'"),
            (["-i", "TABLE", "-m", "MODEL", "--recipe", "r.toml"], "--recipe is for models that are trained"),
            (
                ["-i", "TABLE", "-m", "MODEL", "--task", "nitrogen", "--part", "validation"],
                "--part validation is of models that the benchmark trains",
            ),
            (["-i", "TABLE", "--label-column", "active"], "unknown column 'active'"),
        ],
    )
    def test_wrong_requests_are_refused(self, own, table, small_model_dir, arguments, message):
        places = {"TABLE": table, "MODEL": small_model_dir}
        run = own(*[places.get(one, one) for one in arguments])
        assert run.code == 2
        assert message in run.err

    def test_a_row_that_does_not_fit_is_named(self, own, table):
        frame = pd.read_csv(table)
        frame.loc[4, "atom_truth"] = "[1, 0]"
        frame.to_csv(table, index=False)
        run = own("-i", table)
        assert run.code == 1
        assert "amines.csv, row 5" in run.err
        assert "atom_truth has 2 numbers, the molecule 4 atoms" in run.err
