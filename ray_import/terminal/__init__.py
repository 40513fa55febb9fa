"""What a person meets: commands, options, bars, tables, exit codes."""
