"""The service as its users meet it: over HTTP, from servers in threads and in processes."""

import base64
import dataclasses
import io
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pillow_heif
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from cnn_cifar10.cli import main
from cnn_cifar10.datasets import IMAGE_FORMATS, decode_image
from cnn_cifar10.inference import SHIPPED, Classifier, shipped_artifact
from cnn_cifar10.serving.limits import Limits

pillow_heif.register_heif_opener()
KINDS = tuple(dict.fromkeys(IMAGE_FORMATS.values()))


@pytest.fixture(scope="module")
def classifier(artifact):
    return Classifier.open(artifact)


@pytest.fixture(scope="module")
def client(serving, classifier):
    with serving(
        {"digits": classifier, "mirrored": dataclasses.replace(classifier, mirror=True)}
    ) as c:
        yield c


class HeldSession:
    """A model that answers when it is let go, for what happens meanwhile."""

    def __init__(self, session):
        self._session, self.free, self.busy = session, threading.Event(), threading.Event()

    def get_inputs(self):
        return self._session.get_inputs()

    def run(self, *arguments):
        self.busy.set()
        self.free.wait(20)
        return self._session.run(*arguments)


@pytest.fixture
def held(classifier):
    session = HeldSession(classifier.session)
    yield dataclasses.replace(classifier, session=session)
    session.free.set()


def encoded(image, file_format="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, file_format)
    return file.getvalue()


@pytest.fixture(scope="module")
def pngs(digits):
    return [encoded(image) for image in digits.test.images[:40]]


def upload(*images):
    return [("images", (f"{i}.png", data)) for i, data in enumerate(images)]


def test_images_get_the_models_own_probabilities_in_order(client, classifier, digits, pngs):
    answer = client.post("/predict", files=upload(*pngs[:20]), params={"top": 10})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["model"] == "digits"
    expected = classifier.classify(digits.test.images[:20])
    assert [each["name"] for each in document["predictions"]] == [f"{i}.png" for i in range(20)]
    for each, prediction in zip(document["predictions"], expected, strict=True):
        assert each["label"] == prediction.label
        assert [row["class"] for row in each["top"]] == [row["class"] for row in prediction.top(10)]
        for row, wanted in zip(each["top"], prediction.top(10), strict=True):
            assert row["probability"] == pytest.approx(wanted["probability"], abs=1e-5)


def test_the_model_the_number_of_classes_and_the_threshold_can_be_chosen(client, pngs):
    plain = client.post("/predict", files=upload(pngs[0])).json()["predictions"][0]
    assert len(plain["top"]) == 5
    options = {"model": "mirrored", "top": 2, "threshold": 1}
    other = client.post("/predict", files=upload(pngs[0]), params=options).json()
    (unsure,) = other["predictions"]
    assert other["model"] == "mirrored"
    assert unsure["label"] == "unsure"
    assert len(unsure["top"]) == 2
    assert unsure["top"][0]["probability"] != plain["top"][0]["probability"]


def test_requests_at_the_same_time_each_get_their_own_answer(client, classifier, digits, pngs):
    expected = [prediction.top(1)[0] for prediction in classifier.classify(digits.test.images[:40])]

    def ask(png):
        return client.post("/predict", files=upload(png), params={"top": 1}).json()

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, pngs))
    for answer, wanted in zip(answers, expected, strict=True):
        (row,) = answer["predictions"][0]["top"]
        assert row["class"] == wanted["class"]
        assert row["probability"] == pytest.approx(wanted["probability"], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_any_image_is_read_and_is_of_a_type_that_the_description_has(client, kind):
    photo = np.random.default_rng(0).integers(0, 256, (90, 160, 3), "uint8")
    (content,) = (
        client.get("/openapi.json")
        .json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        .values()
    )
    media_type = Image.MIME.get(kind, f"image/{kind.lower()}")
    assert media_type in content["encoding"]["images"]["contentType"].split(", ")
    answer = client.post("/predict", files=[("images", ("a", encoded(photo, kind), media_type))])
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(90, 160), (160, 40), (32, 33)])
def test_an_image_becomes_a_square_as_in_training(serving, classifier, fit, size):
    png = encoded(np.random.default_rng(0).integers(0, 256, (*size, 3), "uint8"))
    fitting = dataclasses.replace(classifier, fit=fit)
    with serving({"model": fitting}) as client:
        assert client.get("/models").json()[0]["fit"] == fit
        (given,) = client.post("/predict", files=upload(png)).json()["predictions"]
    (expected,) = fitting.classify(decode_image(png, (32, 32), fit=fit)[None])
    assert given["label"] == expected.label
    assert given["top"][0]["probability"] == pytest.approx(expected.probabilities.max(), abs=1e-5)


