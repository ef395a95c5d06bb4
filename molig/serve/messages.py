"""Questions and answers as JSON: what the server takes, and what it sends back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Smiles = Annotated[str, StringConstraints(max_length=100_000)]
Name = Annotated[str, StringConstraints(max_length=500)]
MolBlock = Annotated[str, StringConstraints(max_length=500_000)]

MOST_MODELS, MOST_TASKS, MOST_EDITS = 20, 500, 50


class Question(BaseModel):
    """A request; fields that it does not have are refused."""

    model_config = ConfigDict(extra="forbid")


class ScoreQuestion(Question):
    """Scores of one molecule."""

    smiles: Smiles
    models: list[Name] = Field(min_length=1, max_length=MOST_MODELS)
    tasks: list[Name] | None = Field(None, max_length=MOST_TASKS, description="only these; default: all")


class ExplainQuestion(Question):
    """Why a molecule gets its score."""

    smiles: Smiles
    model: Name
    task: Name | None = Field(None, description="default: the one that scores highest")
    reference: Smiles | None = Field(
        None, description="count from the score of this compound, or from the mean of a library ('mean')"
    )
    scale: float = Field(
        0, ge=0, allow_inf_nan=False, description="full colour not below it, so that two pictures compare"
    )


class CompareQuestion(Question):
    """What makes the difference between two similar molecules."""

    a: Smiles
    b: Smiles
    model: Name
    task: Name | None = None


class EditsQuestion(Question):
    """The smallest single edits that move the score most."""

    smiles: Smiles
    model: Name
    task: Name | None = None
    top: int = Field(12, ge=1, le=MOST_EDITS)
    direction: Literal["both", "up", "down"] = Field("both", description="which way the score moves")
    outside: bool = Field(False, description="also edits outside the applicability domain")


class DrawQuestion(Question):
    """A structure to draw, by its SMILES or its mol block; one of them."""

    smiles: Smiles | None = None
    molfile: MolBlock | None = None


class Answer(BaseModel):
    """An answer; its fields are all there is."""

    model_config = ConfigDict(extra="forbid")


class ErrorAnswer(Answer):
    """Why there is no answer."""

    error: str


class TaskAnswer(Answer):
    """A task of a model."""

    name: str
    description: str
    kind: Literal["probability", "value"]
    unit: str


class ModelAnswer(Answer):
    """A model that the server offers."""

    name: str
    title: str
    tasks: list[TaskAnswer]
    blind_to: list[str] = Field(description="what no feature of it holds")
    calibrated: bool
    card: str | None = Field(description="where its card is, Markdown")


class AboutAnswer(Answer):
    """What the server is, and its limits."""

    version: str
    max_upload: int = Field(description="bytes of a file")
    max_rows: int
    max_text: int = Field(description="bytes of pasted text")
    max_explained: int
    time_limit: float = Field(description="seconds for an answer about one molecule")
    job_limit: float = Field(description="seconds for a job")
    formats: list[str] = Field(description="suffixes of files that jobs take")


class FlagAnswer(Answer):
    """Whether a model knows molecules like this one."""

    status: Literal["in domain", "far from training", "unseen feature"]
    similarity: float | None
    detail: str


class TaskScore(Answer):
    """A score."""

    task: str
    score: float


class ModelScores(Answer):
    """Scores of one model, or why there are none."""

    model: str
    rejection: str | None
    scores: list[TaskScore]
    meaning: str | None = None
    flag: FlagAnswer | None = None
    scored_smiles: str | None = None
    removed: list[str] = []


class ScoreAnswer(Answer):
    """Scores of one molecule."""

    smiles: str
    models: list[ModelScores]


class PairAnswer(Answer):
    """A pair of atoms, by their numbers in the input, from 0."""

    a: int
    b: int
    score: float


class ExplainAnswer(Answer):
    """Why a molecule gets its score; with a rejection nothing else is there."""

    rejection: str | None
    task: str | None = None
    target: str | None = None
    unit: str | None = None
    meaning: str | None = None
    score: float | None = None
    baseline: float | None = Field(None, description="what the score is counted from")
    baseline_name: str | None = None
    residual: float | None = None
    error: float | None = Field(None, description="bound of the largest error of one number")
    converged: bool | None = None
    atoms: list[float] = Field([], description="score of each atom that was scored")
    atom_numbers: list[int] = Field([], description="their numbers in the input, from 0")
    input_atoms: list[float | None] = Field(
        [], description="score of each atom of the input; null: not scored"
    )
    bonds: list[PairAnswer] = []
    pairs: list[PairAnswer] = Field([], description="the largest pairs without a bond")
    parts: dict[str, float] = Field({}, description="sums; with the residual they add up to score - baseline")
    sentence: str | None = None
    substructures: list[str] = []
    members: dict[str, float] = {}
    flag: FlagAnswer | None = None
    scale: float | None = Field(None, description="what has the full colour")
    svg: str | None = None
    ledger_svg: str | None = None
    scored_smiles: str | None = None
    removed: list[str] = []
    note: str | None = Field(None, description="what was scored instead of the input, if anything")
    unseen: list[str] = Field([], description="what of this molecule the model cannot see, in sentences")


class AccountEntry(Answer):
    """A part of two scores."""

    part: str
    bonds: int | None
    atoms: int | None
    first: float
    second: float
    difference: float


class CompareAnswer(BaseModel):
    """What makes the difference between the scores of two molecules, as `molig compare -o x.json`."""

    task: str
    target: str
    baseline: str
    first: dict[str, Any]
    second: dict[str, Any]
    score_difference: float
    change: float
    surroundings: float
    account: list[AccountEntry]
    notes: list[str]
    svg: str


class EditAnswer(Answer):
    """An edit."""

    name: str
    atoms: list[int]
    smiles: str
    score: float
    difference: float
    change: float | None
    surroundings: float | None
    rest: float | None
    flag: FlagAnswer | None


class EditsAnswer(Answer):
    """The smallest single edits that move the score most."""

    task: str
    target: str
    score: float
    scored_smiles: str
    note: str
    flag: FlagAnswer | None
    edits: list[EditAnswer]
    n_edits: int
    n_outside: int
    n_rejected: int
    svg: str = Field(description="the molecule, then each edit laid upon it")


class DrawAnswer(Answer):
    """A structure, or why there is none."""

    rejection: str | None
    smiles: str | None = None
    svg: str | None = None


class ResultAnswer(Answer):
    """A file that a job has left."""

    name: str
    title: str
    bytes: int
    url: str


class JobAnswer(Answer):
    """A job."""

    id: str
    kind: Literal["screen", "explain", "audit"]
    name: str = Field(description="what the user calls the file")
    models: list[str]
    tasks: list[str]
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    phase: str
    rows: int = Field(description="done in this phase")
    total: int | None = Field(description="rows of this phase, roughly; null: not known")
    rejected: int
    rate: float | None = Field(description="rows a second")
    remaining: float | None = Field(description="seconds of this phase")
    seconds: float
    message: str
    warnings: list[str]
    error: str | None
    summary: dict[str, Any]
    results: list[ResultAnswer]


class JobTaken(Answer):
    """A job that was taken."""

    id: str


class JobRemoved(Answer):
    """What became of a job."""

    id: str
    state: Literal["cancelled", "removed"]


JOB_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["kind", "models"],
    "properties": {
        "kind": {"type": "string", "enum": ["screen", "explain", "audit"]},
        "models": {"type": "array", "items": {"type": "string"}, "description": "several only to screen"},
        "tasks": {
            "type": "array",
            "items": {"type": "string"},
            "description": "MODEL:TASK of several models; 'all' for a column each; default as the commands",
        },
        "top": {"type": "integer", "default": 50, "description": "molecules that are explained"},
        "file": {"type": "string", "format": "binary", "description": "any format that molig reads"},
        "text": {"type": "string", "description": "instead of a file: lines of SMILES or CSV, or an SD file"},
        "format": {"type": "string", "description": "where the name of the file does not tell"},
        "smiles_column": {"type": "string", "description": "name or number, if not a usual name"},
        "id_column": {"type": "string"},
        "delimiter": {"type": "string", "description": "what separates columns; default: guessed"},
        "workbook": {
            "type": "boolean",
            "description": "also an Excel file with pictures, which takes a tenth of a second a molecule",
        },
        "checks": {
            "type": "array",
            "items": {"type": "string"},
            "description": "of an audit, see `molig audit --list`; default: all",
        },
    },
}
"""Form of `POST /api/jobs`."""
