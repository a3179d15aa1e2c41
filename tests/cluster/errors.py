"""What can go wrong around the cluster itself: it is said in one message, and the suite fails; it never skips.

ClusterError
+-- MissingTool     a program is not there; the message names the command that brings it
+-- DidNotStart     a component ended early or did not become ready in time; the message ends with its log
+-- DidNotEnd       a component is still there after it was told to end
+-- CommandFailed   kubectl, helm, ctr or ip said no; the message is theirs
"""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot do what was asked of it."""


class MissingTool(ClusterError):
    """A program that the cluster needs is not on this machine."""


class DidNotStart(ClusterError):
    """A component is not ready, and will not be."""


class DidNotEnd(ClusterError):
    """A component goes on."""


class CommandFailed(ClusterError):
    """A command about the cluster ended with an error."""
