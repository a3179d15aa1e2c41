"""Every metric name once, and the log set-up."""
