//! Endpoints that stay current, for tower and tonic.
