"""`make bench`: this engine beside a bare aiohttp handler, on this machine, in one go. Not collected by pytest."""
