"""Data sets: what is stored can be rendered again, and cards say what is there."""

import html.parser
import json

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from components.records import synthesis
from facemodel import records
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import samples, slices
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.photos import render_scene
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel, sample_scene
from facemodel.synthesis.streams import PhiloxStreams
from pipeline import cli
from pipeline.datasets import card as dataset_card
from pipeline.datasets import plan as dataset_plan
from pipeline.datasets import unfinished, write

TINY = MorphableModel.tiny()
# As in test_synthesize_component.py, so that XLA compiles once for both.
SMALL = {"image_size": 48, "relative_scale": Normal(0.22, 0.01, 0.2, 0.25)}
COUNTS = {"coefficient_count": TINY.coefficient_count, "albedo_count": len(TINY.albedo)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = SynthesisConfig.lifelike(**SMALL, jpeg_fraction=0.5)
    job = synthesis.SynthesisJob(config, seed=11, count=40, load_model=MorphableModel.tiny)
    plan = dataset_plan.Plan(job, {"train": 30, "eval": 10}, "tiny seed-0", 1, 1.0, 1000)
    path = tmp_path_factory.mktemp("sets") / "faces"
    write.write(plan, path)
    return path


def stored(folder, split="train"):
    files = sorted(str(path) for path in folder.glob(f"{split}-*.tfrecord"))
    batch = next(iter(tf.data.TFRecordDataset(files).batch(1000)))
    return {name: value.numpy() for name, value in records.parse_records(batch, **COUNTS).items()}


@pytest.mark.parametrize("split", ["train", "eval"])
def test_records_alone_render_the_stored_pictures_again(folder, split):
    """Reads nothing but the folder; draws with the other renderer, in keras.ops."""
    config = SynthesisConfig.from_json(
        json.dumps(json.loads((folder / "dataset.json").read_text())["config"])
    )
    model, sample = SceneModel.create(TINY), stored(folder, split)
    assert (sample["model/version"] == model.version.encode()).all()
    again = samples.make_samples(
        model, config, LandmarkNoise.load(),
        seed=int(sample["sample/seed"][0]), indices=[int(k) for k in sample["sample/index"]],
        render=lambda scene: render_scene(model, scene, size=config.image_size),
    )  # fmt: skip
    pictures = np.stack([each["image"] for each in again]).astype(int)
    off = np.abs(pictures - sample["image"]).max(-1)
    assert (off <= 2).mean() > 0.99
    for name in ("face/landmarks", "face/landmarks_true", "face/coefficients", "pose/rotation"):
        np.testing.assert_allclose([each[name] for each in again], sample[name], atol=2e-3)
    for name in ("yaw", "expression", "skin_tone", "light"):
        bins = [each[f"slice/{name}_bin"] for each in again]
        np.testing.assert_array_equal(bins, sample[f"slice/{name}_bin"])


def test_slices_follow_from_the_labels(folder):
    sample = stored(folder)
    rotation = sample["pose/rotation"]
    yaw = np.rad2deg(np.arctan2(-rotation[:, 2, 0], rotation[:, 2, 2]))
    expected = np.searchsorted(slices.YAW_EDGES_DEG, yaw, side="right")
    np.testing.assert_array_equal(sample["slice/yaw_bin"], expected)
    weights = sample["face/coefficients"][:, TINY.identity_count :].sum(1)
    expected = np.searchsorted(slices.EXPRESSION_EDGES, weights, side="right")
    np.testing.assert_array_equal(sample["slice/expression_bin"], expected)
    light = np.rad2deg(np.arccos(sample["light/direction"][:, 2]))
    expected = np.searchsorted(slices.LIGHT_EDGES_DEG, light, side="right")
    np.testing.assert_array_equal(sample["slice/light_bin"], expected)


class Text(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.text, self.sources = [], []
        self.feed(page)

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_a_card_counts_what_is_there(folder):
    read = []
    card = dataset_card.describe(folder, progress=read.append)
    assert card.counts == {"train": 30, "eval": 10}
    assert sum(read) == 40
    for split in card.counts:
        bins = np.bincount(stored(folder, split)["slice/yaw_bin"], minlength=5)
        assert card.bins["slice/yaw_bin"][split] == bins.tolist()
    assert all(counts.sum() == 40 for _, counts in card.histograms.values())
    assert card.about["seed"] == "11"
    summary = dataset_card.as_text(card)
    assert "40 faces (30 train, 10 eval)" in summary
    assert "face model: tiny seed-0" in summary
    page = Text(dataset_card.as_page(card))
    assert "Data set faces" in page.text
    assert all(source.startswith("data:") for source in page.sources)
    assert len(page.sources) == 1


def test_cards_of_other_or_corrupt_folders_are_an_error(folder, tmp_path):
    with pytest.raises(unfinished.DatasetError, match=r"holds no \.tfrecord file"):
        dataset_card.describe(tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (evaluation,) = copy.glob("eval-*")
    kept = evaluation.read_bytes()
    evaluation.write_bytes(kept[:-3])
    with pytest.raises(unfinished.DatasetError, match="corrupt"):
        dataset_card.describe(copy)
    evaluation.unlink()
    with pytest.raises(unfinished.DatasetError, match="says .* the files hold"):
        dataset_card.describe(copy)


def test_even_yaws_and_skin_tones_fill_the_outer_bins():
    model = MorphableModel.load()
    scene_model = SceneModel.create(model)
    counts = {}
    for even in (False, True):
        config = SynthesisConfig.paper(
            mixed_albedo=True, even_skin_tones=even, even_yaw_fraction=float(even)
        )
        scene = sample_scene(scene_model, config, PhiloxStreams(0, range(300)))
        found = samples.scene_features(scene_model, scene)
        counts[even] = {
            name: np.bincount(np.asarray(found[f"slice/{name}_bin"]), minlength=5) / 300
            for name in ("yaw", "skin_tone")
        }
    assert counts[True]["yaw"][[0, 4]].min() > 1.5 * counts[False]["yaw"][[0, 4]].max()
    kinds = len(scene_model.tone_sizes)
    assert counts[True]["skin_tone"].max() < 1.7 / kinds
    assert counts[True]["skin_tone"].max() < counts[False]["skin_tone"].max()


def test_the_command_prints_a_summary_and_writes_a_page(folder, tmp_path):
    run = CliRunner().invoke
    page = tmp_path / "card.html"
    done = run(cli.make_app(), ["dataset", "describe", str(folder), "-o", str(page)])
    assert done.exit_code == 0
    assert "40 faces (30 train, 10 eval)" in done.stdout
    assert page.read_text().startswith("<!doctype html>")
    failed = run(cli.make_app(), ["dataset", "describe", str(tmp_path / "none")])
    assert failed.exit_code == 2
    assert "holds no .tfrecord file" in failed.stderr
