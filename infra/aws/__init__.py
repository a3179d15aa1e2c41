"""Calls of AWS, one service a file. All only read, but for those that put weights into a bucket (`s3.py`)."""
