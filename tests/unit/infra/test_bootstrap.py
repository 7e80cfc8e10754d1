"""The bootstrap's refusals, and what it makes names and folders from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local import artefacts

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def bootstrap(folder: Path, *, path: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "HOME": str(folder), "CFLIGHT_CACHE": str(folder / "cache")}
    command = [sys.executable, str(ROOT / "scripts" / "bootstrap")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_missing_programs_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, path=str(tmp_path))
    assert done.returncode == 1
    assert "java, javac, mvn, go not found on PATH" in done.stderr
    assert "apt-get install openjdk-17-jdk-headless maven golang" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "cache").exists()


def test_a_java_that_is_too_old_is_refused(tmp_path: Path) -> None:
    for program in ("java", "javac", "mvn", "go"):
        file = tmp_path / program
        file.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
        file.chmod(0o755)
    done = bootstrap(tmp_path, path=f"{tmp_path}{os.pathsep}/bin")
    assert done.returncode == 1
    assert "needs Java 17 or newer" in done.stderr
    assert "11.0.2" in done.stderr


def test_a_fingerprint_follows_contents_and_names_but_not_build_output(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    first = artefacts.fingerprint(source)
    (source / "target").mkdir()
    (source / "target" / "a.class").write_text("x")
    assert artefacts.fingerprint(source) == first
    (source / "a").write_text("2")
    second = artefacts.fingerprint(source)
    (source / "a").rename(source / "b")
    assert len({first, second, artefacts.fingerprint(source)}) == 3


def test_the_cache_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CFLIGHT_CACHE", str(tmp_path))
    assert artefacts.jvm_folder().is_relative_to(tmp_path)
    assert artefacts.go_binary("versitygw").is_relative_to(tmp_path)
    assert artefacts.sink_folder().is_relative_to(tmp_path)
