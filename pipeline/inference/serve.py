"""A model server as a process: what `facerelief serve` does."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from serving.quiet import LEVEL, notices_wanted, without_notices
from serving.server.batching_parameters import BatchingParameters, read_batching_parameters
from serving.server.memory import share_arenas
from serving.server.process import serve
from serving.server.server import ModelServer, check_port
from serving.server.settings import MAX_ROWS, ServerSettings

if TYPE_CHECKING:
    from serving.server.front import FrontOptions


def read_labels(texts: Iterable[str]) -> dict[str, int]:
    """Reads NAME=VERSION.

    Raises:
      ValueError: if one isn't like that.
    """
    labels = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or not (number.isascii() and number.isdecimal()):
            raise ValueError(f"--label should be NAME=VERSION, got {text!r}")
        labels[name] = int(number)
    return labels


def batching_from(
    *, enabled: bool, file: pathlib.Path | None, max_rows: int | None = None
) -> BatchingParameters | None:
    """What three options say of batching.

    Without a file they are TensorFlow Serving's defaults, but batches are of max_rows: its 1000
    faces would take 10 GiB.

    Raises:
      ConfigFileError: if the file cannot be used.
      ValueError: if there is a file and batching is not enabled.
    """
    if file and not enabled:
        raise ValueError("--batching-parameters-file is set without setting --enable-batching")
    if file:
        return read_batching_parameters(file)
    return BatchingParameters(max_batch_size=max_rows or MAX_ROWS) if enabled else None


def run(
    model: pathlib.Path | None,
    *,
    name: str,
    port: int,
    host: str,
    labels: Mapping[str, int],
    poll_seconds: float,
    front: FrontOptions | None = None,
    config_file: pathlib.Path | None = None,
    settings: ServerSettings | None = None,
) -> None:
    """Serves until it is stopped; writes to standard output when requests are taken.

    Args:
      model: folder of versions, or of one; the default model if None.
      name: Name of the served model.
      port: 0 for a free one.
      host: address to listen on.
      labels: version numbers by label.
      poll_seconds: between two looks for new versions.
      config_file: models.config that names the models, in place of model, name and labels.
      settings: limits, batching and life cycle; the defaults if None.
      front: REST, TLS and the like; none of it if None.

    Raises:
      ServerStartError, ConfigFileError, SecurityFileError, ModelStoreError: if it cannot start.
    """
    share_arenas()
    _log_to_stderr()
    if not notices_wanted():
        # TensorFlow's warnings have what was sent in them, such as a whole record with its image.
        os.environ[LEVEL] = "2"
    check_port(host, port)
    if front and front.rest_port is not None:
        if front.rest_port == port != 0:
            raise ValueError(f"--rest-port and --port should differ, got {port} for both")
        check_port(host, front.rest_port)
    with without_notices():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)  # deprecations, otherwise
        if model is None and config_file is None:
            from serving.model_store import default_model_dir

            model = default_model_dir()
        server = ModelServer(
            model or "",
            name=name,
            port=port,
            host=host,
            labels=labels,
            poll_seconds=poll_seconds,
            config_file=config_file,
            settings=settings,
            front=front,
        )
    console = Console(highlight=False, soft_wrap=True)

    def started() -> None:
        models = ", ".join(
            f"{name} (version {', '.join(map(str, numbers))})"
            for name, numbers in server.available.items()
        )
        rest = f"REST on {server.rest_address}\n" if server.rest_address else ""
        console.print(f"{rest}serving {models} on {server.address}", markup=False)

    serve(server, started=started, reload=server.reload if config_file else None)


def _log_to_stderr() -> None:
    """Shows what the server has to say, and not what libraries do."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("serving")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
