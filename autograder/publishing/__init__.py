"""What goes out: feedback pages, the class report, exports for learning platforms, release bundles."""

from __future__ import annotations

from autograder.publishing.bundle import bundle_release
from autograder.publishing.class_report import write_class_report
from autograder.publishing.exports import export_csv, write_export
from autograder.publishing.feedback import write_feedback
from autograder.publishing.files import PublishingError

__all__ = [
    "PublishingError",
    "bundle_release",
    "export_csv",
    "write_class_report",
    "write_export",
    "write_feedback",
]
