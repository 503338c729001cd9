//! YAML to types and span index.
