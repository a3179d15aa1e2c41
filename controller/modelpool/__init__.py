"""The Kubernetes API ModelPool, pure: objects into settings, fleet views into their status, and back."""
