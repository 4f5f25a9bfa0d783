//! An embedded node over its whole life, driven by generated clients as a program elsewhere would be.

mod checkpoints;
mod kit;
mod quota;
