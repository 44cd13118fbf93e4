"""How long each part takes on this machine: `facerelief bench`, about three minutes.

Medians of repeated calls after a warm-up, in milliseconds. Nothing here is asserted by tests.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from rich.table import Table

from facemodel import transforms
from facemodel.backend import compiled
from facemodel.files import write_bytes
from facemodel.fitting import crop
from facemodel.fitting.alignment import crop_around
from facemodel.morphable import landmarks
from facemodel.morphable.model import MorphableModel
from facemodel.network.folding import for_inference
from facemodel.network.pretrained import load_pretrained
from facemodel.network.regressor import build_network, loop_image
from facemodel.network.training_config import (
    FAST_ITERATIONS,
    FAST_PRECISION,
    FAST_SUPERSAMPLE,
)
from pipeline.evaluation.head_parts import head_parts

BATCHES = (1, 8)
TRAIN_BATCH, TRAIN_SIZE = 16, 100
SYNTHESIS_SAMPLES = 256
FILM_PX, FILM_FRAMES = 640, 70


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
      part: Name of the part that was measured.
      value: the median.
      unit: Unit of the value, for example "ms".
      spread: half the distance between the quartiles, same unit; 0 for a single run.
    """

    part: str
    value: float
    unit: str
    spread: float = 0.0


def timed(function: Callable[[], object], *, repeats: int) -> tuple[float, float]:
    """Median and half the interquartile range of a call's time, ms, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append((time.perf_counter() - begin) * 1e3)
    first, _, third = statistics.quantiles(times, n=4) if len(times) > 1 else (0.0, 0.0, 0.0)
    return statistics.median(times), (third - first) / 2


def photo_figures(photo: np.ndarray, *, repeats: int) -> Iterator[Figure]:
    """Detection and the whole way from pixels to a mesh, for one photo."""
    from serving.detection.detector import FaceDetector
    from serving.reconstructor import Reconstructor

    with FaceDetector() as detector:
        yield Figure("detect the face", *_ms(lambda: detector.detect(photo), repeats))
    with Reconstructor() as reconstructor:
        yield Figure("whole photo", *_ms(lambda: reconstructor.reconstruct(photo), repeats))
        face = reconstructor.reconstruct(photo, max_faces=1)[0]
    for part, make in head_parts(photo, face):
        yield Figure(part, *_ms(make, repeats))


def fast_figures(photo: np.ndarray, *, repeats: int) -> Iterator[Figure]:
    """What an export of the fast profile takes for a face whose place is about known."""
    from facemodel.saved_model.export import ExportConfig, export_saved_model
    from serving.reconstructor import Reconstructor

    model, config = MorphableModel.load(), ExportConfig(supersample=FAST_SUPERSAMPLE)
    regressor = load_pretrained(model, iterations=FAST_ITERATIONS, precision=FAST_PRECISION)
    with tempfile.TemporaryDirectory() as folder:
        saved = export_saved_model(
            model, regressor, pathlib.Path(folder, "fast"), config=config,
            facts={"precision": FAST_PRECISION},
        )  # fmt: skip
        with Reconstructor(saved) as reconstructor:
            face = reconstructor.reconstruct(photo, max_faces=1)[0]
            detector = reconstructor.detector
            followed = _ms(lambda: detector.follow(photo, face.detection), repeats)
            yield Figure("follow the face", *followed)
            whole = _ms(lambda: reconstructor.follow(photo, face), repeats)
            yield Figure("whole photo, followed face, fast profile", *whole)


def film_figures(photo: np.ndarray) -> Iterator[Figure]:
    """The first pass over a film of one face, 640 px wide or high, that moves a little."""
    from pipeline.evaluation.video import first_pass
    from serving.tracking.tracker import FAST_EVERY

    small = cv2.resize(photo, None, fx=(zoom := FILM_PX / max(photo.shape[:2])), fy=zoom)
    frames = [np.roll(small, number % 8, axis=1) for number in range(FILM_FRAMES)]
    for name, every in (("film", 1), ("film, fast", FAST_EVERY)):
        _, rate = first_pass(frames, network_every=every)
        yield Figure(f"{name}, first pass, {FILM_PX} px", rate, "frames/s")


def loop_figures(photo: np.ndarray, points: np.ndarray, *, repeats: int) -> Iterator[Figure]:
    """Alignment, and for one iteration the loop's own work against the network, each per image.

    Args:
      photo: uint8 [H, W, 3].
      points: [478, 2] px, the face's landmarks in it.
      repeats: calls for each figure.
    """
    model = MorphableModel.load()
    regressor = for_inference(load_pretrained(model))
    geometry = regressor.geometry

    def align(image, inner):
        crop_from_image = crop_around(geometry, inner)
        grey = crop.grey_crop(image, crop_from_image)
        return grey, transforms.apply_similarity(crop_from_image, inner)

    inner = points[None, list(landmarks.INNER_51)].astype(np.float32)
    align = compiled(align)
    yield Figure("align and crop", *_ms(lambda: align(photo[None], inner), repeats))
    grey, inner = (np.asarray(value) for value in align(photo[None], inner))
    own = compiled(lambda a, b, c: loop_image(geometry, a, b, c))
    bare = compiled(lambda image, a: regressor.network([image, a], training=False))
    for batch in BATCHES:
        many, spots = np.repeat(grey, batch, 0), np.repeat(inner, batch, 0)
        start = np.zeros((batch, model.coefficient_count), np.float32)
        image = np.asarray(own(start, spots, many))
        suffix = f"one iteration, batch {batch}"
        parts = (
            (f"pose, shading and mask, {suffix}", lambda a=start, b=spots, c=many: own(a, b, c)),
            (f"network, {suffix}", lambda x=image, a=start: bare(x, a)),
        )
        for name, function in parts:
            value, unit, spread = _ms(function, repeats)
            yield Figure(name, value / batch, unit, spread / batch)


def _ms(function: Callable[[], object], repeats: int) -> tuple[float, str, float]:
    median, spread = timed(function, repeats=repeats)
    return median, "ms", spread


def synthesis_rate(samples: int, recipe: str) -> float:
    """Samples a second that this process renders, encodes and writes, start-up excluded."""
    from components.records.shards import write_atomically
    from components.records.synthesis import SynthesisJob, Synthesizer, synthesize_batch
    from facemodel.synthesis.recipes import SynthesisConfig
    from facemodel.synthesis.samples import BATCH

    synthesizer = Synthesizer(
        SynthesisJob(SynthesisConfig.named(recipe), seed=0, count=samples + BATCH)
    )
    synthesize_batch(synthesizer, 0)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        batches = range(1, 1 + samples // BATCH)
        records = (record for k in batches for _, record in synthesize_batch(synthesizer, k))
        write_atomically(str(pathlib.Path(folder) / "records"), records)
    return samples / (time.perf_counter() - begin)


def synthesis_figures() -> Iterator[Figure]:
    """The rates of one worker on one core, each in a process of its own."""
    for recipe in ("paper", "lifelike"):
        code = (
            "from components.records.synthesis import single_threaded\n"
            "single_threaded()\n"
            "from pipeline.evaluation import benchmark\n"
            f"print(benchmark.synthesis_rate({SYNTHESIS_SAMPLES}, {recipe!r}))"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
        rate = float(done.stdout)
        yield Figure(f"synthesis, {recipe}, one worker, one thread", rate, "samples/s")


def train_step(model, data) -> Callable[[], object]:
    """One compiled step of Keras' fit() on the same data again and again (TensorFlow)."""
    import tensorflow as tf

    model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors(data).repeat())
    return lambda: model.train_function(batches)


