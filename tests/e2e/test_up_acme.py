"""HTTPS by itself: `doorstep up` and a certificate authority, from the first order to the renewal."""

import json
import os
import signal
import ssl
import time

import pytest

from harness.authority import Authority
from harness.process import PATIENCE

NAMES = ["blog.example.com", "www.example.net", "files.example.org"]


@pytest.fixture
def authority(tmp_path, request):
    if not Authority.is_there():
        if os.environ.get("DOORSTEP_E2E_NO_SKIP"):
            pytest.fail("Debian's pebble is not installed")
        pytest.skip("needs Debian's pebble")
    made = []

    def make(doorstep, **options):
        made.append(Authority(tmp_path / f"authority-{len(made)}", doorstep.http, doorstep.https, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def config(authority, names=NAMES, more=""):
    sites = "".join(f'[site."{name}"]\nrespond = "here is {name}"\n' for name in names)
    issuer = f'[[issuers]]\nname = "pebble"\ndirectory = "{authority.directory}"\nroots = "{authority.root}"\n'
    return f'email = "me@example.com"\nprecheck = false\n{more}\n{issuer}{sites}'


def begin(up, authority, **options):
    """A daemon that has to listen before the authority knows where."""
    doorstep = up("", begin=False)
    ca = authority(doorstep, **options)
    return doorstep, ca


def certificate(doorstep, name):
    """The certificate as `doorstep cert show` tells it."""
    shown = json.loads(doorstep.run("cert", "show", name, "--json").stdout)
    return shown[0]


def wait_for_certificates(doorstep, names=NAMES, timeout=2 * PATIENCE):
    deadline = time.monotonic() + timeout
    while True:
        states = {name: certificate(doorstep, name)["state"] for name in names}
        if set(states.values()) == {"valid"}:
            return
        assert time.monotonic() < deadline, f"{states}\n{doorstep.log}"
        time.sleep(0.2)


def visit(doorstep, ca, name):
    """Over HTTPS, verified by the authority's root."""
    context = ssl.create_default_context(cadata=ca.issuing_root())
    return doorstep.get(name, context=context)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_certificates_come_by_themselves(up, authority, challenge):
    doorstep, ca = begin(up, authority, reject_nonces=50)
    doorstep.write(config(ca, more=f'challenges = ["{challenge}"]'))
    doorstep.start()
    wait_for_certificates(doorstep)
    for name in NAMES:
        assert visit(doorstep, ca, name).text == f"here is {name}"


def test_killed_in_the_middle_of_orders(up, authority):
    doorstep, ca = begin(up, authority, reject_nonces=20)
    doorstep.write(config(ca))
    for pause in [0.05, 0.1, 0.2, 0.3]:
        doorstep.start()
        time.sleep(pause)
        doorstep.process.send_signal(signal.SIGKILL)
        doorstep.process.wait(PATIENCE)
    doorstep.start()
    wait_for_certificates(doorstep)
    serial = certificate(doorstep, NAMES[0])["serial"]
    # What was obtained survives the next kill, too, and is not asked for again.
    doorstep.process.send_signal(signal.SIGKILL)
    doorstep.process.wait(PATIENCE)
    doorstep.start()
    wait_for_certificates(doorstep)
    assert certificate(doorstep, NAMES[0])["serial"] == serial
    assert visit(doorstep, ca, NAMES[0]).text == f"here is {NAMES[0]}"


def test_renewal_swaps_the_certificate_and_serves_on(up, authority):
    doorstep, ca = begin(up, authority)
    doorstep.write(config(ca, NAMES[:1]))
    doorstep.start()
    wait_for_certificates(doorstep, NAMES[:1])
    before = certificate(doorstep, NAMES[0])["serial"]
    doorstep.run("cert", "renew", NAMES[0])
    deadline = time.monotonic() + PATIENCE
    while certificate(doorstep, NAMES[0])["serial"] == before:
        assert visit(doorstep, ca, NAMES[0]).status == 200
        assert time.monotonic() < deadline, doorstep.log
        time.sleep(0.1)
    assert visit(doorstep, ca, NAMES[0]).status == 200


def test_an_authority_that_is_away_is_asked_again(up, authority):
    doorstep, ca = begin(up, authority)
    ca.stop()
    doorstep.write(config(ca, NAMES[:1]))
    doorstep.start()
    shown = certificate(doorstep, NAMES[0])
    assert shown["state"] == "pending"
    # The site is there meanwhile, as far as it can be: requests in the clear are sent to where it will be.
    assert doorstep.get(NAMES[0], tls=False).status == 308
    ca.start()
    doorstep.run("cert", "renew", NAMES[0])
    wait_for_certificates(doorstep, NAMES[:1])


def test_a_reload_adds_a_name(up, authority):
    doorstep, ca = begin(up, authority)
    doorstep.write(config(ca, NAMES[:1]))
    doorstep.start()
    wait_for_certificates(doorstep, NAMES[:1])
    doorstep.write(config(ca, NAMES))
    doorstep.run("reload")
    wait_for_certificates(doorstep)
    assert visit(doorstep, ca, NAMES[2]).text == f"here is {NAMES[2]}"
