"""The parts of a made-up ChatGPT export: prose, metadata, turns, conversations."""
