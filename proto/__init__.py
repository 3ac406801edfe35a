"""Everything that is said or stored: pure data. Imports nothing of ours."""
