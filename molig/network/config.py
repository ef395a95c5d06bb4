"""Architecture of a WxNy network."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_WIDTH, MAX_LAYERS = 65_536, 64
"""Widest layer, and most modules or fully connected layers: far above what is of use."""

_Width = Annotated[int, Field(ge=1, le=MAX_WIDTH)]


class Readout(StrEnum):
    """How the atoms of a molecule become one vector."""

    SUM = "sum"
    RMS = "rms"
    GAUSSIAN = "gaussian"


class Activation(StrEnum):
    """Nonlinearity f of all layers."""

    RELU = "relu"
    SILU = "silu"


class NetworkConfig(BaseModel):
    """Shape of a Weave network; the widths are those of Kearnes et al. 2016.

    Parameters
    ----------
    n_modules : int
        Number of Weave modules, the x of WxNy. (The y belongs to the feature schema.)
    depth : int
        Width of the four operations of a module.
    atom_depth : int
        Width of the last atom layer, before the readout.
    readout : {"gaussian", "sum", "rms"}
        Reduction over the atoms of a molecule.
    size_exponent : float
        The readout is divided by the number of atoms to this power: 0 is the sum of the paper, 1 the mean
        over atoms. The square root keeps large molecules from drowning the others in a batch.
    hidden : tuple of int
        Widths of the fully connected layers after the readout.
    activation : {"relu", "silu"}
        Nonlinearity.
    batch_norm : bool
        Batch normalisation of the fully connected layers.
    atom_batch_norm : bool
        Batch normalisation of the last atom layer, after its tanh, as in the paper. Off by default: held-out
        AUC is the same without it, and the zero baseline strays less.
    dropout : float
        Dropout after each fully connected layer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_modules: int = Field(default=2, ge=1, le=MAX_LAYERS)
    depth: _Width = 50
    atom_depth: _Width = 128
    readout: Readout = Readout.GAUSSIAN
    size_exponent: float = Field(default=0.0, ge=0, le=1)
    hidden: tuple[_Width, ...] = Field(default=(2000, 100), max_length=MAX_LAYERS)
    activation: Activation = Activation.RELU
    batch_norm: bool = True
    atom_batch_norm: bool = False
    dropout: float = Field(default=0.3, ge=0, lt=1)
