"""Records of the first pass: they come back, and a run resumes from what is whole."""

import numpy as np

from serving.tracking.records import CHUNK_FRAMES, FaceRecord, FrameRecord, RecordStore


def record(number):
    rng = np.random.default_rng(number)
    faces = tuple(
        FaceRecord(person, rng.normal(size=(478, 2)).astype(np.float32), 0.9,
                   rng.normal(size=8).astype(np.float32), 0.3, 0.5)
        for person in range(number % 3)
    )  # fmt: skip
    return FrameRecord(number, number == 40, faces)


def fill(store, frames):
    for number in frames:
        store.add(record(number))


def test_records_come_back(tmp_path):
    store = RecordStore(tmp_path, {"film": "a"})
    fill(store, range(CHUNK_FRAMES + 20))
    for number, found in enumerate(store):
        wanted = record(number)
        assert (found.number, found.cut) == (wanted.number, wanted.cut)
        assert [face.person for face in found.faces] == [face.person for face in wanted.faces]
        for one, other in zip(found.faces, wanted.faces):
            np.testing.assert_array_equal(one.landmarks, other.landmarks)
            np.testing.assert_array_equal(one.coefficients, other.coefficients)
    assert number == CHUNK_FRAMES + 19


def test_a_run_resumes_from_whole_files(tmp_path):
    fill(RecordStore(tmp_path, {"film": "a"}), range(2 * CHUNK_FRAMES + 5))
    again = RecordStore(tmp_path, {"film": "a"})
    assert again.count == 2 * CHUNK_FRAMES
    damaged = tmp_path / "frames_000001.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = RecordStore(tmp_path, {"film": "a"})
    assert again.count == CHUNK_FRAMES
    fill(again, range(CHUNK_FRAMES, 2 * CHUNK_FRAMES))
    assert [one.number for one in again] == list(range(2 * CHUNK_FRAMES))


def test_records_of_another_film_go(tmp_path):
    fill(RecordStore(tmp_path, {"film": "a"}), range(CHUNK_FRAMES))
    assert RecordStore(tmp_path, {"film": "b"}).count == 0
    assert not list(tmp_path.glob("frames_*"))


def test_a_whole_film_has_its_last_frames_too(tmp_path):
    store = RecordStore(tmp_path, {"film": "a"})
    fill(store, range(CHUNK_FRAMES + 3))
    assert not store.complete
    store.finish()
    again = RecordStore(tmp_path, {"film": "a"})
    assert again.complete and [one.number for one in again] == list(range(CHUNK_FRAMES + 3))
    (tmp_path / "frames_000000.npz").unlink()
    assert not RecordStore(tmp_path, {"film": "a"}).complete
