"""Import exports as a Ray job; takes what `ray-import run` takes, and ends with its exit code.

    ray job submit --address http://127.0.0.1:8265 --working-dir jobs -- \\
        python import_export.py /data/export.zip --to sqlite:////data/chunks.db

The job runs in a copy of the working directory: name what has to outlive it by absolute paths.
"""

from ray_import.cli.app import main

if __name__ == "__main__":
    main("run")
