"""Trains on one device and on two, which are halves of this machine's processor.

    python tests/helpers/two_devices.py FOLDER PRECISION...

FOLDER gets the records and result.json. Each batch holds its faces twice, so that both devices see
the same ones and batch normalisation finds the same means with one device.
"""

import csv
import dataclasses
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

TWO = ["CPU:0", "CPU:1"]


def split_processor():
    """Has to come before anything else that TensorFlow does."""
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)


def write_records(folder):
    from components.records import synthesis
    from components.records.shards import split_shards
    from facemodel.morphable.model import MorphableModel
    from facemodel.synthesis.recipes import SynthesisConfig

    config = SynthesisConfig.named("paper", image_size=48)
    job = synthesis.SynthesisJob(config, 1, 16, MorphableModel.tiny)
    shards = split_shards(str(folder), "train", job.indices, samples_each=16)
    synthesis.write_shards(job, shards)


def write_weights(path):
    """The same start for all: a strategy draws other ones."""
    import keras

    from facemodel.morphable.model import MorphableModel
    from facemodel.network.regressor import build_network
    from facemodel.network.weights import save_weights

    keras.utils.set_random_seed(0)
    model = MorphableModel.tiny()
    meta = {"model_name": model.name, "model_version": model.version}
    save_weights(build_network(model.coefficient_count), path, meta)


def fit(folder, name, settings):
    """A trainer, and the loss of each round."""
    from components import trainer
    from components.settings import DataSettings

    data = DataSettings(face_model="tiny").to_json()
    arguments = trainer.TrainerArguments(data, settings.to_json(), "", "", "", "")
    logs = folder / name
    found = trainer.fit(arguments, folder / "records", logs / "checkpoints", logs)
    with open(logs / "curve.csv") as file:
        return found, [float(row["loss"]) for row in csv.DictReader(file)]


def replicas(variable):
    """The values that the devices have, as numpy arrays."""
    values = getattr(variable.value, "values", [variable.value])
    return [value.numpy() for value in values]


def main(folder, *precisions):
    split_processor()
    from components import trainer
    from components.settings import TrainerSettings

    (folder / "records").mkdir()
    write_records(folder / "records")
    write_weights(folder / "start.npz")
    single = trainer.record_batches

    def doubled(records, model, config, **options):
        half = dataclasses.replace(config, batch_size=config.batch_size // 2)
        return single(records, model, half, **options).map(
            lambda batch: {name: tf.concat([value, value], 0) for name, value in batch.items()}
        )

    trainer.record_batches = doubled
    trainer.strategy_of = lambda settings: (
        tf.distribute.MirroredStrategy(TWO)
        if settings.strategy == "mirrored"
        else tf.distribute.get_strategy()
    )
    # All loops start at the landmark fit: other starts are drawn, on each device differently.
    settings = TrainerSettings(
        samples=8 * 24, batch_size=8, size=32, iterations=1, level=0, warmup_steps=0,
        landmark_fit_starts=1.0, zero_starts=0.0, average_decay=0.5, steps_per_round=6,
        clip_norm=1e6, checkpoint_seconds=1e4, init=str(folder / "start.npz"),
    )  # fmt: skip
    result = {}
    for precision in precisions:
        weights = []
        for strategy in ("none", "mirrored"):
            changes = {"precision": precision, "strategy": strategy}
            name = f"{precision}-{strategy}"
            found, losses = fit(folder, name, dataclasses.replace(settings, **changes))
            copies = [replicas(variable) for variable in found.regressor.network.weights]
            weights.append(np.concatenate([copy[0].ravel() for copy in copies]))
            result[name] = {
                "losses": losses,
                "copies": sorted({len(copy) for copy in copies}),
                "copies_differ_by": float(max(np.ptp(copy, axis=0).max() for copy in copies)),
            }
        result[f"{precision} differs by"] = [
            float(np.abs(weights[0] - weights[1]).mean()),
            float(np.abs(weights[0]).mean()),
        ]
    (folder / "result.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
