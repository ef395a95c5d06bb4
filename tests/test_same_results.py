"""The script that compares the outputs of two trees sees every kind of difference, and nothing else."""

import json

import pandas as pd
import pytest
from benchmarks import same_results


@pytest.fixture
def folders(tmp_path):
    """Two folders with the same outputs."""
    both = tmp_path / "before", tmp_path / "after"
    for folder in both:
        (folder / "deep").mkdir(parents=True)
        hits = pd.DataFrame({"id": ["a", "b"], "score": [0.5, float("nan")], "rank": [1, 2]})
        hits.to_csv(folder / "hits.csv", index=False)
        pd.DataFrame({"id": ["a"], "atom_scores": [[0.25, -1.0]]}).to_parquet(folder / "why.parquet")
        report = {"seconds": 1.5, "findings": [{"check": "baseline", "share": 0.02, "sound": True}]}
        (folder / "deep" / "report.json").write_text(json.dumps(report))
        (folder / "report.md").write_text("# Audit\n\nAUC 0.873 of SR-MMP\n")
    return both


def edited(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def compared(folders, capsys, *options):
    code = same_results.main([*map(str, folders), *options])
    return code, capsys.readouterr().out


def test_equal_folders(folders, capsys):
    assert compared(folders, capsys) == (0, "the same\n")


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("hits.csv", ("0.5", "0.50001"), "hits.csv: score, row 1: 0.5 became 0.50001"),
        ("hits.csv", ("b,,2", "c,,2"), "hits.csv: id, row 2: 'b' became 'c'"),
        ("hits.csv", ("b,,2", "b,0.1,2"), "hits.csv: score, row 2: None became 0.1"),
        ("hits.csv", ("score", "value"), "hits.csv: columns"),
        ("hits.csv", ("b,,2\n", ""), "hits.csv: 2 rows became 1"),
        ("hits.csv", ("b,,2", "b,,2.5"), "hits.csv: column rank of int64 became double"),
        ("deep/report.json", ("0.02", "0.03"), "deep/report.json: findings[0].share: 0.02 became 0.03"),
        ("deep/report.json", ("true", "1"), "findings[0].sound: True became 1"),
        ("deep/report.json", ('"check"', '"test"'), "findings[0]: keys"),
        ("report.md", ("SR-MMP", "SR-p53"), "report.md: line 3: 'AUC 0.873 of SR-MMP' became"),
        ("report.md", ("0.873", "0.874"), "report.md: line 3"),
        ("report.md", ("\n\n", "\n"), "report.md: 3 lines became 2"),
    ],
)
def test_a_difference_is_printed_and_the_exit_code_is_1(folders, capsys, file, edit, said):
    edited(folders[1] / file, *edit)
    code, output = compared(folders, capsys)
    assert code == 1
    assert said in output


def test_cells_that_are_lists(folders, capsys):
    pd.DataFrame({"id": ["a"], "atom_scores": [[0.25, -1.5]]}).to_parquet(folders[1] / "why.parquet")
    code, output = compared(folders, capsys)
    assert code == 1
    assert "why.parquet: atom_scores, row 1[1]: -1.0 became -1.5" in output


def test_a_missing_file(folders, capsys):
    (folders[1] / "report.md").unlink()
    code, output = compared(folders, capsys)
    assert code == 1
    assert "report.md: only in" in output


@pytest.mark.parametrize(("tolerance", "code"), [("1e-4", 0), ("1e-6", 1)])
def test_tolerance_is_a_share_of_the_number(folders, capsys, tolerance, code):
    edited(folders[1] / "hits.csv", "0.5", "0.50001")
    edited(folders[1] / "report.md", "0.873", "0.87301")
    assert compared(folders, capsys, "--tolerance", tolerance)[0] == code


def test_durations_may_differ(folders, capsys):
    edited(folders[1] / "deep" / "report.json", "1.5", "2.5")
    assert compared(folders, capsys)[0] == 0
    assert compared(folders, capsys, "--ignore", "nothing")[0] == 1


def test_a_long_list_of_differences_is_cut(folders, capsys):
    for folder, score in zip(folders, (1, 2), strict=True):
        pd.DataFrame({"score": [score] * 25}).to_csv(folder / "many.csv", index=False)
    output = compared(folders, capsys)[1].splitlines()
    assert len(output) == 12
    assert output[-2:] == ["many.csv: 15 more", "25 differences in 1 files"]


def test_outputs_of_a_tree(tmp_path, capsys):
    for folder in ("one", "other"):
        same_results.main(["--make", str(tmp_path / folder), "--only", "why_page", "--rows", "3"])
    assert '"ink":"' in (tmp_path / "one" / "why.html").read_text()
    assert compared((tmp_path / "one", tmp_path / "other"), capsys)[0] == 0


@pytest.mark.parametrize(
    "arguments", [[], ["only-one"], ["--make", ".", "--only", "hits"], ["--make", "new", "--only", "x"]]
)
def test_wrong_requests(arguments):
    with pytest.raises(SystemExit) as end:
        same_results.main(arguments)
    assert end.value.code == 2
