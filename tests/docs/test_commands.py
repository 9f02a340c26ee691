"""Every command and snippet in our documents (DOCUMENTS, below) runs, in order, as a reader would run it.

A document is read from top to bottom in a fresh copy of the repository: its ``bash``, ``console`` and ``python`` blocks
run one after the other, variables and directory carried over, with the environment under test as ``.venv``. In a
``console`` block the lines after ``$ `` are commands and the rest is what they print, where ``…`` stands for anything.

A comment on the line above a block changes that: ``<!-- needs: make dry-run -->`` has make show what it would do (for
targets that would run this very test), ``<!-- needs: another machine -->`` only has the shell check the syntax. What
``<!-- needs: servers -->`` runs in tests/docs/test_operations.py, with PostgreSQL and S3. A block in any other language
has to be one of NOT_RUN, so that nothing is skipped by accident.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "transparency/README.md")),
        *(REPOSITORY / "docs").rglob("*.md"),
    ]
)
ENVIRONMENT = Path(sys.prefix)

RUN = {"bash", "console", "python"}
NOT_RUN = {"csv", "http", "ini", "json", "mermaid", "sql", "text", "toml", "yaml"}
SERVERS = "servers"
NEEDS = {"make dry-run", "another machine", SERVERS}
SECONDS = 300

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]*)$")
COMMENT = re.compile(r"^ *<!-- needs: (?P<needs>[a-z -]+) -->$")


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    language: str
    needs: str | None
    text: str


def blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a Markdown text."""
    found: list[Block] = []
    lines = text.split("\n")
    number = 0
    needs: str | None = None
    while number < len(lines):
        opening = FENCE.match(lines[number])
        comment = COMMENT.match(lines[number])
        number += 1
        if comment:
            needs = comment["needs"]
        elif opening:
            start = number
            while number < len(lines) and lines[number].strip() != opening["fence"]:
                number += 1
            assert number < len(lines), f"the block in line {start} is never closed"
            body = [line.removeprefix(opening["indent"]) for line in lines[start:number]]
            found.append(Block(start, opening["info"].strip(), needs, "\n".join(body) + "\n"))
            needs = None
            number += 1
        elif lines[number - 1].strip():
            assert needs is None, f"the comment above line {number} marks no block"
    return found


def sessions(text: str) -> list[tuple[str, str]]:
    """Split a console block into commands, each with the output shown below it."""
    parts: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            parts.append((line[2:], ""))
        elif line.startswith("> ") and parts and not parts[-1][1]:
            parts[-1] = (f"{parts[-1][0]}\n{line[2:]}", "")
        else:
            assert parts, f"a console block starts with a command after '$ ', not with {line!r}"
            parts[-1] = (parts[-1][0], f"{parts[-1][1]}{line}\n")
    return parts


def matches(shown: str, printed: str) -> bool:
    """Tell whether the output is what the document shows.

    ``…`` stands for anything, line ends' blanks for nothing, and two or more blanks for any such number: how wide a
    table's columns are depends on what is in them.
    """
    pattern = ".*".join(re.escape(part) for part in tidy(shown).split("…"))
    return re.fullmatch(pattern, tidy(printed), re.DOTALL) is not None


def tidy(text: str) -> str:
    return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in text.strip("\n").split("\n"))


