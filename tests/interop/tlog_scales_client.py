"""Check a log that somebody has published in files with the client library ``tlog-scales``, as go/main.go does with Go.

Runs in an environment that has that library and not this project: ``python tlog_scales_client.py [--witness VKEY] LOG
VKEY [CHECKPOINT...]``. The library believes the tiles that it reads, so it is the computed root and the proofs that
show whether they are the log's.
"""

import argparse
import sys
from base64 import b64encode
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint, ConsistencyProofInvalid, InclusionProofInvalid


class Wrong(Exception):
    """The log is not what its checkpoints say."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--witness", help="vkey of a witness that must have cosigned the public checkpoint")
    parser.add_argument("log", type=Path)
    parser.add_argument("vkey")
    parser.add_argument("checkpoints", type=Path, nargs="*")
    arguments = parser.parse_args()
    try:
        verify(arguments.log, arguments.vkey, arguments.witness, arguments.checkpoints)
    except InvalidSignature:
        sys.exit("a signature does not verify")
    except (Wrong, RuntimeError, ConsistencyProofInvalid, InclusionProofInvalid) as error:
        sys.exit(str(error))


def verify(directory: Path, vkey: str, witness: str | None, earlier: list[Path]) -> None:
    key = Vkey.from_string(vkey)
    public = open_checkpoint(directory / "checkpoint", key)
    if witness is not None:
        cosigner = Vkey.from_string(witness)
        public.verify(cosigner)
        print(f"cosigned by {cosigner.name}")
    check_tree(directory, public)
    reader = reader_of(directory, public)
    for path in earlier:
        old = open_checkpoint(path, key)
        check_tree(directory, old)
        reader.get_consistency_proof(old.size, public.size).check(old.root_hash, public.root_hash)
        print(f"consistent {old.size} {public.size}")
    for index in range(public.size):
        proof = reader.get_inclusion_proof(index, public.size)
        proof.check(leaf_hash(reader.get_entry(index)), public.root_hash)
    print(f"included {public.size}")


def open_checkpoint(path: Path, key: Vkey) -> Checkpoint:
    checkpoint = Checkpoint.from_text(path.read_text(encoding="utf-8"))
    checkpoint.verify(key)
    if checkpoint.origin != key.name:
        raise Wrong(f"{path} is of the log {checkpoint.origin}")
    return checkpoint


def reader_of(directory: Path, checkpoint: Checkpoint) -> TilesReader:
    reader = TilesReader(LocalBackend(directory))
    reader.set_size(checkpoint.size)
    return reader


def check_tree(directory: Path, checkpoint: Checkpoint) -> None:
    root = reader_of(directory, checkpoint).calculate_root_hash()
    if root != checkpoint.root_hash:
        raise Wrong(f"the tiles of size {checkpoint.size} have another root than its checkpoint")
    print(f"tree {checkpoint.size} {b64encode(root).decode()}")


if __name__ == "__main__":
    main()
