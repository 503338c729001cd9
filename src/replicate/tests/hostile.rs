//! Hostile users.
