"""The built-in checks, one module each; see `molig.audit.checks`."""
