"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=263), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("team", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_index(op.f("ix_audit_team"), "audit", ["team"])

    op.create_table(
        "publications",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=40), nullable=False),
        sa.Column("manifest", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("artifact_digest", sa.String(length=80), nullable=True),
        sa.Column("problem", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("check_kernel_id", sa.String(length=36), nullable=False),
        sa.Column("requested_by", sa.String(length=263), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
    )
    op.create_index(op.f("ix_publications_check_kernel_id"), "publications", ["check_kernel_id"])
    op.create_index(op.f("ix_publications_kernel_version"), "publications", ["kernel", "version"])
    op.create_index(op.f("ix_publications_state"), "publications", ["state"])

    op.create_table(
        "revisions",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_revisions")),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("display_name", sa.String(length=80), nullable=False),
        sa.Column("admin_group", sa.String(length=255), nullable=False),
        sa.Column("governed", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_teams")),
    )
    op.create_table(
        "kernels",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("owner_team", sa.String(length=40), nullable=False),
        sa.Column("display_name", sa.String(length=120), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["owner_team"], ["teams.name"], name=op.f("fk_kernels_owner_team")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_kernels")),
    )
    op.create_index(op.f("ix_kernels_owner_team"), "kernels", ["owner_team"])

    op.create_table(
        "entitlements",
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=40), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["kernel"], ["kernels.name"], name=op.f("fk_entitlements_kernel")),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name=op.f("fk_entitlements_team")),
        sa.PrimaryKeyConstraint("kernel", "team", name=op.f("pk_entitlements")),
    )
    op.create_index(op.f("ix_entitlements_team"), "entitlements", ["team"])

    op.create_table(
        "releases",
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("artifact_kind", sa.String(length=16), nullable=False),
        sa.Column("artifact_digest", sa.String(length=80), nullable=False),
        sa.Column("artifact_reference", sa.String(length=400), nullable=False),
        sa.Column("language_version", sa.String(length=40), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.Column("cpu_millicores", sa.Integer(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.JSON(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("published_by", sa.String(length=263), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["kernel"], ["kernels.name"], name=op.f("fk_releases_kernel")),
        sa.PrimaryKeyConstraint("kernel", "version", name=op.f("pk_releases")),
    )
    op.create_index(op.f("ix_releases_artifact_digest"), "releases", ["artifact_digest"])

    op.create_table(
        "channels",
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("set_by", sa.String(length=263), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["kernel", "version"],
            ["releases.kernel", "releases.version"],
            name=op.f("fk_channels_kernel_version"),
        ),
        sa.PrimaryKeyConstraint("kernel", "name", name=op.f("pk_channels")),
    )
    op.create_table(
        "running_kernels",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("team", sa.String(length=40), nullable=False),
        sa.Column("kernel", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("spec_name", sa.String(length=82), nullable=False),
        sa.Column("host", sa.String(length=40), nullable=False),
        sa.Column("host_kernel_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.Column("end_text", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["kernel", "version"],
            ["releases.kernel", "releases.version"],
            name=op.f("fk_running_kernels_kernel_version"),
        ),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name=op.f("fk_running_kernels_team")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_running_kernels")),
        sa.UniqueConstraint("owner", "request_id", name=op.f("uq_running_kernels_owner_request_id")),
    )
    op.create_index(op.f("ix_running_kernels_host_kernel_id"), "running_kernels", ["host_kernel_id"])
    op.create_index(op.f("ix_running_kernels_state_host"), "running_kernels", ["state", "host"])
    op.create_index(op.f("ix_running_kernels_team_state"), "running_kernels", ["team", "state"])


def downgrade() -> None:
    for table in (
        "running_kernels",
        "channels",
        "releases",
        "entitlements",
        "kernels",
        "teams",
        "revisions",
        "publications",
        "audit",
    ):
        op.drop_table(table)
