"""Says which versions TensorFlow Serving loads and which labels they have.

    python -m kubeflow.rollout --stable 3 --canary 4 | kubectl apply -f -   # try version 4
    python -m kubeflow.rollout --stable 4 --keep 3 | kubectl apply -f -     # roll it out
    python -m kubeflow.rollout --stable 3 --keep 4 | kubectl apply -f -     # roll it back

Prints a ConfigMap; running servers read it again and load, label and unload without a restart.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer
import yaml

from pipeline.cli import make_single_app
from pipeline.commands.options import CommandError

CONFIG_MAP = "facerelief-model-config"
MODELS = "/models"


def model_config(name: str, *, labels: dict[str, int], keep: list[int]) -> str:
    """A ModelServerConfig as text.

    Args:
      name: Name of the model, and of its folder in MODELS.
      labels: version numbers by label.
      keep: versions that are loaded without a label.
    """
    versions = sorted({*labels.values(), *keep})
    lines = [
        "model_config_list {",
        "  config {",
        f'    name: "{name}"',
        f'    base_path: "{MODELS}/{name}"',
        '    model_platform: "tensorflow"',
        "    model_version_policy {",
        "      specific {",
        *(f"        versions: {version}" for version in versions),
        "      }",
        "    }",
    ]
    for label, version in labels.items():
        lines += [
            "    version_labels {",
            f'      key: "{label}"',
            f"      value: {version}",
            "    }",
        ]
    return "\n".join([*lines, "  }", "}", ""])


def config_map(text: str, *, namespace: str) -> str:
    """The ConfigMap that the servers mount, as YAML."""
    content = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CONFIG_MAP,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "facerelief"},
        },
        "data": {"models.config": _Block(text)},
    }
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


class _Block(str):
    """Text that is written line by line."""


class _Dumper(yaml.SafeDumper):
    """Knows _Block."""


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def main(
    stable: Annotated[int, typer.Option(min=1, help="Version that clients get.")],
    canary: Annotated[
        int | None, typer.Option(min=1, help="Version for those who ask for the canary.")
    ] = None,
    keep: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Version to keep loaded, for a quick way back; may be repeated."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the model.")] = "facerelief",
    namespace: Annotated[str, typer.Option(help="Of the servers.")] = "facerelief",
) -> None:
    """Print the ConfigMap with the versions to serve.

    Example: python -m kubeflow.rollout --stable 4 --keep 3 | kubectl apply -f -
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise CommandError(f"--name should be the name of a folder, got {name!r}")
    labels = {"stable": stable} | ({"canary": canary} if canary else {})
    text = model_config(name, labels=labels, keep=keep or [])
    typer.echo(config_map(text, namespace=namespace), nl=False)


if __name__ == "__main__":
    make_single_app(main)()
