//! What the room promises, over a double of the store.

mod events;
mod kit;
mod model;
mod progress;
mod requests;
mod slow;
mod threads;
