"""Beam's arguments for steps, by way of the environment.

What the steps make does not depend on them, so caches should not either: TFX's cache looks at the
placeholders here and not at their values, and KFP's at a container's command and not at its
environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

VARIABLE = "FACERELIEF_BEAM_ARGS"
"""A JSON list, for pipeline/kfp_entrypoint.py."""
MOST = 32
"""Arguments that there can be."""


def local_placeholders(args: Sequence[str]) -> list:
    """Puts arguments into this process's environment, for TFX's local runner.

    Args:
      args: Options, at least one.

    Returns:
      Placeholders for them, always as many; the last argument is repeated.

    Raises:
      ValueError: if there are too many.
    """
    from tfx.dsl.placeholder.placeholder import environment_variable

    if not 0 < len(args) <= MOST:
        raise ValueError(f"Beam may have 1 to {MOST} arguments, got {len(args)}")
    names = [f"{VARIABLE}_{number:02d}" for number in range(MOST)]
    os.environ.update(zip(names, [*args, *[args[-1]] * (MOST - len(args))], strict=True))
    return [environment_variable(name) for name in names]


def container_variables(args: Sequence[str]) -> list[dict[str, str]]:
    """The environment of a container that runs pipeline/kfp_entrypoint.py with these arguments."""
    return [{"name": VARIABLE, "value": json.dumps(list(args))}]


def from_environment() -> list[str]:
    """The arguments in the environment of this container."""
    return json.loads(os.environ.get(VARIABLE, "[]"))
