"""Changes under load: no request fails, and sockets stay open. 10,000 requests each, or as many as DOORSTEP_LOAD says."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from harness.apps import EXAMPLES
from harness.load import Load
from harness.process import BINARY
from harness.up import is_alive, unverified

pytestmark = [pytest.mark.needs("node"), pytest.mark.timeout(900)]

# Instances that are replaced go on as long as somebody is connected: what is open stays open.
APP = f"""
[site."web.localhost"]
app = "web"
https = "optional"

[app.web]
dir = "{EXAMPLES / 'node'}"
run = "node server.js"
instances = 3
drain = "10m"
user = "root"
"""


def load(doorstep, host="web.localhost", **options):
    return Load(doorstep.https, host, tls=doorstep.trusting(), plain=doorstep.http, **options)


def unharmed(report):
    """Nothing failed, nothing was cut, and not one idle connection was closed under its client."""
    print(report)
    assert report.hard == 0, report
    assert report.uploads_failed == 0, report
    assert report.sockets_lost == 0, report
    assert report.idle_closes == 0, report
    assert report.uploads and report.echoes


def restart(doorstep):
    command = [BINARY, "restart", "web", "--config", doorstep.file]
    return subprocess.Popen(command, env=doorstep.env, cwd=doorstep.folder, stdout=subprocess.DEVNULL)


def test_rolling_restarts(up):
    doorstep = up(APP)
    with load(doorstep, sockets=0) as visitors:
        for share in (0.1, 0.5):
            visitors.until(share)
            before = doorstep.instances("web")
            assert restart(doorstep).wait(120) == 0
            assert not set(before) & set(doorstep.instances("web"))
    print(visitors.report)
    assert visitors.report.hard == visitors.report.idle_closes == visitors.report.uploads_failed == 0, visitors.report


def test_rolling_restart_waits_for_open_sockets(up):
    doorstep = up(APP)
    before = doorstep.instances("web")
    with load(doorstep) as visitors:
        visitors.until(0.2)
        restarting = restart(doorstep)
        doorstep.wait_for(lambda: set(doorstep.instances("web")) - set(before), "a new instance")
    unharmed(visitors.report)
    assert restarting.wait(120) == 0
    doorstep.wait_for(lambda: not any(map(is_alive, before)), "the end of the old instances")


def test_reload_with_changed_routes(up):
    doorstep = up(APP)
    with load(doorstep) as visitors:
        for number, share in enumerate((0.2, 0.4, 0.6, 0.8)):
            visitors.until(share)
            doorstep.write(APP + f'\n[[site."web.localhost".route]]\npath = "/number"\nrespond = "{number}"\n')
            doorstep.run("reload")
            assert doorstep.get("web.localhost", "/number").text == str(number)
    unharmed(visitors.report)


def test_reload_with_new_folders_takes_new_workers(up, tmp_path):
    doorstep = up(APP)
    workers = {doorstep.worker()}
    with load(doorstep) as visitors:
        for number, share in enumerate((0.2, 0.5, 0.8)):
            visitors.until(share)
            folder = doorstep.folder / f"files-{number}"
            folder.mkdir()
            (folder / "index.html").write_text(str(number))
            doorstep.write(APP + f'\n[site."files.localhost"]\nroot = "{folder}"\nhttps = "optional"\n')
            doorstep.run("reload")
            assert doorstep.get("files.localhost", tls=False).text == str(number)
            workers.add(doorstep.worker())
    unharmed(visitors.report)
    assert len(workers) == 4, workers


def test_reload_by_signal_and_a_bad_file_changes_nothing(up):
    doorstep = up(APP)
    with load(doorstep) as visitors:
        visitors.until(0.3)
        doorstep.write(APP + '\n[site."more.localhost"]\nrespond = "more"\n')
        os.kill(doorstep.pid, signal.SIGHUP)
        doorstep.wait_for(lambda: doorstep.get("more.localhost", tls=False).status in (200, 308), "the new site")
        visitors.until(0.6)
        doorstep.write(APP.replace("https =", "htps ="))
        refused = doorstep.run("reload", check=False)
        assert refused.returncode != 0 and "htps" in refused.stdout + refused.stderr
        assert doorstep.get("more.localhost").text == "more"
    unharmed(visitors.report)


def certificate(folder, name, number):
    """A self-signed certificate, in place of the one before."""
    new = [folder / f"{end}.new" for end in ("cert.pem", "key.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-set_serial", str(number)]
        + ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", new[0], "-keyout", new[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    for path in new:
        path.rename(path.with_suffix(""))


def serial(port, name):
    shown = subprocess.run(
        f"openssl s_client -connect 127.0.0.1:{port} -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -serial",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(shown.stdout.strip().partition("=")[2] or "0", 16)


def test_certificate_swap(up, tmp_path):
    folder = tmp_path / "up-0"
    folder.mkdir()
    certificate(folder, "web.localhost", 1)
    text = APP.replace('https = "optional"', 'https = "optional"\ncertificate = { chain = "cert.pem", key = "key.pem" }')
    doorstep = up(text)
    with Load(doorstep.https, "web.localhost", tls=unverified(), plain=doorstep.http) as visitors:
        for number, share in ((2, 0.2), (3, 0.5), (4, 0.8)):
            visitors.until(share)
            certificate(folder, "web.localhost", number)
            doorstep.wait_for(lambda: serial(doorstep.https, "web.localhost") == number, f"certificate {number}")
    unharmed(visitors.report)


def test_upgrades_several_in_a_row(up, tmp_path):
    copy = tmp_path / "doorstep"
    shutil.copy(BINARY, copy)
    doorstep = up(APP, binary=copy)
    pid, instances = doorstep.pid, doorstep.instances("web")
    with load(doorstep) as visitors:
        for share in (0.15, 0.4, 0.65):
            visitors.until(share)
            worker = doorstep.worker()
            shutil.copy(BINARY, tmp_path / "new")
            (tmp_path / "new").rename(copy)
            doorstep.run("upgrade")
            doorstep.wait_for(lambda: doorstep.worker() != worker, "a new worker")
            assert doorstep.pid == pid and doorstep.process.poll() is None
    unharmed(visitors.report)
    assert doorstep.instances("web") == instances, "an upgrade leaves apps alone"


def test_upgrade_to_something_broken_keeps_the_old(up, tmp_path):
    copy = tmp_path / "doorstep"
    shutil.copy(BINARY, copy)
    doorstep = up(APP, binary=copy)
    worker = doorstep.worker()
    with load(doorstep) as visitors:
        visitors.until(0.3)
        (tmp_path / "new").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "new").chmod(0o755)
        (tmp_path / "new").rename(copy)
        refused = doorstep.run("upgrade", check=False, binary=BINARY)
        assert refused.returncode != 0, refused.stdout
    unharmed(visitors.report)
    assert doorstep.worker() == worker


def test_kill_of_an_instance_costs_no_get(up):
    doorstep = up(APP)
    with load(doorstep, uploads=0, sockets=0) as visitors:
        for share in (0.2, 0.5, 0.8):
            visitors.until(share)
            victim = doorstep.instances("web")[0]
            os.kill(victim, signal.SIGKILL)
            doorstep.wait_for(lambda: len(set(doorstep.instances("web")) - {victim}) == 3, "another instance")
    print(visitors.report)
    assert visitors.report.hard == 0, visitors.report
    assert visitors.report.idle_closes == 0, visitors.report


def test_an_app_that_is_down_for_seconds_is_a_pause(up, tmp_path):
    """One instance that takes its time to start, killed: requests wait, and succeed."""
    slow = APP.replace('run = "node server.js"', 'run = "sh -c \'sleep 4; exec node server.js\'"').replace("instances = 3", "instances = 1")
    doorstep = up(slow)
    with load(doorstep, uploads=0, sockets=0, kept=32) as visitors:
        visitors.until(0.3)
        os.kill(doorstep.instances("web")[0], signal.SIGKILL)
        visitors.go_on(1)
        assert doorstep.wait_for(lambda: doorstep.instances("web"), "another instance")
    print(visitors.report)
    assert visitors.report.hard == 0, visitors.report
    assert 2 < visitors.report.slowest < 12, visitors.report


def test_worker_crash_costs_only_what_was_in_flight(up):
    doorstep = up(APP)
    kept = 16
    with load(doorstep, uploads=0, sockets=0, kept=kept, fresh=1) as visitors:
        for share in (0.3, 0.6):
            visitors.until(share)
            victim = doorstep.worker()
            os.kill(victim, signal.SIGKILL)
            doorstep.wait_for(lambda: doorstep.worker() not in (0, victim), "another worker")
    print(visitors.report)
    # Every connection of the worker is gone with it; each had one request under way at most. New ones were let in all the time.
    assert visitors.report.hard <= 2 * (kept + 1), visitors.report
    assert not any("refused" in reason.lower() for reason in visitors.report.reasons), visitors.report


def test_stop_drains(up):
    doorstep = up(APP.replace('drain = "10m"', ""))
    with load(doorstep, total=400, sockets=0, uploads=4) as visitors:
        visitors.until(0.9)
        time.sleep(1)
        # Uploads of two seconds are under way. Those in the middle are finished, new connections are refused.
        before = visitors.report.uploads
        doorstep.process.send_signal(signal.SIGTERM)
        visitors._told_to_stop.set()
    assert doorstep.process.wait(60) == 0
    print(visitors.report)
    assert visitors.report.uploads_failed == 0, visitors.report
    assert visitors.report.uploads >= before + 1
