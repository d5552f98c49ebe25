import os, shutil, sys

try:
    import tomllib
except ImportError:
    from pip._vendor import tomli as tomllib

environment = sys.argv[1]
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file).get("project", {})
with open(os.path.join(environment, "requirements.txt"), "w") as file:
    if "dependencies" in project or (project and "dependencies" not in project.get("dynamic", [])):
        file.writelines(line + "\n" for line in project.get("dependencies", []))
    else:
        # Only its build system knows the dependencies. It builds in a copy: the project's folder stays as it is.
        copy = os.path.join(environment, "project")
        ignore = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "venv", "env", "build", "dist")
        shutil.copytree(".", copy, ignore=ignore, symlinks=True)
        file.write(copy + "\n")
