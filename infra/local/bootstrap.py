"""Installs what a local stack needs, from package registries (`scripts/bootstrap`).

Runs before anything is installed: only the standard library, and modules that need no more, may be imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cflight.errors import CflightError
from infra.errors import NotAvailableError
from infra.local.artefacts import (
    ROOT,
    SINK_SOURCE,
    TOOLS,
    cache_folder,
    class_archives,
    fingerprint,
    go_binary,
    jvm_folder,
    sink_folder,
)
from infra.local.home import home_folder, passphrase_file

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

VENV = ROOT / ".venv"
_PULUMI_OLDEST = (3, 200)
_PULUMI_INSTALLER = "https://get.pulumi.com/"
_INSTALLER_SECONDS = 10
_HEARTBEAT_SECONDS = 20
_JAVA_OLDEST = 17

_PACKAGES = {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless", "mvn": "maven", "go": "golang"}


class _Report:
    """Tells what is being done, how long it has taken, and that it is still being done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start = time.monotonic()

    def line(self, text: str) -> None:
        with self._lock:
            sys.stdout.write(f"[{time.monotonic() - self._start:5.0f} s] {text}\n")
            sys.stdout.flush()

    @contextlib.contextmanager
    def step(self, what: str) -> Generator[None]:
        start = time.monotonic()
        done = threading.Event()

        def beat() -> None:
            while not done.wait(_HEARTBEAT_SECONDS):
                self.line(f"{what}: still at it after {time.monotonic() - start:.0f} s")

        self.line(f"{what} …")
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.line(f"{what}: done in {time.monotonic() - start:.1f} s")


class _Commands:
    """Runs commands, and ends those that still run when the bootstrap ends early."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def run(self, command: Sequence[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
        """Run a command and return its output.

        Raises:
            CflightError: it failed; the message holds the end of its output.
        """
        with self._lock:
            if self._ended:
                raise CflightError("interrupted")
            process = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **(env or {})}, text=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        output, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode:
            tail = "\n".join(f"  {line}" for line in output.strip().splitlines()[-25:])
            raise CflightError(
                f"`{' '.join(command)}` failed with status {process.returncode}:\n{tail}",
                remedy="Mend that and run scripts/bootstrap again: what is done stays done.",
            )
        return output

    def end(self) -> None:
        """End what still runs, with all that it has started."""
        with self._lock:
            self._ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)


def main() -> int:
    """Install what is missing; return the process's exit status."""
    report, commands = _Report(), _Commands()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _install(report, commands)
    except CflightError as error:
        sys.stderr.write(f"scripts/bootstrap: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("scripts/bootstrap: interrupted; run it again to go on where it was.\n")
        return 130
    finally:
        commands.end()
    return 0


def _install(report: _Report, commands: _Commands) -> None:
    pulumi = _pulumi_on_path(commands)
    _check_prerequisites(commands, pulumi=pulumi)
    cache_folder().mkdir(parents=True, exist_ok=True)
    # The Go builds take all cores; Maven mostly waits for downloads; the Python environment is needed last.
    with ThreadPoolExecutor(max_workers=3) as pool:
        steps = [
            pool.submit(_install_python, report, commands),
            pool.submit(_install_jvm, report, commands),
            pool.submit(_install_go, report, commands, pulumi=pulumi),
        ]
        try:
            for step in steps:
                step.result()
        except BaseException:
            commands.end()
            raise
    _link_programs(pulumi)
    _extend_activation()
    _make_class_archives(report, commands)


def _check_prerequisites(commands: _Commands, *, pulumi: Path | None) -> None:
    needed = [] if jvm_folder().exists() and sink_folder().exists() else ["javac", "mvn"]
    if not go_binary("versitygw").exists() or (pulumi is None and not go_binary("pulumi").exists()):
        needed.append("go")
    missing = [name for name in ("java", *needed) if _program(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[name] for name in missing))
        raise NotAvailableError(
            f"{', '.join(missing)} not found on PATH", remedy=f"Install with `apt-get install {packages}`."
        )
    output = commands.run([_program("java") or "java", "-version"])
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) < _JAVA_OLDEST:
        raise NotAvailableError(
            f"needs Java {_JAVA_OLDEST} or newer, but `java -version` says: {output.splitlines()[0]}",
            remedy=f"Install with `apt-get install {_PACKAGES['java']}`, or set JAVA_HOME.",
        )
    try:
        import ensurepip  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]
        import venv  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise NotAvailableError(
            "this Python cannot make virtual environments", remedy="Install with `apt-get install python3-venv`."
        ) from None


