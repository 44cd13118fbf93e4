"""What an operator can set of a server, beside which models it serves and where it listens."""

from __future__ import annotations

import dataclasses

from serving.server.batching_parameters import BatchingParameters
from serving.server.image_sizes import MAX_IMAGE_PIXELS

MAX_MESSAGE_BYTES = 2**31 - 1
"""As tensorflow_model_server."""
MAX_REQUESTS = 256
MAX_ROWS = 256
"""A few bytes of input can be rows of large outputs; a face that is computed takes 10 MiB."""
GRACE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Limits, batching and life cycle.

    Attributes:
      batching: How requests are joined; None runs each one by itself.
      concurrent_runs: Runs of graphs at a time without batching; as many as cores if None.
      max_message_bytes: Largest request and answer.
      max_image_pixels: Most pixels of an image file in a request.
      max_rows: Most rows (faces) of a request; None for row_limit to follow from batching.
      max_concurrent_streams: Calls of one connection at a time; no limit if None.
      max_requests: Requests in the server at a time; more are answered RESOURCE_EXHAUSTED.
      grace_seconds: Time that requests have to finish when the server is ended.
      request_log: "none", "text" or "json": the line that is logged for each request.
      allow_reload_requests: Whether HandleReloadConfigRequest may change which models are served.
    """

    batching: BatchingParameters | None = None
    concurrent_runs: int | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    max_image_pixels: int = MAX_IMAGE_PIXELS
    max_rows: int | None = None
    max_concurrent_streams: int | None = None
    max_requests: int = MAX_REQUESTS
    grace_seconds: float = GRACE_SECONDS
    request_log: str = "none"
    allow_reload_requests: bool = False

    @property
    def row_limit(self) -> int:
        """Most rows of a request: max_rows, or max_batch_size with batching, or MAX_ROWS."""
        if self.max_rows is not None:
            return self.max_rows
        return self.batching.max_batch_size if self.batching else MAX_ROWS

    @property
    def grpc_options(self) -> list[tuple[str, int]]:
        """The limits that grpc keeps itself, as options of its server."""
        options = [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
        ]
        if self.max_concurrent_streams is not None:
            options.append(("grpc.max_concurrent_streams", self.max_concurrent_streams))
        return options
