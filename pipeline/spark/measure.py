"""Measures how synthesis gains from a second worker, in local processes and on a Spark cluster.

    python -m pipeline.spark.measure -n 4000 --recipe paper

Prints a Markdown table. Rates are steady ones, taken from when the files were finished: the time
that processes need to start, load and compile is left out, and so is the end, when one of them has
nothing more to do. Takes about four times what the samples take one worker, and three minutes.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Annotated

import typer

_WORKERS = (1, 2)


def steady_rate(folder: pathlib.Path, workers: int) -> float:
    """Samples per second of a finished data set with equal files, while all workers were busy.

    Args:
      folder: Output of `facerelief synthesize`.
      workers: Number of processes; the first two files of each and the last do not count.

    Raises:
      ValueError: if there are too few files.
    """
    (split,) = json.loads((folder / "dataset.json").read_text())["splits"].values()
    files = [folder / name for name in split["files"]]
    times = sorted(path.stat().st_mtime for path in files)[2 * workers - 1 :]
    times = times[: len(times) - workers]
    if len(times) < 2:
        raise ValueError(f"{folder}: {len(files)} files are too few for {workers} workers")
    return split["count"] / len(files) * (len(times) - 1) / (times[-1] - times[0])


def _run(engine: str, workers: int, words: list[str]) -> None:
    local = ["-m", "pipeline.cli", "synthesize", "--workers", str(workers)]
    spark = ["-m", "pipeline.spark", "--executors", str(workers), "synthesize"]
    subprocess.run([sys.executable, *(local if engine == "local" else spark), *words], check=True)


def main(
    count: Annotated[
        int, typer.Option("--count", "-n", help="Samples of each of the four runs.")
    ] = 4000,
    shard_samples: Annotated[
        int, typer.Option(min=8, help="About how many samples a file holds.")
    ] = 80,
    recipe: Annotated[str, typer.Option(help="lifelike or paper.")] = "paper",
    engines: Annotated[list[str] | None, typer.Option("--engine", help="local or spark.")] = None,
) -> None:
    """Draw the same samples with one and with two workers on each engine, and compare."""
    rows = ["| engine | workers | samples/s | efficiency |", "|---|---|---|---|"]
    for engine in engines or ("local", "spark"):
        rates = {}
        for workers in _WORKERS:
            with tempfile.TemporaryDirectory() as place:
                folder = pathlib.Path(place, "faces")
                words = ["-n", str(count), "--shard-samples", str(shard_samples)]
                _run(engine, workers, [*words, "--recipe", recipe, "-o", str(folder)])
                rates[workers] = steady_rate(folder, workers)
            efficiency = rates[workers] / workers / rates[1]
            rows.append(f"| {engine} | {workers} | {rates[workers]:.1f} | {efficiency:.2f} |")
    typer.echo("\n".join(rows))


if __name__ == "__main__":
    typer.run(main)