@pytest.mark.parametrize("name", ["../../etc/passwd", "катя.png", "a\tb.png", "x" * 200])
def test_a_files_name_is_repeated_and_nothing_else_is_done_with_it(client, pngs, name):
    answer = client.post("/predict", files=[("images", (name, pngs[0]))])
    assert answer.json()["predictions"][0]["name"].replace("%09", "\t") == name


def test_names_that_are_no_text_are_repaired(client, pngs):
    """`unicode_escape` makes half of a surrogate pair of this, which JSON cannot hold."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="\\ud800.png"\r\n\r\n'
        + pngs[0]
        + b"\r\n--b--\r\n"
    )
    kind = "multipart/form-data; boundary=b; charset=unicode_escape"
    answer = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["name"] == "?.png"


@pytest.mark.parametrize(
    ("files", "params", "status", "message"),
    [
        ([("images", ("a.png", b"<html>"))], {}, 422, r"^image 1 \(a\.png\): holds no image"),
        ([("images", ("a.png", b""))], {}, 422, r"^image 1 \(a\.png\): is empty"),
        ([("picture", ("a.png", b"x"))], {}, 422, r"^body images: Field required$"),
        ([("images", (None, "text"))], {}, 422, r"^body images 0: "),
        ("good", {"top": 0}, 422, r"^query top: .* greater than or equal to 1$"),
        ("good", {"threshold": "nan"}, 422, r"^query threshold: "),
        ("good", {"model": "x"}, 422, r"^query model: Input should be 'digits' or 'mirrored'$"),
        ("good", {"top": "x", "threshold": 2}, 422, r"^query top: .*; query threshold: "),
        ("many", {}, 422, r"^body images: .* at most 32 items"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(client, pngs, files, params, status, message):
    files = {"good": upload(pngs[0]), "many": upload(*pngs[:33])}.get(str(files), files)
    answer = client.post("/predict", files=files, params=params)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert re.search(message, answer.json()["detail"])
    assert "\n" not in answer.json()["detail"]


def test_the_image_that_cannot_be_read_is_named(client, pngs):
    answer = client.post("/predict", files=upload(pngs[0], pngs[1][:60], pngs[2]))
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("image 2 (1.png): cannot be read (")


@pytest.mark.parametrize(
    ("kind", "status"), [("multipart/form-data", 400), ("application/json", 422)]
)
def test_a_body_that_is_no_form_is_refused(client, kind, status):
    answer = client.post("/predict", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_no_address_is_fetched(client):
    answer = client.post("/predict", data={"images": "http://127.0.0.1:1/cat.jpg"})
    assert answer.status_code == 422


def test_models_say_what_they_take_know_and_measured(client, digits_report):
    first, second = client.get("/models").json()
    assert (first["name"], second["name"]) == ("digits", "mirrored")
    assert first["class_names"] == list("0123456789")
    assert first["input_shape"] == [32, 32, 3]
    assert first["explains"] is True
    assert first["metrics"]["test"]["accuracy"] == pytest.approx(
        digits_report["metrics"]["test"]["accuracy"]
    )


def test_metrics_count_requests_images_and_runs(serving, classifier, pngs):
    with serving({"digits": classifier}) as client:
        client.get("/health")
        client.get("/nothing-here")
        client.post("/predict", files=upload(b"x"))
        client.post("/predict", files=upload(*pngs[:3]))
        answer = client.get("/metrics")
        lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
    assert answer.headers["content-type"].startswith("text/plain")
    assert lines['http_requests_total{path="/predict",status="200"}'] == "1.0"
    assert lines['http_requests_total{path="/predict",status="422"}'] == "1.0"
    assert lines['http_requests_total{path="/health",status="200"}'] == "1.0"
    assert lines['http_requests_total{path="other",status="404"}'] == "1.0"
    assert lines['http_request_duration_seconds_count{path="/predict"}'] == "2.0"
    assert lines['pictures_total{model="digits"}'] == "3.0"
    assert lines['batch_pictures_sum{model="digits"}'] == "3.0"
    assert lines['pictures_waiting{model="digits"}'] == "0.0"
    assert lines["predictions_in_progress"] == "0.0"
    assert float(lines["process_resident_memory_bytes"]) > 1e7


def test_a_full_service_refuses_at_once_and_still_tells_how_it_is(serving, held, pngs):
    with serving({"digits": held}, limits=Limits(requests=2)) as client:
        with ThreadPoolExecutor(2) as threads:
            asked = [
                threads.submit(client.post, "/predict", files=upload(pngs[i])) for i in range(2)
            ]
            while "predictions_in_progress 2.0" not in client.get("/metrics").text:
                time.sleep(0.01)
            began = time.perf_counter()
            refused = client.post("/predict", files=upload(pngs[2]))
            assert client.get("/health").json() == {"status": "ok"}
            assert time.perf_counter() - began < 2
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["detail"] == "too many requests at once; try again"
            held.session.free.set()
            assert [each.result().status_code for each in asked] == [200, 200]
        assert client.post("/predict", files=upload(pngs[2])).status_code == 200


def test_a_model_that_takes_too_long_is_given_up(serving, held, pngs):
    with serving({"digits": held}, limits=Limits(seconds=0.3)) as client:
        answer = client.post("/predict", files=upload(pngs[0]))
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("no answer within 0.3 s")
        assert "predictions_in_progress 0.0" in client.get("/metrics").text
        held.session.free.set()


def raw_answer(address, request):
    """Send bytes, and return what comes back until the connection is closed."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_body_that_does_not_arrive_is_given_up(serving, classifier):
    with serving({"digits": classifier}, limits=Limits(seconds=0.3)) as client:
        url = client.base_url
        answer = raw_answer(
            (url.host, url.port),
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"took more than 0.3 s to arrive" in answer


LARGE = "the request has more than 0.1 MB; send fewer or smaller images"


def test_a_body_that_is_announced_as_large_is_refused_before_it_comes(serving, classifier):
    with serving({"digits": classifier}, limits=Limits(megabytes=0.1)) as client:
        answer = raw_answer(
            (client.base_url.host, client.base_url.port),
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: 100001\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert LARGE.encode() in answer


def test_a_body_that_becomes_large_is_refused(serving, classifier):
    start = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with serving({"digits": classifier}, limits=Limits(megabytes=0.1)) as client:
        content = iter([start, *[bytes(10_000)] * 1000])
        answer = client.post("/predict", content=content, headers=headers)
        assert client.get("/health").status_code == 200
    assert answer.status_code == 413
    assert answer.json()["detail"] == LARGE


def test_browsers_are_told_to_trust_nothing_else(client):
    for path in ("/docs", "/models", "/nothing-here"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


def test_the_page_about_the_service_loads_nothing_from_elsewhere(client):
    page = client.get("/docs").text
    linked = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(linked) == 3
    for link in linked:
        assert link.startswith("/")
        assert client.get(link).status_code == 200


def test_files_outside_the_pages_own_are_not_served(client):
    for path in ("/static-offline-docs/../core.py", "/static-offline-docs/%2e%2e/core.py"):
        assert client.get(path).status_code == 404


TOKEN = "a-token-of-tests"


def basic(password):
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


@pytest.fixture(scope="module")
def closed(serving, classifier):
    with serving({"digits": classifier}, Limits(wrong_tokens=10**6), token=TOKEN) as client:
        yield client


@pytest.mark.parametrize(
    "given",
    [None, "", TOKEN, "Bearer", f"Bearer {TOKEN}x", basic("x"), "Basic !", "Basic eA=="],
)
@pytest.mark.parametrize(
    "path", ["/predict", "/models", "/metrics", "/docs", "/openapi.json", "/x"]
)
def test_without_the_token_nothing_is_answered(closed, path, given):
    headers = {} if given is None else {"Authorization": given}
    answer = closed.request("POST" if path == "/predict" else "GET", path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert "send the header" in answer.json()["detail"]
    assert closed.get("/health").status_code == 200


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)])
def test_the_token_opens_everything(closed, pngs, given):
    headers = {"Authorization": given}
    assert closed.post("/predict", files=upload(pngs[0]), headers=headers).status_code == 200
    assert closed.get("/docs", headers=headers).status_code == 200


IMAGES = [encoded(np.full((5, 7, 3), 90, "uint8"), kind) for kind in KINDS]
KINDS_OF_MANY = [Image.MIME.get(kind, f"image/{kind.lower()}") for kind in KINDS]
CASES = int(os.environ.get("CNN_CIFAR10_CASES", 40))


@pytest.mark.parametrize(
    ("service", "mode", "usual"),
    [
        ("client", GenerationMode.POSITIVE, 200),
        ("client", GenerationMode.NEGATIVE, 422),
        ("closed", GenerationMode.POSITIVE, 200),
        ("closed", GenerationMode.NEGATIVE, 401),
    ],
)
def test_the_service_keeps_to_its_description(service, mode, usual, request):
    """Requests are made from the description, valid or not; so are the checks of answers."""
    for (kind, *others), images in (
        (KINDS_OF_MANY, st.lists(st.sampled_from(IMAGES), min_size=1, max_size=3)),
        (["image/*"], st.sampled_from(IMAGES)),
    ):
        schemathesis.openapi.media_type(kind, images, aliases=others)
    schema = schemathesis.openapi.from_url(
        f"{request.getfixturevalue(service).base_url}/openapi.json",
        headers={"Authorization": f"Bearer {TOKEN}"},
        config=SchemathesisConfig.from_dict(
            {"auth": {"openapi": {"HTTPBearer": {"bearer": TOKEN}}}} if service == "closed" else {}
        ),
    )
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) == 5
    statuses = Counter()

    @settings(
        max_examples=CASES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of([each.as_strategy(generation_mode=mode) for each in operations]))
    def ask(case):
        statuses[case.call_and_validate().status_code] += 1

    ask()
    assert statuses.total() >= CASES
    assert statuses[usual] > CASES / 4


