"""Replacing keys: making the next one, ordering its announcement, and telling how far that is."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.keyfiles import KeyFiles
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.lake import Lake
from lumi_pipeline.rotation import KeyHistory, Role, Rotation, read_rotations
from transparency.entries import Genesis
from transparency.keys import SigningKey, VerifierKey
from transparency.rotation import OVERLAP


class Phase(Enum):
    """How far the replacement of a key is. The values are what machines read."""

    STEADY = "steady"
    """One key signs, and no other is under way."""
    MADE = "made"
    """The next key is in its file, and nothing has been ordered: ordering was interrupted."""
    ORDERED = "ordered"
    """The record of the next day that is sealed will announce it."""
    ANNOUNCED = "announced"
    """A record has announced it; it signs from the record after that one on, once that is public."""
    BOTH = "both"
    """The old key and the new one both sign."""
    ALONE = "alone"
    """The new key signs alone; the old one lies there for nothing, where the new one has to be in the end."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key's state: who ``signs`` now, the oldest first, and the last rotation, if there ever was one."""

    role: Role
    files: KeyFiles
    phase: Phase
    signs: tuple[VerifierKey, ...]
    rotation: Rotation | None

    @property
    def alone_from(self) -> date | None:
        """The day whose record the new key signs alone, if days are sealed as they end; None unless it was announced.

        Where many days were sealed at once it is later.
        """
        takeover = self.rotation.takeover if self.rotation else None
        if takeover is None:
            return None
        regular = takeover.announced + OVERLAP + timedelta(days=1)
        return regular if takeover.begun is None else max(regular, takeover.begun + OVERLAP - timedelta(days=1))

    def advice(self) -> str | None:
        """What to do next, in words; None when there is nothing to do."""
        path, after = self.files.path, self.files.next_path
        if self.phase in {Phase.ORDERED, Phase.ANNOUNCED} and not after.exists():
            return f"{after}, the key that takes over, is not here: restore it from its backup, or nothing is published"
        if self.phase is Phase.MADE:
            return f"{after} was made and not ordered; go on with: lumi keys rotate --{self.role.value}"
        if self.phase is Phase.ORDERED:
            return (
                f"the next sealed day announces the key in {after}: back that file up before, and copy it to every "
                "machine that publishes"
            )
        if self.phase is Phase.ANNOUNCED:
            return f"{after} signs beside {path} as soon as the next day is public; keep both files on every machine"
        if self.phase is Phase.BOTH:
            return (
                f"both sign, and the key in {after} alone from the record of {self.alone_from} on: keep both files on "
                "every machine, and give readers the new vkey"
            )
        if self.phase is Phase.ALONE:
            return (
                f"the key in {path} signs nothing any more; destroy its backups, and on each machine: mv {after} {path}"
            )
        return None


def look_at_key(lake: Lake, keyring: Keyring, genesis: Genesis | None, role: Role, last: date | None) -> KeyState:
    """How far the replacement of one key is, when ``last`` is the last sealed day."""
    files = keyring.files[role]
    rotations = [rotation for rotation in read_rotations(lake, last) if rotation.role is role] if genesis else []
    rotation = rotations[-1] if rotations else None
    if genesis is None:
        return KeyState(role, files, _at_rest(files), (files.current().verifier,), None)
    signs = KeyHistory(lake, genesis).keys(role, keyring.published_size())
    if rotation is None:
        phase = _at_rest(files)
    elif rotation.takeover is None:
        phase = Phase.ORDERED
    elif rotation.key not in signs:
        phase = Phase.ANNOUNCED
    elif len(signs) > 1:
        phase = Phase.BOTH
    else:
        phase = _at_rest(files) if _is_in_place(files, rotation.key) else Phase.ALONE
    return KeyState(role, files, phase, signs, rotation)


def next_key(state: KeyState) -> SigningKey:
    """Make the key that is to take over, or return the one that an interrupted rotation has made.

    Raises :class:`~lumi_pipeline.errors.ConfigError` while another rotation is under way.
    """
    if state.phase not in {Phase.STEADY, Phase.MADE}:
        raise ConfigError(f"the {state.role.value} key is being replaced already: {state.advice()}")
    state.files.find(state.signs[-1])
    made = state.files.next()
    if made is not None:
        if made.verifier in state.signs:
            raise ConfigError(f"{state.files.next_path} holds the key that signs now; remove that copy")
        return made
    key = SigningKey.generate(state.files.name)
    # A crash after this leaves a key that nobody knows of; rotating again orders it.
    key.save_new(state.files.next_path)
    return key


def _at_rest(files: KeyFiles) -> Phase:
    return Phase.MADE if files.next_path.exists() else Phase.STEADY


def _is_in_place(files: KeyFiles, key: VerifierKey) -> bool:
    return files.path.exists() and files.current().verifier == key
