"""The commands: `clustersql check`, `demo`, `knobs`, `version`.  A leaf: nobody imports it."""
