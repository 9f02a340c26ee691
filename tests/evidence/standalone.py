"""``verify.py`` as a module, though it lies in a package: loaded from its file, as nothing of ours imports it."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

SCRIPT = Path(__file__).resolve().parents[2] / "lumi_pipeline" / "evidence" / "standalone" / "verify.py"


@cache
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("standalone_verifier", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(path: Path, keys: tuple[str, ...]) -> tuple[int, str]:
    """The exit code and the reason that the script gives."""
    verdict = script().verify(path, list(keys))
    return verdict["exit_code"], verdict["reason"]
