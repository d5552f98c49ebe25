"""Fixtures of the end-to-end tests: `share`, `app`, `up`, `world`, `browser`; the mark `needs`."""

import os
import shutil

import pytest

from harness import apps as app_starters
from harness import browser as browsers
from harness.process import BINARY, Doorstep
from harness.up import Up
from harness.world import World

NO_SKIP = bool(os.environ.get("DOORSTEP_E2E_NO_SKIP"))


@pytest.fixture
def share(request, tmp_path):
    """Starts `doorstep share ARGS…` and waits until it shares. Everything is stopped when the test ends.

    `local=False` listens beyond this computer too, and announces itself there; `wait=False` does not wait.
    """
    started = []

    def start(*args, local=True, wait=True, json=True, port=0, **options):
        extra = ["--no-qr"] + ["--json"] * json + ["--local"] * local
        if port is not None:
            extra += ["--port", str(port)]
        doorstep = Doorstep([*args, *extra], tmp_path / "doorstep", **options)
        started.append(doorstep)
        if wait:
            doorstep.wait_event("sharing")
        return doorstep

    request.node.logs = getattr(request.node, "logs", []) + [started]
    yield start
    for doorstep in started:
        doorstep.kill()


@pytest.fixture
def app(request, tmp_path):
    """Starts an app of harness.apps by name: `app("flask")`, `app("vite", project)`."""
    started = []

    def start(name, *args, **options):
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        started.append(getattr(app_starters, name)(folder, *args, **options))
        return started[-1]

    request.node.logs = getattr(request.node, "logs", []) + [started]
    yield start
    for running in started:
        running.stop()


@pytest.fixture
def up(request, tmp_path):
    """Starts `doorstep up` with this text as its file: `up("[site.default]…", files={"index.html": "hello"})`."""
    started = []

    def start(config, folder=None, begin=True, **options):
        daemon = Up(folder or tmp_path / f"up-{len(started)}", config, **options)
        started.append(daemon)
        if begin:
            daemon.begin()
        return daemon

    request.node.logs = getattr(request.node, "logs", []) + [started]
    yield start
    for daemon in started:
        daemon.kill()


@pytest.fixture
def world(request, tmp_path):
    """A laptop behind a router, servers and a visitor outside, in network namespaces."""
    made = World(tmp_path / "world")
    request.node.logs = getattr(request.node, "logs", []) + [[made]]
    yield made
    made.close()


@pytest.fixture
def browser(tmp_path):
    """Starts Chromium with an empty profile: `browser()`, `browser(width=390, height=844, dark=True)`."""
    missing = [program for program in ("chromium", "chromedriver") if not shutil.which(program)]
    if missing:
        unmet(missing)
    started = []

    def start(**options):
        started.append(browsers.start(tmp_path / f"profile-{len(started)}", **options))
        return started[-1]

    yield start
    for driver in started:
        driver.quit()


def pytest_runtest_setup(item):
    """The mark `needs`: without these programs a test is skipped; where they can be installed, that is a failure."""
    wanted = [program for mark in item.iter_markers("needs") for program in mark.args]
    missing = [program for program in wanted if not is_there(program)]
    if missing:
        unmet(missing)


def is_there(need):
    if need == "root":
        return os.geteuid() == 0
    return bool(shutil.which(need) or shutil.which(need, path="/usr/sbin:/sbin"))


def unmet(missing):
    reason = f"needs {', '.join(missing)}"
    if NO_SKIP:
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_sessionstart():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: `cargo build -p doorstep` first, or set DOORSTEP_BIN", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows what doorstep, and the apps behind it, had to say. Where nothing may be skipped, a skip is one."""
    report = (yield).get_result()
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    if report.failed:
        for started in getattr(item, "logs", []):
            for process in started:
                report.sections.append(("log", process.log[-6000:]))
