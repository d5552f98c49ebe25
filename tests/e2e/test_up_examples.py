"""Folders become sites: `doorstep init`, then `doorstep up`, and they answer over HTTPS."""

import json
import re
import time

import pytest

from harness.load import Load
from harness.process import run
from harness.up import copy_example


@pytest.fixture
def example(up, tmp_path):
    """Copies an example, lets `doorstep init` write its file, checks that, and starts it."""

    def start(name):
        folder = copy_example(name, tmp_path / name)
        done = run("init", folder)
        assert done.returncode == 0, done.stderr
        assert "Found " in done.stdout and "doorstep up" in done.stdout
        done = run("check", folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return up((folder / "doorstep.toml").read_text(), folder=folder)

    return start


def is_at_home(doorstep, host, word):
    """The front page comes by HTTPS, with a certificate that this computer's authority vouches for; HTTP is led there."""
    page = doorstep.get(host)
    assert page.status == 200 and word in page.text
    plain = doorstep.get(host, "/some/where?x=1", tls=False)
    assert plain.status in (301, 308)
    assert plain.headers["Location"] == f"https://{host}:{doorstep.https}/some/where?x=1"


@pytest.mark.timeout(400)
def test_flask(example):
    doorstep = example("flask")
    is_at_home(doorstep, "flask.localhost", "Flask is at home")
    known = json.loads(doorstep.get("flask.localhost", "/whoami").body)
    assert known["host"].split(":")[0] == "flask.localhost"
    assert known["forwarded"]["X-Forwarded-Proto"] == "https"
    assert doorstep.get("flask.localhost", "/ticks?n=3").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert doorstep.request("POST", "flask.localhost", "/echo", body="x" * 200_000).body == b"x" * 200_000


@pytest.mark.timeout(400)
def test_django(example):
    doorstep = example("django")
    host = "django.localhost"
    is_at_home(doorstep, host, "Django is at home")
    form = doorstep.get(host, "/book")
    assert "Nobody yet" in form.text
    style = re.search(r'href="(/static/[^"]+)"', form.text)[1]
    sheet = doorstep.get(host, style)
    assert sheet.status == 200 and "font" in sheet.text and sheet.headers["Content-Type"].startswith("text/css")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)[1]
    cookie = form.headers["Set-Cookie"].split(";")[0]
    fields = {
        "Cookie": cookie,
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": f"https://{host}:{doorstep.https}",
        "Host": f"{host}:{doorstep.https}",
    }
    body = f"csrfmiddlewaretoken={token}&text=hello+there"
    written = doorstep.request("POST", host, "/book", headers=fields, body=body)
    assert written.status == 302, written.text
    assert "hello there" in doorstep.get(host, "/book").text
    # What was written is in a file: it is there after a restart too.
    doorstep.run("restart", "django")
    assert "hello there" in doorstep.get(host, "/book").text


@pytest.mark.timeout(400)
def test_fastapi_with_its_websocket(example):
    doorstep = example("fastapi")
    is_at_home(doorstep, "fastapi.localhost", "FastAPI is at home")
    assert doorstep.get("fastapi.localhost", "/ticks?n=2").text == "data: 0\n\ndata: 1\n\n"
    with Load(doorstep.https, "fastapi.localhost", tls=doorstep.trusting(), total=200, uploads=0, sockets=3) as load:
        time.sleep(1)
    assert load.report.hard == load.report.sockets_lost == 0, load.report
    assert load.report.echoes > 3


@pytest.mark.needs("node")
def test_node(example):
    doorstep = example("node")
    is_at_home(doorstep, "node.localhost", "Node is at home")
    assert doorstep.get("node.localhost", "/nowhere").status == 404


def test_static_site(example):
    doorstep = example("site")
    is_at_home(doorstep, "site.localhost", "<h1>")
    missing = doorstep.get("site.localhost", "/nowhere")
    assert missing.status == 404 and "<" in missing.text
    for secret in ("/doorstep.toml", "/.env"):
        assert doorstep.get("site.localhost", secret).status == 404


def test_folder_of_files_is_a_list(example):
    doorstep = example("files")
    page = doorstep.get("files.localhost")
    assert page.status == 200 and "packing-list.txt" in page.text and "doorstep.toml" not in page.text
