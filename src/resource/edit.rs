//! Edits of configuration files.
