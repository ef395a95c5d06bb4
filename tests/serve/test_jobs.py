"""Jobs: orders, names of files, and what becomes of whole files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import time
import zipfile

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from support.pages import page_data
from support.serving import finished
from support.small_model import NCI_FILE

from molig.errors import OutputError, UsageError
from molig.molecules.readers import FORMATS, SUFFIXES
from molig.molecules.sources import PACKED
from molig.serve import ServeSettings
from molig.serve.desk import BusyError
from molig.serve.jobs import MOST_EXPLAINED, RESULTS, Jobs, Order, input_name
from molig.serve.messages import JobAnswer

FORMULA, MARKUP = "=1+1", "<img src=x onerror=alert(1)>"
LIBRARY = f"CCN,amine,{FORMULA}\nC1CC,broken,x\n[Na+].CC(=O)[O-],{MARKUP},y\n"


@given(
    st.text(max_size=60), st.sampled_from(["", *SUFFIXES, ".PNG", ".zip", ".csv.gz", "/../x.smi", "\\a.sdf"])
)
def test_a_file_is_never_called_what_the_user_calls_it(stem, end):
    packed = ("", *PACKED)
    known = {f"molecules{suffix}{pack}" for suffix in (*SUFFIXES, "") for pack in packed} - {"molecules"}
    with contextlib.suppress(UsageError):  # most ends tell no format
        assert input_name(stem + end, None) in known


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_that_is_said(kind):
    assert input_name("export", kind.upper()) == f"molecules.{kind}"


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"kind": "burn"}, "unknown kind of job 'burn'"),
        ({"models": ()}, "choose a model"),
        ({"kind": "audit", "models": ("a", "b")}, "takes one model"),
        ({"top": 0}, "top must be"),
        ({"top": MOST_EXPLAINED + 1}, "top must be"),
    ],
)
def test_orders_that_cannot_be_met(order, why):
    with pytest.raises(UsageError, match=why):
        Order(**{"kind": "screen", "models": ("a",), **order})


def test_no_room_for_a_file(tmp_path):
    jobs = Jobs(ServeSettings(), tmp_path / "missing", print)
    with pytest.raises(OutputError, match=r"^the server cannot keep the file: No such file or directory$"):
        jobs.add(Order("screen", ("a",), file="molecules.smi"), io.BytesIO(b"CCO"))
    assert not jobs.all()


def test_two_that_come_at_once_do_not_share_the_last_place(tmp_path):
    jobs = Jobs(ServeSettings(max_waiting=1), tmp_path, print)
    order = Order("screen", ("small",), file="molecules.smi")

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if not jobs.all():
                jobs.add(order, io.BytesIO(b"C"))
            return super().read(size)

    with pytest.raises(BusyError):
        jobs.add(order, Slow(b"CC"))
    assert [folder.name for folder in tmp_path.iterdir()] == [one["id"] for one in jobs.all()]


def rows_of(client, told, name):
    text = client.get(f"/api/jobs/{told['id']}/results/{name}").text
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def screened(client):
    form = {"kind": "screen", "models": "small", "tasks": ["nitrogen", "carbonyl"], "top": "2"}
    files = {"file": ("../../etc/my <b>lib.CSV", f"smiles,name,note\n{LIBRARY}".encode())}
    number = client.post("/api/jobs", data=form, files=files).json()["id"]
    yield finished(client, number)
    client.delete(f"/api/jobs/{number}")


class TestScreening:
    def test_every_row_is_accounted_for(self, client, screened):
        assert screened["state"] == "done", screened["error"]
        JobAnswer.model_validate(screened)
        assert (screened["rows"], screened["rejected"]) == (3, 1)
        hits = rows_of(client, screened, "hits.csv")
        assert [row["id"] for row in hits] == ["amine", MARKUP]
        assert hits[0]["note"] == f"'{FORMULA}"  # a spreadsheet must not compute it
        (rejected,) = rows_of(client, screened, "rejects.csv")
        assert rejected["id"] == "broken"
        assert rejected["reason"].startswith("not parsable")

    def test_the_page_is_told_the_best_hits(self, client, screened):
        found = client.get(f"/api/jobs/{screened['id']}/results/hits.json").json()
        assert found["n_hits"] == len(found["rows"]) == 2
        rank = found["columns"].index("rank")
        assert [row[rank] for row in found["rows"]] == [1, 2]
        assert [row[1] for row in found["rejected"]] == ["broken"]

    def test_results_are_what_their_names_say(self, client, screened):
        got = {one["name"]: client.get(one["url"]) for one in screened["results"]}
        assert {one["name"]: one["bytes"] for one in screened["results"]} == {
            name: len(answer.content) for name, answer in got.items()
        }
        assert pq.read_table(io.BytesIO(got["hits.parquet"].content)).num_rows == 2
        assert zipfile.ZipFile(io.BytesIO(got["all.zip"].content)).namelist() == [
            name for name in got if name != "all.zip"
        ]
        supplier = Chem.SDMolSupplier()
        supplier.SetData(got["explanations.sdf"].text)
        assert len(supplier) == 2
        explained = json.loads(got["explanations.json"].content)["explanations"]
        assert {one["task"] for one in explained} == {"nitrogen"}  # the task that ranks
        for name, answer in got.items():
            assert answer.headers["content-type"] == RESULTS[name].media_type
            is_page = name.endswith(".html")
            assert answer.headers["content-disposition"].startswith("inline" if is_page else "attachment")
            assert ("sandbox" in answer.headers["content-security-policy"]) == is_page
        report = got["report.html"].text
        assert MARKUP not in report
        assert len(page_data(report)["molecules"]) == 2

    def test_no_place_of_the_server_is_told(self, client, service, screened):
        for one in screened["results"]:
            assert str(service.folder).encode() not in client.get(one["url"]).content
        assert str(service.folder) not in json.dumps(screened)

    def test_the_file_itself_is_not_kept(self, service, screened):
        kept = {path.name for path in (service.folder / screened["id"]).iterdir()}
        assert kept == {one["name"] for one in screened["results"]}

    def test_no_other_name_is_ever_opened(self, client, screened):
        for name in (
            "molecules.csv",
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e/hits.csv",
            "none.csv",
            "audit.html",
            "/",
        ):
            assert client.get(f"/api/jobs/{screened['id']}/results/{name}").status_code == 404
        assert client.get("/api/jobs/nope/results/hits.csv").status_code == 404


def test_several_models_side_by_side_are_explained_by_the_first(done, client):
    told = done(kind="screen", models=["small", "values"], tasks="values:mass", text="CCN a\nCCO b\n")
    assert told["state"] == "done", told["error"]
    assert {row["task"] for row in rows_of(client, told, "explanations.csv")} == {"mass"}


def test_an_explained_list_that_was_pasted_as_csv(done, client):
    text = "smiles;name\nCCN;a\nnope;b\n"
    told = done(kind="explain", models="small", tasks="all", text=text, workbook="true")
    assert told["state"] == "done", told["error"]
    assert "explanations.xlsx" in {one["name"] for one in told["results"]}
    assert told["summary"]["explained"] == 2  # a task each
    assert (told["rows"], told["rejected"]) == (2, 1)
    assert [row["id"] for row in rows_of(client, told, "rejects.csv")] == ["b"]


def test_an_audit(done, small_model_dir):
    labelled = (small_model_dir.parent / "labelled.csv").read_bytes().splitlines(keepends=True)[:9]
    form = {"kind": "audit", "models": "small", "tasks": "nitrogen", "checks": ["input-columns", "baseline"]}
    told = done(b"".join(labelled), "labelled.csv", **form)
    assert told["state"] == "done", told["error"]
    assert [one["check"] for one in told["summary"]["checks"]] == form["checks"]
    assert {"audit.html", "audit.md", "audit.json"} <= {one["name"] for one in told["results"]}


class TestFailing:
    @pytest.mark.parametrize(
        ("content", "name", "why"),
        [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "x.smi", r"^x\.smi: .*it is a PNG image"),
            (
                b"a,b\n1,2\n",
                "x.csv",
                r"^x.csv: no column looks like SMILES among 'a', 'b'.*\(smiles_column\)",
            ),
        ],
        ids=["picture", "no SMILES"],
    )
    def test_in_the_words_of_the_commands(self, done, content, name, why):
        told = done(content, name, kind="screen", models="small", tasks="nitrogen")
        assert told["state"] == "failed"
        assert re.search(why, told["error"])
        assert not told["results"]

    def test_rejected_rows_of_a_file_without_any_other_are_kept(self, done, client):
        told = done(kind="screen", models="small", tasks="nitrogen", text="nope a\nneither b\n")
        assert told["state"] == "failed"
        assert told["error"].startswith("none of the 2 rows of the library could be scored")
        assert [row["id"] for row in rows_of(client, told, "rejects.csv")] == ["a", "b"]

    def test_a_model_whose_scores_are_no_numbers(self, done):
        told = done(kind="screen", models="broken", tasks="nitrogen", text="CCO\n")
        assert told["state"] == "failed"
        assert "1 x score is not a number" in told["error"]

    def test_too_many_rows(self, done):
        told = done(kind="screen", models="small", tasks="nitrogen", text="C\n" * 202)
        assert told["error"].startswith("the file has more than 200 rows")


def test_cancelling_and_the_length_of_the_queue(client, service):
    form = {"kind": "audit", "models": "small"}
    labelled = b"smiles\n" + b"\n".join(line.split()[0] for line in NCI_FILE.read_bytes().splitlines()[:190])

    def order():
        return client.post("/api/jobs", data=form, files={"file": ("a.csv", labelled)})

    numbers = [order().json()["id"]]
    try:
        while (running := client.get(f"/api/jobs/{numbers[0]}").json())["state"] == "waiting":
            time.sleep(0.05)
        assert running["state"] == "running"
        numbers += [order().json()["id"] for _ in range(2)]
        full = order()
        assert full.status_code == 429
        assert "2 jobs wait already" in full.json()["error"]
        assert client.delete(f"/api/jobs/{numbers[1]}").json()["state"] == "cancelled"
        assert client.delete(f"/api/jobs/{numbers[0]}").json()["state"] == "cancelled"
        told = finished(client, numbers[0])
        assert (told["state"], told["error"], told["results"]) == ("cancelled", None, [])
        states = {one["id"]: one["state"] for one in client.get("/api/jobs").json()}
        assert states[numbers[0]] == states[numbers[1]] == "cancelled"
    finally:
        for number in numbers:
            client.delete(f"/api/jobs/{number}")
            client.delete(f"/api/jobs/{number}")
    assert client.get(f"/api/jobs/{numbers[0]}").status_code == 404
    for _ in range(12_000):
        if not any((service.folder / number).exists() for number in numbers):
            break
        time.sleep(0.05)
    assert not any((service.folder / number).exists() for number in numbers)
