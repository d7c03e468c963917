"""One file a command. Each is light to import and holds HELP, add_arguments(parser), run(args)."""
