"""Tests with servers of MLflow, PostgreSQL and S3."""
