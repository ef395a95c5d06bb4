"""The network as section 3 of the reference states it: one molecule, dense pairs, loops, float64.

Nothing here comes from molig but the parameters of a trained network, so that both can be compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from rdkit import Chem

ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
ORDERS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)
BINS = (
    (-1.645, 0.283),
    (-1.080, 0.170),
    (-0.739, 0.134),
    (-0.468, 0.118),
    (-0.228, 0.114),
    (0.0, 0.114),
    (0.228, 0.114),
    (0.468, 0.118),
    (0.739, 0.134),
    (1.080, 0.170),
    (1.645, 0.283),
)

Parameters = Mapping[str, np.ndarray]


class Dense(NamedTuple):
    """Simple features of one molecule.

    ``atoms`` has shape (n, 11), ``pairs`` (n, n, width); ``seen`` (n, n) says which pairs there are.
    """

    atoms: np.ndarray
    pairs: np.ndarray
    seen: np.ndarray

    def scaled(self, a: float) -> Dense:
        return Dense(a * self.atoms, a * self.pairs, self.seen)


def dense_features(smiles: str, limit: int | None) -> Dense:
    """One-hot element; one-hot bond order and one-hot distance up to ``limit`` (None: 1 to 7, beyond)."""
    mol = Chem.MolFromSmiles(smiles)
    n, n_distances = mol.GetNumAtoms(), limit or 8
    atoms = np.zeros((n, len(ELEMENTS) + 1))
    pairs = np.zeros((n, n, len(ORDERS) + n_distances))
    seen = np.zeros((n, n), dtype=bool)
    for atom in mol.GetAtoms():
        symbol, i = atom.GetSymbol(), atom.GetIdx()
        atoms[i, ELEMENTS.index(symbol) if symbol in ELEMENTS else -1] = 1
        for j, distance in _distances(atom).items():
            if distance > 0 and (limit is None or distance <= limit):
                seen[i, j] = True
                pairs[i, j, len(ORDERS) + min(distance, n_distances) - 1] = 1
        for bond in atom.GetBonds():
            if bond.GetBondType() in ORDERS:
                pairs[i, bond.GetOtherAtomIdx(i), ORDERS.index(bond.GetBondType())] = 1
    return Dense(atoms, pairs, seen)


def _distances(start: Chem.Atom) -> dict[int, int]:
    found, queue = {start.GetIdx(): 0}, deque([start])
    while queue:
        atom = queue.popleft()
        for neighbor in atom.GetNeighbors():
            if neighbor.GetIdx() not in found:
                found[neighbor.GetIdx()] = found[atom.GetIdx()] + 1
                queue.append(neighbor)
    return found


def literal_scores(p: Parameters, config, molecule: Dense) -> np.ndarray:
    """One score per task."""
    pooled = _readout(str(config.readout), literal_atom_states(p, config, molecule))
    return _head(p, config, pooled / len(molecule.atoms) ** config.size_exponent)


def literal_atom_states(p: Parameters, config, molecule: Dense) -> np.ndarray:
    f = {"relu": _relu, "silu": _silu}[str(config.activation)]
    A, P, seen = molecule
    n = len(A)
    for module in range(config.n_modules):
        at = f"modules_.{module}."
        A_from_A = np.array([f(_linear(p, at + "atom_to_atom", A[a])) for a in range(n)])
        A_from_P = np.zeros((n, config.depth))
        for a, b in zip(*np.nonzero(seen), strict=True):
            A_from_P[a] += f(_linear(p, at + "pair_to_atom", P[a, b]))
        new_A = [f(_linear(p, at + "atom_out", np.concatenate([A_from_A[a], A_from_P[a]]))) for a in range(n)]
        if module + 1 < config.n_modules:
            new_P = np.zeros((n, n, config.depth))
            for a, b in zip(*np.nonzero(seen), strict=True):
                P_from_A = sum(
                    f(_linear(p, at + "atom_to_pair", np.concatenate(ends)))
                    for ends in ((A[a], A[b]), (A[b], A[a]))
                )
                P_from_P = f(_linear(p, at + "pair_to_pair", P[a, b]))
                new_P[a, b] = f(_linear(p, at + "pair_out", np.concatenate([P_from_A, P_from_P])))
            P = new_P
        A = np.array(new_A)
    last = [_linear(p, "last_atom_layer", A[a]) for a in range(n)]
    return np.array([_last_nonlinearity(p, config, z) for z in last])


def _last_nonlinearity(p: Parameters, config, z: np.ndarray) -> np.ndarray:
    return _batch_norm(p, "atom_norm", np.tanh(z)) if config.atom_batch_norm else np.tanh(z)


def _head(p: Parameters, config, x: np.ndarray) -> np.ndarray:
    f = {"relu": _relu, "silu": _silu}[str(config.activation)]
    layer = 0
    for _ in config.hidden:
        x = _linear(p, f"head.{layer}", x)
        if config.batch_norm:
            layer += 1
            x = _batch_norm(p, f"head.{layer}", x)
        x = f(x)
        layer += 3  # past the nonlinearity and dropout, which does nothing in evaluation
    return _linear(p, f"head.{layer}", x)


def _readout(kind: str, atoms: np.ndarray) -> np.ndarray:
    if kind == "sum":
        return atoms.sum(axis=0)
    if kind == "rms":
        return np.sqrt(np.mean(atoms**2, axis=0))
    return plain_histogram(atoms)


def plain_histogram(atoms: np.ndarray) -> np.ndarray:
    """All channels of bin 0, then all of bin 1, and so on; shape (11 * channels,)."""
    members = np.array([np.exp(-((atoms - mean) ** 2) / (2 * sd**2)) for mean, sd in BINS])
    return (members / members.sum(axis=0)).sum(axis=1).ravel()


def _linear(p: Parameters, name: str, x: np.ndarray) -> np.ndarray:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def _batch_norm(p: Parameters, name: str, x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    standard = (x - p[f"{name}.running_mean"]) / np.sqrt(p[f"{name}.running_var"] + eps)
    return p[f"{name}.weight"] * standard + p[f"{name}.bias"]


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))
