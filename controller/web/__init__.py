"""What every HTTP server of ours shares: a listening socket, and uvicorn without its signal handling."""
