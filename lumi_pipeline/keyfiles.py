"""Secret keys in files: the one in use and, beside it, the next one while it takes over (``<file>.next``)."""

from dataclasses import dataclass
from pathlib import Path

from lumi_pipeline.errors import ConfigError
from transparency.keys import SigningKey, VerifierKey


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where the keys of one ``name`` lie. ``setting`` is what configures the ``path``."""

    path: Path
    name: str
    setting: str

    @property
    def next_path(self) -> Path:
        """Where the key lies that takes over. It moves to ``path`` when it signs alone."""
        return self.path.with_name(f"{self.path.name}.next")

    def current(self) -> SigningKey:
        """The key at ``path``; :class:`~lumi_pipeline.errors.ConfigError` when it is not there or another's."""
        if not self.path.exists():
            hint = f", but there is {self.next_path}" if self.next_path.exists() else ""
            raise ConfigError(
                f"there is no key at {self.path}{hint}; make one with 'lumi keys new', or set where it is"
            )
        return self._load(self.path)

    def next(self) -> SigningKey | None:
        """The key that takes over, if it is here."""
        return self._load(self.next_path) if self.next_path.exists() else None

    def held(self) -> list[SigningKey]:
        """Both, as far as they are here; an error when none is."""
        after = self.next()
        return [after] if after and not self.path.exists() else [self.current(), *([after] if after else [])]

    def find(self, wanted: VerifierKey) -> SigningKey:
        """The secret half of a key; :class:`~lumi_pipeline.errors.ConfigError` when neither file holds it."""
        held = self.held()
        for key in held:
            if key.verifier == wanted:
                return key
        there = " and ".join(key.verifier.vkey for key in held)
        raise ConfigError(
            f"{self.name} signs with {wanted.vkey}, but {self.path} (or .next) holds {there}; use that key: restore "
            f"it, copy it from where it was made, or correct '{self.setting}'; 'lumi keys show' tells who signs when"
        )

    def _load(self, path: Path) -> SigningKey:
        key = SigningKey.load(path)
        if key.name != self.name:
            raise ConfigError(
                f"the key in {path} is the key of {key.name}, but {self.name} is needed; correct 'origin' or the file"
            )
        return key
