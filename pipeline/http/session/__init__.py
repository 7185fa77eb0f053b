"""Session: who one is to the server, and how one signs in and out."""
