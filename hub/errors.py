"""Every error Granary raises on purpose, in one tree.

An error carries a stable ``code`` for programs, a sentence for people that says
what to do, and facts in ``details``. It knows nothing of HTTP: ``hub.wire``
turns it into a body, and one table per server turns its family into a status.

    GranaryError
    ├── Invalid            the request itself is wrong; repeating it cannot help
    ├── Unauthenticated    nobody known is asking
    ├── Denied             known, but not allowed
    ├── NotFound           does not exist, or not for this person
    ├── Conflict           contradicts what is already recorded
    ├── Unavailable        something needed is not answering; repeating may help
    └── Failed             was tried and did not work
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar


class GranaryError(Exception):
    """Base of the tree.

    Parameters
    ----------
    message
        One or two plain sentences: what is wrong and what to do about it.
        Shown to people as it is, so it never holds a secret or a traceback.
    details
        Facts for programs, JSON-serialisable.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, object] = details


# -- families: each server's status table has one row per family ---------------


class Invalid(GranaryError):
    """The request itself is wrong; repeating it unchanged cannot help."""

    code = "invalid"


class Unauthenticated(GranaryError):
    """Nobody known is asking."""

    code = "unauthenticated"


class Denied(GranaryError):
    """Known, but not allowed."""

    code = "denied"


class NotFound(GranaryError):
    """Does not exist, or not for this person."""

    code = "not_found"


class Conflict(GranaryError):
    """Contradicts what is already recorded."""

    code = "conflict"


class Unavailable(GranaryError):
    """Something needed is not answering; the same request may work later."""

    code = "unavailable"
    retry_after: ClassVar[timedelta] = timedelta(seconds=5)
    """What clients are told in ``Retry-After``."""


class Failed(GranaryError):
    """Was tried and did not work."""

    code = "failed"


# -- invalid ---------------------------------------------------------------------


class InvalidName(Invalid):
    """A name breaks the rules for names of kernels, channels and teams; the message says how."""

    code = "invalid_name"


class InvalidVersion(Invalid):
    """A version is neither CalVer (2026.11.1) nor SemVer (1.4.0)."""

    code = "invalid_version"


class InvalidManifest(Invalid):
    """A manifest lacks something or has something unknown; the message says where."""

    code = "invalid_manifest"


class InvalidRequest(Invalid):
    """A body, header or query that does not fit its schema."""

    code = "invalid_request"


class TooLarge(Invalid):
    """A body or header is larger than the server accepts."""

    code = "too_large"


class MethodNotAllowed(Invalid):
    """The route exists, but not for this HTTP method."""

    code = "method_not_allowed"


# -- unauthenticated -------------------------------------------------------------


class TokenMissing(Unauthenticated):
    """No hub token came with the request."""

    code = "token_missing"


class TokenRejected(Unauthenticated):
    """The hub does not know the token, or it has expired or been revoked."""

    code = "token_rejected"


# -- denied ----------------------------------------------------------------------


class ScopeMissing(Denied):
    """The token is valid but lacks the scope this route asks for."""

    code = "scope_missing"


class NotAMember(Denied):
    """The person is not a member of the team in the address."""

    code = "not_a_member"


class NoTeam(Denied):
    """The person is in no team Granary governs."""

    code = "no_team"


class TeamChoiceNeeded(Denied):
    """The person is in several teams and named none of them."""

    code = "team_choice_needed"


class NotTeamAdmin(Denied):
    """Governing this is for the team's admins and for platform admins."""

    code = "not_team_admin"


class NotEntitled(Denied):
    """The team may not use this kernel, or not on this channel; ask the kernel's owners."""

    code = "not_entitled"


class LoginDenied(Denied):
    """The sign-in service vouches for somebody who may not come in, or not under that name."""

    code = "login_denied"


class ReleaseNotStartable(Denied):
    """The release's stage forbids new starts (candidate elsewhere, retired, withdrawn)."""

    code = "release_not_startable"


class OriginRefused(Denied):
    """Only programs may call this server, and the request came from a web page."""

    code = "origin_refused"


# -- not found -------------------------------------------------------------------


class TeamNotFound(NotFound):
    """No team of this name is configured."""

    code = "team_not_found"


class KernelNotFound(NotFound):
    """No kernel of this name is visible to the person asking."""

    code = "kernel_not_found"


class ReleaseNotFound(NotFound):
    """The kernel has no release of this version."""

    code = "release_not_found"


