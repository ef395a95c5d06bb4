"""The routes, asked as a page or a program would."""

from __future__ import annotations

import json
import os
import signal
import string
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.poison import GRAPHS, SLOW
from support.serving import TIME_LIMIT

from molig.model import ScreeningModel
from molig.molecules import Rejection
from molig.serve import messages
from molig.serve.app import create_app

PHENOL = {"smiles": "Oc1ccccc1", "model": "small", "task": "carbonyl"}
SETTINGS = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def asked(client, route, **question):
    answer = client.post(f"/api/{route}", json=question)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client, route, **question):
    answer = client.post(f"/api/{route}", json=question)
    assert answer.status_code in (400, 422), answer.text
    messages.ErrorAnswer.model_validate(answer.json())
    return answer.json()["error"]


class TestModels:
    def test_what_models_say_of_themselves(self, client):
        small, values, _ = map(messages.ModelAnswer.model_validate, client.get("/api/models").json())
        assert [task.name for task in small.tasks] == ["nitrogen", "carbonyl"]
        assert {task.kind for task in small.tasks} == {"probability"}
        assert {task.kind for task in values.tasks} == {"value"}
        card = client.get(small.card)
        assert card.text.startswith("# small")
        assert card.headers["content-type"].startswith("text/markdown")

    def test_limits_are_told(self, client, service):
        about = messages.AboutAnswer.model_validate(client.get("/api/about").json())
        assert (about.max_upload, about.max_rows) == (1_000_000, 200)
        assert ".smi" in about.formats