def test_the_shipped_model_has_its_name_wherever_it_is_installed(artifact, monkeypatch):
    served = []
    monkeypatch.setattr("cnn_cifar10.inference.SHIPPED", (artifact, Path("models/some_model")))
    monkeypatch.setattr("cnn_cifar10.serving.serve", lambda models, **_: served.extend(models))
    assert main(["serve"]) == 0
    assert served == ["some_model"]


def leave_half_way(address, path):
    """Begin to send a form, and hang up."""
    url = httpx.URL(address)
    head = f"POST {path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Length: 1000\r\n"
    head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(head.encode())
        time.sleep(0.2)


def test_a_process_serves_the_shipped_model_and_ends_when_told(process, pngs):
    with process("--port", 0) as (server, address):
        (model,) = httpx.get(f"{address}/models").json()
        assert len(model["class_names"]) == 10
        assert httpx.post(f"{address}/predict", files=upload(pngs[0])).status_code == 200
        leave_half_way(address, "/predict")
        leave_half_way(address, "/explain")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        printed = server.stderr.read().splitlines()
        expected = f"Serving {SHIPPED[-1].name} on "
        assert [line for line in printed if not line.startswith(expected)] == []


def test_requests_under_way_are_finished_before_the_process_ends(process, artifact, pngs):
    """The body of one is only half sent when the process is told to end."""
    with process("--port", 0, "--model", artifact) as (server, address):
        url = httpx.URL(address)
        body = httpx.Request("POST", address, files=upload(pngs[0]))
        content = body.read()
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        head += f"Content-Type: {body.headers['content-type']}\r\n\r\n"
        with socket.create_connection((url.host, url.port)) as connection:
            connection.sendall(head.encode() + content[:100])
            httpx.get(f"{address}/health")  # which is answered after the header is read
            server.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(content[100:])
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b'"model":"digits"' in answer
        assert server.wait(20) == 0


