"""A folder's page and its zip, by Chromium, unzip and Python's zipfile."""

import gzip
import io
import json
import os
import re
import subprocess
import time
import zipfile
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from harness.browser import errors, screenshot
from harness.process import PATIENCE

HTML = {"Accept": "text/html"}
ODD_NAMES = [
    "<img src=x onerror=document.title='pwned'>.png",
    "javascript:alert(1)",
    "100%25 & more?.txt",
    "a#b;c=d+e.txt",
    "back\\slash.txt",
    "größe 😀 — ملف.txt",
    "\"quoted\" 'name'.txt",
    "right\u202eto left.txt",
]


@pytest.fixture
def trip(tmp_path):
    """A folder with a bit of everything; times and sizes differ."""
    root = tmp_path / "trip"
    (root / "Day 10" / "evening").mkdir(parents=True)
    (root / "Day 2").mkdir()
    for at, (name, size) in enumerate([("b.txt", 300), ("a10.jpg", 20_000), ("a9.jpg", 10), ("Ça va.pdf", 5_000)]):
        (root / name).write_bytes(b"x" * size)
        os.utime(root / name, (1_700_000_000 + at, 1_700_000_000 + at))
    (root / "Day 10" / "evening" / "song.mp3").write_bytes(b"la")
    (root / ".secret").write_text("no")
    (root / "README.md").write_text("# Our trip\n\n<script>document.title='pwned'</script> [x](javascript:alert(1))\n")
    return root


def names(page):
    """The names on a page of HTML, in order, the parent folder left out."""
    return [unescape(name) for name in re.findall(r"<li class=(?!up)\w><[ab][^>]*>(.*?)</[ab]>", page)]


def shown(driver):
    script = "return [...document.querySelectorAll('.rows:not([hidden]) li:not(.up) > :first-child')].map(e => e.textContent)"
    return driver.execute_script(script)


def wait(driver, condition):
    return WebDriverWait(driver, PATIENCE).until(condition)


def test_links_sort_and_filter_without_javascript(share, trip):
    door = share(trip)
    page = door.get("/", HTML).text
    assert names(page) == ["Day 2", "Day 10", "a9.jpg", "a10.jpg", "b.txt", "Ça va.pdf", "README.md"]
    assert ".secret" not in page
    by_size = door.get("/?sort=size&order=desc", HTML).text
    assert names(by_size)[2:5] == ["a10.jpg", "Ça va.pdf", "b.txt"]
    by_date = door.get("/?sort=date&order=asc", HTML).text
    assert names(by_date)[2:6] == ["b.txt", "a10.jpg", "a9.jpg", "Ça va.pdf"]
    assert names(door.get("/?q=CA+VA", HTML).text) == ["Ça va.pdf"]
    links = re.findall(r'href="(\?sort[^"]*)"', page)
    assert len(links) == 3
    assert all(door.get("/" + unescape(link), HTML).status == 200 for link in links)


def test_programs_get_json(share, trip):
    door = share(trip)
    for answer in (door.get("/?json"), door.get("/", {"Accept": "application/json"})):
        assert answer.headers["Content-Type"] == "application/json"
        listing = json.loads(answer.text)
        entry = next(entry for entry in listing["entries"] if entry["name"] == "a10.jpg")
        assert entry == {
            "name": "a10.jpg",
            "kind": "file",
            "size": 20_000,
            "modified": "2023-11-14T22:13:21Z",
            "href": "a10.jpg",
        }
        assert listing["complete"] is True


def test_every_link_leads_to_its_file(share, tmp_path):
    root = tmp_path / "odd"
    root.mkdir()
    for name in ODD_NAMES:
        (root / name).write_text(name)
    (root / "two\nlines").write_text("no link can carry this")
    door = share(root)
    page = door.get("/", HTML).text
    hrefs = [unescape(href) for href in re.findall(r'<li class=\w><a href="([^"]*)"', page)]
    found = {}
    for href in hrefs:
        url = urlsplit(urljoin(door.url + "/", href))
        assert url.netloc == urlsplit(door.url).netloc, href
        found[door.get(url.path).text] = href
    assert sorted(found) == sorted(ODD_NAMES)
    assert "\u202e" not in page and "two␊lines" in page


