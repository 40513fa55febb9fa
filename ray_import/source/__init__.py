"""Where an export lies: files, folders and archives, down to the members that hold conversations."""