def _program(name: str) -> str | None:
    home = os.environ.get("JAVA_HOME")
    if name in {"java", "javac"} and home and os.access(f"{home}/bin/{name}", os.X_OK):
        return f"{home}/bin/{name}"
    return shutil.which(name)


def _install_python(report: _Report, commands: _Commands) -> None:
    lock = ROOT / "requirements.lock"
    stamp = VENV / ".installed"
    native = ROOT / "services" / "native"
    sources = fingerprint(
        lock, ROOT / "pyproject.toml", ROOT / "hatch_build.py", native / "build.py", native / "rows.c"
    )
    made_of = f"{sources} {sys.version} {ROOT}"
    if stamp.exists() and stamp.read_text() == made_of:
        return
    with report.step("Python environment"):
        uv = [_uv(commands)]
        env = {"UV_CACHE_DIR": str(cache_folder() / "uv-cache"), "VIRTUAL_ENV": str(VENV)}
        commands.run([*uv, "venv", "--allow-existing", "--python", sys.executable, str(VENV)], env=env)
        commands.run([*uv, "pip", "sync", "--require-hashes", str(lock)], env=env)
        commands.run([*uv, "pip", "install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], env=env)
        stamp.write_text(made_of)


def _uv(commands: _Commands) -> str:
    requirements = TOOLS / "uv" / "requirements.txt"
    folder = cache_folder() / f"uv-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    uv = folder / "bin" / "uv"
    if not uv.exists():
        commands.run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands.run([*pip, "--require-hashes", "-r", str(requirements)])
    return str(uv)


def _install_jvm(report: _Report, commands: _Commands) -> None:
    if not jvm_folder().exists():
        with report.step("Kafka, Kafka Connect and schema registry from Maven"), _made_whole(jvm_folder()) as folder:
            _package(commands, TOOLS / "jvm", f"-Dparts={folder}")
    if not sink_folder().exists():
        with report.step("S3 sink plug-in"), _made_whole(sink_folder()) as folder:
            _package(commands, SINK_SOURCE, "-DskipTests", f"-Dplugin.folder={folder / 's3-sink'}")


def _package(commands: _Commands, source: Path, *options: str) -> None:
    # A copy, so that Maven's build output does not end up in the tree.
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".maven-") as temporary:
        copy = shutil.copytree(source, f"{temporary}/{source.name}", ignore=shutil.ignore_patterns("target"))
        commands.run(["mvn", "--quiet", "--batch-mode", "-f", f"{copy}/pom.xml", *options, "package"])


def _install_go(report: _Report, commands: _Commands, *, pulumi: Path | None) -> None:
    if not go_binary("versitygw").exists():
        store = _made_whole(go_binary("versitygw").parent)
        with report.step("S3 store versitygw, built from source (about 2 minutes)"), store as folder:
            package = "github.com/versity/versitygw/cmd/versitygw"
            _build_go(commands, TOOLS / "versitygw", package=package, folder=folder)
    if pulumi is None and not go_binary("pulumi").exists() and not _install_official_pulumi(report, commands):
        engine = _made_whole(_engine_folder())
        with report.step("Pulumi engine, built from source (about 5 minutes)"), engine as folder:
            _build_pulumi(commands, folder)


def _build_pulumi(commands: _Commands, folder: Path) -> None:
    source = TOOLS / "pulumi"
    # The newest language host that the module proxy has is older than the engine; the executor, which it looks for
    # beside itself, comes with the engine's own release.
    host = "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
    _build_go(commands, source / "language-python", package=host, folder=folder)
    _build_go(commands, source, package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", folder=folder)
    sdk = commands.run(["go", "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"], cwd=source)
    executor = folder / "pulumi-language-python-exec"
    shutil.copyfile(f"{sdk.strip()}/python/cmd/{executor.name}", executor)
    executor.chmod(0o755)


def _build_go(commands: _Commands, source: Path, *, package: str, folder: Path) -> None:
    # The engine refuses hosts and plug-ins that it takes for older than itself: all must know their version.
    version = re.search(r"github\.com/pulumi/pulumi/sdk/v3 (v[\d.]+)$", _require(source), re.MULTILINE)
    known = f" -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version[1]}" if version else ""
    program = folder / package.rpartition("/")[2]
    commands.run(["go", "build", "-trimpath", "-ldflags", f"-s -w{known}", "-o", str(program), package], cwd=source)


def _require(source: Path) -> str:
    return (source / "go.mod").read_text().replace(" // indirect", "")


def _engine_folder() -> Path:
    return go_binary("pulumi").parent


def _install_official_pulumi(report: _Report, commands: _Commands) -> bool:
    version = re.search(r"pulumi/pkg/v3 v([\d.]+)$", _require(TOOLS / "pulumi"), re.MULTILINE)
    arguments = ["--no-edit-path", *(["--version", version[1]] if version else [])]
    try:
        with urllib.request.urlopen(_PULUMI_INSTALLER, timeout=_INSTALLER_SECONDS) as answer:
            script = answer.read()
        with report.step("Pulumi engine, by its own installer"), _made_whole(_engine_folder()) as folder:
            (folder / "install.sh").write_bytes(script)
            commands.run(["sh", str(folder / "install.sh"), "--install-root", str(folder), *arguments])
            for program in (folder / "bin").iterdir():
                program.rename(folder / program.name)
    except (OSError, CflightError) as error:
        reason = getattr(error, "reason", error)
        report.line(f"Pulumi's own installer cannot be had ({reason}): building from source")
        return False
    return True


def _pulumi_on_path(commands: _Commands) -> Path | None:
    """Return the folder of a usable pulumi that the user has installed."""
    places = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place != str(VENV / "bin")]
    found = shutil.which("pulumi", path=os.pathsep.join(places))
    if found is None:
        return None
    version = re.search(r"v(\d+)\.(\d+)", commands.run([found, "version"], env={"PULUMI_SKIP_UPDATE_CHECK": "1"}))
    recent = version is not None and (int(version[1]), int(version[2])) >= _PULUMI_OLDEST
    host = shutil.which("pulumi-language-python", path=os.pathsep.join(places))
    return _folder_of(found) if recent and host else None


def _folder_of(program: str) -> Path:
    return type(ROOT)(program).parent


def _link_programs(pulumi: Path | None) -> None:
    """Put the engine into the environment's `bin`, so that an active environment is all that `pulumi up` needs."""
    if pulumi is not None:
        return
    for name in ("pulumi", "pulumi-language-python", "pulumi-language-python-exec"):
        link, target = VENV / "bin" / name, _engine_folder() / name
        if link.is_symlink() and link.readlink() == target:
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _extend_activation() -> None:
    """Let an active environment find the state of local stacks, unless the user has chosen another backend."""
    (home_folder() / "state").mkdir(parents=True, exist_ok=True)
    script = VENV / "bin" / "activate"
    marker = "# cflight: local stacks"
    text = script.read_text().partition(marker)[0]
    credentials = '"${PULUMI_HOME:-$HOME/.pulumi}/credentials.json"'
    script.write_text(
        f"""{text}{marker}
if [ -z "${{PULUMI_BACKEND_URL:-}}" ] && ! grep -qs '"current": *"[^"]' {credentials}; then
    export PULUMI_BACKEND_URL="file://{home_folder() / "state"}"
fi
if [ -z "${{PULUMI_CONFIG_PASSPHRASE+set}}${{PULUMI_CONFIG_PASSPHRASE_FILE:-}}" ]; then
    export PULUMI_CONFIG_PASSPHRASE_FILE="{passphrase_file()}"
fi
"""
    )


def _make_class_archives(report: _Report, commands: _Commands) -> None:
    if class_archives().exists():
        return
    recorder = [str(VENV / "bin" / "python"), "-m", "infra.local.class_archives"]
    try:
        with (
            report.step("class-data archives of the JVM parts, for quick starts"),
            _made_whole(class_archives()) as folder,
        ):
            commands.run([*recorder, str(folder)])
    except CflightError as error:
        # Nothing needs them: without, the parts only start more slowly, and the next bootstrap tries again.
        report.line(f"no class-data archives, so the JVM parts will start slowly: {error}")


@contextlib.contextmanager
def _made_whole(folder: Path) -> Generator[Path]:
    """Make a folder that is there only when it is complete: an interrupted run leaves nothing half done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        made = type(folder)(temporary) / folder.name
        made.mkdir()
        yield made
        with contextlib.suppress(OSError):  # another run was quicker
            made.rename(folder)
