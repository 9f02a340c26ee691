"""Object stores beyond the local disk, and which of them a configuration means."""