def training_figures(*, repeats: int) -> Iterator[Figure]:
    """Samples a second of the whole training step, and of a bare step of the network."""
    import keras

    from facemodel.backend import deterministic
    from facemodel.network.training import step_numbers
    from facemodel.network.training_config import TrainingConfig
    from pipeline.training.train import TrainOptions, build_trainer

    model = MorphableModel.load()
    config = TrainingConfig(samples=10**6, batch_size=TRAIN_BATCH, size=TRAIN_SIZE)
    trainer = build_trainer(model, TrainOptions(out=pathlib.Path(), config=config))
    with deterministic():
        median, _ = timed(train_step(trainer, (next(step_numbers()),)), repeats=repeats)
    passes = TRAIN_BATCH * config.iterations
    yield Figure("training step, with synthesis and loop", passes / median * 1e3, "passes/s")
    bare = build_network(model.coefficient_count)
    bare.compile(optimizer=keras.optimizers.Adam(), loss="mse", jit_compile=False)
    image = np.zeros((TRAIN_BATCH, TRAIN_SIZE, TRAIN_SIZE, 2), np.float32)
    target = np.zeros((TRAIN_BATCH, model.coefficient_count), np.float32)
    step = train_step(bare, ((image, target), target))
    with deterministic():
        median, _ = timed(step, repeats=repeats)
    yield Figure("training step, bare network", TRAIN_BATCH / median * 1e3, "passes/s")


def run(photo_path: pathlib.Path, *, repeats: int) -> list[Figure]:
    """Measures everything, with a progress bar."""
    from rich.progress import Progress

    from serving.detection.detector import FaceDetector
    from serving.images import ImageError, read_photo

    photo = read_photo(photo_path)
    with FaceDetector() as detector:
        faces = detector.detect(photo)
    if not faces:
        raise ImageError(f"{photo_path}: no face found")
    stages = (
        ("photo", lambda: photo_figures(photo, repeats=repeats)),
        ("fast profile", lambda: fast_figures(photo, repeats=repeats)),
        ("film", lambda: film_figures(photo)),
        ("loop", lambda: loop_figures(photo, faces[0].landmarks, repeats=repeats)),
        ("synthesis", synthesis_figures),
        ("training", lambda: training_figures(repeats=repeats)),
    )
    figures: list[Figure] = []
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=len(stages))
        for name, stage in stages:
            progress.update(task, description=f"Measuring {name}")
            figures.extend(stage())
            progress.advance(task)
    return figures


def as_table(figures: list[Figure]) -> Table:
    """The figures as a table for a terminal."""
    table = Table(title="Medians on this machine")
    for heading in ("part", "median", "±", "unit"):
        table.add_column(heading, justify="right" if heading in ("median", "±") else "left")
    for figure in figures:
        table.add_row(figure.part, f"{figure.value:.1f}", f"{figure.spread:.1f}", figure.unit)
    return table


def write_json(figures: list[Figure], path: pathlib.Path) -> None:
    """Writes the figures; the file appears under its name only when complete."""
    rows = [dataclasses.asdict(figure) for figure in figures]
    write_bytes(path, (json.dumps(rows, indent=2) + "\n").encode())
