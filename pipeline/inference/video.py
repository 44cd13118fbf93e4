"""A film to tracks, animated heads and a film of both: what `facerelief video` does."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from facemodel.files import atomic_path, write_bytes
from pipeline.inference.starting import start_film
from serving.quiet import without_notices
from serving.stopwatch import Stopwatch
from serving.tracking.frames import Film, FilmError, open_film, record_camera
from serving.tracking.records import RecordStore
from serving.tracking.track import Track, encode_json, encode_npz

CACHE_SUFFIX = ".frames"
LONGEST_PANEL_PX = 640
LOADING, FIRST, SECOND, FILES = "loading", "first pass", "second pass", "heads and films"
"""Parts of a run whose time is said."""


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """How a film is worked on.

    Attributes:
      weights: The network's, .npz; the shipped ones if None.
      fps: frames per second; the film's own if None.
      max_people: at a time, those with the largest faces; None for all.
      causal: use no later frame for an earlier one.
      film: write the side-by-side film.
      heads: write animated heads.
      texture: colours of the best frame; clay without.
      keep_cache: leave the records of the first pass.
      network_every: in which frames the network looks at a known face; see Tracker.
    """

    weights: pathlib.Path | None = None
    fps: float | None = None
    max_people: int | None = None
    causal: bool = False
    film: bool = True
    heads: bool = True
    texture: bool = True
    keep_cache: bool = False
    network_every: int = 1


def run(source: str, output: pathlib.Path, options: VideoOptions, *, seconds: float = 10.0) -> str:
    """Works on a film.

    Args:
      source: video file, folder of pictures, or "camera" (or "camera:1" for the second).
      output: folder for the results, made if missing.
      options: how.
      seconds: how long a camera is recorded.

    Returns:
      A line that says what was found, and how long loading, the passes and the files took.

    Raises:
      FilmError: if there is no film, or no face in it.
      OSError: if something cannot be read or written.
    """
    watch = Stopwatch()
    if options.weights:
        check_weights(options.weights)
    film, name = _open(source, output, options.fps, seconds)
    if options.film and film.path.resolve() == (output / f"{name}.mp4").resolve():
        raise FilmError(f"{source}: the film in {output} would replace it; choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    cache = output / f".{name}{CACHE_SUFFIX}"
    store = RecordStore(cache, {**film.facts(), **_settings(options)})
    # Small matrices: more threads wait for each other, and TensorFlow has its own.
    with threadpool_limits(1, user_api="blas"), _progress() as progress:
        seen = _first_pass(film, store, options, progress, watch)
        frames = sum(1 for _ in store)
        with watch.stage(SECOND):
            tracks = _tracks(film, store, options)
        if not tracks:
            from serving.tracking.refine import LEAST_FRAMES

            if not options.keep_cache:
                shutil.rmtree(cache, ignore_errors=True)
            raise FilmError(
                f"{source}: no face found in {LEAST_FRAMES} or more of its {frames} frames"
            )
        with watch.stage(FILES):
            _write(film, name, output, tracks, options, progress)
    if not options.keep_cache:
        shutil.rmtree(cache, ignore_errors=True)
    people = "1 person" if len(tracks) == 1 else f"{len(tracks)} people"
    short = f" (of {film.count} that the file says it has)" if frames < film.count - 1 else ""
    times = in_words(watch, {FIRST: seen, SECOND: frames})
    return f"{people} in {frames} frames{short} ({times}) in {output}"


def in_words(watch: Stopwatch, frames: Mapping[str, int]) -> str:
    """What took how long, without parts that did not run; frames/s of those that go by frames."""
    parts = []
    for name, took in watch.seconds.items():
        seconds, count = sum(took), frames.get(name, 0)
        rate = f", {count / seconds:.1f} frames/s" if count and seconds else ""
        parts.append(f"{name} {seconds:.1f} s{rate}")
    return "; ".join(parts)


def check_weights(path: pathlib.Path) -> None:
    """Raises FilmError for an .npz of something else: weights say which face model they are for."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return  # what reads it says what is wrong
    if "meta" not in names:
        found = ", ".join(names[:5]) or "nothing"
        raise FilmError(f"{path}: not a weights file of this project (no meta in it, but {found})")


def _open(source: str, output: pathlib.Path, fps: float | None, seconds: float) -> tuple[Film, str]:
    kind, _, number = source.partition(":")
    if kind == "camera" and (not number or number.isdigit()) and not pathlib.Path(source).exists():
        folder = output / "camera"
        return record_camera(int(number or 0), folder, seconds=seconds), "camera"
    path = pathlib.Path(source)
    return open_film(path, fps=fps), path.stem if path.is_file() else path.resolve().name


def _settings(options: VideoOptions) -> dict[str, object]:
    """What the records of the first pass depend on."""
    from facemodel.files import file_digest
    from facemodel.network.weights import DEFAULT_WEIGHTS

    weights = options.weights or DEFAULT_WEIGHTS
    return {
        "weights_sha256": file_digest(weights),
        "max_people": options.max_people,
        "network_every": options.network_every,
    }


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_interactive,
    )  # fmt: skip