class ChannelNotFound(NotFound):
    """The kernel has no channel of this name."""

    code = "channel_not_found"


class EntitlementNotFound(NotFound):
    """The team was not entitled to the kernel in the first place."""

    code = "entitlement_not_found"


class PublicationNotFound(NotFound):
    """No publication has this id."""

    code = "publication_not_found"


class RunningKernelNotFound(NotFound):
    """Unknown and foreign kernels alike: an owner's id must not be guessable."""

    code = "running_kernel_not_found"


class RouteNotFound(NotFound):
    """The server has nothing at this address."""

    code = "route_not_found"


# -- conflict --------------------------------------------------------------------


class ReleaseExists(Conflict):
    """The version is published already, with another artifact."""

    code = "release_exists"


class KernelOwnedElsewhere(Conflict):
    """Another team owns a kernel of this name already."""

    code = "kernel_owned_elsewhere"


class PublicationUnderWay(Conflict):
    """The version is being published at this moment, from another manifest."""

    code = "publication_under_way"


class RequestIdReused(Conflict):
    """The same request id came with another request before."""

    code = "request_id_reused"


class RunningKernelExists(Conflict):
    """A kernel host was told to start a kernel under an id that it runs already."""

    code = "running_kernel_exists"


# -- unavailable -----------------------------------------------------------------


class HubUnavailable(Unavailable):
    """JupyterHub does not answer, so nobody can be authenticated anew."""

    code = "hub_unavailable"


class ControlPlaneUnavailable(Unavailable):
    """The control plane does not answer: running kernels go on, new ones cannot start."""

    code = "control_plane_unavailable"


class DatabaseUnavailable(Unavailable):
    """The control plane cannot reach its database, or another writer holds it too long."""

    code = "database_unavailable"


class KernelHostUnavailable(Unavailable):
    """The host that runs the kernels does not answer."""

    code = "kernel_host_unavailable"


class PublishingBusy(Unavailable):
    """More publications are waiting than the control plane accepts."""

    code = "publishing_busy"


class PublicationTimedOut(Unavailable):
    """A publication was followed for as long as one follows; it may still end."""

    code = "publication_timed_out"


class BridgeUnavailable(Unavailable):
    """The bridge does not answer; kernels go on running behind it."""

    code = "bridge_unavailable"


# -- failed ----------------------------------------------------------------------


class BuildFailed(Failed):
    """A release's environment could not be built; the details hold the end of the output."""

    code = "build_failed"


class PublicationInterrupted(Failed):
    """The control plane stopped while it was publishing; nothing was published, do it again."""

    code = "publication_interrupted"


class ArtifactMissing(Failed):
    """The files a release runs are not where they are kept; the message says how to get them back."""

    code = "artifact_missing"


class ArtifactTampered(Failed):
    """The files a release runs are no longer those that were published."""

    code = "artifact_tampered"


class KernelStartFailed(Failed):
    """A kernel's process ended, or did not answer, while it was being started."""

    code = "kernel_start_failed"


class ServerStartFailed(Failed):
    """A person's JupyterLab ended, or did not answer, while it was being started."""

    code = "server_start_failed"


class InternalError(Failed):
    """A defect of ours; the log has the details under the request id."""

    code = "internal_error"


# -- the installation on one machine ------------------------------------------------


class InvalidConfiguration(Invalid):
    """A configuration file or option cannot be used; the message names the place and the mistake."""

    code = "invalid_configuration"


class DirectoryUnusable(Invalid):
    """The installation's directory cannot be made, written or kept private."""

    code = "directory_unusable"


class PortInUse(Conflict):
    """Another program listens on the port that people are to use."""

    code = "port_in_use"


class AlreadyRunning(Conflict):
    """An installation runs from this directory already."""

    code = "already_running"


class NotRunning(Conflict):
    """There is no running installation in this directory."""

    code = "not_running"


class ProcessFailed(Failed):
    """One of our processes did not come up; the message has the end of its log."""

    code = "process_failed"


def all_errors() -> dict[str, type[GranaryError]]:
    """Every class of the tree by its code, families included."""
    found: dict[str, type[GranaryError]] = {}
    pending: list[type[GranaryError]] = [GranaryError]
    while pending:
        cls = pending.pop()
        found[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return found


def from_code(code: str, message: str, details: Mapping[str, object]) -> GranaryError:
    """Rebuild an error that another process sent us; unknown codes become the base."""
    error = all_errors().get(code, GranaryError)(message)
    error.details = dict(details)
    return error
