"""From a stream of JSON to its conversations' raw bytes, in bounded memory, past damage."""
