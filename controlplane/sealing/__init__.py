"""What is personal is kept sealed. Law: a personal value lies at rest masked, hashed under a key, or in a sealed envelope; never else."""

from controlplane.sealing.keys import Keyring, Keys, NoKeys
from controlplane.sealing.ring import Ring
from controlplane.sealing.shield import Shield

__all__ = ["Keyring", "Keys", "NoKeys", "Ring", "Shield"]
