"""The process between a service and whoever started it: when one goes, so does the other.

`python -m learn_features.services.supervisor CONTROL_FD STARTER_PID -- COMMAND …`

The starter holds the other end of the pipe CONTROL_FD and never writes to it: end of file means that
it has gone, kill -9 included. Its pid is watched as well, for a fork of the starter may hold the pipe
open. The service gets SIGTERM, and SIGKILL if it does not end within `GRACE_SECONDS`; should the
supervisor itself be killed, the kernel kills the service (its starter thread is the only one here).
Standard library only: one such process runs beside every service.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command until it ends, the starter goes, or SIGTERM comes; the command's exit code."""
    control, starter = int(arguments[0]), int(arguments[1])
    stop = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    service = subprocess.Popen(
        arguments[3:],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: libc and libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    while service.poll() is None and not stop and os.getppid() == starter:
        readable, _, _ = select.select([control], [], [], _LOOK_SECONDS)
        if readable and not os.read(control, 1):
            break
    if service.poll() is None:
        service.terminate()
        try:
            service.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            service.kill()
    return service.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
