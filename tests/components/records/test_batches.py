"""The order of training records: all in each time through, and where a resumed run goes on."""

import gzip
import itertools
import shutil

import keras
import pytest
import tensorflow as tf

from components.records.batches import count_records, record_order

COUNT, BATCH = 10, 4


@pytest.fixture
def files(tmp_path):
    """Two files with ten records of different lengths."""
    names = [str(tmp_path / f"{k}.tfrecord") for k in range(2)]
    for k, name in enumerate(names):
        with tf.io.TFRecordWriter(name) as writer:
            for index in range(k, COUNT, 2):
                writer.write(bytes([index]) * (index + 1))
    return names


def taken(files, batches, **options):
    order = record_order(files, batch_size=BATCH, **{"seed": 0, **options})
    return [
        [record[0] for record in batch.tolist()]
        for batch in order.take(batches).as_numpy_iterator()
    ]


def test_each_time_through_the_files_has_every_record_in_another_order(files):
    order = list(itertools.chain(*taken(files, 10)))
    times = [order[k : k + COUNT] for k in range(0, 40, COUNT)]
    assert all(sorted(found) == list(range(COUNT)) for found in times)
    assert len({tuple(found) for found in times}) == 4
    assert list(itertools.chain(*taken(files, 10, seed=1))) != order


@pytest.mark.parametrize("skip", range(0, 12))
def test_a_resumed_run_gets_the_batches_that_it_has_not_seen(files, skip):
    whole = taken(files, 14)
    keras.utils.set_random_seed(3)
    assert taken(files, 14 - skip, skip=skip) == whole[skip:]


def test_what_a_run_has_seen_is_not_read_again(files):
    """Reading it would take years."""
    assert sorted(itertools.chain(*taken(files, 5, skip=10**12))) == sorted(2 * list(range(COUNT)))


def test_compressed_records_are_counted_too(files):
    assert count_records(files) == COUNT
    for name in files:
        with open(name, "rb") as plain, gzip.open(name + ".gz", "wb") as compressed:
            shutil.copyfileobj(plain, compressed)
    packed = [name + ".gz" for name in files]
    assert count_records(packed) == COUNT
    assert taken(packed, 5, skip=3) == taken(files, 5, skip=3)
