"""The folders of local stacks.

$CFLIGHT_HOME (default `~/.local/share/cflight`) holds `state/` (Pulumi's file backend), `passphrase` (of the stacks'
secrets), `ports/` (leases) and `stacks/<stack>/`, where all that a stack has lies: supervisor, logs and data.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def home_folder() -> Path:
    """Return the folder of all local stacks."""
    given = os.environ.get("CFLIGHT_HOME")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "cflight"


def stack_folder(stack: str) -> Path:
    """Return the folder of a stack."""
    return home_folder() / "stacks" / stack


def part_folder(stack: Path, part: str) -> Path:
    """Return the folder of a part of the stack with that folder."""
    return stack / "parts" / part


def passphrase_file() -> Path:
    """Return the file with the passphrase of the local stacks' secrets; made when there is none."""
    file = home_folder() / "passphrase"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return file


def write_private(file: Path, text: str) -> None:
    """Replace a file, readable by its owner only, in one step."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(file)
