//! Registering services and finding them.