class Shell:
    """A reader's shell: each script goes on where the one before stopped."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.environment = environment or {}
        self.home = directory / "home"
        self.home.mkdir()
        self.state = directory / "state"
        self.start = directory / "repository"
        self.state.write_text(f"cd {shlex.quote(str(self.start))}\n", encoding="utf-8")

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        wrapped = (
            f"source {shlex.quote(str(self.state))}\nset -eo pipefail\n{script}\n"
            f"{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} > {shlex.quote(str(self.state))}\n"
        )
        environment = {
            "HOME": str(self.home),
            "INSTALLED": "",  # the Makefile finds the environment under test ready
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}",
            **self.environment,
        }
        return subprocess.run(
            ["bash", "-c", wrapped],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def perform(block: Block, shell: Shell) -> None:
    assert block.needs is None or block.needs in NEEDS, f"unknown mark {block.needs!r}; known: {sorted(NEEDS)}"
    if block.needs == SERVERS:
        return
    if block.language in NOT_RUN:
        assert block.needs is None, "a block that does not run needs no mark"
        return
    assert block.language in RUN, f"a block in {block.language!r}: use one of {sorted(RUN | NOT_RUN)}"
    if block.language == "python":
        script = f"cat > snippet.py <<'END OF SNIPPET'\n{block.text}END OF SNIPPET\npython snippet.py\n"
        steps = [(script, None)]
    elif block.language == "console":
        steps = [(command, shown) for command, shown in sessions(block.text)]
    else:
        steps = [(block.text, None)]
    for command, shown in steps:
        if block.needs == "another machine":
            checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr
            continue
        if block.needs == "make dry-run":
            assert all(line.startswith("make ") for line in command.splitlines()), "only make knows a dry run"
        dry = block.needs == "make dry-run"
        done = shell.run(re.sub(r"^make ", "make --dry-run ", command, flags=re.MULTILINE) if dry else command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}\nexit code {done.returncode}"
        if shown:
            assert matches(shown, done.stdout), f"$ {command}\nshown:\n{shown}\nprinted:\n{done.stdout}"


def copy_repository(target: Path) -> None:
    """Copy what git tracks or would track, and put the environment under test where `make` puts one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    (target / ".venv").symlink_to(ENVIRONMENT)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_document(document: Path, tmp_path: Path) -> None:
    assert (ENVIRONMENT / "bin" / "lumi").exists(), "install the project first: make test does"
    copy_repository(tmp_path / "repository")
    shell = Shell(tmp_path)
    for block in blocks(document.read_text(encoding="utf-8")):
        try:
            perform(block, shell)
        except AssertionError as error:
            raise AssertionError(f"{document.name}, block in line {block.line}: {error}") from None


SAMPLE = """\
Text.

<!-- needs: another machine -->
```bash
systemctl start lumi
```

   ~~~python
   print("a")
   ~~~

````text
```bash
exit 1
```
````
"""


def test_blocks_are_found() -> None:
    assert blocks(SAMPLE) == [
        Block(4, "bash", "another machine", "systemctl start lumi\n"),
        Block(8, "python", None, 'print("a")\n'),
        Block(12, "text", None, "```bash\nexit 1\n```\n"),
    ]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "repository").mkdir()
    return Shell(tmp_path)


def test_blocks_run_one_after_the_other(shell: Shell) -> None:
    perform(Block(1, "bash", None, "mkdir a && cd a\nexport WORD='two words'\n"), shell)
    perform(Block(2, "python", None, "import os\nopen('word', 'w').write(os.environ['WORD'])\n"), shell)
    perform(Block(3, "console", None, "$ cat word; echo\n> echo more\ntwo …\nmore\n$ basename $PWD\na\n"), shell)


@pytest.mark.parametrize(
    "block",
    [
        Block(1, "bash", None, "false | true\n"),
        Block(1, "bash", None, "false\ntrue\n"),
        Block(1, "bash", "another machine", "if then\n"),
        Block(1, "bash", "make dry-run", "true\n"),
        Block(1, "bash", "luck", "true\n"),
        Block(1, "console", None, "true\n"),
        Block(1, "console", None, "$ echo one\ntwo\n"),
        Block(1, "console", None, "$ false\n"),
        Block(1, "python", None, "raise SystemExit(1)\n"),
        Block(1, "sh", None, "true\n"),
        Block(1, "", None, "true\n"),
        Block(1, "text", "another machine", "\n"),
    ],
    ids=str,
)
def test_what_must_not_pass_fails(block: Block, shell: Shell) -> None:
    with pytest.raises(AssertionError):
        perform(block, shell)


def test_stray_marks_and_open_blocks_fail() -> None:
    with pytest.raises(AssertionError, match="marks no block"):
        blocks("<!-- needs: another machine -->\ntext\n```bash\n```\n")
    with pytest.raises(AssertionError, match="never closed"):
        blocks("```bash\ntrue\n")
