"""What a data set holds, as text and as one HTML page: counts, slices, histograms, images."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from components import html_page
from components.settings import SPLITS
from facemodel.synthesis import slices
from facemodel.synthesis.slices import BIN_NAMES
from pipeline.datasets.contact_sheet import contact_sheet, first_images
from pipeline.datasets.unfinished import DatasetError
from pipeline.datasets.write import DESCRIPTION

CARD = "dataset_card.html"
_PICTURES = 64
_BARS = 24
_TEMPLATE = pathlib.Path(__file__).parent / "templates" / CARD


def _yaw(features) -> float:
    rotation = np.array(features["pose/rotation"].float_list.value).reshape(1, 3, 3)
    return float(np.asarray(slices.yaw_deg(rotation))[0])


def _number(name: str, *, factor: float = 1.0) -> Callable:
    return lambda features: factor * features[name].float_list.value[0]


_QUANTITIES: dict[str, Callable] = {
    "yaw, degrees": _yaw,
    "light from the view, degrees": lambda features: float(
        np.rad2deg(np.arccos(np.clip(features["light/direction"].float_list.value[2], -1, 1)))
    ),
    "face, px/mm": _number("pose/scale"),
    "camera's inverse distance, 1/m": _number("camera/inverse_distance", factor=1e3),
    "ambient light": _number("light/ambient"),
    "diffuse light": _number("light/diffuse"),
    "specular light": _number("light/specular"),
    "landmark noise, px": _number("landmark/sigma_px"),
    "largest identity coefficient": lambda features: float(
        np.abs(features["face/coefficients"].float_list.value).max()
    ),
}
"""What histograms show: by name, how to read it from a record's features."""


@dataclasses.dataclass(frozen=True)
class Card:
    """Contents of a data set.

    Attributes:
      folder: Name of its folder.
      counts: records by split.
      size: bytes of all files.
      bins: Number of records in each bin by slice feature and split.
      histograms: Edges and counts of equal steps by quantity.
      about: seed, recipe, versions and the like, as far as they are known.
      sheet: uint8 [H, W, 3], the first images.
    """

    folder: str
    counts: dict[str, int]
    size: int
    bins: dict[str, dict[str, list[int]]]
    histograms: dict[str, tuple[np.ndarray, np.ndarray]]
    about: dict[str, str]
    sheet: np.ndarray


def describe(folder: pathlib.Path, *, progress: Callable[[int], None] | None = None) -> Card:
    """Reads all records of a data set.

    Args:
      folder: Output of `facerelief synthesize`, or Examples of the pipeline.
      progress: Called with the number of records read.

    Raises:
      DatasetError: if it holds no records, corrupt ones, or others than its description says.
    """
    files = _files(folder)
    counts: dict[str, int] = collections.Counter()
    bins = {name: {split: [0] * len(names) for split in files} for name, names in BIN_NAMES.items()}
    values: dict[str, list[float]] = {name: [] for name in _QUANTITIES}
    seen: dict[str, set] = collections.defaultdict(set)
    for split, features in _records(files):
        counts[split] += 1
        for name, by_split in bins.items():
            by_split[split][features[name].int64_list.value[0]] += 1
        for name, read in _QUANTITIES.items():
            values[name].append(read(features))
        seen["seed"].add(features["sample/seed"].int64_list.value[0])
        seen["face model"].add(features["model/version"].bytes_list.value[0].decode())
        if progress:
            progress(1)
    about = {name: ", ".join(map(str, sorted(found))) for name, found in seen.items()}
    about |= _stated(folder, dict(counts))
    paths = [str(path) for group in files.values() for path in group]
    return Card(
        folder=folder.absolute().name,
        counts=dict(counts),
        size=sum(path.stat().st_size for group in files.values() for path in group),
        bins=bins,
        histograms={name: _histogram(np.array(found)) for name, found in values.items()},
        about=about,
        sheet=contact_sheet(first_images(paths, _PICTURES)),
    )


def _files(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """TFRecord files by split: train-00000-of-00002.tfrecord, or Split-train/anything."""
    groups: dict[str, list[pathlib.Path]] = {}
    for path in sorted(folder.rglob("*.tfrecord")):
        inside = path.parent.name.removeprefix("Split-")
        split = inside if path.parent.name.startswith("Split-") else path.name.split("-")[0]
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            groups.setdefault(split, []).append(path)
    if not groups:
        raise DatasetError(f"{folder}: holds no .tfrecord file")
    return {split: groups[split] for split in (*SPLITS, *groups) if split in groups}


def _records(files: dict[str, list[pathlib.Path]]) -> Iterator[tuple[str, dict]]:
    import tensorflow as tf

    from facemodel.records import read_records

    for split, paths in files.items():
        for path in paths:
            try:
                for record in read_records(path):
                    yield split, tf.train.Example.FromString(record).features.feature
            except (tf.errors.DataLossError, KeyError, IndexError) as error:
                reason = str(error).splitlines()[0]
                raise DatasetError(f"{path}: not records of faces, or corrupt ({reason})") from None


def _stated(folder: pathlib.Path, counts: dict[str, int]) -> dict[str, str]:
    """Facts from dataset.json, which must match the records."""
    path = folder / DESCRIPTION
    if not path.exists():
        return {}
    stated = json.loads(path.read_text())
    expected = {split: part["count"] for split, part in stated["splits"].items()}
    if expected != counts:
        raise DatasetError(f"{path}: says {expected} records, the files hold {counts}")
    return {
        "recipe": stated["recipe"],
        "facerelief": stated["facerelief_version"],
        "picture, px": str(stated["config"]["image_size"]),
    }


def _histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = values.min(), values.max()
    counts, edges = np.histogram(values, _BARS, (low, high if high > low else low + 1.0))
    return edges, counts


def as_text(card: Card) -> str:
    """A summary of a few lines."""
    total = sum(card.counts.values())
    splits = ", ".join(f"{count} {split}" for split, count in card.counts.items())
    lines = [f"{card.folder}: {total} faces ({splits}), {card.size / 1e6:.1f} MB"]
    lines += [f"{name}: {value}" for name, value in card.about.items()]
    for name, by_split in card.bins.items():
        totals = np.sum(list(by_split.values()), 0)
        shares = (f"{label} {count / total:.0%}" for label, count in zip(BIN_NAMES[name], totals))
        lines.append(f"{_readable(name)}: {', '.join(shares)}")
    return "\n".join(lines)


def _readable(feature: str) -> str:
    return feature.removeprefix("slice/").removesuffix("_bin").replace("_", " ")


def as_page(card: Card) -> str:
    """One HTML page that needs nothing else."""
    about = {"faces": sum(card.counts.values()), "size": f"{card.size / 1e6:.1f} MB", **card.about}
    return html_page.render(
        _TEMPLATE,
        title=f"Data set {card.folder}",
        about=about.items(),
        slices=[
            (_readable(name), ["split", *BIN_NAMES[name]], _slice_rows(card, by_split))
            for name, by_split in card.bins.items()
        ],
        histograms=[
            (name, f"{edges[0]:.3g} to {edges[-1]:.3g}", list(80 * counts / counts.max()))
            for name, (edges, counts) in card.histograms.items()
        ],
        sheet=card.sheet,
    )


def _slice_rows(card: Card, by_split: dict[str, list[int]]) -> list[list[str]]:
    return [
        [split, *(f"{count} ({count / card.counts[split]:.0%})" for count in counts)]
        for split, counts in by_split.items()
    ]
