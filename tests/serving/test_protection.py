"""Other sites' pages and guessed tokens get nothing."""

import logging

import pytest

from cnn_cifar10.cli import main
from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.limits import Limits

TOKEN = "a-token-of-tests"


@pytest.fixture(scope="module")
def classifier(artifact):
    return Classifier.open(artifact)


@pytest.fixture(scope="module")
def client(serving, classifier):
    with serving({"m": classifier}, hosts={"localhost", "127.0.0.1", "::1", "Example.org"}) as c:
        yield c


def host_of(client):
    return client.base_url.netloc.decode()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:80", "example.org"]
)
def test_the_service_is_known_by_its_own_names(client, host):
    assert client.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil@localhost.x"),
        *("[::1", "[localhost]", "", "192.0.2.1"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/models", "/predict", "/explain", "/health", "/docs"])
def test_a_name_that_another_site_leads_here_is_refused(client, host, path):
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert "--allow-host" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "x"])
def test_a_page_of_another_site_is_refused(client, origin):
    files = {"images": b"x"}
    answer = client.post("/predict", files=files, headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("a page of another site asks")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_own_page_is_answered_also_behind_a_proxy_that_ends_tls(client, scheme):
    for host in (host_of(client), "example.org"):
        headers = {"Origin": f"{scheme}://{host}", "Host": host}
        assert client.get("/models", headers=headers).status_code == 200


def test_a_service_for_all_names_still_refuses_pages_of_other_sites(serving, classifier):
    with serving({"m": classifier}, hosts=None, token=TOKEN) as client:
        headers = {"Host": "any.example", "Authorization": f"Bearer {TOKEN}"}
        assert client.get("/models", headers=headers).status_code == 200
        headers["Origin"] = "http://evil.example"
        assert client.get("/models", headers=headers).status_code == 403


def test_whoever_guesses_is_not_listened_to_for_a_while(serving, classifier, caplog):
    right = {"Authorization": f"Bearer {TOKEN}"}
    with (
        caplog.at_level(logging.WARNING),
        serving({"m": classifier}, Limits(wrong_tokens=3), token=TOKEN) as client,
    ):
        for _ in range(20):  # without a token, as browsers begin
            assert client.get("/models").status_code == 401
        for i in range(3):
            assert client.get("/models", headers=right).status_code == 200
            wrong = {"Authorization": f"Bearer guess-{i}"}
            assert client.get("/models", headers=wrong).status_code == 401
        for headers in (wrong, right):
            answer = client.get("/models", headers=headers)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 61
            assert answer.json()["detail"].startswith("too many wrong tokens from 127.0.0.1")
        assert client.get("/health").status_code == 200
        other = {**right, "X-Forwarded-For": "192.0.2.7"}  # which a proxy here tells
        assert client.get("/models", headers=other).status_code == 200
    lines = [each for each in caplog.messages if each.startswith("wrong token from 127.0.0.1")]
    assert len(lines) == 3
    assert not any("guess" in line for line in lines)


@pytest.mark.parametrize("given", [b"Basic \xe9\xe9", b"Basic a", b"Basic", b"Bearer \xff"])
def test_a_header_of_any_bytes_is_a_wrong_token(serving, classifier, given):
    with serving({"m": classifier}, token=TOKEN) as client:
        answer = client.get("/models", headers={"Authorization": given})
        assert answer.status_code == 401
        assert "x-content-type-options" in answer.headers


@pytest.mark.parametrize("token", ["x", "fifteen-letters"])
def test_a_short_token_is_one_line(artifact, capsys, monkeypatch, token):
    monkeypatch.setenv("CNN_CIFAR10_TOKEN", token)
    assert main(["serve", "--model", str(artifact), "--port", "0"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"has {len(token)} characters, and needs 16 or more" in line
    assert token not in line or token == "x"


def test_names_for_a_proxy_are_given_on_the_command_line(artifact, monkeypatch):
    given = {}
    monkeypatch.setattr(
        "cnn_cifar10.serving.serve", lambda models, **options: given.update(options)
    )
    assert main(["serve", "--model", str(artifact), "--allow-host", "example.org"]) == 0
    assert given["allowed_hosts"] == ["example.org"]
