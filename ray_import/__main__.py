from ray_import.terminal.app import main

main()
