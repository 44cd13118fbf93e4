"""The curated schema of the records, to which ExampleValidator holds them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

SCHEMA_FILE = pathlib.Path(__file__).parent / "schema" / "schema.pbtxt"


def curated_schema(lengths: Mapping[str, int] | None = None) -> str:
    """Reads the schema.

    Args:
      lengths: Lengths of the features whose length depends on the face model.

    Returns:
      The schema as text.

    Raises:
      KeyError: if a feature is not in the schema.
    """
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    if not lengths:
        return text
    schema = text_format.Parse(text, schema_pb2.Schema())
    features = {feature.name: feature for feature in schema.feature}
    for name, length in lengths.items():
        features[name].shape.dim[0].size = length
    return text_format.MessageToString(schema)
