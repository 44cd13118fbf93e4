"""Starts a Python worker of Beam in a Spark executor, as the boot program of Beam's images does.

The command of --environment_type=PROCESS; the executor adds --id and --provision_endpoint.
"""

from __future__ import annotations

import argparse
import os
import sys


def main() -> None:
    """Asks the executor what to run and where its services are, then becomes Beam's worker."""
    from components.records.synthesis import single_threaded

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    arguments, _ = parser.parse_known_args()
    os.environ |= _environment(arguments.id, arguments.provision_endpoint)
    single_threaded()  # its variables are read when the next program starts
    os.execv(sys.executable, [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"])


def _environment(worker: str, endpoint: str) -> dict[str, str]:
    """What sdk_worker_main reads."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from google.protobuf import json_format, text_format

    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        answer = stub.GetProvisionInfo(request, metadata=[("worker_id", worker)], timeout=60)
    info = answer.info
    return {
        "WORKER_ID": worker,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }


if __name__ == "__main__":
    main()
