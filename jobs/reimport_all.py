"""Import the exports of many users as a Ray job; takes what `ray-import reimport` takes, and ends with its exit code.

    ray job submit --address http://127.0.0.1:8265 --working-dir jobs -- \\
        python reimport_all.py --users /data/users.jsonl --to postgres

With `--from supabase://BUCKET/FOLDER` the users come from a bucket, by the keys of the machine that the job runs on.
A job that is submitted again resumes where the last one stopped. Name files by absolute paths: the job runs in a copy
of the working directory.
"""

from ray_import.cli.app import main

if __name__ == "__main__":
    main("reimport")
