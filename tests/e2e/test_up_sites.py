"""Names, and what the file may not say."""

import pytest

from harness.process import run

SITES = """
[site."one.localhost"]
root = "one"
www = true

[site."two.localhost"]
root = "two"
https = "optional"

[[site."two.localhost".route]]
path = "/old/*"
redirect = { to = "/new/{1}", status = 301 }

[[site."two.localhost".route]]
path = "/ping"
respond = "pong"
"""
PAGES = {"one/index.html": "this is one", "two/index.html": "this is two"}


def test_names_lead_to_their_sites(up):
    doorstep = up(SITES, files=PAGES)
    assert doorstep.get("one.localhost").text == "this is one"
    assert doorstep.get("two.localhost").text == "this is two"
    assert doorstep.get("two.localhost", tls=False).text == "this is two"
    assert doorstep.get("two.localhost", "/ping").text == "pong"
    moved = doorstep.get("two.localhost", "/old/page")
    assert (moved.status, moved.headers["Location"]) == (301, "/new/page")
    alias = doorstep.get("www.one.localhost", "/a?b=c")
    assert alias.status in (301, 308)
    assert alias.headers["Location"] == f"https://one.localhost:{doorstep.https}/a?b=c"


def test_strangers_reach_nothing(up):
    doorstep = up(SITES, files=PAGES)
    for host in ("unknown.localhost", "127.0.0.1", "evil.example", "one.localhost.evil.example", ""):
        answer = doorstep.get(host, tls=False)
        assert answer.status in (400, 421), host
        assert "this is" not in answer.text
    # A name that the certificate was not asked for.
    crossed = doorstep.get("two.localhost", sni="one.localhost")
    assert crossed.status == 421 and "this is" not in crossed.text


def test_upgrade_to_https_keeps_the_address(up):
    doorstep = up(SITES, files=PAGES)
    for host in ("one.localhost", f"one.localhost:{doorstep.http}"):
        moved = doorstep.get("one.localhost", "/x/%20y?z=1", tls=False, headers={"Host": host})
        assert moved.status == 308
        assert moved.headers["Location"] == f"https://one.localhost:{doorstep.https}/x/%20y?z=1"


def test_check_tells_every_error_at_once(tmp_path):
    file = tmp_path / "doorstep.toml"
    file.write_text(
        '[site."blog.example.com"]\n'
        'ap = "blog"\n'
        "\n"
        "[app.blog]\n"
        'run = "node server.js"\n'
        'instances = "three"\n'
        'drain = "5 bananas"\n'
    )
    done = run("check", file)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for line in ("2", "6", "7"):
        assert f"doorstep.toml:{line}:" in said, said
    assert "did you mean" in said.lower() and "`app`" in said
    assert "bananas" in said


def test_check_is_content_with_a_good_file(tmp_path):
    (tmp_path / "public").mkdir()
    file = tmp_path / "doorstep.toml"
    file.write_text('[site."blog.localhost"]\nroot = "public"\n')
    done = run("check", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_refuses_a_bad_file(tmp_path):
    file = tmp_path / "doorstep.toml"
    file.write_text('[site."blog.localhost"]\nrooot = "public"\n')
    done = run("up", "--config", file)
    assert done.returncode != 0
    assert "rooot" in done.stderr and "root" in done.stderr


def test_init_never_overwrites(tmp_path):
    (tmp_path / "index.html").write_text("hello")
    (tmp_path / "doorstep.toml").write_text("mine")
    done = run("init", tmp_path)
    assert done.returncode != 0 and "--force" in done.stderr
    assert (tmp_path / "doorstep.toml").read_text() == "mine"
    assert run("init", tmp_path, "--force", "--name", "blog.example.com").returncode == 0
    text = (tmp_path / "doorstep.toml").read_text()
    assert '[site."blog.example.com"]' in text and "# email =" in text


@pytest.mark.parametrize("name", ["http://blog.example.com", "blog example", "blog.example.com:80"])
def test_init_takes_names_only(tmp_path, name):
    (tmp_path / "index.html").write_text("hello")
    done = run("init", tmp_path, "--name", name)
    assert done.returncode == 2 and not (tmp_path / "doorstep.toml").exists()


def test_init_leaves_private_folders_alone(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".env").write_text("KEY=secret")
    (tmp_path / "notes.txt").write_text("x")
    done = run("init", tmp_path)
    assert done.returncode == 3 and "`.env`" in done.stderr and "`.git`" in done.stderr
    assert not (tmp_path / "doorstep.toml").exists()


def test_jobs_run_at_their_time(up):
    doorstep = up('[site."one.localhost"]\nrespond = "hi"\n\n[job.tick]\nrun = "echo tick >> ticks.txt"\nevery = "1s"\nuser = "root"\n')
    doorstep.wait_for(lambda: (doorstep.folder / "ticks.txt").exists(), "a tick")
