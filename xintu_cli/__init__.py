"""xintu: classify photo folders in batch, look everything up first, pay for every photo once."""

__version__ = "0.1.0"
