"""The Weave module: atoms and pairs inform each other (Kearnes et al. 2016, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molig.network.batch import GraphBatch, Triples
from molig.network.config import Activation

ACTIVATIONS = {Activation.RELU: functional.relu, Activation.SILU: functional.silu}


class Rows(NamedTuple):
    """States of atoms or pairs: distinct rows, and the row of each atom or pair."""

    values: Tensor
    row_of: Tensor


class WeaveModule(nn.Module):
    """One Weave module.

    With f(z) = act(W z + b), each with its own W and b::

        A->A: f(A_a)                       P->A: sum over b of f(P_ab)     A' = f([A->A, P->A])
        A->P: f(A_a, A_b) + f(A_b, A_a)    P->P: f(P_ab)                   P' = f([A->P, P->P])

    W applied to a concatenation is a sum of two products; the products are taken on distinct rows,
    before the results are gathered to atoms and pairs. The last module of a network has no use for P'.
    """

    def __init__(
        self, atom_width: int, pair_width: int, depth: int, activation: Activation, update_pairs: bool
    ) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]
        self.update_pairs = update_pairs
        self.atom_to_atom = nn.Linear(atom_width, depth)
        self.pair_to_atom = nn.Linear(pair_width, depth)
        self.atom_out = nn.Linear(2 * depth, depth)
        if update_pairs:
            self.atom_to_pair = nn.Linear(2 * atom_width, depth)
            self.pair_to_pair = nn.Linear(pair_width, depth)
            self.pair_out = nn.Linear(2 * depth, depth)

    def forward(
        self, atoms: Rows, pairs: Rows, triples: Triples, batch: GraphBatch
    ) -> tuple[Tensor, Tensor | None]:
        """Return A' of shape (n_atoms, depth) and P' on the triples, shape (n triples, depth)."""
        new_atoms = self._update_atoms(atoms, pairs, batch)
        return new_atoms, self._update_pairs(atoms, pairs, triples) if self.update_pairs else None

    def _update_atoms(self, atoms: Rows, pairs: Rows, batch: GraphBatch) -> Tensor:
        own, others = halves(self.atom_out)
        from_atoms = torch.addmm(self.atom_out.bias, self.act(self.atom_to_atom(atoms.values)), own)
        from_pairs = self.act(self.pair_to_atom(pairs.values))
        # Sum and product may change places: the product is taken where there are fewer rows.
        product_first = len(from_pairs) <= batch.n_atoms
        if product_first:
            from_pairs = from_pairs @ others
        incident = pairs.row_of[batch.incident]
        summed = functional.embedding_bag(incident, from_pairs, batch.incident_start, mode="sum")
        result: Tensor = self.act(from_atoms[atoms.row_of] + (summed if product_first else summed @ others))
        return result

    def _update_pairs(self, atoms: Rows, pairs: Rows, triples: Triples) -> Tensor:
        first, second = halves(self.atom_to_pair)
        left = atoms.values @ first + self.atom_to_pair.bias
        right = atoms.values @ second
        both = self.act(left[triples.first] + right[triples.second]) + self.act(
            left[triples.second] + right[triples.first]
        )
        from_atoms, from_pairs = halves(self.pair_out)
        own = torch.addmm(self.pair_out.bias, self.act(self.pair_to_pair(pairs.values)), from_pairs)
        result: Tensor = self.act(both @ from_atoms + own[triples.pair])
        return result


def halves(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Transposed halves of a weight that acts on a concatenation."""
    left, right = torch.tensor_split(linear.weight.t(), 2)
    return left, right
