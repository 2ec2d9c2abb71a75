"""From files on this machine to bytes in a storage and changes of a draft."""
