"""The fingerprints and scaffolds of a model's applicability domain: ``applicability.safetensors``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from molig.errors import ModelFormatError
from molig.features import FeatureSchema
from molig.model.applicability import Applicability
from molig.model.columns_seen import category_blocks
from molig.model.sections import ApplicabilityInfo

APPLICABILITY_FILE = "applicability.safetensors"
_TENSOR = "fingerprints"
# Only in files since the audit of domains; readers of before pass it over.
_SCAFFOLDS = "scaffolds"


def applicability_content(domain: Applicability) -> tuple[bytes, ApplicabilityInfo]:
    """Content of the file, and the section of ``model.json`` that bears its digest."""
    tensors = {_TENSOR: np.ascontiguousarray(domain.fingerprints)}
    if domain.scaffolds is not None:
        tensors[_SCAFFOLDS] = np.ascontiguousarray(domain.scaffolds, dtype=np.uint64)
    content = save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    return content, domain.info.model_copy(update={"sha256": digest})


def read_applicability(path: Path, info: ApplicabilityInfo, schema: FeatureSchema) -> Applicability:
    """Read the file of a model.

    Parameters
    ----------
    path : Path
        The file.
    info : ApplicabilityInfo
        The section of ``model.json``.
    schema : FeatureSchema
        The model's features.

    Returns
    -------
    Applicability

    Raises
    ------
    ModelFormatError
        If the file is missing, damaged, or of another model.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ModelFormatError(
            f"{path}, the fingerprints of the applicability domain, cannot be read "
            f"({err.strerror or err}); fetch the model again"
        ) from err
    if hashlib.sha256(content).hexdigest() != info.sha256:
        raise ModelFormatError(
            f"{path} is damaged or belongs to another model: its SHA-256 is not the one in model.json; "
            "fetch the model again"
        )
    try:
        tensors = load(content)
        fingerprints = tensors[_TENSOR]
    except (SafetensorError, KeyError) as err:
        raise ModelFormatError(f"{path} holds no fingerprints ({err}); fetch the model again") from err
    expected = (info.n_reference, info.n_bits // 8)
    if fingerprints.shape != expected or fingerprints.dtype != np.uint8:
        raise ModelFormatError(
            f"{path} does not fit model.json: expected uint8 of shape {expected} "
            f"(got {fingerprints.dtype} of shape {fingerprints.shape}); fetch the model again"
        )
    blocks = {name for level in ("atom", "pair") for name, _ in category_blocks(schema, level)}
    if blocks != set(info.categories):
        raise ModelFormatError(
            f"{path.with_name('model.json')} is damaged: applicability.categories must name the blocks "
            f"{', '.join(sorted(blocks))} (got {', '.join(sorted(info.categories))}); fetch the model again"
        )
    return Applicability(info, fingerprints, schema, tensors.get(_SCAFFOLDS))
