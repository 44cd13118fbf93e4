"""The options of `facerelief serve` around its gRPC core: REST, TLS, tokens, photos."""

from __future__ import annotations

import functools
import importlib
import pathlib
from typing import TYPE_CHECKING

from serving.quiet import without_notices

if TYPE_CHECKING:
    from serving.server.front import FrontOptions

PHOTO_MODULE = "serving.server.reconstruction"


def read_front(
    *,
    name: str,
    rest_port: int | None,
    rest_max_mib: float,
    rest_timeout_seconds: float,
    reconstruct: bool,
    tls_cert: pathlib.Path | None,
    tls_key: pathlib.Path | None,
    tls_client_ca: pathlib.Path | None,
    token_file: pathlib.Path | None,
) -> FrontOptions:
    """Checks the options against each other.

    Args:
      name: Name of the served model.
      rest_port: Port of REST; None for no REST.
      rest_max_mib: Largest body of a REST request, MiB.
      rest_timeout_seconds: Deadline of an answer over REST, s.
      reconstruct: offer POST /v1/reconstruct.
      tls_cert: PEM file with the server's certificate.
      tls_key: PEM file with its key.
      tls_client_ca: PEM file with what signs clients' certificates.
      token_file: File of bearer tokens.

    Raises:
      ValueError: naming the option that another one is missing for.
    """
    if (tls_cert is None) != (tls_key is None):
        given, other = ("--tls-cert", "--tls-key") if tls_cert else ("--tls-key", "--tls-cert")
        raise ValueError(f"{given} needs {other}, too")
    if tls_client_ca and not tls_cert:
        raise ValueError("--tls-client-ca needs --tls-cert and --tls-key, too")
    if reconstruct and rest_port is None:
        raise ValueError("--reconstruct needs --rest-port: it is a part of REST")
    with without_notices():
        from serving.server.front import FrontOptions
        from serving.server.http_bodies import RestLimits
        from serving.server.security import TlsFiles

    return FrontOptions(
        rest_port=rest_port,
        limits=RestLimits(body_bytes=int(rest_max_mib * 2**20), seconds=rest_timeout_seconds),
        tls=TlsFiles(tls_cert, tls_key, tls_client_ca) if tls_cert and tls_key else None,
        token_file=token_file,
        photos=functools.partial(_photos, name) if reconstruct else None,
    )


def _photos(name: str, services, metrics):
    """What answers photos.

    Imported by its name: it knows detection, texture and detail, and a change of these must not
    make the pipeline's InfraValidator, whose cache follows the server's imports, run again.
    """
    with without_notices():
        return importlib.import_module(PHOTO_MODULE).PhotoReconstructor(
            services, name, metrics=metrics
        )
