"""How requests are batched: TensorFlow Serving's BatchingParameters and the file that sets them."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from serving.server.text_protos import ConfigFileError, read_text_proto

_SIZES = ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size")
_FIELDS = (
    ("max_batch_size", "Int64Value"),
    ("batch_timeout_micros", "Int64Value"),
    ("max_enqueued_batches", "Int64Value"),
    ("num_batch_threads", "Int64Value"),
    ("thread_pool_name", "StringValue"),
    ("enable_large_batch_splitting", "BoolValue"),
    ("max_execution_batch_size", "Int64Value"),
)
"""Fields of the message whose type is a wrapper; names and types as in TensorFlow Serving's
session_bundle_config.proto, which the package tensorflow-serving-api does not hold."""


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """The fields that this server follows; without a file they are TensorFlow Serving's defaults.

    Attributes:
      max_batch_size: Most rows of one request; and of a batch, unless requests are split.
      batch_timeout_micros: Longest time that the first request of a batch waits for others, us.
      max_enqueued_batches: Most batches that wait; requests beyond are UNAVAILABLE.
      num_batch_threads: Batches that run at a time.
      allowed_batch_sizes: Sizes that batches are padded to, increasing; any size if empty.
      enable_large_batch_splitting: Whether requests larger than a batch are split.
      max_execution_batch_size: Most rows of a batch when requests are split; max_batch_size if
        None.

    Raises:
      ValueError: if they are out of range or contradict each other.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = dataclasses.field(default_factory=available_cores)
    allowed_batch_sizes: Sequence[int] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    def __post_init__(self):
        for name in _SIZES:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} should be at least 1, got {value}")
        if self.batch_timeout_micros < 0:
            raise ValueError(
                f"batch_timeout_micros should be at least 0, got {self.batch_timeout_micros}"
            )
        if self.execution_size > self.max_batch_size:
            raise ValueError(
                f"max_execution_batch_size should be at most max_batch_size "
                f"({self.max_batch_size}), got {self.execution_size}"
            )
        self._check_allowed_sizes()

    def _check_allowed_sizes(self) -> None:
        sizes = list(self.allowed_batch_sizes)
        if sizes != sorted(set(sizes)) or min(sizes, default=1) < 1:
            raise ValueError(
                f"allowed_batch_sizes entries must be monotonically increasing, got {sizes}"
            )
        if sizes and sizes[-1] != self.execution_size:
            raise ValueError(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.execution_size}"
            )

    @property
    def execution_size(self) -> int:
        """Most rows of one batch."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    def padded_size(self, rows: int) -> int:
        """The smallest allowed size that holds so many rows."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_batching_parameters(path: str | os.PathLike[str]) -> BatchingParameters:
    """Reads TensorFlow Serving's batching_parameters.txt.

    Args:
      path: Path of a BatchingParameters message in text format, such as
        `max_batch_size { value: 16 }`.

    Raises:
      ConfigFileError: if it cannot be read, has an unknown field, or a value that cannot be
        followed.
    """
    message = _message_class()()
    read_text_proto(path, message)
    if message.pad_variable_length_inputs:
        raise ConfigFileError(
            f"{os.fspath(path)}: pad_variable_length_inputs is not offered; requests of other "
            "shapes get a batch of their own"
        )
    values = {
        name: getattr(message, name).value
        for name, _ in _FIELDS
        if message.HasField(name) and name != "thread_pool_name"
    }
    try:
        return BatchingParameters(allowed_batch_sizes=tuple(message.allowed_batch_sizes), **values)
    except ValueError as error:
        raise ConfigFileError(f"{os.fspath(path)}: {error}") from None


@functools.cache
def _message_class() -> type:
    """A message class with the names and types of BatchingParameters."""
    file = descriptor_pb2.FileDescriptorProto(
        name="facerelief/batching_parameters.proto",
        package="facerelief.serving",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
        syntax="proto3",
    )
    message = file.message_type.add(name="BatchingParameters")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, wrapper) in enumerate(_FIELDS, 1):
        message.field.add(
            name=name,
            number=number,
            label=kinds.LABEL_OPTIONAL,
            type=kinds.TYPE_MESSAGE,
            type_name=f".google.protobuf.{wrapper}",
        )
    message.field.add(
        name="allowed_batch_sizes", number=20, label=kinds.LABEL_REPEATED, type=kinds.TYPE_INT64
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=21,
        label=kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_BOOL,
    )
    pool = descriptor_pool.Default()
    found = pool.AddSerializedFile(file.SerializeToString())
    descriptor = (found or pool.FindFileByName(file.name)).message_types_by_name[message.name]
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)
