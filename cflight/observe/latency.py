"""When things came out, as exactly as can be told."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from cflight.errors import CflightError
from cflight.observe.topics import TopicLog, Topics

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from cflight.endpoints import Endpoints
    from cflight.observe.objects import StoredObject
    from cflight.observe.topics import Record

_POLL_SECONDS = 0.05
_PAUSE_SECONDS = 0.5
_KEPT = 1000


class Follower:
    """Follows a topic from now on in a thread, and notes when the first committed record of each key arrived.

    Args:
        endpoints: the stack's.
        topic: the topic.
    """

    def __init__(self, endpoints: Endpoints, topic: str) -> None:
        self._log: TopicLog = Topics(endpoints).log(topic, from_now=True)
        self._first: dict[str, Record] = {}
        self._recent: list[Record] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._ended.set()
        self._thread.join()
        self._log.close()

    def first(self) -> dict[str, Record]:
        """Return the first record of each key.

        Raises:
            Exception: what has ended the following, if something has.
        """
        self._check()
        with self._lock:
            return dict(self._first)

    def take(self) -> list[Record]:
        """Return the records since the last call, the newest last; of very many only the newest.

        Raises:
            Exception: what has ended the following, if something has.
        """
        self._check()
        with self._lock:
            taken, self._recent = self._recent, []
            return taken

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        while not self._ended.is_set():
            try:
                for record in self._log.poll(timeout=_POLL_SECONDS):
                    with self._lock:
                        self._first.setdefault(record.key or "", record)
                        self._recent = [*self._recent[-_KEPT:], record]
            except CflightError:
                time.sleep(_PAUSE_SECONDS)  # a part is being restarted: nothing is lost, it is read again
            except Exception as error:  # noqa: BLE001 - told to whoever asks for the records
                self._failure = error
                return


def written_at(stored: StoredObject, *, folder: Path | None) -> float:
    """Return when an object was written, in seconds since the epoch.

    S3 tells whole seconds only. The store of a local stack keeps objects as files, which know it exactly.

    Args:
        stored: the object.
        folder: the folder of a local stack; None for others.
    """
    if folder is not None:
        file = folder / "parts" / "s3" / "data" / "objects" / stored.bucket / stored.key
        if file.exists():
            return file.stat().st_mtime
    return stored.modified
