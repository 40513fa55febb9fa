import sys


def main() -> None:
    """The console script. Ctrl-C prints one word, also during the half second that the imports take."""
    try:
        from ray_import.cli.app import main as command  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(3)
    command()


if __name__ == "__main__":
    main()
