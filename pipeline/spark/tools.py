"""What the cluster is made of: Java, Spark, and Beam's runner for it, which Maven builds."""

from __future__ import annotations

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from facemodel.files import files_digest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
STORE = CHECKOUT / ".spark"
"""Where Spark, Beam's runner and the runs' logs are; not under version control."""
SPARK_HOME = STORE / "python" / "pyspark"
_SOURCES = pathlib.Path(__file__).with_name("jar")
_JAVA_VERSIONS = (11, 17)


class SparkError(RuntimeError):
    """A cluster that cannot be started; the message is one sentence."""


def check_java() -> None:
    """Raises SparkError unless JAVA_HOME or the path has a Java that Spark 3.5 and Beam run on."""
    wanted = f"Spark needs Java {' or '.join(map(str, _JAVA_VERSIONS))}"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    if java is None:
        place = f"in JAVA_HOME={home}" if home else "on the path"
        raise SparkError(f"{wanted}, and there is no java {place}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stdout + done.stderr)
    if done.returncode or found is None:
        raise SparkError(f"{wanted}, and {java} does not start")
    if int(found[1]) not in _JAVA_VERSIONS:
        raise SparkError(f"{wanted}, and {java} is Java {found[1]}")


def find_spark() -> pathlib.Path:
    """Spark's folder; SparkError if it is not installed."""
    if not (SPARK_HOME / "bin" / "spark-class").is_file():
        raise SparkError(f"{SPARK_HOME}: no Spark is installed there; `make spark` does it")
    return SPARK_HOME


def runner_jar() -> pathlib.Path:
    """Beam's runner and all that it needs; built if its sources changed.

    Raises:
      SparkError: if it has to be built and Maven is missing or fails.
    """
    STORE.mkdir(exist_ok=True)
    jar = STORE / f"beam-spark-{_sources_digest()}.jar"
    with open(STORE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jar.is_file():
            _build(jar)
    return jar


def _sources_digest() -> str:
    files = sorted(path for path in _SOURCES.rglob("*") if path.is_file())
    if not files:
        raise SparkError(f"{_SOURCES}: not there; the cluster is started from a checkout")
    return files_digest((str(path.relative_to(_SOURCES)), path) for path in files)[:16]


def _build(jar: pathlib.Path) -> None:
    """Runs Maven; older jars go."""
    maven = shutil.which("mvn")
    if maven is None:
        raise SparkError(
            "Beam's runner for Spark is built by Maven, and there is no mvn on the path"
        )
    log = STORE / "maven.log"
    with tempfile.TemporaryDirectory(dir=STORE, prefix="build-") as folder:
        command = [maven, "--batch-mode", "-f", str(_SOURCES / "pom.xml")]
        command += [f"-Dfacerelief.build={folder}", "package"]
        with log.open("w") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise SparkError(f"Maven could not build Beam's runner: {_first_error(log)} ({log})")
        for old in STORE.glob("beam-spark-*.jar"):
            old.unlink()
        (built,) = pathlib.Path(folder).glob("beam-spark-*.jar")
        os.replace(built, jar)


def _first_error(log: pathlib.Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith("[ERROR]")), "it says nothing")
