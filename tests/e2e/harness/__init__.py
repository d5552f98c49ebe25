"""What the end-to-end tests share: the program under test, apps to stand behind it, browsers, raw sockets."""
