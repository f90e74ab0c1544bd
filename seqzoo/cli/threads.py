"""Threads that a plugin or a library leaves running do not keep a finished command from ending."""

import atexit
import os
import sys
import threading

__all__ = ["PATIENCE", "allow_threads", "limit_stray_threads"]

PATIENCE = 5.0
"""Seconds that threads have to end after the command."""

_allowed = threading.Event()


def allow_threads() -> None:
    """Let threads outlive the command, for a plugin's verb that works in threads."""
    _allowed.set()


def limit_stray_threads(code: int) -> None:
    """End the process with ``code`` if its threads do not end within ``PATIENCE`` seconds.

    Python waits for every thread that is not a daemon before it runs the exit handlers; a thread in
    an endless loop would keep the process alive forever.
    """
    if _allowed.is_set() or not _running():
        return
    timer = threading.Timer(PATIENCE, _end, [code])
    timer.daemon = True
    # Exit handlers run once all threads have ended, and may take their time.
    atexit.register(timer.cancel)
    timer.start()


def _running() -> list[threading.Thread]:
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if thread is not main and not thread.daemon]


def _end(code: int) -> None:
    names = ", ".join(repr(thread.name) for thread in _running())
    sys.stderr.write(f"warning: ending threads that plugins or libraries left running: {names}\n")
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)