def test_chromium_walks_through_a_folder(share, trip, browser):
    door = share(trip)
    driver = browser()
    driver.get(door.url)
    assert shown(driver)[:3] == ["Day 2", "Day 10", "a9.jpg"]
    assert driver.find_element(By.CSS_SELECTOR, ".readme h1").text == "Our trip"

    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    field = driver.find_element(By.ID, "q")
    assert driver.switch_to.active_element == field
    field.send_keys("jpg")
    wait(driver, lambda d: shown(d) == ["a9.jpg", "a10.jpg"])
    assert "2 of 7" in driver.find_element(By.ID, "sum").text
    field.send_keys(Keys.ESCAPE)
    wait(driver, lambda d: len(shown(d)) == 7)

    driver.find_element(By.LINK_TEXT, "Size").click()
    wait(driver, lambda d: shown(d)[2:4] == ["a10.jpg", "Ça va.pdf"])
    assert "sort=size" in driver.current_url
    driver.find_element(By.LINK_TEXT, "Size").click()
    wait(driver, lambda d: shown(d)[-1] == "a10.jpg")
    driver.refresh()
    assert shown(driver)[-1] == "a10.jpg", "the order is in the address"

    driver.get(door.url)
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_DOWN)
    driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert driver.switch_to.active_element.text == "Day 10"
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    wait(driver, lambda d: d.current_url.endswith("/Day%2010/"))
    assert shown(driver) == ["evening"]
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.BACKSPACE)
    wait(driver, lambda d: d.current_url == door.url + "/")
    assert "pwned" not in driver.title
    assert errors(driver) == []
    screenshot(driver, "listing")


@pytest.mark.parametrize("look", [{"dark": True}, {"width": 390, "height": 844}])
def test_the_page_fits_dark_rooms_and_phones(share, trip, browser, look):
    driver = browser(**look)
    driver.get(share(trip).url)
    overflow = driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background != "rgb(255, 255, 255)") == look.get("dark", False)
    assert errors(driver) == []
    screenshot(driver, "listing-dark" if "dark" in look else "listing-phone")


@pytest.mark.needs("unzip")
def test_a_folder_comes_as_a_zip(share, trip, tmp_path):
    large = os.urandom(3_000_000)
    (trip / "Day 2" / "large.bin").write_bytes(large)
    (trip / "Day 2" / "large.txt").write_bytes(b"again and again\n" * 100_000)
    (trip / "out").symlink_to("/etc/passwd")
    door = share(trip)
    answer = door.get("/?zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert 'filename="trip.zip"' in answer.headers["Content-Disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.body))
    assert archive.testzip() is None
    assert archive.read("trip/Day 2/large.bin") == large
    assert archive.read("trip/Day 10/evening/song.mp3") == b"la"
    assert "trip/.secret" not in archive.namelist() and "trip/out" not in archive.namelist()
    assert "trip/out" in archive.read("trip/_skipped.txt").decode()
    assert "trip/Ça va.pdf" in archive.namelist()
    saved = tmp_path / "trip.zip"
    saved.write_bytes(answer.body)
    done = subprocess.run(["unzip", "-q", saved, "-d", tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    unpacked = tmp_path / "out" / "trip" / "a10.jpg"
    assert unpacked.stat().st_mtime == 1_700_000_001
    part = zipfile.ZipFile(io.BytesIO(door.get("/Day%2010/?zip").body))
    assert part.namelist() == ["Day 10/evening/", "Day 10/evening/song.mp3"]


def test_a_client_that_vanishes_ends_its_zip(share, tmp_path):
    root = tmp_path / "large"
    root.mkdir()
    with open(root / "film.mp4", "wb") as film:
        film.truncate(2_000_000_000)
    door = share(root)
    before = door.open_files()
    connection = door.connect()
    connection.request("GET", "/?zip")
    assert len(connection.getresponse().read(1_000_000)) == 1_000_000
    assert door.open_files() > before
    connection.close()
    deadline = time.monotonic() + PATIENCE
    while door.open_files() > before:
        assert time.monotonic() < deadline, "its file is still open"
        time.sleep(0.1)
    assert door.rss_kb() < 150_000


def test_a_hundred_thousand_files(share, tmp_path, browser):
    root = tmp_path / "many"
    root.mkdir()
    for n in range(100_000):
        os.close(os.open(root / f"record {n}.txt", os.O_CREAT | os.O_WRONLY))
    door = share(root)
    before = door.rss_kb()
    page = door.get("/", HTML).text
    assert page.count("<li ") == 100_000
    assert page.index("record 9.txt") < page.index("record 10.txt") < page.index("record 99999.txt")
    assert len(json.loads(door.get("/?json").text)["entries"]) == 100_000
    packed = door.get("/", {**HTML, "Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and len(packed.body) < len(page) / 5
    assert gzip.decompress(packed.body).count(b"<li ") == 100_000
    assert door.rss_kb() - before < 100_000, "kB more after three listings of 100,000 files"

    driver = browser()
    driver.get(door.url)
    field = driver.find_element(By.ID, "q")
    field.send_keys("record 99999")
    wait(driver, lambda d: shown(d) == ["record 99999.txt"])
    field.send_keys(Keys.ESCAPE)
    wait(driver, lambda d: len(shown(d)) == 100_000)
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.END)
    wait(driver, lambda d: d.switch_to.active_element.text == "record 99999.txt")
    assert errors(driver) == []

    archive = zipfile.ZipFile(io.BytesIO(door.get("/?zip").body))
    assert len(archive.namelist()) == 100_000
