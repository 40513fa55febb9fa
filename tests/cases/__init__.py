"""Small exports, each of which shows one fault that was seen in the wild; their texts are invented."""
