"""Files that are whole or absent, and journals that survive a kill."""