def test_other_addresses_need_a_token_from_the_environment(process, artifact):
    arguments = ("--model", artifact, shipped_artifact(), "--port", 0, "--host", "0.0.0.0")
    with process(*arguments, CNN_CIFAR10_TOKEN=TOKEN) as (_, address):
        url = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/models").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        models = httpx.get(f"{url}/models", headers=headers).json()
        assert [model["name"] for model in models] == ["digits", shipped_artifact().name]


def test_an_address_that_cannot_be_used_is_one_line(artifact, capsys, monkeypatch):
    def fail(*arguments):
        assert main(["serve", "--model", str(artifact), *arguments]) == 2
        printed = capsys.readouterr().err.splitlines()
        (fault,) = (line for line in printed if not line.startswith("Serving digits on "))
        return fault

    monkeypatch.delenv("CNN_CIFAR10_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1 port {port}: Address already in use" in fail("--port", port)
    assert "port must be in 0 to 65535, received 99999" in fail("--port", "99999")
    for host in ("0.0.0.0", "", "::", "192.0.2.1", "example.org"):
        assert "set CNN_CIFAR10_TOKEN to a token" in fail("--host", host)
    assert "another model is named digits too" in fail("--model", str(artifact), str(artifact))


def test_what_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["serve"]) == 2
    assert "pip install 'cnn-cifar10[serve]'" in capsys.readouterr().err


def test_the_server_imports_neither_tensorflow_nor_keras(artifact, run_program):
    assert run_program("app_imports.py", artifact) == "set()\n"
