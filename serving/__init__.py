"""What a user of the trained model touches: detection, reconstruction, mesh files.

from serving import Reconstructor, read_photo
"""

import importlib

_MODULES = {
    "Head": "serving.heads",
    "HeadMaker": "serving.heads",
    "HeadOptions": "serving.head_options",
    "Reconstruction": "serving.reconstructor",
    "Reconstructor": "serving.reconstructor",
    "RemoteModel": "serving.client",
    "read_photo": "serving.images",
}
"""Where each public name is defined; nothing is imported before it is used. __init__.pyi has the
same names for type checkers: imports here would make the digest of `serve` depend on all of them.
"""

__all__ = [*_MODULES]


def __getattr__(name):
    """Imports a public name when it is first asked for (PEP 562)."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
