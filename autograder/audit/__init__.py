"""Proof that a suite passes what is right and fails what is wrong."""

from __future__ import annotations

from autograder.audit.proof import AuditReport, MistakeAudit, audit_assignment

__all__ = ["AuditReport", "MistakeAudit", "audit_assignment"]
