"""A visit in Chromium, from whatever network namespace this is started in.

Arguments: a folder for the profile, a name for the screenshot, the address, and a text for which the page may take its time, or nothing.
Prints JSON: the page's address, its text, and what its scripts complained of.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.browser import errors, screenshot, start  # noqa: E402
from harness.process import PATIENCE  # noqa: E402

profile, name, url, wanted = sys.argv[1:5]
driver = start(profile)
try:
    driver.get(url)
    screenshot(driver, name)
    print("open", file=sys.stderr, flush=True)
    deadline = time.monotonic() + 2 * PATIENCE
    while True:
        text = driver.find_element("tag name", "body").text
        if wanted in text or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    print(json.dumps({"url": driver.current_url, "text": text, "errors": errors(driver)}))
finally:
    driver.quit()
