"""Channels of motion: they go both ways; parts of a film end at cuts and at long gaps."""

import numpy as np

from facemodel.fitting.expression_fit import Poses, rotation_from_vector
from serving.tracking.motion import (
    LONGEST_GAP,
    from_channels,
    segments,
    smoothed,
    to_channels,
)


def test_channels_go_both_ways_also_for_a_head_upside_down():
    rng = np.random.default_rng(0)
    over = rotation_from_vector(np.array([0, 0, np.pi - 0.05]))
    rotation = rotation_from_vector(rng.normal(0, 0.3, (20, 3))) @ over
    pose = Poses(rotation, rng.uniform(1, 2, 20), rng.uniform(0, 300, (20, 2)))
    middle = np.array([3.0, -20.0, 30.0])
    channels = to_channels(pose, middle, rotation[0])
    assert np.abs(np.diff(channels[:, :3], axis=0)).max() < 2.0
    back = from_channels(channels, middle, rotation[0])
    for one, other in zip(back, pose):
        np.testing.assert_allclose(one, other, atol=1e-8)


def test_parts_end_at_cuts_and_long_gaps():
    frames = np.r_[0:10, 14:30, 30 + LONGEST_GAP + 2 : 60]
    parts = segments(frames, [5])
    assert [(part[0], part[-1]) for part in parts] == [
        (0, 4), (5, 29), (30 + LONGEST_GAP + 2, 59),
    ]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(parts), frames)


def test_the_causal_mode_uses_no_later_frame():
    rng = np.random.default_rng(1)
    table, valid = rng.normal(size=(30, 9)).cumsum(0) * 0.01, np.ones(30, bool)
    whole = smoothed(table, valid, 25.0, True)
    changed = table.copy()
    changed[20:, 4:] += 5.0
    again = smoothed(changed, valid, 25.0, True)
    np.testing.assert_array_equal(again[:20], whole[:20])
    assert (
        np.abs(
            smoothed(changed, valid, 25.0, False)[:20] - smoothed(table, valid, 25.0, False)[:20]
        ).max()
        > 1e-6
    )
