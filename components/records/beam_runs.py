"""Running a Beam pipeline to its end, here or on another runner."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.transforms.environments import SubprocessSDKEnvironment

PROXY_EXEMPTIONS = ("no_grpc_proxy", "no_proxy")
"""What gRPC reads, the first that is set."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_log = logging.getLogger(__name__)


class WorkerLost(RuntimeError):
    """A worker process of a local run ended too early."""


def local_flags(workers: int) -> list[str]:
    """Beam's options for a local run: in this process, or in as many processes as workers."""
    mode = "multi_processing" if workers > 1 else "in_memory"
    return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]


def run_to_end(pipeline: beam.Pipeline) -> dict[str, int]:
    """Runs a pipeline; cancels it if this process is interrupted.

    Args:
      pipeline: complete.

    Returns:
      Its counters by name; none where the runner has none, as Spark.

    Raises:
      WorkerLost: if a local worker process was killed.
    """
    with raise_on_lost_worker(pipeline):
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except BaseException:
            with contextlib.suppress(Exception):  # it may have ended already
                result.cancel()
            raise
        return _counters(result)


@contextlib.contextmanager
def raise_on_lost_worker(pipeline: beam.Pipeline) -> Iterator[None]:
    """For a body that runs a pipeline: it is contained, and raises WorkerLost."""
    with loopback_only(pipeline), interpreter_quoted(), _lost_workers_noticed():
        yield


@contextlib.contextmanager
def loopback_only(pipeline: beam.Pipeline | None = None) -> Iterator[None]:
    """Until the body ends, Beam listens on the loopback address only; its temporary files go then.

    Proxies that the environment names are not asked for that address.

    It would listen on all interfaces, and leave a copy of Spark's jar for each job. Everything
    that makes servers or temporary files in this process is affected.

    Args:
      pipeline: left as it is if remote workers ask this process for work (LOOPBACK).
    """
    import grpc

    spare_loopback_from_proxies()
    options = pipeline.options.view_as(PortableOptions) if pipeline is not None else None
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


def spare_loopback_from_proxies() -> None:
    """Lets gRPC here and in child processes reach this machine without an http proxy."""
    exempt = next(filter(None, map(os.environ.get, PROXY_EXEMPTIONS)), "")
    names = [name for name in exempt.split(",") if name and name not in LOOPBACK]
    os.environ[PROXY_EXEMPTIONS[0]] = ",".join([*names, *LOOPBACK])


@contextlib.contextmanager
def interpreter_quoted() -> Iterator[None]:
    """Lets Beam start worker processes from a folder whose name has spaces or brackets.

    It hands a shell the path of this interpreter as it is.
    """
    make = SubprocessSDKEnvironment.from_command_string

    def from_command_string(command_string: str) -> SubprocessSDKEnvironment:
        words = command_string.removeprefix(sys.executable)
        return make(shlex.quote(sys.executable) + words)

    SubprocessSDKEnvironment.from_command_string = from_command_string
    try:
        yield
    finally:
        SubprocessSDKEnvironment.from_command_string = make


def _counters(result) -> dict[str, int]:
    try:
        counters = result.metrics().query()["counters"]
    except Exception as error:  # job services say in their own ways that they have no metrics
        _log.info("the runner has no metrics (%s)", error)
        return {}
    return {counter.key.metric.name: counter.committed for counter in counters}


def _cause(message: str) -> str:
    """Why a worker process ended, from what Beam says of its exit code; a shell adds 128."""
    found = re.search(r"return code (-?\d+)", message)
    code = int(found[1]) if found else None
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return "a worker process was killed, perhaps for want of memory"
    if code in (126, 127):
        return f"a worker process could not be started: {sys.executable} does not run"
    return f"a worker process was lost ({message})"


@contextlib.contextmanager
def _lost_workers_noticed() -> Iterator[None]:
    """Raises WorkerLost in the body when a local worker process dies: Beam waits for it forever.

    Beam's thread that waits for the process raises then, which nobody hears; a signal wakes the
    main thread, so this works only there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hook, lost = threading.excepthook, []

    def notice(raised: threading.ExceptHookArgs) -> None:
        if raised.thread is None or raised.thread.name != "run_worker":
            hook(raised)
            return
        lost.append(raised.exc_value)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def wake(number, frame) -> None:
        raise WorkerLost(_cause(str(lost[0])))

    handler = signal.signal(signal.SIGUSR1, wake)
    threading.excepthook = notice
    try:
        yield
    finally:
        threading.excepthook = hook
        signal.signal(signal.SIGUSR1, handler)
