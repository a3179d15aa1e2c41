"""Read-only calls of AWS, one service a file. Nothing here changes an account; `access.py` alone needs boto3."""
