"""The Pulumi program that stands the whole system up on AWS, and what can be said about a stack before it is built."""
