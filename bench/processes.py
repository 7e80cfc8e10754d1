"""Service processes under a hard memory limit, and what they use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.errors import BenchError
from infra.local.cgroup import oom_kills, remove

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 60
_STOP_SECONDS = 30


class ServiceProcess:
    """A running service; a context manager that stops it.

    Args:
        module: what `python -m` runs.
        environment: its environment variables beside the inherited ones.
        memory: its hard limit in bytes; 0 for none.
    """

    def __init__(self, module: str, *, environment: Mapping[str, str], memory: int) -> None:
        self.module = module
        self._cgroup: Path | None = None
        self._log = Path(tempfile.mkstemp(prefix="cflight-bench-", suffix=".log")[1])
        name = f"cflight-bench-{os.getpid()}/{module}-{time.monotonic_ns()}"
        command = [sys.executable, "-m", module]
        if memory:
            command = [sys.executable, "-m", "bench.limited", name, str(memory), *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "HTTP_PORT": "0", **environment},
                stderr=log,
                stdout=log,
                cwd=Path(__file__).parent.parent,
            )
        self._limited = memory > 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the process, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._cgroup is not None:
            remove(self._cgroup)
        self._log.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None if it has not."""
        return self._process.poll()

    def log(self) -> str:
        """Return what it has logged."""
        return self._log.read_text(errors="replace")

    def address(self) -> str:
        """Return host:port of its HTTP port, once it has told."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            match = re.search(r'"http": "([^"]+)"', self.log())
            if match:
                self._find_cgroup()
                return match[1]
            self._check(deadline)
            time.sleep(0.01)

    def wait_ready(self) -> float:
        """Wait until it is ready, and return when that was on the monotonic clock."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            self._check(deadline)
            time.sleep(0.01)
        return time.monotonic()

    def is_ready(self) -> bool:
        """Return whether it is ready now."""
        url = f"http://{self.address()}/readyz"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False

    def metric(self, name: str) -> float:
        """Return a metric's value, summed over its labels."""
        with urllib.request.urlopen(f"http://{self.address()}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line))

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used, of all threads, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mib(self) -> float:
        """Return the most memory that it has had resident, in MiB."""
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(match[1]) / 1024 if match else float("nan")

    def stop(self) -> None:
        """Stop it with SIGTERM and check that it ended well and was never short of memory.

        Raises:
            BenchError: if not.
        """
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchError("does not stop on SIGTERM", where=self.module) from None
        if code:
            raise BenchError(f"ended with {code}:\n{self.log()[-2000:]}", where=self.module)
        self.check_memory()

    def check_memory(self) -> None:
        """Check that the kernel killed nothing of it for its memory.

        Raises:
            BenchError: if it did.
        """
        if self._cgroup is not None and oom_kills(self._cgroup):
            raise BenchError("was killed for its memory", where=self.module)

    def errors(self) -> list[str]:
        """Return the messages that it logged as errors."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line["message"] for line in lines if line["level"] == "error"]

    def _find_cgroup(self) -> None:
        from cflight.memory_limit import memory_cgroup  # noqa: PLC0415 - only for limited processes

        cgroup = memory_cgroup(proc=Path(f"/proc/{self.pid}")) if self._limited else None
        self._cgroup = cgroup.path if cgroup and "cflight-bench" in str(cgroup.path) else None

    def _check(self, deadline: float) -> None:
        if not self.running or time.monotonic() > deadline:
            raise BenchError(f"does not start:\n{self.log()[-2000:]}", where=self.module)
