"""Make the profiles of many users as a Ray job; takes what `ray-import profiles` takes, and ends with its exit code.

    ray job submit --address http://127.0.0.1:8265 --working-dir jobs -- \\
        python profile_users.py --users /data/users.jsonl --to postgres

The job needs ANTHROPIC_API_KEY in its environment. A job that is submitted again resumes where the last one stopped.
"""

from ray_import.cli.app import main

if __name__ == "__main__":
    main("profiles")
