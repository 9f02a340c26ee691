"""Run a command and tell how long it took and how much memory it had at its peak, as one line of JSON at the end.

A process of its own, started as a script, because the kernel counts as a child's memory what its parent held at the
moment of starting it: started from a process full of data, every command would seem to need as much. This one imports
nothing that it can do without.
"""

import json
import os
import sys
import time

_UNIT = 1024 if sys.platform == "linux" else 1  # macOS counts in bytes


def main(command: list[str]) -> int:
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    # On a line of its own, whatever the command printed last.
    print("\n" + json.dumps({"code": code, "seconds": seconds, "peak_bytes": usage.ru_maxrss * _UNIT}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
