"""Random people, their alignment and their principal components."""

import numpy as np
import pytest
from scipy import sparse

from facemodel.default_model import identity, population

NAMES = (
    "asym/asym-ear-1-l",
    "asym/asym-jaw-1-l",
    "asym/asym-jaw-1-r",
    "eyes/l-eye-scale-decr",
    "eyes/l-eye-scale-incr",
    "eyes/r-eye-scale-decr",
    "eyes/r-eye-scale-incr",
    "head/head-oval",
    "head/head-round",
    "neck/neck-scale-horiz-decr",
    "neck/neck-scale-horiz-incr",
    "nose/nose-hump-decr",
    "nose/nose-hump-incr",
    "nose/nose-odd",
)


class TestPopulation:
    def test_controls(self):
        controls = population.Controls.among(NAMES)
        assert [(slider.key, slider.side) for slider in controls.sliders] == [
            ("eye-scale", "l"),
            ("eye-scale", "r"),
            ("neck-scale-horiz", ""),
            ("nose-hump", ""),
        ]
        assert controls.sliders[2].spread == 0
        assert controls.head_shapes == ("head/head-oval", "head/head-round")
        assert controls.singles == ("nose/nose-odd",)
        assert controls.asymmetries == ("asym/asym-jaw-1",)

    def test_macro_weights_blend(self):
        person = population.Person((0.2, 0.3, 0.5), gender=0.3, age=0.7, muscle=0.4, weight=0.9)
        weights = population.macro_weights(person)
        by_race = [w for name, w in weights.items() if "universal" not in name]
        by_build = [w for name, w in weights.items() if "universal" in name]
        assert sum(by_race) == pytest.approx(1)
        assert sum(by_build) == pytest.approx(1)
        assert weights["macrodetails/asian-male-old"] == pytest.approx(0.3 * 0.3 * 0.4)

    def test_draws_repeat_and_differ(self):
        controls = population.Controls.among(NAMES)
        draw = [
            population.sample_sliders(np.random.default_rng(seed), controls, gain=0.65)
            for seed in (5, 5, 6)
        ]
        assert draw[0] == draw[1] != draw[2]

    def test_sides_of_the_face_agree(self):
        rng, controls = np.random.default_rng(0), population.Controls.among(NAMES)
        people = [population.sample_sliders(rng, controls, gain=0.65) for _ in range(400)]
        left, right = (
            np.array(
                [
                    person.get(f"eyes/{side}-eye-scale-incr", 0)
                    - person.get(f"eyes/{side}-eye-scale-decr", 0)
                    for person in people
                ]
            )
            for side in "lr"
        )
        assert np.corrcoef(left, right)[0, 1] > 0.9
        assert np.std(left) == pytest.approx(0.32 * 0.65, rel=0.15)
        assert np.abs(left - right).max() > 0.01

    def test_neck_stays(self):
        rng, controls = np.random.default_rng(0), population.Controls.among(NAMES)
        assert not any(
            name.startswith("neck")
            for _ in range(20)
            for name in population.sample_sliders(rng, controls, gain=1.0)
        )


class TestIdentity:
    def test_align_undoes_rigid_motion_and_keeps_size(self):
        rng = np.random.default_rng(1)
        shape = rng.normal(size=(30, 3)) * [50, 80, 40]
        people = []
        for size in (0.95, 1.0, 1.05):
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            near = turn * np.sign(np.linalg.det(turn))
            near = np.linalg.qr(np.eye(3) + 0.05 * near)[0]
            near *= np.sign(np.diag(near))
            people.append(size * shape @ near.T + rng.normal(size=3) * 5)
        aligned = identity.align(np.array(people), sparse.identity(30, format="csr"))
        spread = [np.linalg.norm(person - person.mean(0)) for person in aligned]
        np.testing.assert_allclose(np.array(spread) / spread[1], [0.95, 1.0, 1.05], rtol=1e-6)
        centred = aligned - aligned.mean(1, keepdims=True)
        np.testing.assert_allclose(centred[0] / 0.95, centred[2] / 1.05, atol=1e-6)

    def test_principal_components_equal_a_plain_svd(self):
        rng = np.random.default_rng(2)
        people = rng.normal(size=(40, 12, 3)) * np.linspace(5, 1, 12)[:, None]
        measured = sparse.csr_matrix(rng.uniform(size=(25, 12)))
        basis = identity.principal_components(people, measured, vectors=6)
        seen = np.stack([(measured @ person).ravel() for person in people])
        _, values, directions = np.linalg.svd(seen - seen.mean(0), full_matrices=False)
        moved = np.stack([(measured @ vector).ravel() for vector in basis.vectors])
        expected = directions[:6] * values[:6, None] / np.sqrt(39)
        signs = np.sign((moved * expected).sum(1, keepdims=True))
        np.testing.assert_allclose(moved * signs, expected, atol=1e-8)
        np.testing.assert_allclose(
            basis.explained, np.cumsum(values**2)[:6] / (values**2).sum(), rtol=1e-9
        )
