"""The plug-in ZIP of MSK Connect: S3 sink and Avro converter in one, as MSK Connect takes one plug-in a connector."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import NotAvailableError
from infra.local.artefacts import cache_folder, require, sink_folder

if TYPE_CHECKING:
    from infra.settings import MskConnectSettings

# A ZIP's first possible day: with a fixed time, the same jars make the same bytes on every machine.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CONFLUENT_PARTS = {"the S3 sink": "kafka-connect-s3", "the Avro converter": "kafka-connect-avro-converter"}


@dataclass(frozen=True, kw_only=True)
class PluginZip:
    """A plug-in.

    Attributes:
        path: the ZIP.
        digest: the SHA-256 of its bytes, in hexadecimal.
    """

    path: Path
    digest: str


def plugin_zip(settings: MskConnectSettings) -> PluginZip:
    """Return the plug-in that the settings ask for.

    Args:
        settings: the sinks' workers.

    Raises:
        NotAvailableError: it is not there, or has not both parts.
    """
    if settings.plugin_zip is not None:
        path = Path(settings.plugin_zip)
        _check_confluent(path)
    else:
        path = pack(require(sink_folder(), what="the S3 sink plug-in"), target=cache_folder() / "plugins")
    with path.open("rb") as file:
        return PluginZip(path=path, digest=hashlib.file_digest(file, "sha256").hexdigest())


def pack(jars: Path, *, target: Path) -> Path:
    """Pack a plug-in's folder of jars.

    Args:
        jars: the folder.
        target: the folder that the ZIP is put into, `<name of the jars' folder>.zip`.

    Returns:
        The ZIP. The same jars give the same bytes.
    """
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{jars.name}.zip"
    # Another run may pack at the same time: each writes its own file, and the last rename wins with the same bytes.
    handle, temporary = tempfile.mkstemp(dir=target, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for jar in sorted(jars.rglob("*.jar")):
                name = f"s3-sink/{jar.relative_to(jars).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), jar.read_bytes())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _check_confluent(path: Path) -> None:
    where = "cflight:aws.connect.pluginZip"
    if not zipfile.is_zipfile(path):
        raise NotAvailableError(
            f"{path} is not there or is no ZIP",
            where=where,
            remedy="Give the path of a ZIP that has the S3 sink and the Avro converter.",
        )
    with zipfile.ZipFile(path) as archive:
        jars = [Path(name).name for name in archive.namelist() if name.endswith(".jar")]
    for part, start in _CONFLUENT_PARTS.items():
        if not any(jar.startswith(start) for jar in jars):
            raise NotAvailableError(
                f"{path} has no {start}-*.jar, {part}",
                where=where,
                remedy="MSK Connect takes one ZIP a connector: put the jars of both into it.",
            )
