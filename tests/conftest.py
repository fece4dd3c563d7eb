"""What all tests share."""

from __future__ import annotations

import hypothesis

# A deadline per example would be an assertion of speed: on a busy machine it fails, and says nothing of what is tested.
hypothesis.settings.register_profile("clustersql", deadline=None)
hypothesis.settings.load_profile("clustersql")
