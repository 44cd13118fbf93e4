"""What was measured of a server under load, as a page."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from pipeline.evaluation.serving_load import Row, Step

Key = tuple[str, int, int]
"""Title of a table (empty without a server), clients or callers, batch."""
_HEAD = (
    "| clients | faces/s | p50 ms | p95 ms | p99 ms | errors | server's CPU ms/face | "
    "clients' CPU ms/face | server's memory, MiB |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclasses.dataclass(frozen=True)
class Report:
    """All measurements of a run.

    Attributes:
      rows: In their order.
      arriving: Requests that came at their own times ("even" and "random"), to the server with
        batching.
      rate: of these, faces a second.
      busy: Load average of the machine before.
      batched: Title of the rows with batching.
    """

    rows: Mapping[Key, Row]
    arriving: Mapping[str, Step]
    rate: float
    busy: float
    batched: str

    def table(self, title: str) -> dict[tuple[int, int], Row]:
        """Rows of a table by clients and batch."""
        return {(n, batch): row for (name, n, batch), row in self.rows.items() if name == title}

    def best(self, title: str, *, clients: int | None = None) -> float:
        """Highest rate of a table, faces a second; of the rows with so many clients if given."""
        rows = self.table(title).items()
        return max(row.per_second for (n, _), row in rows if clients in (None, n))


def as_page(report: Report, *, size: int, seconds: float, rounds: int, parameters: str) -> str:
    """The measurements as a Markdown page.

    Args:
      report: What was measured.
      size: Of the images, px.
      seconds: Of a row in a round.
      rounds: How often each row was measured.
      parameters: The file of batching parameters.
    """
    titles = dict.fromkeys(title for title, *_ in report.rows if title)
    parts = [
        "# Measurements: serving",
        f"`make bench-serving`: the shipped model on {os.cpu_count()} cores, one face in an image "
        f"of {size} x {size} px a request (over REST a JPEG of it), {rounds} rounds over all rows "
        f"with {seconds:g} s each, loopback address. The rows are measured in turns, so that what "
        "else the machine does is shared by all; rates are medians of the rounds, percentiles and "
        "processor time of all rounds together. Each client sends its next request when its last "
        "is answered; clients are threads of one process on the same cores, which the rows without "
        f"a server do not have. Load average of the machine before: {report.busy:.1f}.",
        "## What was to be reached",
        _goals(report),
        "## Without a server",
        "The SavedModel called in a process of its own, with tensors that are ready.",
        _bare_table(report),
    ]
    for title in titles:
        parts += [f"## {title}", _table(report.table(title)), _reached(report, title)]
    parts += [
        "## Requests at their own times",
        f"{report.rate:.1f} a second on average, to the server with batching, whether others are "
        "answered or not: evenly spaced, and at random (a Poisson process, whose bunches a queue "
        "has to take up whatever the server is).",
        "\n".join(
            [
                _HEAD.replace("clients", "times", 1),
                *(_line(name, step, step.per_second) for name, step in report.arriving.items()),
            ]
        ),
        f"Batching is by this file:\n\n```\n{parameters}```",
    ]
    return "\n\n".join(parts) + "\n"


def _goals(report: Report) -> str:
    share = 100 * report.best(report.batched) / report.best("", clients=1)
    tails = (step.percentile_ms(99) / step.percentile_ms(50) for step in report.arriving.values())
    tail = " x, ".join(f"{value:.1f}" for value in tails)
    alone = report.table("")[1, 1].together.percentile_ms(50)
    plain = next(title for title, *_ in report.rows if title)
    more = [
        row.together.percentile_ms(50) - alone
        for title in (plain, report.batched)
        for (clients, _), row in report.table(title).items()
        if clients == 1
    ]
    served = " and ".join(f"{value:.1f}" for value in more) or "not measured"
    return (
        "| goal | measured |\n|---|---|\n"
        "| batching: at least 90 % of the SavedModel's best rate (one caller) | "
        f"{share:.0f} % |\n"
        f"| p99 at most 3 x the median at 80 % of the best rate ({', '.join(report.arriving)}) | "
        f"{tail} x |\n"
        "| one client: at most 5 ms over the SavedModel's median, ms | "
        f"{served} (without, with batching) |"
    )


def _bare_table(report: Report) -> str:
    lines = ["| callers | batch | faces/s | p50 ms | CPU ms/face |", "|---|---|---|---|---|"]
    for (callers, batch), row in report.table("").items():
        step = row.together
        lines.append(
            f"| {callers} | {batch} | {row.per_second:.1f} | {step.percentile_ms(50):.0f} | "
            f"{step.cpu_ms[0]:.1f} |"
        )
    return "\n".join(lines)


def _table(rows: Mapping[tuple[int, int], Row]) -> str:
    lines = [_line(str(n), row.together, row.per_second) for (n, _), row in rows.items()]
    return "\n".join([_HEAD, *lines])


def _line(clients: str, step: Step, rate: float) -> str:
    percentiles = " | ".join(f"{step.percentile_ms(p):.0f}" for p in (50, 95, 99))
    errors = ", ".join(f"{n} {code}" for code, n in sorted(step.errors.items())) or "0"
    server, client = step.cpu_ms
    return (
        f"| {clients} | {rate:.1f} | {percentiles} | {errors} | {server:.1f} | {client:.1f} | "
        f"{step.rss_mib:.0f} |"
    )


def _reached(report: Report, title: str) -> str:
    best = report.best(title)
    one, any_ = report.best("", clients=1), report.best("")
    return (
        f"Best: {100 * best / one:.0f} % of the best without a server and with one caller, "
        f"{100 * best / any_:.0f} % of the best there is without a server."
    )
