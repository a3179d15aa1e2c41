"""What no stack may be, whoever changes the program: judged by Pulumi on every resource before it is made."""
