"""What the server answers when it cannot do what was asked, and what it says of its versions."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:  # it loads TensorFlow
    from tensorflow_serving.apis.model_pb2 import ModelSpec

_MAX_MESSAGE = 1024
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ServingError(Exception):
    """An answer other than OK.

    Attributes:
      code: Status code that TensorFlow Serving gives in the same case.
      message: Text for the client.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code, self.message = code, message[:_MAX_MESSAGE]


def invalid(message: str) -> ServingError:
    """An INVALID_ARGUMENT answer."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_error(error: Exception) -> ServingError:
    """Turns an exception into an answer; a tf.errors.OpError keeps its code."""
    if isinstance(error, ServingError):
        return error
    code = _CODES.get(getattr(error, "error_code", None), grpc.StatusCode.UNKNOWN)
    text = getattr(error, "message", None) or str(error) or repr(error)
    return ServingError(code, text.removeprefix("Graph execution error:").strip())


class State(enum.Enum):
    """Of a version, named and numbered as in ModelVersionStatus."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What is known of one version.

    Attributes:
      number: Version number.
      state: Step of its life cycle.
      problem: why it could not be loaded, if that was so.
    """

    number: int
    state: State
    problem: ServingError | None = None


def not_found(spec: ModelSpec, number: int | None = None) -> ServingError:
    """What is said of a model or version that is not served.

    Args:
      spec: What was asked for.
      number: Version that its label stands for.
    """
    choice = spec.WhichOneof("version_choice")
    if choice == "version_label" and number is None:
        return unknown_label(spec)
    number = spec.version.value if choice == "version" else number
    asked = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
    return ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")


def unknown_label(spec: ModelSpec) -> ServingError:
    """What is said of a label that names no version."""
    return invalid(f"Unrecognized servable version label: {spec.version_label}")
