"""What docs/adding.md says, carried out on a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
COPIED = (
    "cflight",
    "connectors",
    "infra",
    "ksql",
    "services",
    "tools",
    "docs",
    "Pulumi.yaml",
    "Pulumi.local.yaml",
    "pyproject.toml",
)
BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Run in the copy: the fixtures of this process would bring up the project itself.
CONFTEST = """
from cflight.errors import CflightError

import pytest

@pytest.fixture(scope="session")
def cflight_settings():
    return {settings!r}
"""
TEST = """
from cflight.errors import CflightError

def test_added(cflight_stack):
    stack = cflight_stack
    [accepted] = stack.send(["LHR,IST,2020-08-01,169.99,Y\\nLHR,IST,2020-08-02,89.50,Y\\nCDG,JFK,2020-08-02,300,C\\n"])
    batch = stack.batch_id(accepted)
    [routes] = stack.wait_for("the routes", lambda: stack.records("batch.routes", key=batch), seconds=120)
    assert routes.value == b'{"LHR,IST": 2, "CDG,JFK": 1}'

    def stored():
        found = stack.objects(stack.endpoints.batches_bucket, prefix="topics/batch.routes/")
        return [value for one in found for value in stack.buckets.records(one)]

    assert stack.wait_for("the object", stored, seconds=120) == [{"LHR,IST": 2, "CDG,JFK": 1}]

    def fares():
        newest = {record.key: record.value for record in stack.records("CLASS_FARES")}
        if len(newest) < 2 or newest["Y"]["FARES"] < 2:
            raise CflightError(f"so far there are {newest}")
        return newest

    newest = stack.wait_for("the fares", fares, seconds=120)
    assert newest == {"Y": {"FARES": 2, "CHEAPEST": 89.5}, "C": {"FARES": 1, "CHEAPEST": 300.0}}
"""


def test_what_the_page_says_works(tmp_path: Path) -> None:
    copy = tmp_path / "project"
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "target")
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    for language, name, text in BLOCK.findall((ROOT / "docs" / "adding.md").read_text()):
        if language == "diff":
            _apply(copy / name, text)
        else:
            (copy / name).parent.mkdir(exist_ok=True)
            (copy / name).write_text(text)
    json.loads((copy / "connectors" / "routes.sink.json").read_text())
    (tmp_path / "test_added.py").write_text(TEST)
    # Services inherit next to nothing from who starts them.
    settings = {"cflight:services": {"routes": {"environment": {"PYTHONPATH": str(copy)}}}}
    (tmp_path / "conftest.py").write_text(CONFTEST.format(settings=settings))
    # The copy comes before the installed project, in this process's children, the engine's and the services'.
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        "test_added.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _apply(file: Path, diff: str) -> None:
    before = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " +")
    text = file.read_text()
    assert text.count(before) == 1, f"{file.name} does not have, once:\n{before}"
    file.write_text(text.replace(before, after))