class TestMolecules:
    def test_scores_are_those_of_the_model(self, client, small_model: ScreeningModel):
        found = asked(client, "score", smiles="[Na+].CC(=O)[O-]", models=["small", "values"])
        small, values = messages.ScoreAnswer.model_validate(found).models
        expected = small_model.predict("CC(=O)O").scores[0]
        assert [one.score for one in small.scores] == pytest.approx(expected.tolist(), abs=1e-6)
        assert (small.scored_smiles, small.removed) == ("CC(=O)O", ["sodium"])
        assert [one.task for one in values.scores] == ["nitrogens", "mass"]

    def test_an_explanation_adds_up(self, client):
        why = messages.ExplainAnswer.model_validate(asked(client, "explain", **PHENOL))
        assert sum(why.atoms) + why.residual == pytest.approx(why.score - why.baseline, abs=1e-9)
        assert sum(why.parts.values()) + why.residual == pytest.approx(why.score - why.baseline, abs=1e-9)
        assert len(why.bonds) == 7
        assert {(pair.a, pair.b) for pair in why.pairs}.isdisjoint((bond.a, bond.b) for bond in why.bonds)
        assert why.svg.startswith("<svg")
        assert "<svg" in why.ledger_svg

    def test_atoms_are_those_of_the_input(self, client):
        why = asked(client, "explain", **PHENOL | {"smiles": "[Na+].CC(=O)[O-]"})
        assert why["input_atoms"][0] is None
        assert why["atom_numbers"] == [1, 2, 3, 4]
        assert why["note"] == "Scored: CC(=O)O; removed: sodium"

    def test_counted_from_the_mean_of_a_library(self, client):
        why = asked(client, "explain", **PHENOL, reference="mean")
        assert why["baseline"] != asked(client, "explain", **PHENOL)["baseline"]

    def test_two_molecules_compared(self, client):
        found = asked(client, "compare", a="Oc1ccccc1", b="Nc1ccccc1", model="small", task="nitrogen")
        compared = messages.CompareAnswer.model_validate(found)
        assert compared.account[-1].difference == pytest.approx(compared.score_difference)

    def test_edits(self, client):
        found = asked(client, "edits", **PHENOL, top=2, outside=True)
        listed = messages.EditsAnswer.model_validate(found).edits
        assert 0 < len(listed) <= 2
        again = asked(client, "score", smiles=listed[0].smiles, models=["small"], tasks=["carbonyl"])
        assert again["models"][0]["scores"][0]["score"] == pytest.approx(listed[0].score, abs=1e-6)

    def test_a_drawing_shows_what_was_given(self, client):
        drawn = messages.DrawAnswer.model_validate(asked(client, "draw", smiles="[Na+].CC(=O)[O-]"))
        assert drawn.smiles == "[Na+].CC(=O)[O-]"
        block = "\n  x\n\n  2  1  0  0  0  0            999 V2000\n" + "".join(
            f"    {x}.0000    0.0000    0.0000 {symbol}   0  0\n" for x, symbol in enumerate("CO")
        )
        assert asked(client, "draw", molfile=f"{block}  1  2  1  0\nM  END\n")["smiles"] == "CO"
        assert "give either smiles or molfile" in refused(client, "draw")

    @pytest.mark.parametrize("route", ["explain", "draw"])
    def test_a_rejected_molecule_is_an_answer(self, client, route):
        details = {"model": "small"} if route == "explain" else {}
        assert asked(client, route, smiles="C1CC", **details)["rejection"] == "not parsable: syntax error"

    def test_a_score_that_is_no_number_is_a_rejection(self, client):
        (one,) = asked(client, "score", smiles="CCO", models=["broken"])["models"]
        assert one["rejection"].startswith("score is not a number")
        assert asked(client, "explain", smiles="CCO", model="broken", task="nitrogen")["rejection"]

    @pytest.mark.parametrize(
        ("route", "question", "why"),
        [
            ("score", {"smiles": "C", "models": ["smal"]}, "unknown model 'smal'; did you mean 'small'?"),
            ("score", {"smiles": "C", "models": ["small"], "tasks": ["x"]}, "unknown task 'x'"),
            ("score", {"smiles": "C", "models": []}, "models: "),
            ("explain", {"smiles": "C", "model": "small", "task": "x"}, "unknown task 'x'"),
            ("explain", {"smiles": "C", "model": "small", "taks": "x"}, "taks: "),
            ("compare", {"a": "C", "b": "C(", "model": "small"}, "cannot be explained: not parsable"),
            ("edits", {"smiles": "C", "model": "small", "top": 999}, "top: "),
        ],
    )
    def test_wrong_requests_are_told_in_a_sentence(self, client, route, question, why):
        assert why in refused(client, route, **question)

    @pytest.mark.parametrize("content", [b"{", b"[]", b"CCO", b""])
    def test_what_is_no_question(self, client, content):
        answer = client.post("/api/score", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert "JSON object" in answer.json()["error"] or "Field required" in answer.json()["error"]

    @pytest.mark.parametrize(
        "name", ["complete graph of 70 uranium atoms", "cube of 12 x 12 x 12 silicon atoms"]
    )
    def test_molecules_that_would_hang_are_refused_before(self, client, name):
        assert asked(client, "explain", smiles=GRAPHS[name], model="small")["rejection"].startswith(
            "too complex"
        )

    def test_two_at_the_same_time(self, client):
        with ThreadPoolExecutor(2) as pool:
            scores = list(
                pool.map(lambda s: asked(client, "explain", **PHENOL | {"smiles": s})["score"], "CN")
            )
        assert scores[0] != scores[1]


def test_a_process_that_dies_is_replaced(client, service):
    os.kill(service.desk._process._process.pid, signal.SIGKILL)
    service.desk._process._process.join()
    assert asked(client, "explain", **PHENOL)["score"]


class TestPage:
    def test_the_page_and_its_files(self, client):
        page = client.get("/")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/static/api.css").headers["content-type"].startswith("text/css")

    @pytest.mark.parametrize(
        "name", ["../app.py", "%2e%2e/app.py", "/etc/passwd", "", "index.html/..", "x.js"]
    )
    def test_nothing_beside_them(self, client, name):
        assert client.get(f"/static/{name}").status_code == 404

    def test_every_route_is_described_and_the_description_needs_no_network(self, client, service):
        api = client.get("/api/openapi.json").json()
        routes = {
            (method.lower(), route.path.replace(":path", ""))
            for route in create_app(service).routes
            if route.path.startswith("/api/")
            for method in route.methods - {"HEAD"}
        }
        described = {(method, path) for path, methods in api["paths"].items() for method in methods}
        assert described == routes
        page = client.get("/api/docs").text
        for method, path in routes:
            assert f"<b>{method.upper()}</b> {path}" in page
        assert "http" not in page.replace("http://127.0.0.1", "")
        assert "<script" not in page


PLACES = st.sampled_from(
    [
        "/",
        "/static/",
        "/api/models/",
        "/api/jobs",
        "/api/jobs/",
        "/api/score",
        "/api/explain",
        "/api/draw",
        "/api/",
    ]
)
WORDS = st.text(st.sampled_from(string.printable + "äλ\u202e💥"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    ["smiles", "model", "models", "task", "tasks", "molfile", "top", "reference", "scale"]
)


@SETTINGS
@given(st.sampled_from(["GET", "POST", "DELETE", "PATCH", "OPTIONS"]), PLACES, WORDS, st.binary(max_size=80))
def test_whatever_is_asked_no_route_stumbles(client, method, place, rest, body):
    url = httpx.URL(str(client.base_url)).copy_with(path=place + quote(rest))
    kinds = ["application/json", "multipart/form-data; boundary=x", "multipart/form-data", "text/plain"]
    for kind in kinds:
        answer = client.request(method, url, content=body, headers={"content-type": kind})
        assert answer.status_code < 500, (answer.status_code, answer.text)


@SETTINGS
@given(st.sampled_from(["score", "explain", "draw"]), st.dictionaries(FIELDS, VALUES, max_size=4))
def test_whatever_a_question_holds_it_is_answered(client, route, question):
    content = json.dumps(question)
    headers = {"content-type": "application/json"}
    answer = client.post(f"/api/{route}", content=content, headers=headers)
    assert answer.status_code in (200, 400, 422), (answer.status_code, answer.text)


@SETTINGS
@given(st.dictionaries(st.sampled_from(list(messages.JOB_FORM["properties"])) | WORDS, WORDS, max_size=4))
def test_whatever_a_form_holds_it_is_answered(client, form):
    answer = client.post("/api/jobs", data=form, files={"x": ("y", b"")})
    assert answer.status_code in (400, 413, 422), (answer.status_code, answer.text)


@given(WORDS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_untrusted_text_is_a_molecule_or_a_reason(client, small_model, text):
    found = asked(client, "draw", smiles=text)
    assert (found["rejection"] is None) == ("svg" in found)
    read = small_model.parser.parse_smiles(text)
    if not isinstance(read, Rejection):
        assert found["rejection"] is None


def test_a_molecule_that_hangs_costs_an_answer_and_a_process(client, service):
    asked(client, "draw", smiles="C")
    object.__setattr__(service.settings, "time_limit", 0.3)
    try:
        answer = client.post("/api/draw", json={"smiles": SLOW})
    finally:
        object.__setattr__(service.settings, "time_limit", TIME_LIMIT)
    assert answer.status_code == 504
    assert answer.json()["error"].startswith("no answer within 0.3 s")
    assert service.desk._process is None  # the next question gets a new one
    assert client.get("/api/jobs").status_code == 200


def test_nothing_of_requests_was_told(said):
    assert said
    assert not [line for line in said if "c1" in line or "CC" in line]
