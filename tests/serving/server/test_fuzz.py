"""Thousands of changed requests over gRPC and REST against a server process.

Whatever is sent, the server says what is wrong with it, or answers; it does not fail and goes on.
"""

import base64
import collections
import concurrent.futures
import json

import grpc
import httpx
import mutations
import numpy as np
import pytest
from model_servers import NAME, arrays_of, face_landmarks, predict_request, running
from test_server import png

from facemodel.morphable.model import MorphableModel

pytestmark = pytest.mark.serving

FAULTS = {"INTERNAL", "UNKNOWN", "DATA_LOSS", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
PREDICTION, MODELS = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"
HANGS_S = 120
SIZE = 32
"""Of the images, px."""
LANDMARKS = face_landmarks(MorphableModel.tiny()) * np.float32(SIZE / 128)
IMAGE = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
FACE = {"image": IMAGE, "landmarks": LANDMARKS}
PICTURE = {"image_bytes": [png(IMAGE[0])], "landmarks": LANDMARKS}
SEEDS = [
    predict_request(FACE).SerializeToString(),
    predict_request(FACE, outputs=["scale", "coefficients"]).SerializeToString(),
    predict_request(PICTURE, signature="encoded", version=2).SerializeToString(),
    predict_request({"examples": [b"\n\x02\n\x00"]}, signature="examples").SerializeToString(),
    predict_request({"request": [b""]}, signature="metadata", label="stable").SerializeToString(),
]
B64 = {"b64": base64.b64encode(PICTURE["image_bytes"][0]).decode()}
JSON_SEEDS = [
    {"inputs": {name: value.tolist() for name, value in FACE.items()}},
    {"instances": [{"image_bytes": B64, "landmarks": LANDMARKS[0].tolist()}],
     "signature_name": "encoded"},
    {"signature_name": "metadata", "instances": [""]},
    {"signature_name": "examples", "inputs": {"examples": [B64]}},
]  # fmt: skip
FEW, FEW_JSON = [SEEDS[0], SEEDS[-1]], [JSON_SEEDS[0], JSON_SEEDS[2]]
"""Of two signatures: the first answer of each takes a server seconds."""
PATHS = ("", ":predict", "/metadata", "/versions/1", "/versions/2:predict", "/labels/stable")


@pytest.fixture(scope="module")
def server(tiny_versions, tmp_path_factory):
    work, folder = tmp_path_factory.mktemp("fuzz"), tiny_versions[0].parent
    options = ["--rest-port", "0", "--max-image-pixels", "100000", "--request-log", "json"]
    with running("facerelief", folder, work, labels={"stable": 2}, options=options) as server:
        rest = (work / "server.out").read_text().splitlines()[0].split()[-1]
        server.rest = f"http://{rest}/v1/models/{NAME}"
        yield server


def grpc_request(rng, seeds=SEEDS):
    """Method and bytes of a request."""
    method = rng.choice(["Predict"] * 8 + ["GetModelMetadata", "Classify"])
    data, other = (seeds[k] for k in rng.integers(len(seeds), size=2))
    if rng.integers(3):
        data = mutations.mutate_predict(rng, data, other)
    if not rng.integers(3):
        data = mutations.mutate_bytes(rng, data, other)
    if not rng.integers(12):
        return MODELS + str(rng.choice(["GetModelStatus", "HandleReloadConfigRequest"])), data
    return PREDICTION + str(method), data


def rest_request(rng, seeds=JSON_SEEDS):
    """Method, path and body of a request."""
    method = str(rng.choice(["POST"] * 8 + ["GET", "PUT"]))
    path = ":predict" if rng.integers(4) else str(rng.choice(PATHS))
    body = mutations.mutate_json(rng, seeds[rng.integers(len(seeds))])
    if not rng.integers(4):
        body = mutations.mutate_bytes(rng, body, SEEDS[0])
    if not rng.integers(8):
        path = path + str(rng.choice(["/", "/x", "%00", "/versions/99999999999999999999", ":x"]))
    return method, path, body


def over_grpc(channel, number, seeds=SEEDS):
    method, data = grpc_request(np.random.default_rng([1, number]), seeds)
    try:
        channel.unary_unary(method, None, None)(data, timeout=HANGS_S)
        return "OK"
    except grpc.RpcError as error:
        code = error.code().name
        return f"{code}: {error.details()}" if code in FAULTS else code


def over_rest(http, url, number, seeds=JSON_SEEDS):
    method, path, body = rest_request(np.random.default_rng([2, number]), seeds)
    answer = http.request(method, url + path, content=body)
    if answer.headers["content-type"] == "application/json" and answer.status_code != 200:
        assert json.loads(answer.content)["error"]
    return answer.status_code


@pytest.mark.parametrize(
    ("count", "seeds", "json_seeds"),
    [
        pytest.param(150, FEW, FEW_JSON, id="few"),
        pytest.param(5000, SEEDS, JSON_SEEDS, id="many", marks=pytest.mark.slow),
    ],
)
def test_whatever_comes_is_answered_or_refused(server, count, seeds, json_seeds):
    with (
        httpx.Client(trust_env=False, timeout=HANGS_S) as http,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        channel = server.stubs.channel
        grpc_codes = list(pool.map(lambda k: over_grpc(channel, k, seeds), range(count)))
        rest_codes = list(
            pool.map(lambda k: over_rest(http, server.rest, k, json_seeds), range(count))
        )
    bad = [("gRPC", k, code) for k, code in enumerate(grpc_codes) if code.split(":")[0] in FAULTS]
    bad += [("REST", k, code) for k, code in enumerate(rest_codes) if code >= 500 and code != 501]
    assert not bad, bad[:20]
    seen = collections.Counter(map(str, (*grpc_codes, *rest_codes)))
    assert {"OK", "INVALID_ARGUMENT", "200", "400"} <= set(seen), seen
    assert server.process.poll() is None
    answer = arrays_of(server.stubs.predict(predict_request(FACE), timeout=HANGS_S))
    assert np.isfinite(answer["vertices"]).all()
    # TensorFlow's warnings would have what was sent in them.
    assert "Traceback" not in server.log and "OP_REQUIRES" not in server.log
