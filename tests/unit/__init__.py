"""Tests of one module at a time, in folders named like the packages."""
