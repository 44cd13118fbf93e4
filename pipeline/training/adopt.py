"""Rewrites trained weights for a face model with other basis vectors of the same span.

A network trained to correct coefficients of one basis corrects those of another after a linear
change of its last layer alone: exact where both bases span the same faces, least squares otherwise.
The shipped weights came about like this, see docs/training.md.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import NamedTuple

import keras
import numpy as np
from scipy import sparse

from facemodel.files import file_digest
from facemodel.morphable.geometry import EXPRESSION_SD, IDENTITY_SD
from facemodel.morphable.model import MorphableModel
from facemodel.network.heads import PREFIX
from facemodel.network.pretrained import weights_meta
from facemodel.network.regressor import build_network
from facemodel.network.weights import WeightsError, read_weights, save_weights, weight_names

_log = logging.getLogger(__name__)


class LinearFaces(NamedTuple):
    """The linear geometry of a face model: mean [V, 3] mm and basis [n, V, 3] mm per unit."""

    mean: np.ndarray
    basis: np.ndarray


@dataclasses.dataclass(frozen=True)
class BasisChange:
    """new = matrix @ old + offset for coefficients of nearly the same faces.

    Attributes:
      matrix: [n, n] target_from_source.
      inverse: [n, n] source_from_target.
      offset: [n] target coefficients of the source's mean face.
      mean_residual_mm: RMS over vertices of what the target cannot reach of the source's mean.
      basis_residual_mm: RMS over vertices and over faces sampled from the prior, of what it cannot
        reach of their offsets.
    """

    matrix: np.ndarray
    inverse: np.ndarray
    offset: np.ndarray
    mean_residual_mm: float
    basis_residual_mm: float


def read_reference(path: str | os.PathLike[str]) -> LinearFaces:
    """Reads the geometry on which the reference weights were trained, at subdivision level 1.

    Identity vectors are taken as mm per standard deviation, as they are in the file: its id_std
    (of the whole head) has been multiplied in already.

    Raises:
      WeightsError: if the file lacks an array.
    """
    try:
        with np.load(path) as archive:
            operator = sparse.csr_matrix(
                tuple(archive[f"L1_{part}"] for part in ("data", "indices", "indptr")),
                shape=(len(archive["L1_indptr"]) - 1, len(archive["mean"])),
            )
            control = np.concatenate(
                [archive["mean"][None], archive["id_basis"], archive["exp_basis"]]
            )
    except (OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not a reference geometry ({error})") from error
    faces = np.stack([operator @ vertices for vertices in control.astype(np.float64)])
    return LinearFaces(faces[0], faces[1:])


def basis_change(source: LinearFaces, target: LinearFaces, deviations: np.ndarray) -> BasisChange:
    """Finds which target coefficients give the source's faces, up to a shift of the whole head.

    Args:
      source: the geometry that the coefficients belong to.
      target: the geometry to express them in, with the same vertices in the same order.
      deviations: [n] how far each source coefficient strays; only weighs the reported residual.

    Raises:
      ValueError: if the two geometries are not in correspondence.
    """
    if source.basis.shape != target.basis.shape:
        raise ValueError(f"geometries differ: {source.basis.shape} against {target.basis.shape}")
    count, vertex_count = source.basis.shape[:2]
    source_flat, target_flat = (
        _shift_free(faces.basis).reshape(count, -1) for faces in (source, target)
    )
    difference = _shift_free(source.mean - target.mean).reshape(-1)
    goals = np.concatenate([source_flat, difference[None]])
    solved = np.linalg.lstsq(target_flat.T, goals.T, rcond=None)[0]
    back = np.linalg.lstsq(source_flat.T, target_flat.T, rcond=None)[0]
    missed = np.sqrt(((goals - solved.T @ target_flat) ** 2).sum(1) / vertex_count)
    return BasisChange(
        matrix=solved[:, :-1],
        inverse=back,
        offset=solved[:, -1],
        mean_residual_mm=float(missed[-1]),
        basis_residual_mm=float(np.sqrt(np.sum((missed[:-1] * deviations) ** 2))),
    )


def _shift_free(fields: np.ndarray) -> np.ndarray:
    """Takes the mean over vertices out of [..., V, 3]: the pose fit absorbs a shift of the head."""
    return fields.astype(np.float64) - fields.mean(-2, keepdims=True, dtype=np.float64)


def rebase_last_layer(kernel: np.ndarray, bias: np.ndarray, change: BasisChange):
    """Rewrites the last layer [features + n, n] and [n] for the target's coefficients.

    old = inverse (new - offset) goes in and matrix @ delta comes out, so
    delta_new = (x Wx + (new - offset) inverse^T Wa + b) matrix^T.
    """
    count = len(change.offset)
    features, own = np.split(kernel.astype(np.float64), [len(kernel) - count])
    own = change.inverse.T @ own
    bias = bias.astype(np.float64) - change.offset @ own
    return np.concatenate([features, own]) @ change.matrix.T, bias @ change.matrix.T


def adopt_weights(
    arrays: dict[str, np.ndarray], change: BasisChange, *, coefficient_count: int
) -> keras.Model:
    """Builds the network with reference weights expressed in the target's coefficients.

    Args:
      arrays: name -> array of the reference network; heads of the loop are left out.
      change: Matrix from the reference's coefficients to the target's.
      coefficient_count: n.

    Raises:
      WeightsError: if names or shapes are not those of the network.
    """
    network = build_network(coefficient_count)
    names = weight_names(network)
    arrays = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    if tuple(arrays) != names:
        raise WeightsError(
            f"reference weights do not fit the network: {sorted(set(arrays) ^ set(names))}"
        )
    *_, kernel_name, bias_name = names
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    arrays[kernel_name], arrays[bias_name] = rebase_last_layer(
        arrays[kernel_name], arrays[bias_name], change
    )
    network.set_weights([arrays[name] for name in names])
    return network


def rebase_weights(
    geometry_path: str | os.PathLike[str],
    weights_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    model_path: str | os.PathLike[str] | None = None,
    provenance: str = "",
) -> BasisChange:
    """Writes reference weights for a face model of this project.

    Args:
      geometry_path: .npz of the geometry that the reference network was trained on.
      weights_path: .npz of the reference network's weights.
      output_path: File to write.
      model_path: the face model to adopt for; the default one if None.
      provenance: one line for the file's meta.

    Returns:
      The change of basis, with its residuals.
    """
    model = MorphableModel.load(model_path)
    target = LinearFaces(model.mean, model.basis)
    deviations = np.repeat(
        [IDENTITY_SD, EXPRESSION_SD], [model.identity_count, model.expression_count]
    )
    change = basis_change(read_reference(geometry_path), target, deviations)
    arrays, _ = read_weights(weights_path)
    network = adopt_weights(arrays, change, coefficient_count=model.coefficient_count)
    meta = weights_meta(model, model_path, provenance=provenance) | {
        "reference_geometry_sha256": file_digest(geometry_path),
        "reference_weights_sha256": file_digest(weights_path),
        "basis_residual_mm": round(change.basis_residual_mm, 4),
        "mean_residual_mm": round(change.mean_residual_mm, 4),
    }
    save_weights(network, output_path, meta)
    _log.info("residual %.4f mm (mean %.4f)", change.basis_residual_mm, change.mean_residual_mm)
    return change
