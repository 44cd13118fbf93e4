"""Network weights in a small .npz file: float16 arrays in the network's order, and their origin."""

from __future__ import annotations

import collections
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from facemodel.files import DATA, atomic_path
from facemodel.network.heads import PREFIX, LoopHeads

DEFAULT_WEIGHTS = DATA / "regressor_float16.npz"
_META = "meta"


class WeightsError(ValueError):
    """A weights file that cannot be read, or that does not fit the network."""


def weight_names(network: keras.Model) -> tuple[str, ...]:
    """A stable name for each of network.weights, such as "102_dense.kernel".

    It says position, layer and variable.
    Layers are numbered within their kind in the order of the network, so that the names do not
    depend on what else the process has built.
    """
    owners = {
        id(weight): name for name, layer in _named_layers(network) for weight in layer.weights
    }
    return tuple(f"{k:03d}_{owners[id(w)]}.{w.name}" for k, w in enumerate(network.weights))


def _named_layers(network: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    seen: collections.Counter[str] = collections.Counter()
    for layer in network.layers:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        yield (f"{kind}_{seen[kind]}" if seen[kind] else kind), layer
        seen[kind] += 1


def save_weights(
    network: keras.Model,
    path: str | os.PathLike[str],
    meta: Mapping[str, Any],
    *,
    heads: LoopHeads | None = None,
) -> None:
    """Writes a network's weights as float16.

    The same weights and meta give the same bytes. The file appears under its name only when
    complete.

    Args:
      network: any Keras model.
      path: The .npz file, replaced if it exists.
      meta: JSON values: face model name, version and digest, iterations, provenance.
      heads: Last layers of the iterations; written after the network's weights.

    Raises:
      WeightsError: if a weight is not finite in float16.
    """
    values = dict(zip(weight_names(network), map(keras.ops.convert_to_numpy, network.weights)))
    arrays = {}
    for name, value in (values | (heads.arrays() if heads else {})).items():
        with np.errstate(over="ignore"):
            arrays[name] = value.astype(np.float16)
        if not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{path}: {name} holds values that float16 cannot")
    arrays[_META] = np.array(json.dumps(meta, sort_keys=True))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_weights(network: keras.Model, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a weights file into a network.

    Args:
      network: built like the one that was saved; left as it was if the file does not fit.
      path: The .npz file.

    Returns:
      The meta that was saved with the weights; empty if the file has none.

    Raises:
      WeightsError: if the file is missing or broken, or its names or shapes are not the network's.
    """
    arrays, meta = read_weights(path)
    put_weights(network, arrays, path)
    return meta


def put_weights(
    network: keras.Model, arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]
) -> None:
    """Puts what read_weights gave for a path into a network, as load_weights does.

    Heads among the arrays are for LoopHeads.from_arrays.
    """
    names = weight_names(network)
    arrays = {name: array for name, array in arrays.items() if not name.startswith(PREFIX)}
    if len(arrays) != len(names):
        raise WeightsError(f"{path}: holds {len(arrays)} arrays, the network has {len(names)}")
    for name, weight in zip(names, network.weights, strict=True):
        if name not in arrays:
            raise WeightsError(f"{path}: lacks {name}")
        if arrays[name].shape != tuple(weight.shape):
            raise WeightsError(
                f"{path}: {name} is {arrays[name].shape}, the network's is {tuple(weight.shape)}"
            )
    for name, weight in zip(names, network.weights, strict=True):
        weight.assign(arrays[name].astype(np.float32))


def read_weights(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads the arrays by name and the meta (empty if there is none) of a weights file.

    Raises:
      WeightsError: if the file is missing or broken.
    """
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except (zipfile.BadZipFile, AttributeError, OSError, ValueError, EOFError) as error:
        raise WeightsError(f"{path}: not a weights file ({error})") from error
    meta = json.loads(str(arrays.pop(_META))) if _META in arrays else {}
    return arrays, meta