def _counted(progress: Progress, what: str, film: Film, first: int = 0) -> Iterator:
    task = progress.add_task(what, total=film.count or None, completed=first)
    for number, image in _ahead(film.frames(first)):
        yield number, image
        progress.update(task, completed=number + 1)


def _ahead(items: Iterator) -> Iterator:
    """The same items; the next one is made in a thread while the last one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def _first_pass(
    film: Film, store: RecordStore, options: VideoOptions, progress: Progress, watch: Stopwatch
) -> int:
    """Works on the frames that the store does not have yet; how many these were."""
    if store.complete:
        return 0
    resume = store.count
    with watch.stage(LOADING):
        estimator, detector = start_film(options.weights)
        from serving.tracking.tracker import Tracker

    seen = 0
    with detector, watch.stage(FIRST):
        tracker = Tracker(
            detector, estimator,
            max_people=options.max_people, network_every=options.network_every,
        )  # fmt: skip
        for record in store:
            tracker.restore(record)
        # The frame before the first new one, for cuts.
        for number, image in _counted(progress, "finding faces", film, max(0, resume - 1)):
            if number < resume:
                tracker.watch(image)
            else:
                store.add(tracker.step(number, image))
                seen += 1
        store.finish()
    return seen


def _tracks(film: Film, store: RecordStore, options: VideoOptions) -> list[Track]:
    with without_notices():
        from facemodel.morphable.model import MorphableModel
        from serving.tracking.refine import make_tracks

        return make_tracks(
            store, MorphableModel.load(level=0), fps=film.fps, size=film.size,
            causal=options.causal,
        )  # fmt: skip


def _write(
    film: Film, name: str, output: pathlib.Path, tracks: Sequence[Track],
    options: VideoOptions, progress: Progress,
) -> None:  # fmt: skip
    facts = {
        "film": {
            "name": film.path.name, "fps": film.fps,
            "width": film.size[1], "height": film.size[0],
        },
        "causal": options.causal,
        "people": len(tracks),
    }  # fmt: skip
    for number, track in enumerate(tracks):
        write_bytes(output / f"{name}_{number}.npz", encode_npz(track))
        said = encode_json(track, {**facts, "person": number})
        write_bytes(output / f"{name}_{number}.json", said)
    if not (options.heads or options.film):
        return
    from serving.tracking.performance import Performer

    performer = Performer(texture=options.texture)
    heads = _heads(film, name, tracks, performer, progress)
    if options.heads:
        for number, (track, mesh) in enumerate(zip(tracks, heads)):
            write_bytes(output / f"{name}_{number}.glb", performer.encode(track, mesh))
    if options.film:
        sound = None if film.pictures or options.fps else film.path
        _write_film(film, output / f"{name}.mp4", tracks, heads, performer, progress, sound)


def _heads(film: Film, name: str, tracks: Sequence[Track], performer, progress: Progress) -> list:
    """The neutral head of each person, with the texture of their best frame."""
    task = progress.add_task("making heads", total=len(tracks))
    wanted = {track.best: [] for track in tracks}
    for number, track in enumerate(tracks):
        wanted[track.best].append(number)
    meshes: dict[int, object] = {}
    for number, image in film.frames(min(wanted)):
        for person in wanted.get(number, ()):
            meshes[person] = performer.head(image, tracks[person], name=f"{name}_{person}")
            progress.advance(task)
        if len(meshes) == len(tracks):
            break
    return [meshes[person] for person in range(len(tracks))]


def _write_film(
    film: Film, path, tracks, heads, performer, progress: Progress, sound: pathlib.Path | None
) -> None:
    """The film beside the heads, with the sound of a file."""
    from serving.output.side_by_side import panel_size, render_pair
    from serving.output.video import write_mp4

    size = panel_size(film.size, longest=LONGEST_PANEL_PX)

    def pairs() -> Iterator[np.ndarray]:
        for number, image in _counted(progress, "rendering", film):
            placed = [
                performer.placed(track, mesh, number)
                for track, mesh in zip(tracks, heads)
                if track.row(number) is not None
            ]
            yield render_pair(image, placed, size=size)

    with atomic_path(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        silent = pathlib.Path(folder, "silent.mp4")
        write_mp4(silent, _ahead(pairs()), fps=film.fps)
        if sound is None or not _add_sound(silent, sound, temporary, progress):
            silent.replace(temporary)


def _add_sound(silent: pathlib.Path, source: pathlib.Path, target: pathlib.Path, progress) -> bool:
    """Writes the film with the source's sound; says so where that cannot be read."""
    import av

    from serving.output.video import add_sound

    try:
        return add_sound(silent, source, target)
    except av.FFmpegError as error:
        progress.console.print(f"note: {source}: its sound cannot be read ({error.strerror})")
        return False
