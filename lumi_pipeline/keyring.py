"""The keys of one pipeline: the files with the secret halves, which of them sign when, and whom this side trusts."""

from collections.abc import Mapping, Sequence

from lumi_pipeline.config import Config
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.keyfiles import KeyFiles
from lumi_pipeline.lake import Lake
from lumi_pipeline.rotation import KeyHistory, LogSigners, Role, read_rotations
from transparency.checkpoint import verify_checkpoint
from transparency.entries import DayRecord, Genesis, day_at, day_index, evidence_key_name
from transparency.keys import SigningKey, VerifierKey
from transparency.logview import LogView


class Keyring:
    """Opens key files when they are needed, and not before."""

    def __init__(self, config: Config, lake: Lake) -> None:
        self._lake = lake
        self.files: Mapping[Role, KeyFiles] = {
            Role.LOG: KeyFiles(config.log_key_file, config.origin, "log_key_file"),
            Role.EVIDENCE: KeyFiles(config.evidence_key_file, evidence_key_name(config.origin), "evidence_key_file"),
        }

    def find(self, role: Role, key: VerifierKey) -> SigningKey:
        """The secret half of a key; :class:`~lumi_pipeline.errors.ConfigError` when it is not here."""
        return self.files[role].find(key)

    def signers(self, genesis: Genesis) -> LogSigners:
        """Who signs the checkpoints of the log, size by size."""
        return LogSigners(genesis, KeyHistory(self._lake, genesis), lambda key: self.find(Role.LOG, key))

    def evidence_keys(self, genesis: Genesis | None) -> list[SigningKey]:
        """What signs evidence now, as far as the log is public: one key, or two while one is being replaced."""
        if genesis is None:
            return [self.files[Role.EVIDENCE].current()]
        keys = KeyHistory(self._lake, genesis).keys(Role.EVIDENCE, self.published_size())
        return [self.find(Role.EVIDENCE, key) for key in keys]

    def check_announced(self, record: DayRecord) -> None:
        """Refuse to publish an announcement of keys that are not here: nobody could sign what comes after it.

        It also keeps whoever can write to the lake, and not to the key files, from slipping in a key of their own.
        """
        for role, files in self.files.items():
            key = role.announced(record)
            if key is not None and all(held.verifier != key for held in files.held()):
                raise ConfigError(
                    f"the record of {record.day} announces {key.vkey} as the next {role.value} key, and "
                    f"{files.next_path} does not hold it; nothing was signed. Put it there from its backup; if nobody "
                    "ordered that key with 'lumi keys rotate', the record was altered"
                )

    def published_size(self) -> int:
        """How many entries the public checkpoint has; 0 before the first."""
        published = LogView(self._lake.store).published()
        return 0 if published is None else published.checkpoint.size

    def known(self, role: Role, genesis: Genesis | None, pinned: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
        """The keys of this role in our files, and those that they took over from.

        Nothing is believed of the lake: that an earlier key was the log's is what the public tree says under a
        checkpoint that one of the ``pinned`` log keys has signed. Raises what is wrong with that tree.
        """
        files = self.files[role]
        held = tuple(key.verifier for key in files.held()) if files.path.exists() or files.next_path.exists() else ()
        if genesis is None or role.first(genesis) in held:
            return held
        return held + tuple(key for key in self._named(role, pinned) if key not in held)

    def _named(self, role: Role, pinned: Sequence[VerifierKey]) -> list[VerifierKey]:
        """The keys that the signed tree names: the first, and those announced where orders say."""
        view = LogView(self._lake.store)
        published = view.published()
        if published is None or not pinned:
            return []
        verify_checkpoint(published, pinned)
        head = published.checkpoint
        tree = view.tiles(head.size, head.root)
        genesis = Genesis.parse(tree.read_entry(0))
        found = [role.first(genesis)]
        last = day_at(genesis.first_day, head.size - 1) if head.size > 1 else None
        for rotation in read_rotations(self._lake, last):
            if rotation.role is role and rotation.takeover is not None:
                index = day_index(genesis.first_day, rotation.takeover.announced)
                key = role.announced(DayRecord.parse(tree.read_entry(index)))
                found += [] if key is None else [key]
        return found
