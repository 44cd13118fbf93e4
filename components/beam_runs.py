"""Running a Beam pipeline to its end, here or on another runner."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PortableOptions

_log = logging.getLogger(__name__)


def local_flags(workers: int) -> list[str]:
    """Beam's options for a local run: in this process, or in as many processes as workers."""
    mode = "multi_processing" if workers > 1 else "in_memory"
    return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]


def run_to_end(pipeline: beam.Pipeline) -> dict[str, int]:
    """Runs a pipeline; cancels it if this process is interrupted.

    Args:
      pipeline: complete.

    Returns:
      Its counters by name; none where the runner tells none, as Spark does.
    """
    with contained(pipeline):
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except BaseException:
            with contextlib.suppress(Exception):  # it may have ended already
                result.cancel()
            raise
        return _counters(result)


@contextlib.contextmanager
def contained(pipeline: beam.Pipeline | None = None) -> Iterator[None]:
    """Until the body ends, Beam listens on the loopback address only; its temporary files go then.

    It would listen on all interfaces, and leave a copy of Spark's jar for each job. Everything
    that makes servers or temporary files in this process is affected.

    Args:
      pipeline: left as it is if remote workers ask this process for work (LOOPBACK).
    """
    import grpc

    options = pipeline.options.view_as(PortableOptions) if pipeline else None
    if options and options.environment_type == "LOOPBACK":
        yield
        return
    make, folder = grpc.server, tempfile.tempdir

    def server(*args, **options):
        made = make(*args, **options)
        listen = made.add_insecure_port
        made.add_insecure_port = lambda address: listen(address.replace("[::]", "127.0.0.1"))
        return made

    with tempfile.TemporaryDirectory(prefix="facerelief-", ignore_cleanup_errors=True) as new:
        grpc.server, tempfile.tempdir = server, new
        try:
            yield
        finally:
            grpc.server, tempfile.tempdir = make, folder


def _counters(result) -> dict[str, int]:
    try:
        counters = result.metrics().query()["counters"]
    except Exception as error:  # job services say in their own ways that they have no metrics
        _log.info("the runner tells no metrics (%s)", error)
        return {}
    return {counter.key.metric.name: counter.committed for counter in counters}
