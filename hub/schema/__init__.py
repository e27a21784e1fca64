"""Tables, one a file. Importing this package registers all of them on ``metadata``."""

from hub.schema.audit import AuditRow
from hub.schema.base import Table
from hub.schema.channels import ChannelRow
from hub.schema.entitlements import EntitlementRow
from hub.schema.kernels import KernelRow
from hub.schema.publications import PublicationRow
from hub.schema.releases import ReleaseRow
from hub.schema.revisions import RevisionRow
from hub.schema.running_kernels import RunningKernelRow
from hub.schema.teams import TeamRow

metadata = Table.metadata

__all__ = [
    "AuditRow",
    "ChannelRow",
    "EntitlementRow",
    "KernelRow",
    "PublicationRow",
    "ReleaseRow",
    "RevisionRow",
    "RunningKernelRow",
    "TeamRow",
    "metadata",
]
