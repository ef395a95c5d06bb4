"""Rules of integration beside each other, at the same number of points of the path.

Run: ``python tests/benchmarks/quadrature_rules.py [--molecules 20]``

Probability of each molecule's highest-scoring task, all in double precision. Errors are those of
`attribution_errors.py`: the largest of a molecule's features, as a share of its largest attribution, against
512 even panels, extrapolated. The residual is a share of the score's change. Medians over molecules, and
the largest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from attribution_errors import reference
from common import nci_smiles, one_core

import molig
from molig.attribution import Explainer, Explanation, Target
from molig.model import ScreeningModel
from molig.molecules import smiles_records
from molig.secant import Panels

POINTS = (9, 17, 33, 65, 129)
Rule = Callable[["Path", int], np.ndarray]


class Path:
    """One molecule's way from the zero baseline, and the score on it."""

    def __init__(self, model: ScreeningModel, why: Explanation) -> None:
        self._relaxed = model.relax(model.featurize([why.mol]))
        self._task, self._target = model.task_index(why.task), Target(why.target)

    def densities(self, places: np.ndarray) -> np.ndarray:
        """(x - x') dF/dx, shape (n_points, n_features)."""
        here = np.zeros(len(places), dtype=int)
        at = self._relaxed.densities(here, places, np.full(len(places), self._task))
        slopes = self._target.slope(at.values, at.values)
        rows = [
            np.concatenate([atom.ravel(), pair.ravel()])
            for atom, pair in zip(at.atoms, at.pairs, strict=True)
        ]
        return slopes[:, None] * np.array(rows)

    def shares(self, places: np.ndarray) -> np.ndarray:
        """Secant shares of the panels between neighbouring points, shape (n_points - 1, n_features)."""
        trail = self._relaxed.trail()
        outputs = trail.visit(np.zeros(len(places), dtype=int), places)[:, self._task]
        left = np.arange(len(places) - 1)
        atoms, pairs = trail.share(Panels(left, left + 1, np.full(len(left), self._task)))
        rows = np.concatenate([atoms.reshape(len(left), -1), pairs.reshape(len(left), -1)], axis=1)
        return self._target.slope(outputs[:-1], outputs[1:])[:, None] * rows


def trapezoid(path: Path, n: int) -> np.ndarray:
    """Gradients at even points, half weight at the ends."""
    weights = np.full(n, 1 / (n - 1))
    weights[[0, -1]] /= 2
    return weights @ path.densities(np.linspace(0, 1, n))


def gauss_legendre(path: Path, n: int) -> np.ndarray:
    """Gradients at the nodes that integrate polynomials of degree 2n - 1."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return weights / 2 @ path.densities((nodes + 1) / 2)


def secants(path: Path, n: int) -> np.ndarray:
    """Secant shares on even panels."""
    return path.shares(np.linspace(0, 1, n)).sum(axis=0)


def extrapolated(path: Path, n: int) -> np.ndarray:
    """The same with Richardson extrapolation from panels twice as wide."""
    places = np.linspace(0, 1, n)
    fine, coarse = path.shares(places).sum(axis=0), path.shares(places[::2]).sum(axis=0)
    return fine + (fine - coarse) / 3


RULES: dict[str, Rule] = {
    "gradients, trapezoid": trapezoid,
    "gradients, Gauss-Legendre": gauss_legendre,
    "secants": secants,
    "secants, Richardson": extrapolated,
}


def main() -> None:
    """Print a table of errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=20)
    n_molecules = parser.parse_args().molecules
    one_core()
    model = molig.load_model("tox21-w2n2-simple").double()
    smiles = nci_smiles()
    smiles = smiles[:: len(smiles) // n_molecules][:n_molecules]
    found = [
        w for w in Explainer(model).explain_records(smiles_records(smiles)) if isinstance(w, Explanation)
    ]
    exact = [
        reference(model, model.featurize([w.mol]), model.task_index(w.task), Target(w.target)) for w in found
    ]
    print("| rule | points | error, median | error, largest | residual, median | residual, largest |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, rule in RULES.items():
        for n in POINTS:
            errors, residuals = [], []
            for why, truth in zip(found, exact, strict=True):
                flat = rule(Path(model, why), n)
                change = why.score - why.baseline_score
                errors.append(np.abs(flat - truth).max() / np.abs(truth).max())
                residuals.append(abs(change - flat.sum()) / abs(change))
            figures = [np.median(errors), max(errors), np.median(residuals), max(residuals)]
            print(f"| {name} | {n} | {' | '.join(f'{figure:.2g}' for figure in figures)} |")


if __name__ == "__main__":
    main()
