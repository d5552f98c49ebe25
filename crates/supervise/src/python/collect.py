import os, runpy, sys
from pathlib import Path

shim, static = Path(sys.argv[1]), sys.argv[2]
shim.mkdir(parents=True, exist_ok=True)
(shim / "doorstep_settings.py").write_text('''\
# Made by doorstep: the project's settings, and where doorstep serves the static files from.
import importlib, os

_project = importlib.import_module(os.environ["DOORSTEP_DJANGO_SETTINGS"])
globals().update({name: getattr(_project, name) for name in dir(_project) if name.isupper()})
STATIC_ROOT = os.environ["DOORSTEP_STATIC_ROOT"]
''')
sys.path[:0] = [os.getcwd(), str(shim)]
from django.core import management

# What manage.py sets is known by letting it run, up to the point where it would do something.
run, management.execute_from_command_line = management.execute_from_command_line, lambda argv=None: None
sys.argv = ["manage.py"]
runpy.run_path("manage.py", run_name="__main__")
settings = os.environ.get("DJANGO_SETTINGS_MODULE")
if not settings:
    sys.exit("manage.py does not set DJANGO_SETTINGS_MODULE.")
os.environ.update(
    DJANGO_SETTINGS_MODULE="doorstep_settings", DOORSTEP_DJANGO_SETTINGS=settings, DOORSTEP_STATIC_ROOT=static
)
run(["manage.py", "collectstatic", "--noinput"])
print("doorstep: the settings are " + settings, flush=True)
