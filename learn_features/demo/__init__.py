"""The main job, end to end, on one machine: `learn-features demo`."""
