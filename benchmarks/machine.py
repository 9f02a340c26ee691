"""What the figures were measured on."""

import os
import platform
import sqlite3
import ssl
import sys
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("adbc-driver-postgresql", "duckdb", "numpy", "polars", "psycopg", "pyarrow", "pynacl")


def describe_machine() -> dict[str, object]:
    """Processor, cores that we may use, memory, load before we began, and the versions of what does the work."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {
            **{name: version(name) for name in _LIBRARIES},
            "openssl": ssl.OPENSSL_VERSION,
            "sqlite": sqlite3.sqlite_version,
        },
    }


def is_busy(machine: dict[str, object]) -> bool:
    """Whether something else was keeping a good part of the machine busy when we began."""
    load, cores = machine["load"], machine["cores"]
    return isinstance(load, float) and isinstance(cores, int) and load > cores / 2


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
