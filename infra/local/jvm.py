"""Command lines of the JVM parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.local.artefacts import class_archives, java, jvm_folder, require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infra.memory import JvmMemory

LOG4J = """\
<Configuration>
  <Appenders>
    <Console name="console"><PatternLayout pattern="%d{ISO8601} %-5p %m (%c{1})%n%throwable{20}"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"""


def jvm_command(
    part: str,
    *,
    memory: JvmMemory,
    main: str,
    arguments: list[str],
    record: Path | None = None,
    properties: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the command that runs a JVM part.

    Args:
        part: its folder below the JVM parts' folder, and the name of its class-data archive.
        memory: how it divides its limit.
        main: the main class.
        arguments: the program's arguments.
        record: where to write the archive of the classes that were loaded, when the JVM ends; one is used if not given.
        properties: system properties.

    Raises:
        NotAvailableError: the part or Java is not installed.
    """
    folder = require(jvm_folder() / part, what=part)
    archive = class_archives() / f"{part}.jsa"
    used = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.exists() else []
    # A jar that names the others, or all jars of the folder: short enough to be read in a process list.
    runner = next(folder.glob("*-runner.jar"), None)
    class_path = str(runner or folder / "*")
    return [
        # What a JVM's compilers allocate and free again would stay resident in several arenas.
        *("env", "MALLOC_ARENA_MAX=1"),
        java(),
        *memory.flags(),
        *([f"-XX:ArchiveClassesAtExit={record}"] if record else used),
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "-Djava.io.tmpdir=.",
        "-Djava.net.preferIPv4Stack=true",
        *(f"-D{name}={value}" for name, value in (properties or {}).items()),
        "-cp",
        class_path,
        main,
        *arguments,
    ]
