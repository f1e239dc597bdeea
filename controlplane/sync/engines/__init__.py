"""How work is run: in threads of this process, or by Celery workers. Law: an engine decides where a batch runs and nothing else."""

from controlplane.sync.engines.sync import Sync

__all__ = ["Sync"]
