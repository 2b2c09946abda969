"""What this machine is and what a model costs on it: device facts, block profiles and the files they are kept in."""
