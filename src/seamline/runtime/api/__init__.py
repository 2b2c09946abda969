"""What Python callers and the command line hold: cluster, stream, snapshot."""
