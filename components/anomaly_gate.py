"""AnomalyGate: ends the run when ExampleValidator found anomalies, which it only writes down."""

import html
import os

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleAnomalies

from components.artifacts import Report

ANOMALIES_FILE = "SchemaDiff.pb"


class AnomaliesError(RuntimeError):
    """Records that do not keep to the schema."""


def read_anomalies(anomalies: ExampleAnomalies) -> list[str]:
    """One line for each anomaly: split, feature, what is wrong."""
    lines = []
    for split in artifact_utils.decode_split_names(anomalies.split_names):
        folder = artifact_utils.get_split_uri([anomalies], split)
        message = anomalies_pb2.Anomalies()
        with open(os.path.join(folder, ANOMALIES_FILE), "rb") as file:
            message.ParseFromString(file.read())
        lines += [
            f"{split}: {feature}: {found.description}"
            for feature, found in sorted(message.anomaly_info.items())
        ]
        if message.dataset_anomaly_info.description:
            lines.append(f"{split}: {message.dataset_anomaly_info.description}")
    return lines


@component
def AnomalyGate(
    anomalies: InputArtifact[ExampleAnomalies],
    report: OutputArtifact[Report],
    code: Parameter[str],
) -> None:
    """Passes only if there are no anomalies; steps that need good data come after it.

    Args:
      anomalies: Output of ExampleValidator.
      report: a page that says so.
      code: digest of the code that runs.

    Raises:
      AnomaliesError: with all anomalies.
    """
    del code
    if lines := read_anomalies(anomalies):
        raise AnomaliesError("the records do not keep to the schema:\n" + "\n".join(lines))
    splits = ", ".join(artifact_utils.decode_split_names(anomalies.split_names))
    os.makedirs(report.uri, exist_ok=True)
    with open(os.path.join(report.uri, "index.html"), "w", encoding="utf-8") as file:
        file.write(f"<p>No anomalies in {html.escape(splits)}.</p>\n")
