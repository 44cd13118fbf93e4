"""Batches of requests as arrays: their sizes, joined inputs and divided outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
import numpy as np

from serving.server.status import ServingError, invalid

Arrays = Mapping[str, np.ndarray]


def row_count(feeds: Arrays) -> int:
    """How many rows (size of dimension 0) all arrays of a request have.

    Raises:
      ServingError: INVALID_ARGUMENT, in TensorFlow Serving's words, if they have none or differ.
    """
    sizes = {array.shape[0] for array in feeds.values() if array.ndim}
    if not feeds or any(not array.ndim for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def row_shapes(feeds: Arrays) -> tuple:
    """What has to be equal for requests to share a batch: names, types, and shapes of a row."""
    return tuple((name, feeds[name].dtype.str, feeds[name].shape[1:]) for name in sorted(feeds))


def part_sizes(rows: int, *, room: int, most: int) -> list[int]:
    """Sizes of the parts of a request that is split over batches, as TensorFlow Serving splits it.

    Args:
      rows: Size of the request.
      room: Rows that still fit into the open batch.
      most: Rows of a whole batch.
    """
    if rows <= room:
        return [rows]
    first = [room] if room else []
    left = rows - room
    return first + [most] * (left // most) + ([left % most] if left % most else [])


def divide(arrays: Arrays, sizes: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Cuts arrays along dimension 0 into parts of these sizes, which sum up to the rows."""
    ends = np.cumsum(sizes)
    return [
        {name: array[end - size : end] for name, array in arrays.items()}
        for size, end in zip(sizes, ends)
    ]


def join(requests: Sequence[Arrays], *, padding: int = 0) -> dict[str, np.ndarray]:
    """Puts requests below each other, and the first row of the last one `padding` times below them.

    Args:
      requests: Arrays by name; of one name equal in type and in the shape of a row.
      padding: Rows to add; a request without rows cannot be padded with.
    """
    if len(requests) == 1 and not padding:
        return dict(requests[0])
    return {
        name: np.concatenate(
            [
                *(request[name] for request in requests),
                np.repeat(requests[-1][name][:1], padding, axis=0),
            ]
        )
        for name in requests[0]
    }


def divide_outputs(
    outputs: Arrays, sizes: Sequence[int], *, padding: int = 0
) -> list[dict[str, np.ndarray]]:
    """Gives each request its rows of a batch's outputs; those of the padding are left out.

    Raises:
      ServingError: FAILED_PRECONDITION, in TensorFlow Serving's words, if an output has other rows
        than the inputs: it would not be known whose they are.
    """
    for array in outputs.values():
        if not array.ndim:
            raise _unsafe("Batched output tensor has 0 dimensions")
        if array.shape[0] != sum(sizes) + padding:
            raise _unsafe(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors"
            )
    return divide(outputs, sizes)


def _unsafe(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.FAILED_PRECONDITION, message)
