#!/usr/bin/env bash
# Below `uv run`, a Ray that a script starts on its own machine runs every task in a copy of the current folder.
#
# Versions: ray 2.60.0, uv 0.13.9, Linux.
# Guess:    `uv run script.py` and `python script.py` do the same. A local ray.init() without a runtime_env copies
#           nothing, and a task that writes `result.txt` writes it into the folder of the script.
# Seen:     a hook that is on by default looks for `uv run` among the parent processes. The whole current folder,
#           dot folders included (only .git and what a .gitignore names are left out), is packed into the session's
#           files below the temporary folder. Tasks run in that copy: what they write to a relative path is not in
#           the folder of the script. The copy is still there when the script has ended.
#           RAY_ENABLE_UV_RUN_RUNTIME_ENV=0, set before Ray is imported, turns it off.
# Why:      data files, .env and key files beside a script stay in /tmp/ray after it has ended, outputs disappear,
#           and a folder over 512 MB ends the script with an error. All of it only below `uv run`.
set -euo pipefail
work=$(mktemp -d /tmp/rf.XXXX)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'ray[default]==2.60.0' 'uv==0.13.9'
mkdir -p "$work/project/.keys"
cd "$work/project"
echo planted-key > .keys/id
cat > script.py <<'PYTHON'
import sys
from pathlib import Path

import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])


@ray.remote
def write():
    Path("result.txt").write_text("done")


ray.get(write.remote())
PYTHON
found() { grep -rl planted-key "$1" 2>/dev/null || true; }
run=("$work/venv/bin/uv" run -q --no-project --python "$work/venv/bin/python" script.py)

env -u RAY_ADDRESS RAY_ENABLE_UV_RUN_RUNTIME_ENV=0 RAY_USAGE_STATS_ENABLED=0 "${run[@]}" "$work/off" > "$work/log" 2>&1
[ -f result.txt ] && [ -z "$(found "$work/off")" ] || { echo "with the hook off: not as stated"; exit 1; }
rm result.txt

env -u RAY_ADDRESS -u RAY_ENABLE_UV_RUN_RUNTIME_ENV RAY_USAGE_STATS_ENABLED=0 "${run[@]}" "$work/on" > "$work/log" 2>&1
[ ! -e result.txt ] || { echo "the task has written into the folder of the script: not as stated"; exit 1; }
[ -n "$(found "$work/on")" ] || { echo "the folder was not copied: not as stated"; exit 1; }
echo "as stated"
