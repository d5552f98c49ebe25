"""The daemon itself: one of a kind, hard to kill, leaving nothing behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.apps import EXAMPLES
from harness.up import is_alive

APP = f"""
[site."web.localhost"]
app = "web"
https = "optional"

[app.web]
dir = "{EXAMPLES / 'node'}"
run = "node server.js"
instances = 2
user = "root"
"""
SITE = '[site."one.localhost"]\nrespond = "hello"\nhttps = "optional"\n'


def test_status_says_what_there_is(up):
    doorstep = up(APP)
    for _ in range(20):
        doorstep.get("web.localhost")
    status = doorstep.status()
    assert [site["name"] for site in status["sites"]] == ["web.localhost"]
    app = doorstep.app("web")
    assert len(app["instances"]) == 2
    table = doorstep.run("status").stdout
    assert "web.localhost" in table and "web" in table
    json.dumps(status)


def test_logs_of_an_app(up):
    doorstep = up(APP)
    assert "http://localhost:" in doorstep.run("logs", "web").stdout


def test_two_daemons_do_not_share_a_state(up):
    doorstep = up(SITE)
    second = doorstep.run("up", check=False)
    assert second.returncode != 0
    said = second.stdout + second.stderr
    assert "already" in said or "another" in said, said
    assert doorstep.get("one.localhost").text == "hello"


def test_stop_ends_everything(up):
    doorstep = up(APP)
    pids = doorstep.instances("web") + [doorstep.worker()]
    doorstep.run("stop")
    assert doorstep.process.wait(60) == 0
    assert not [pid for pid in pids if is_alive(pid)]
    assert doorstep.descendants_by_folder() == []


def test_orders_that_come_before_everything_is_up(up):
    """Neither a reload nor a stop ends the supervisor alone and leaves its app behind."""
    doorstep = up(APP.replace("node server.js", "sleep 3.25; exec node server.js"), wait=False)
    doorstep.wait_for(lambda: any("sleep 3.25" in words_of(pid) for pid in os.listdir("/proc")), "the app's start")
    os.kill(doorstep.process.pid, signal.SIGHUP)
    time.sleep(0.5)
    assert doorstep.process.poll() is None
    os.kill(doorstep.process.pid, signal.SIGTERM)
    assert doorstep.process.wait(60) == 0
    assert doorstep.descendants_by_folder() == []


def words_of(pid):
    """A process's command line; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""


def test_workers_take_orders_from_their_supervisor_alone(up):
    """Ctrl-C, a closed terminal and `pkill -HUP doorstep` reach them, too."""
    doorstep = up(SITE)
    worker = doorstep.worker()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(worker, number)
    time.sleep(0.5)
    assert doorstep.worker() == worker
    assert doorstep.get("one.localhost").text == "hello"


def test_killed_supervisor_leaves_nothing_and_the_next_starts(up):
    doorstep = up(APP)
    old = doorstep.instances("web")
    os.kill(doorstep.pid, signal.SIGKILL)
    doorstep.process.wait(30)
    doorstep.start()
    assert doorstep.get("web.localhost").status == 200
    assert not set(old) & set(doorstep.instances("web"))
    doorstep.wait_for(lambda: not any(map(is_alive, old)), "the end of the old instances")


def test_killed_supervisor_and_apps_that_are_adopted(up):
    doorstep = up(APP + 'orphans = "adopt"\n')
    old = doorstep.instances("web")
    os.kill(doorstep.pid, signal.SIGKILL)
    doorstep.process.wait(30)
    doorstep.start()
    assert doorstep.instances("web") == old
    assert doorstep.get("web.localhost").status == 200


def test_killed_again_and_again(up):
    """kill -9 at arbitrary moments: the next start always works, with the same authority."""
    doorstep = up(SITE)
    root = doorstep.root().read_bytes()
    for number in range(5):
        os.kill(doorstep.pid, signal.SIGKILL)
        doorstep.process.wait(30)
        doorstep.start(wait=False)
        time.sleep(0.1 * number)
    os.kill(doorstep.pid, signal.SIGKILL)
    doorstep.process.wait(30)
    doorstep.start()
    assert doorstep.get("one.localhost").text == "hello"
    assert doorstep.root().read_bytes() == root


def test_crash_loop_is_told_with_its_last_words(up):
    text = SITE + '\n[site."two.localhost"]\napp = "bad"\n\n[app.bad]\nrun = "echo the cat ate it; exit 3"\nuser = "root"\n'
    doorstep = up(text, wait=False)
    doorstep.wait_for(lambda: (doorstep.status(check=False) or {}).get("sites"), "a status")
    assert doorstep.get("one.localhost").text == "hello", "one bad app stops nothing else"
    doorstep.wait_for(lambda: "the cat ate it" in doorstep.log, "the last words in the log")
    # The request waited for an instance, in vain.
    answer = doorstep.get("two.localhost")
    assert answer.status == 503 and "retry-after" in answer.headers


def test_one_dead_upstream_stops_nothing(up):
    text = SITE + '\n[site."two.localhost"]\nproxy = ["http://127.0.0.1:1", "http://no-such-host.invalid:80"]\nqueue = { wait = "1s" }\n'
    doorstep = up(text)
    assert doorstep.get("one.localhost").text == "hello"
    assert doorstep.get("two.localhost").status == 503


@pytest.mark.needs("root", "mount")
def test_full_disk(up, tmp_path):
    """The state's disk is full: sites answer on, and once there is room everything works again."""
    folder = tmp_path / "up-0"
    (folder / "state").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", folder / "state"], check=True)
    try:
        doorstep = up(APP)
        filler = folder / "state/filler"
        with open(filler, "wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        assert doorstep.get("web.localhost").status == 200
        os.kill(doorstep.instances("web")[0], signal.SIGKILL)
        assert doorstep.get("web.localhost").status == 200
        doorstep.write(APP + SITE)
        doorstep.run("reload", check=False)
        assert doorstep.get("web.localhost").status == 200
        filler.unlink()
        doorstep.run("reload")
        assert doorstep.get("one.localhost").text == "hello"
        assert doorstep.stop() == 0
    finally:
        subprocess.run(["umount", "-l", folder / "state"], check=False)
